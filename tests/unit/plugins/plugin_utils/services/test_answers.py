# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person answers about a new service."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import answers

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
GOOD = {"model": "Qwen/Qwen3-8B-AWQ", "host": "", "name": "", "context_tokens": "", "users": ""}


@pytest.mark.parametrize(
    ("text", "host", "connection"),
    [
        ("", "localhost", LOCAL),
        ("localhost", "localhost", LOCAL),
        ("127.0.0.1", "localhost", LOCAL),
        ("gpu.example.org", "gpu.example.org", {"ansible_host": "gpu.example.org"}),
        ("deploy@192.0.2.10", "192.0.2.10", {"ansible_host": "192.0.2.10", "ansible_user": "deploy"}),
        ("me@box:2222", "box", {"ansible_host": "box", "ansible_user": "me", "ansible_port": 2222}),
        ("me@[2001:db8::1]:22", "gpu-host", {"ansible_host": "2001:db8::1", "ansible_user": "me", "ansible_port": 22}),
        ("known", "known", {}),
    ],
)
def test_host(text, host, connection) -> None:
    """A host is given as to ssh; one that the inventory knows keeps its own way."""
    read, problems = answers.read({**GOOD, "host": text}, ["known", "localhost"])
    assert problems == []
    assert (read["host"], read["connection"]) == (host, connection)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-8B-AWQ", "qwen3-8b-awq"),
        ("org/3B_Model.v2", "b-model-v2"),
        ("/srv/models/My Model/".replace(" ", "-"), "my-model"),
        ("org/" + "x" * 60, "x" * 40),
    ],
)
def test_name_made_of_the_models(model, name) -> None:
    """It is one that the definition takes."""
    read, problems = answers.read({**GOOD, "model": model}, [])
    assert problems == []
    assert read["name"] == name


@pytest.mark.parametrize(
    ("text", "tokens"), [("", None), ("auto", None), ("-1", None), ("32768", 32768), ("32k", 32000), ("32K", 32768)]
)
def test_tokens(text, tokens) -> None:
    """As vLLM reads them; nothing said is the longest of the model."""
    assert answers.tokens(text) == (tokens, [])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ""}, "vllm_model is not set"),
        ({"model": "two words", "name": "x"}, "no spaces"),
        ({"name": "Big Model"}, "vllm_name is 'Big Model'"),
        ({"host": "a host"}, "vllm_new_service_host is 'a host'"),
        ({"host": "ssh://x"}, "vllm_new_service_host"),
        ({"users": "0"}, "vllm_new_service_users is '0'"),
        ({"users": "some"}, "vllm_new_service_users is 'some'"),
        ({"context_tokens": "0"}, "vllm_new_service_context_tokens is '0'"),
        ({"context_tokens": "long"}, "vllm_new_service_context_tokens is 'long'"),
    ],
)
def test_refused(changes, words) -> None:
    """Each with its variable and what to set; null is not answered."""
    _read, problems = answers.read({**GOOD, **changes}, [])
    assert any(words in text for text in problems)
    assert answers.read({**GOOD, "name": None, "users": None}, [])[1] == []
