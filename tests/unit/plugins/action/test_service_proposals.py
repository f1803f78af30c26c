# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugins service_proposals and new_service_answers."""

from __future__ import annotations

from unittest import mock

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks


@pytest.fixture
def propose(action, host_with, medium):
    """Propose for a changed host."""

    def run(changes: dict, **args: object) -> dict:
        definition, host = medium({}), host_with(changes)
        looked = {**preflight_checks.check(definition, host, None), "host": host}
        plugin = action("service_proposals", args={"definition": definition, "result": looked, **args})
        plugin._display = mock.MagicMock()
        return plugin.run(task_vars={})

    return run


def test_proposals(propose) -> None:
    """Printed, and returned with their YAML."""
    answer = propose({}, context_tokens="32768", users=2)
    assert answer["changed"] is False
    assert answer["proposals"][0]["tokens"] == 32768
    assert "vllm_max_model_len: 32768" in answer["proposals"][0]["yaml"]
    assert any("vllm_max_model_len: 32768" in line for line in answer["table"])


@pytest.mark.parametrize(
    ("changes", "args", "words"),
    [
        pytest.param({}, {"context_tokens": "much"}, "vllm_new_service_context_tokens is 'much'", id="tokens"),
        pytest.param({"model.config": None, "model.error": {"kind": "gated", "text": "It is gated. Accept."}}, {},
                     "It is gated", id="gated"),
        pytest.param({"uid": 1000}, {}, "user id 1000", id="not-root"),
        pytest.param({"gpu.gpus": []}, {}, "no NVIDIA GPU", id="no-gpus"),
        pytest.param({"gpu.gpus.0.memory_free_mib": 100, "gpu.gpus.1.memory_free_mib": 100}, {},
                     "does not fit into what is free (GPU 0: NVIDIA GeForce RTX 4090, 0.1 of 24.0 GiB free", id="busy"),
    ],
)  # fmt: skip
def test_none(changes, args, words, propose) -> None:
    """Where nothing fits, the reason is told."""
    answer = propose(changes, **args)
    assert answer["failed"]
    assert words in answer["msg"]


def test_answers(action, tmp_path) -> None:
    """An inventory that is there is refused together with what else is wrong."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "hosts.yml").write_text("")
    args = {"model": "org/m", "name": "box", "users": "none", "folder": str(tmp_path)}
    answer = action("new_service_answers", args=args).run(task_vars={"groups": {"all": ["box"]}})
    assert answer["failed"]
    assert "is there already" in answer["msg"]
    assert "vllm_new_service_users" in answer["msg"]
    answer = action("new_service_answers", args={**args, "name": "other", "users": ""}).run(task_vars={})
    assert answer["folder"] == str(tmp_path / "other")
    assert answer["changed"] is False
