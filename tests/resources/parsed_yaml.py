# SPDX-License-Identifier: GPL-3.0-or-later
"""Going through parsed YAML files."""

from __future__ import annotations

from collections.abc import Iterator


def walk(node: object) -> Iterator[dict]:
    """Yield every dictionary of a parsed YAML file."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)
