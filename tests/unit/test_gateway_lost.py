# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that Ansible does not reach is a failure, so that callers can let the host in again and give locks back.

Ansible takes an unreachable host out of the run otherwise, without rescue and always.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"

#: Nobody listens on this port of this machine.
LOST = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o BatchMode=yes"}

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@pytest.mark.parametrize(
    ("role", "tasks_from"), [("vllm_gateway", "drain"), ("vllm_gateway", "admit"), ("vllm_fleet", "look")]
)
def test_it_can_be_rescued(role, tasks_from, tmp_path) -> None:
    """The message names the gateway; one that is reached is asked all the same."""
    said = "%s/{{ inventory_hostname }}.json" % tmp_path
    reason = "{{ {'msg': ansible_failed_result.msg} | to_json }}"
    play = {
        "hosts": "gpu-1",
        "gather_facts": False,
        "vars": {"vllm_definition": {"name": "medium", "drain_timeout_s": 1}, "vllm_gateway_admit_timeout_s": 1},
        "tasks": [{
            "block": [{"ansible.builtin.include_role": {"name": "myia.vllm.%s" % role, "tasks_from": tasks_from}}],
            "rescue": [{"ansible.builtin.copy": {"content": reason, "dest": said, "mode": "0600"}}],
        }],
    }  # fmt: skip
    inventory = {"all": {"hosts": {"gpu-1": LOCAL}, "children": {"gateway": {"hosts": {"gw-1": LOST, "gw-2": LOCAL}}}}}
    for name, data in (("play.yml", [play]), ("hosts.yml", inventory)):
        (tmp_path / name).write_text(yaml.safe_dump(data), encoding="utf-8")
    done = subprocess.run(
        [PROGRAM, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    message = json.loads((tmp_path / "gpu-1.json").read_text(encoding="utf-8"))["msg"]
    assert "gw-1" in message and "gw-2" not in message
    assert "take it out of the group" in message
