# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the screen: phases, changes, failures, and one closing message at the end."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[4]

PLAY = """
- name: Do things
  hosts: all
  gather_facts: false
  roles: [first]
  tasks:
    - name: Try
      block:
        - name: Break
          ansible.builtin.fail:
            msg: "It broke.\\nThis is why."
      rescue:
        - name: Record
          ansible.builtin.set_fact:
            kept: 1
      always:
        - name: Report
          ansible.builtin.include_role:
            name: vllm_report
"""
ROLES = {
    "first": """
- name: Nothing to do
  ansible.builtin.command: "true"
  changed_when: false
- name: Change one
  ansible.builtin.command: "true"
  changed_when: true
- name: Change some
  ansible.builtin.command: "true"
  loop: [a, b]
  changed_when: item == 'b'
- name: Skip it
  ansible.builtin.command: "false"
  when: false
- name: May fail
  ansible.builtin.command: "false"
  ignore_errors: true
- name: Tell
  ansible.builtin.debug:
    msg: Told.
""",
    "vllm_report": """
- name: Close
  ansible.builtin.debug:
    msg: "Closed.\\nReport: here"
""",
}


@pytest.fixture
def screen(tmp_path):
    """Run a playbook of these roles and return what it prints."""

    def run(play: str, *arguments: str, roles: dict | None = None) -> tuple[int, str]:
        for name, tasks in {**ROLES, **(roles or {})}.items():
            folder = tmp_path / "roles" / name / "tasks"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "main.yml").write_text(tasks)
        (tmp_path / "play.yml").write_text(play)
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "box,", "-c", "local", "-e",
             "ansible_python_interpreter=%s" % sys.executable, str(tmp_path / "play.yml"), *arguments],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    return run


def test_brief(screen) -> None:
    """Each phase once, what changed, a failure that is taken care of in a line, and the closing message last."""
    status, output = screen(PLAY)
    assert status == 0, output
    head, _recap, tail = output.partition("PLAY RECAP")
    assert [line for line in head.splitlines() if line] == [
        "Do things",
        "  first",
        "    changed: [box] Change one",
        "    changed: [box] Change some (b)",
        "    Told.",
        "    failed: [box] Break: It broke.",
        "  vllm_report",
    ]
    assert tail.strip().endswith("Closed.\nReport: here")


def test_verbose_hides_nothing(screen) -> None:
    """With -v it is Ansible's own."""
    output = screen(PLAY, "-v")[1]
    assert "TASK [first : Nothing to do]" in output
    assert "ok: [box]" in output


def test_failure_that_nobody_takes_care_of(screen) -> None:
    """All that is known of it, once; one in the rescue is such a failure too."""
    status, output = screen(
        PLAY.replace("ansible.builtin.set_fact:\n            kept: 1", "ansible.builtin.fail:\n            msg: Why.\n")
    )
    assert status != 0
    assert "    failed: [box] Break: It broke.\n" in output
    assert "    failed: [box] Record: Why." in output
    status, output = screen(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.fail: {msg: 'One.\\nTwo.'}\n".replace(
            "'", '"'
        )
    )
    assert status != 0
    assert output.count("One.\nTwo.") == 1


def test_run_that_failed_closes_whole(screen) -> None:
    """The message of the task that fails the run at its end is the last on the screen, and nowhere else."""
    fail = '- name: Close\n  ansible.builtin.fail:\n    msg: "Failed.\\nCause.\\nReport: here"\n'
    status, output = screen(PLAY, roles={"vllm_report": fail})
    assert status != 0
    assert output.strip().endswith("Failed.\nCause.\nReport: here")
    assert output.count("Cause.") == 1
