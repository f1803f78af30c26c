# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX makes of this repository: which files it lists as playbooks, and what they do where a job runs."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: A line by which AWX 24.6.1 takes a YAML file for a playbook, and folders it does not look into
#: (awx/main/utils/ansible.py and ``Project.playbooks``).
PLAYBOOK_LINE = re.compile(
    r"^\s*?-?\s*?(?:hosts|(?:ansible\.builtin\.)?include|(?:ansible\.builtin\.)?import_playbook):"
)
UNSEEN = ("roles", "tasks", "group_vars", "host_vars")

#: What people launch; playbooks/configure_awx.yml is run from a shell.
LAUNCHED = {
    "adopt_medium.yml",
    "archive_configs.yml",
    "benchmark_medium.yml",
    "check_updates.yml",
    "deploy.yml",
    "deploy_fleet.yml",
    "deploy_gateway.yml",
    "deploy_medium.yml",
    "deploy_monitoring.yml",
    "diagnose_medium.yml",
    "logs_medium.yml",
    "not_released.yml",
    "pin_medium.yml",
    "plan_medium.yml",
    "remove_gateway.yml",
    "remove_medium.yml",
    "restart_medium.yml",
    "remove_monitoring.yml",
    "rollback_medium.yml",
    "rotate_secrets.yml",
    "start_medium.yml",
    "status_medium.yml",
    "stop_medium.yml",
    "verify_medium.yml",
    "watch_medium.yml",
}

#: Folders whose files nobody picks: what the files of the root import, tests, and inventories (which have a key hosts).
NOT_PICKED = {"playbooks", "molecule", "inventories"}


def is_listed(path: str, text: str) -> bool:
    """Tell whether AWX lists a file of a project as a playbook."""
    folders = path.split("/")
    if not path.endswith((".yml", ".yaml")) or any(name in UNSEEN or name.startswith(".") for name in folders):
        return False
    lines = text.splitlines()
    return lines[:1] != [] and (lines[0].startswith("$ANSIBLE_VAULT;") or any(map(PLAYBOOK_LINE.match, lines)))


@pytest.mark.parametrize(
    ("path", "text", "listed"),
    [
        ("deploy.yml", "- name: x\n  hosts: all\n", True),
        ("deploy.yaml", "- hosts: all\n", True),
        ("a/b.yml", "- name: x\n  ansible.builtin.import_playbook: a.b.c\n", True),
        ("vault.yml", "$ANSIBLE_VAULT;1.2;AES256;prod\n", True),
        ("vars.yml", "x: 1\nhost: y\n", False),
        ("empty.yml", "", False),
        ("deploy.txt", "- hosts: all\n", False),
        ("roles/x/tests/main.yml", "- hosts: all\n", False),
        ("x/group_vars/all/vault.yml", "$ANSIBLE_VAULT;1.2;AES256;prod\n", False),
        (".github/deploy.yml", "- hosts: all\n", False),
    ],
)
def test_rule(path: str, text: str, listed: bool) -> None:
    """The rule itself."""
    assert is_listed(path, text) is listed


def listed() -> list[str]:
    """Return the files of the checkout that AWX would list; it follows no links to folders."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [name for name in names if name.endswith((".yml", ".yaml")) and (ROOT / name).is_file()]
    return [name for name in files if is_listed(name, (ROOT / name).read_text(encoding="utf-8"))]


def test_only_what_people_launch_stands_in_the_root() -> None:
    """Each of them is listed, and what is listed beside them is named so that nobody picks it."""
    root = {name for name in listed() if "/" not in name}
    assert root == LAUNCHED
    assert {name.split("/")[0] for name in listed() if "/" in name} <= NOT_PICKED


def plays() -> list[tuple[str, dict]]:
    """Return every play of the playbooks, with the name of its file."""
    files = sorted((ROOT / "playbooks").glob("*.yml"))
    return [(path.name, play) for path in files for play in yaml.safe_load(path.read_text(encoding="utf-8"))]


def test_plays_on_the_controller_do_not_become() -> None:
    """An execution environment has no sudo, and AWX's `--become` holds for every play that does not say otherwise."""
    own = [
        (name, play) for name, play in plays() if play.get("hosts") == "localhost" or play.get("connection") == "local"
    ]
    assert own
    assert [name for name, play in own if play.get("become") is not False] == []


def tasks(items: list[dict]) -> list[dict]:
    """Return tasks, those within blocks among them."""
    found = []
    for item in items:
        inner = [task for key in ("block", "rescue", "always") for task in item.get(key) or []]
        found += [item, *tasks(inner)]
    return found


def test_tasks_on_the_controller_do_not_become() -> None:
    """The same for a task that a host delegates to the controller, since plays on hosts become root."""
    everything = [
        task
        for path in sorted((ROOT / "roles").glob("*/tasks/**/*.yml"))
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
    ]
    assert len(everything) > 100
    here = [
        task for task in everything if task.get("delegate_to") in ("localhost", "127.0.0.1") or "local_action" in task
    ]
    assert [task["name"] for task in here if task.get("become") is not False] == []
