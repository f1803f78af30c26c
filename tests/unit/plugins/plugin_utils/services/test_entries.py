# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm_services: what is one, and which of them a run is about."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import entries

KNOWN = {"vllm_name", "vllm_model", "vllm_port", "vllm_services", "vllm_api_key", "vllm_health_timeout_s"}
CHAT, EMBED = {"vllm_name": "chat", "vllm_model": "org/a"}, {"vllm_name": "embed", "vllm_port": 1}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("chat", "is not a list of dictionaries"),
        ([["chat"]], "is not a list of dictionaries"),
        ({"chat": CHAT}, "is not a list of dictionaries"),
        ([{"vllm_model": "a"}], "entry 1: it has no usable vllm_name"),
        ([{"vllm_name": "A b"}], "entry 1: it has no usable vllm_name"),
        ([CHAT, CHAT], "chat: two entries have this vllm_name"),
        ([{**CHAT, "vllm_prot": 1}], "vllm_prot. Did you mean vllm_port?"),
        ([{**CHAT, "vllm_services": []}], "vllm_services is no variable of one service"),
        ([{**CHAT, "vllm_hosts": "x"}], "vllm_hosts is no variable of one service"),
    ],
)
def test_refused(value, words) -> None:
    """What cannot be told apart, or would not be read."""
    with pytest.raises(entries.ServicesError, match=words.replace("?", ".")):
        entries.read(value, KNOWN)


def test_all_at_once_and_no_value() -> None:
    """Everything that is wrong is told, and no value is quoted."""
    with pytest.raises(entries.ServicesError) as error:
        entries.read([{**CHAT, "vllm_apikey": "PLANTED"}, {"vllm_name": 3}], KNOWN)
    assert "vllm_apikey" in str(error.value)
    assert "entry 2" in str(error.value)
    assert "PLANTED" not in str(error.value)


def test_variables_of_ones_own() -> None:
    """Any name without a prefix of the collection."""
    assert entries.read([{**CHAT, "my_cache": "/x"}], KNOWN) == [{**CHAT, "my_cache": "/x"}]


@pytest.mark.parametrize(
    ("found", "name", "every", "wanted"),
    [
        ([CHAT, EMBED], "embed", False, [EMBED]),
        ([CHAT, EMBED], "embed", True, [EMBED]),
        ([CHAT, EMBED], "", True, [CHAT, EMBED]),
        ([CHAT], "", False, [CHAT]),
    ],
)
def test_chosen(found, name, every, wanted) -> None:
    """By name, or all, or the only one."""
    assert entries.chosen(found, name, every) == wanted


@pytest.mark.parametrize(
    ("found", "name", "words"),
    [
        ([CHAT, EMBED], "", "vllm_services has chat, embed, and this playbook is for one service"),
        ([CHAT, EMBED], "rank", "vllm_services has no rank. It has chat, embed"),
    ],
)
def test_not_chosen(found, name, words) -> None:
    """Nothing is guessed."""
    with pytest.raises(entries.ServicesError, match=words):
        entries.chosen(found, name, False)


@pytest.mark.parametrize(
    ("entry", "host", "extra", "wanted"),
    [
        (CHAT, {}, set(), {**CHAT, "vllm_profile": "none"}),
        (CHAT, {"vllm_profile": "small"}, set(), CHAT),
        (CHAT, {"vllm_profile": None}, set(), {**CHAT, "vllm_profile": "none"}),
        (CHAT, {}, {"vllm_profile"}, CHAT),
        ({**CHAT, "vllm_profile": "small"}, {}, set(), {**CHAT, "vllm_profile": "small"}),
        (EMBED, {}, set(), EMBED),
        (EMBED, {}, {"vllm_port"}, {"vllm_name": "embed"}),
    ],
)
def test_variables(entry, host, extra, wanted) -> None:
    """An entry's own, less what -e says; and no profile of another service."""
    assert entries.variables(entry, host, extra) == wanted
