# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of an inventory of AWX, and their schedules."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import awx

CHAT, EMBED = {"vllm_name": "chat"}, {"vllm_name": "embed"}


@pytest.mark.parametrize(
    ("hosts", "variables", "found"),
    [
        ({"a": None, "b": {"ansible_host": "192.0.2.1"}}, {"vllm_port": 5010}, {}),
        ({}, {"vllm_services": [CHAT]}, {"chat": ""}),
        ({"a": None, "b": {}}, {"vllm_services": [CHAT, EMBED]}, {"chat": "", "embed": ""}),
        ({"a": {"vllm_services": [CHAT]}, "b": {"vllm_services": [EMBED, CHAT]}}, {}, {"chat": "a,b", "embed": "b"}),
        # a host's own list is in place of its group's
        ({"a": None, "b": {"vllm_services": [EMBED]}}, {"vllm_services": [CHAT]}, {"chat": "a", "embed": "b"}),
        ({"a": None}, {"vllm_services": "{{ elsewhere }}"}, {}),
        ({"a": None}, {"vllm_services": [{"vllm_port": 1}, None]}, {}),
    ],
)
def test_services(hosts, variables, found) -> None:
    """Each with the hosts that have it, "" for all, those that AWX has besides among them."""
    assert {item["name"]: item["limit"] for item in awx.services(hosts, variables)} == found


def test_schedules() -> None:
    """One for each, and one where none is listed."""
    made = awx.schedules({"name": "Verify", "rrule": "r"}, {"a": {"vllm_services": [CHAT, EMBED]}}, {})
    assert made == [
        {"name": "Verify chat", "rrule": "r", "limit": "a", "extra_data": {"vllm_name": "chat"}},
        {"name": "Verify embed", "rrule": "r", "limit": "a", "extra_data": {"vllm_name": "embed"}},
    ]
    assert awx.schedules({"name": "Verify"}, {"a": None}, {}) == [{"name": "Verify", "limit": "", "extra_data": {}}]
