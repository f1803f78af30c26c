# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_monitoring where no scenario goes: addresses of IPv6, and hosts without Debian's packages."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"


def play(tmp_path, tasks: list[dict], **variables: object) -> subprocess.CompletedProcess:
    """Run tasks on this machine, whose programs they do not find; the role's folder is an empty one."""
    (tmp_path / "bin").mkdir()
    content = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "environment": {"PATH": str(tmp_path / "bin")},
        "tasks": tasks,
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([content]), encoding="utf-8")
    extra = {"__vllm_monitoring_folder": str(tmp_path / "role"), **variables}
    return subprocess.run(
        [PROGRAM, tmp_path / "play.yml", "-e", json.dumps(extra)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
    )  # fmt: skip


def entry(name: str) -> dict:
    """Return the task that takes an entry point of the role."""
    taken = {"name": "myia.vllm.vllm_monitoring", "tasks_from": name, "rolespec_validate": False}
    return {"ansible.builtin.include_role": taken}


def test_removal_from_a_host_without_apt(tmp_path) -> None:
    """A service host of another distribution, which vllm_monitoring_agent has left alone."""
    done = play(tmp_path, [entry("uninstall")])
    assert done.returncode == 0, done.stdout + done.stderr


def test_installation_on_a_host_without_dpkg(tmp_path) -> None:
    """Refused with both ways out, before anything is written."""
    done = play(tmp_path, [entry("install")], __vllm_monitoring_packages=["prometheus-node-exporter"])
    assert done.returncode != 0
    assert "vllm_monitoring_agent: false" in " ".join(done.stdout.split()), done.stdout
    assert not (tmp_path / "role").exists()


def test_addresses_of_ipv6(tmp_path) -> None:
    """In brackets, or the port would be one more part of the address."""
    said = tmp_path / "said.json"
    tasks = [
        {"ansible.builtin.include_vars": str(ROOT / "roles/vllm_monitoring/defaults/main.yml")},
        {"ansible.builtin.include_vars": str(ROOT / "roles/vllm_monitoring/vars/main.yml")},
        {"ansible.builtin.copy": {
            "content": "{{ [__vllm_monitoring_arguments, __vllm_monitoring_alertmanager] | to_json }}",
            "dest": str(said), "mode": "0600",
        }},
    ]  # fmt: skip
    addresses = {"vllm_monitoring_listen_address": "fd00::1", "__vllm_monitoring_node_address": "fd00::2"}
    done = play(tmp_path, tasks, **addresses)
    assert done.returncode == 0, done.stdout + done.stderr
    arguments, alertmanager = json.loads(said.read_text(encoding="utf-8"))
    assert "--web.listen-address=[fd00::1]:9090 " in arguments["prometheus"]
    assert "--web.listen-address=[fd00::2]:9100" in arguments["prometheus-node-exporter"]
    assert alertmanager == "http://[fd00::1]:9093"
