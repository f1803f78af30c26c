# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services on one host, as ansible-playbook sees them: which are meant, in which order, and what is refused.

The playbook of the test begins as all do, with playbooks/prepare.yml, and prints each definition; no host is contacted.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"
SECRET = "PLANTED-key-51d0"

PLAYBOOK = """
- import_playbook: %s/playbooks/prepare.yml
- name: Say what is meant
  hosts: "{{ query('myia.vllm.checked_hosts', vllm_hosts | default('medium')) }}"
  serial: "{{ query('myia.vllm.service_batches', vllm_hosts | default('medium')) }}"
  gather_facts: false
  tasks:
    - import_role: {name: myia.vllm.vllm, tasks_from: define}
    - copy:
        dest: "%s/{{ inventory_hostname }}.json"
        content: >-
          {{ {'host': inventory_hostname, 'at': ansible_host | default(''), 'name': vllm_definition.name,
              'model': vllm_definition.model, 'port': vllm_definition.port, 'volume': vllm_definition.volumes[0],
              'knob': vllm_health_timeout_s | default(0), 'batch': ansible_play_batch | sort,
              'key': vllm_definition.api_key_required,
              'others': vllm_definition.neighbours | map(attribute='name')} | to_json }}
      changed_when: false
"""

SERVICES = [
    {"vllm_name": "chat", "vllm_model": "org/chat", "vllm_gpu_memory_utilization": 0.7, "vllm_port": 5002,
     "vllm_hf_cache": "{{ data }}/{{ vllm_name }}", "vllm_health_timeout_s": 77},
    {"vllm_name": "embedding", "vllm_profile": "embedding", "vllm_api_key": SECRET},
]  # fmt: skip


@pytest.fixture(name="run", scope="module")
def run_of(tmp_path_factory):
    """Run the test's playbook on two machines, the first with services; returns status, output and what was said."""
    folder = tmp_path_factory.mktemp("services")
    (folder / "play.yml").write_text(PLAYBOOK % (ROOT, folder), encoding="utf-8")

    def run(*arguments: str, machine: dict | None = None, groups: dict | None = None) -> tuple[int, str, list[dict]]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        own = {"vllm_services": SERVICES} if machine is None else machine
        first = {**local, "ansible_host": "192.0.2.1", "data": "/srv", **own}
        inventory = {"all": {"children": {
            "medium": {"hosts": {"gpu-1": first, "gpu-2": local}, "vars": {"vllm_publish_address": "127.0.0.1"}},
            **(groups or {}),
        }}}  # fmt: skip
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        done = subprocess.run(
            [PROGRAM, "-i", folder / "hosts.yml", folder / "play.yml", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        said = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
        for path in folder.glob("*.json"):
            path.unlink()
        assert SECRET not in output
        return done.returncode, output, said

    return run


def test_one(run) -> None:
    """The machine takes the entry's variables, a role's own among them."""
    status, output, said = run("-e", "vllm_name=chat", "--limit", "gpu-1", "-vvv")
    assert status == 0, output
    assert said == [{
        "host": "gpu-1", "at": "192.0.2.1", "name": "chat", "model": "org/chat", "port": 5002, "knob": 77, "key": False,
        "volume": "/srv/chat:/root/.cache/huggingface", "batch": ["gpu-1"], "others": ["embedding"],
    }]  # fmt: skip
    assert "changed=1" not in output


def test_every(run) -> None:
    """Each a host of its own, the first of each machine before the second of any; nothing of one is in another."""
    status, output, said = run("-e", "vllm_every_service=true", "-vvv")
    assert status == 0, output
    chat, embed, alone = said
    assert [(item["host"], item["name"], item["port"], item["knob"], item["batch"]) for item in said] == [
        ("gpu-1-chat", "chat", 5002, 77, ["gpu-1-chat", "gpu-2"]),
        ("gpu-1-embedding", "embedding", 5010, 0, ["gpu-1-embedding"]),
        ("gpu-2", "medium", 5002, 0, ["gpu-1-chat", "gpu-2"]),
    ]
    assert (chat["at"], chat["others"], chat["key"]) == ("192.0.2.1", ["embedding"], False)
    assert (embed["model"], embed["others"], embed["key"]) == ("BAAI/bge-m3", ["chat"], True)
    assert (alone["model"], alone["others"]) == ("Qwen/Qwen2.5-32B-Instruct-AWQ", [])
    assert "changed=1" not in output


def test_extra_variables_win(run) -> None:
    """Over an entry as over any inventory."""
    _status, output, said = run("-e", "vllm_name=embedding", "-e", "vllm_port=7000", "--limit", "gpu-1")
    assert [item["port"] for item in said] == [7000], output


REFUSED = [
    ([], {}, "vllm_services has chat, embedding, and this playbook is for one service"),
    (["-e", "vllm_name=rank"], {}, "vllm_services has no rank. It has chat, embedding"),
    (["-e", "vllm_every_service=true", "--limit", "gpu-1"], {}, "--limit gpu-1 leaves out the hosts"),
    (["-e", "vllm_every_service=true", "-e", "vllm_port=9"], {}, "chat and embedding both have port 9"),
    (["-e", "vllm_every_service=true", "-e", "vllm_gpu_memory_utilization=0.6"], {}, "take 1.20 of its memory"),
    (["-e", "vllm_every_service=true", "-e", "vllm_dtype=floaat"], {}, "vllm_services, chat: vllm_dtype"),
    (["-e", "vllm_name=a"], {"vllm_services": [{"vllm_name": "a", "vllm_prot": 1}]}, "Did you mean vllm_port?"),
    (["-e", "vllm_name=a"], {"vllm_services": "{{ nowhere }}"}, "cannot be evaluated"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "machine", "words"), REFUSED)
def test_refused(arguments, machine, words, run) -> None:
    """Before anything happens, with what is wrong and no secret."""
    status, output, said = run(*arguments, machine=machine or None)
    assert status != 0
    assert said == []
    assert words in " ".join(output.split()), output


def test_groups_that_are_different_services(run) -> None:
    """A host in two of them is refused; a group within another is meant to win."""
    large = {"hosts": {"gpu-1": None}, "vars": {"vllm_model": "org/large"}}
    own = {"hosts": {"gpu-1": None}, "vars": {"vllm_model": "org/own"}}
    status, output, _said = run("--limit", "gpu-1", machine={}, groups={"large": large, "own": own})
    assert status != 0
    assert "it is in the groups large and own, and both say vllm_model" in " ".join(output.split())
    within = {"large": {**large, "children": {"own": own}}}
    status, output, said = run("--limit", "gpu-1", machine={}, groups=within)
    assert [item["model"] for item in said] == ["org/own"], output
