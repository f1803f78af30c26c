# SPDX-License-Identifier: GPL-3.0-or-later
"""Printing while a task runs, with and without ansible-runner's function in place of Ansible's."""

from __future__ import annotations

import functools
import types

import pytest
from ansible.utils.display import Display

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live

#: As ansible-runner 2.4.0 does it: the function stands in a module that has an event_context.
RUNNER = """
event_context = object()
def wrapped(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        direct.append(args[1])
        return f(*args, **kwargs)
    return wrapper
"""


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_write(layers, monkeypatch) -> None:
    """Ansible's own function gets the line, its own wrapper included, and ansible-runner's is passed by."""
    printed, direct = [], []

    def plain(self: Display, text: str) -> None:
        raise AssertionError("Ansible's own wrapper, which hands the line to the main process, was passed by too")

    @functools.wraps(plain)
    def proxied(self: Display, text: str) -> None:
        printed.append(text)

    runner = types.ModuleType("awx_display")
    vars(runner).update(functools=functools, direct=direct)
    exec(RUNNER, vars(runner))
    method = proxied
    for _layer in range(layers):
        method = runner.wrapped(method)
    monkeypatch.setattr(Display, "display", method)
    live.write("a line")
    assert (printed, direct) == (["a line"], [])
