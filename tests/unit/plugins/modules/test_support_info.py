# SPDX-License-Identifier: GPL-3.0-or-later
"""The module support_info, run as a program with stand-in commands."""

from __future__ import annotations

import base64
import gzip
import json
import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases

KEY = "PLANTED-key/7c31e2"


@pytest.fixture
def folder(tmp_path):
    """A service with a current release and one whose start failed."""
    service = releases.Service(str(tmp_path / "medium"))
    for number in (1, 2):
        staging = service.begin()
        service.write(staging, releases.ENV, "VLLM_API_KEY_MEDIUM=%s\nVLLM_PORT_MEDIUM='5002'\n" % dotenv.quote(KEY))
        service.write(staging, releases.COMPOSE, "services: {}\n")
        service.write(staging, releases.DESCRIPTION, releases.describe({"image": "i"}))
        os.rename(staging, service.folder(releases.new_name("0123456789ab", number)))
    first, second = service.names()
    service.write(service.folder(first), releases.FAILED_LOG, "it failed\n")
    service.switch(second)
    return service.path


@pytest.fixture
def gather(run_module, tools, bare_path, folder):
    """Run the module with a docker and a kernel that answer; the texts by name, and the whole answer."""

    def call() -> tuple[dict, dict]:
        encoded = base64.b64encode(("user:" + KEY).encode()).decode()
        docker = "\n".join([
            'case "$1" in',
            "logs) printf '2026-01-01T00:00:00.0Z key %s and %s\\n' ;;" % (KEY, encoded),
            "container) cat <<'END'\n%s\nEND\n;;" % json.dumps([{"Config": {"Env": ["VLLM_API_KEY=" + KEY]}}]),
            "*) exit 1 ;;",
            "esac",
        ])  # fmt: skip
        path = tools("docker", docker)
        tools("journalctl", "echo 'kernel: usb 1-1: new device'; echo 'kernel: NVRM: Xid (PCI:0000:3b:00): 79, gone'")
        answer = run_module(
            "support_info", container="c", url="http://127.0.0.1:9", folder=folder, search="%s:%s" % (path, bare_path)
        )
        return json.loads(gzip.decompress(base64.b64decode(answer["content_gz"]))), answer

    return call


def test_what_is_gathered(gather, documentation) -> None:
    """What is there, by its name in the archive; what is not there is left out."""
    parts, answer = gather()
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("support_info", "RETURN"))
    assert answer["changed"] is False
    assert parts["service/env-names.txt"] == "VLLM_API_KEY_MEDIUM\nVLLM_PORT_MEDIUM\n"
    assert parts["service/compose.yml"] == "services: {}\n"
    assert [name for name in parts if "failed-start" in name and parts[name] == "it failed\n"]
    assert "Xid" in parts["host/kernel.log"] and "usb" not in parts["host/kernel.log"]
    assert "service/metrics.txt" not in parts and "host/nvidia-smi.txt" not in parts
    assert os.uname().nodename in answer["names"]


def test_secrets_stay_on_the_host(gather) -> None:
    """As they are, and within base64."""
    parts, _answer = gather()
    text = json.dumps(parts)
    assert "PLANTED" not in text and base64.b64encode(("user:" + KEY).encode()).decode()[8:24] not in text
    assert "***" in parts["service/log.txt"] and "***" in parts["service/inspect.json"]
