# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of AWX's forms, in the file that AWX writes, read by each supported ansible-core.

The playbook of the test contacts no host; it prints the definition of the service, and each text variable as a role
would read it.
"""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
import yaml
from awx_job import dump_extra_vars

ROOT = pathlib.Path(__file__).resolve().parents[2]

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - import_role: {name: myia.vllm.vllm, tasks_from: define}
      when: names is not defined
    - copy:
        dest: "{{ folder }}/said.json"
        content: >-
          {{ (vllm_definition if names is not defined else
              dict(names | zip(query('myia.vllm.said', *names)))) | to_json }}
      changed_when: false
"""

#: What YAML reads as something else where no quotes are: true, null, octal, with a point, with an exponent, by sixty,
#: hexadecimal, a date, a time.
TRAPS = ["yes", "off", "null", "~", "0123456", "0.10", "1e3", "1:30", "0x1F", "2026-01-01", "1_000", "plain"]


def options(kinds: tuple[str, ...]) -> dict[str, dict]:
    """The documented variables of those types, without those that have a list of choices and those of vllm_awx."""
    found = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for point in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(point.get("options") or {})
    return {
        name: option
        for name, option in found.items()
        if option.get("type", "str") in kinds and "choices" not in option and not name.startswith("vllm_awx_")
    }


@pytest.fixture
def say(core, tmp_path):
    """Run the playbook with answers; returns status, output and what it said."""

    def run(answers: dict, names: list[str] | None = None) -> tuple[int, str, dict]:
        (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        given = {"folder": str(tmp_path), **({"names": names} if names else {})}
        (tmp_path / "extravars").write_text(dump_extra_vars(given, answers, {"awx_job_id": 7}), encoding="utf-8")
        done = subprocess.run(
            core.command("ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "@%s" % (tmp_path / "extravars"),
                         "-e", "ansible_python_interpreter={{ ansible_playbook_python }}", tmp_path / "play.yml"),
            cwd=tmp_path, env=core.environment(ANSIBLE_COLLECTIONS_PATH=str(ROOT / "collections")),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        path = tmp_path / "said.json"
        said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return done.returncode, " ".join((done.stdout + done.stderr).split()), said

    return run


def test_texts_stay_as_they_were_typed(say) -> None:
    """Every text variable of every role, each with each trap."""
    names = sorted(options(("str", "path")))
    assert len(names) > 30
    for shift in range(0, len(TRAPS), 4):
        answers = {name: TRAPS[(index + shift) % len(TRAPS)] for index, name in enumerate(names)}
        status, output, said = say(answers, names)
        assert status == 0, output
        assert said == answers


def test_definition_has_what_was_typed(say) -> None:
    """What becomes the service: text, lines of text, multiple choice, password; and the numbers stay numbers."""
    answers = {
        "vllm_served_model_name": "yes",
        "vllm_model_revision": "0123456",
        "vllm_restart_policy": "no",
        "vllm_gpu_devices": "0,1",
        "vllm_extra_options": '{"load-format": "dummy"}',
        "vllm_hf_token": "0777",
        "vllm_port": 5010,
        "vllm_gpu_memory_utilization": 0.5,
        "vllm_enforce_eager": "true",
    }
    status, output, said = say(answers)
    assert status == 0, output
    assert (said["served_model_names"], said["model_revision"], said["restart_policy"]) == (["yes"], "0123456", "no")
    assert (said["port"], said["gpu_memory_utilization"], said["enforce_eager"]) == (5010, 0.5, True)
    assert (said["gpu_devices"], said["extra_options"]) == (["0", "1"], ["load-format"])


def test_an_empty_answer_leaves_the_inventory_its_word(say, tmp_path) -> None:
    """It wins over the inventory like any extra variable, and is not said all the same; what is said wins."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(
        "its: own\nvllm_model: 'org/{{ its }}'\nvllm_port: 5010\nvllm_service_rollback_to: '20260101'\n",
        encoding="utf-8",
    )
    status, output, said = say({"vllm_model": "", "vllm_port": 5011, "vllm_image": ""})
    assert status == 0, output
    assert (said["model"], said["port"], said["image"][:5]) == ("org/own", 5011, "vllm/")
    status, output, said = say({"vllm_service_rollback_to": ""}, ["vllm_service_rollback_to"])
    assert said == {"vllm_service_rollback_to": "20260101"}, output


def test_nothing_is_said_by_an_empty_answer(say) -> None:
    """Each variable of the service, and those that forms ask for beside it, is what it is without an answer."""
    asked = ["vllm_service_rollback_to", "vllm_benchmark_profile", "vllm_service_remove_volumes"]
    status, output, said = say(dict.fromkeys(asked, ""), asked)
    assert status == 0, output
    assert list(said.values()) == ["", "latency", False]
    service = yaml.safe_load((ROOT / "roles/vllm/meta/argument_specs.yml").read_text(encoding="utf-8"))
    # an empty text is a value of vllm_shm_size; AWX's forms do not ask for it
    names = sorted(set(service["argument_specs"]["main"]["options"]) - {"vllm_shm_size"})
    status, output, empty = say(dict.fromkeys(names, ""))
    assert status == 0, output
    status, output, without = say({})
    assert empty == without


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("docker_engine_min_version", "20.10", "docker_engine_min_version: '20.10' was typed, and Ansible reads 20.1"),
        ("vllm_preflight_skip", ["off"], "vllm_preflight_skip: ['off'] was typed, and Ansible reads [False]"),
        ("vllm_health_timeout_s", "", "vllm_health_timeout_s: it is empty. Leave it out, which means 3600"),
    ],
)
def test_what_a_role_would_read_differently_is_refused(name, answer, words, say) -> None:
    """Before anything happens."""
    status, output, said = say({name: answer})
    assert status != 0
    assert said == {}
    assert words in output


@pytest.mark.parametrize("value", ["yes", "1.50", "2026-01-01"])
def test_texts_of_the_inventory_need_quotes(value, say, tmp_path) -> None:
    """Without them YAML has read something else, which is refused."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(
        "vllm_served_model_name: [%s]\nvllm_model_revision: %s\n" % (value, value), encoding="utf-8"
    )
    status, output, _said = say({})
    assert status != 0
    assert "vllm_model_revision: " in output
    assert "vllm_served_model_name: " in output
    assert "need quotes" in output
