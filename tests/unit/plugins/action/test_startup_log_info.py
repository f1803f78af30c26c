# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin startup_log_info: where the log comes from, what is returned, what is refused."""

from __future__ import annotations

import base64
import gzip

import pytest
from ansible.errors import AnsibleError

LOG = "INFO 11-24 10:00:00 [a.py:1] Resolved architecture: A\ntorch.OutOfMemoryError: CUDA out of memory.\n"


@pytest.fixture
def run(action, monkeypatch):
    """Run the plugin on a host that answers ``answer``; what the host was asked comes second."""

    def call(answer: dict | None = None, **args) -> tuple[dict, dict]:
        plugin = action("startup_log_info", args=args)
        asked: dict = {}
        monkeypatch.setattr(plugin, "_execute_module", lambda **more: asked.update(more) or dict(answer or {}))
        return plugin.run(task_vars={}), asked

    return call


def test_content(run) -> None:
    """A text from the controller needs no look at the host."""
    result, asked = run(content=LOG)
    assert asked == {}
    assert result["diagnosis"]["ref"] == "V14"
    assert result["facts"] == {"architecture": "A"}
    assert result["progress"]["phase"] == "config"
    assert [step["phase"] for step in result["phases"]] == ["container_up", "config"]
    assert (result["changed"], result.get("failed")) == (False, None)


def test_path(run) -> None:
    """A file is read on the target, compressed; bytes that are no text do no harm."""
    packed = base64.b64encode(gzip.compress(LOG.encode() + b"\xff\n")).decode()
    result, asked = run({"content_gz": packed}, path="/var/log/vllm.log")
    assert asked["module_name"] == "myia.vllm.text_file_info"
    assert asked["module_args"] == {"path": "/var/log/vllm.log"}
    assert result["diagnosis"]["ref"] == "V14"


def test_no_file(run) -> None:
    """What went wrong is returned as it is."""
    result, _asked = run({"failed": True, "msg": "Cannot read it"}, path="/none")
    assert (result["failed"], result["msg"]) == (True, "Cannot read it")
    assert "diagnosis" not in result


def test_evidence(run) -> None:
    """What is known besides the log counts."""
    assert run(content="", exit_code=137, oom_killed=True)[0]["diagnosis"]["ref"] == "D15"
    assert run(content="", state="exited")[0]["diagnosis"]["id"] == "unknown"
    assert run(docker_error="unknown or invalid runtime name: nvidia")[0]["diagnosis"]["ref"] == "D02"


def test_starting_and_healthy_are_no_failures(run) -> None:
    """Only a start that failed is called failed, and the task itself never fails for it."""
    assert run(content="Resolved architecture: A")[0]["diagnosis"]["outcome"] == "starting"
    assert run(content="INFO:     Application startup complete.")[0]["diagnosis"]["outcome"] == "healthy"


def test_own_entries_and_secrets(run) -> None:
    """Users' entries are known, given secrets are not shown."""
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own failure"]}
    result, _asked = run(content="own failure PLANTED", extra_failures=[entry], secrets=["PLANTED"])
    assert result["diagnosis"]["id"] == "own"
    assert result["diagnosis"]["evidence"] == ["own failure ***"]


def test_bad_own_entry(run) -> None:
    """An entry that cannot work is refused with its problems."""
    with pytest.raises(AnsibleError, match="entry 1: class is missing"):
        run(content="x", extra_failures=[{"cause": "c", "fix": "f", "patterns": ["x"]}])


@pytest.mark.parametrize("args", [{}, {"content": "x", "path": "/x"}], ids=str)
def test_where_from(args, run) -> None:
    """One source, not none and not two."""
    with pytest.raises(AnsibleError, match="content"):
        run(**args)
