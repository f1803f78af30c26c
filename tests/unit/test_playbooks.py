# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks say themselves: plays that belong together mean the same hosts, and do the same to them."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from parsed_yaml import walk

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Parts of deploy_medium.yml that nobody misses in a fleet's run: each host is verified and measured with its switch.
BESIDE = {("vllm_verify", "main"), ("vllm_benchmark", "deployed"), ("vllm_benchmark", "main")}


def plays(name: str) -> list[dict]:
    """Return the plays of a playbook."""
    return yaml.safe_load((ROOT / "playbooks" / ("%s.yml" % name)).read_text(encoding="utf-8"))


def roles(name: str) -> list[tuple[str, str]]:
    """Return (role, entry point) of each task that takes a role, in the playbook's order."""
    found = []
    for node in walk(plays(name)):
        for word in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            if word in node:
                found.append((node[word]["name"].rpartition(".")[2], node[word].get("tasks_from", "main")))
    return found


def test_a_host_of_a_fleet_is_deployed_as_a_single_one() -> None:
    """deploy_fleet.yml deploys in the way of deploy_medium.yml, so a role that is new there is needed here."""
    single = [role for role in roles("deploy_medium") if role not in BESIDE]
    fleet = [role for role in roles("deploy_fleet") if role[0] != "vllm_fleet"]
    assert fleet == single


EVERY = sorted(
    path.stem
    for path in (ROOT / "playbooks").glob("*.yml")
    if any(play.get("import_playbook", play.get("ansible.builtin.import_playbook")) == "prepare.yml"
           and (play.get("vars") or {}).get("vllm_every_service") for play in plays(path.stem))
)  # fmt: skip


def test_there_are_some() -> None:
    assert "status_medium" in EVERY


@pytest.mark.parametrize("name", EVERY)
def test_every_service_is_meant_to_the_end(name) -> None:
    """prepare.yml makes a host of each service; a play that does not say so too gets their machines beside them."""
    for play in plays(name):
        hosts = str(play.get("hosts", ""))
        if "checked_hosts" in hosts and "machines=true" not in hosts and "'localhost'" not in hosts:
            assert (play.get("vars") or {}).get("vllm_every_service") is True, play["name"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")))
def test_hosts_that_do_not_exist_are_an_error(name) -> None:
    """Ansible itself ends well where no host matches; so each playbook looks at the inventory first."""
    made = plays(name)
    if name in ("deploy", "new_service"):
        # deploy_medium.yml for all services; the host is an answer
        return
    if all("'localhost'" in str(play.get("hosts", "")) for play in made):
        return
    first = made[0]
    looks = any("myia.vllm.inventory_ready" in task for task in first.get("tasks", []))
    assert first.get("ansible.builtin.import_playbook") == "prepare.yml" or looks
