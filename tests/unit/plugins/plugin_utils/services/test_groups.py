# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose groups are different services."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import groups


@pytest.mark.parametrize(
    ("said", "within", "words"),
    [
        ({"a": {"vllm_model": "x"}, "b": {"vllm_model": "y"}}, {}, "groups a and b, and both say vllm_model"),
        ({"a": {"vllm_model": "x"}, "b": {"vllm_model": "x"}}, {}, ""),
        ({"a": {"vllm_model": "x"}, "b": {"vllm_port": 1}}, {}, ""),
        ({"a": {"vllm_model": "x"}, "b": {"vllm_model": "y"}}, {"b": {"a", "all"}}, ""),
        ({"a": {"vllm_version": "1"}, "b": {"vllm_version": "2"}}, {}, ""),
        (
            {"a": {"vllm_port": 1}, "b": {}, "c": {"vllm_port": 2}},
            {"a": {"b"}},
            "groups a and c, and both say vllm_port",
        ),
    ],
)
def test_ambiguous(said, within, words) -> None:
    """Only what makes another service counts, and not where one group is within the other."""
    found = groups.ambiguous(said, within)
    assert words in found if words else found == ""
