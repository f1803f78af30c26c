# SPDX-License-Identifier: GPL-3.0-or-later
"""Status, logs, stop, start, restart and updates. The service is the STAND-IN for vLLM."""

from __future__ import annotations

import json
import pathlib

import pytest
from replays import NAME, ROOT

#: Playbooks that ask for more than a host with a service: who tries them with --check.
ELSEWHERE = {
    "adopt_medium": "vllm_adopt", "archive_configs": "vllm_adopt", "configure_awx": "tests/integration",
    "deploy_fleet": "fleet", "deploy_gateway": "vllm_gateway", "remove_gateway": "vllm_gateway",
    "deploy_monitoring": "vllm_monitoring", "remove_monitoring": "vllm_monitoring", "new_service": "vllm_preflight",
    "prepare": "every playbook imports it", "not_released": "it only says why it is there",
}  # fmt: skip
#: What some ask for beside a service.
MORE = {
    # its own group is `vllm`
    "deploy": {"vllm_hosts": "medium"},
    # no registry knows an image that was built on the spot
    "pin_medium": {"vllm_image": "myia-vllm-cpu@sha256:%s" % ("0" * 64)},
    "rotate_secrets": {"vllm_api_key": "a-new-key-for-check-mode-0123456789"},
    "acceptance": {"acceptance_look": "/nowhere/look.json", "acceptance_ready": True,
                   "acceptance_model": {"path": "/srv/models/checked", "config": {"model_type": "qwen3"}}},
}  # fmt: skip
HERE = sorted({path.stem for path in ROOT.glob("playbooks/*.yml")} - set(ELSEWHERE))

NOTE, LOCK = "/opt/vllm/medium/stopped.json", "/opt/vllm/medium/deployment.lock"


def root(verb: str) -> str:
    """The playbook of a verb."""
    return str(ROOT / ("%s.yml" % verb))


def state(host) -> list[str]:
    """State, restart policy, id and start of the container."""
    form = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{.Id}} {{.State.StartedAt}}"
    return host.check_output("docker inspect -f '%s' %s" % (form, NAME)).split()


@pytest.fixture
def rows(play, tmp_path):
    """Return a function that runs the status and returns its rows by host."""

    def look(*arguments: str) -> dict[str, dict]:
        file = tmp_path / "status.json"
        run = play("-e", "vllm_status_file=%s" % file, *arguments, playbook=root("status_medium"))
        assert run.status == 0, run.output
        assert run.recap["changed"] == 0
        return {row["host"]: row for row in json.loads(file.read_text(encoding="utf-8"))}

    return look


@pytest.fixture(scope="module")
def deployed(standin, play):
    """It is the release that serves: tests of other files have deployed theirs since."""
    run = play("-e", json.dumps(standin))
    assert run.status == 0, run.output
    return standin


@pytest.fixture
def serves(host, deployed, play):
    """The service serves, whatever a test before has left."""
    if state(host)[:2] != ["running", "unless-stopped"]:
        assert play(playbook=root("start_medium")).status == 0
    return deployed


def test_stop_and_deploy(host, serves, play, rows) -> None:
    """Known as stopped, not as failed; a second stop does nothing, and a deployment starts it."""
    said = json.dumps(serves)
    before = state(host)
    run = play("--check", playbook=root("stop_medium"))
    assert run.status == 0, run.output
    assert "would stop the service" in run.flat
    assert state(host) == before
    run = play(playbook=root("stop_medium"))
    assert run.status == 0, run.output
    assert "Stopped. The service was stopped on purpose, by " in run.flat
    assert state(host)[:3] == ["exited", "no", before[2]]
    again = play(playbook=root("stop_medium"))
    assert (again.status, again.recap["changed"]) == (0, 0), again.output
    row = rows("-e", said)["health-trixie"]
    assert (row["state"], row["drift"]) == ("stopped", {"known": True, "lines": []}), row
    run = play("-e", said, playbook=root("diagnose_medium"))
    assert run.status == 0, run.output
    assert "Stopped. The service was stopped on purpose" in run.flat
    run = play("--check", "-e", said)
    assert run.status == 0, run.output
    assert state(host)[0] == "exited"
    run = play("-e", said)
    assert run.status == 0, run.output
    assert state(host)[:3] == ["running", "unless-stopped", before[2]]
    assert not host.file(NOTE).exists
    assert play("-e", said).recap["changed"] == 0


def test_start(host, serves, play, rows) -> None:
    """The same container serves again, without Compose; one that serves is left alone."""
    before = state(host)
    assert play(playbook=root("stop_medium")).status == 0
    run = play("--check", playbook=root("start_medium"))
    assert (run.status, state(host)[0]) == (0, "exited"), run.output
    assert "would start the service" in run.flat
    run = play(playbook=root("start_medium"))
    assert run.status == 0, run.output
    assert "Started. Release " in run.flat
    assert state(host)[:3] == ["running", "unless-stopped", before[2]]
    again = play(playbook=root("start_medium"))
    assert (again.status, again.recap["changed"]) == (0, 0), again.output
    row = rows("-e", json.dumps(serves))["health-trixie"]
    assert (row["state"], row["restarts"]) == ("serves", 0), row
    assert row["reached"][0]["by"] in ("this host only", "whoever reaches an address of the host")


def test_restart(host, serves, play) -> None:
    """The same container, started anew; a run of somebody else is not disturbed."""
    before = state(host)
    holder = {"token": "x:1:2:3", "who": "bob", "since": "2026-01-01 00:00:00 UTC",
              "boot_id": host.check_output("cat /proc/sys/kernel/random/boot_id")}  # fmt: skip
    host.check_output("echo '%s' > %s" % (json.dumps(holder), LOCK))
    try:
        for verb in ("restart_medium", "stop_medium", "start_medium"):
            run = play(playbook=root(verb))
            assert run.status != 0
            assert "is being deployed by bob" in run.flat
        assert state(host) == before
    finally:
        host.check_output("rm %s" % LOCK)
    run = play(playbook=root("restart_medium"))
    assert run.status == 0, run.output
    assert "Restarted. Release " in run.flat
    after = state(host)
    assert (after[:3], after[3] > before[3]) == (before[:3], True)
    assert not host.file(NOTE).exists


@pytest.mark.full
def test_stopped_through_a_restart_of_the_engine(host, serves, play) -> None:
    """It is still known as stopped, and so it stays; one that is started by hand and ends has failed."""
    assert play(playbook=root("stop_medium")).status == 0
    host.check_output("systemctl reset-failed docker.service || true; systemctl restart docker")
    assert state(host)[0] == "exited"
    run = play(playbook=root("watch_medium"))
    assert run.status != 0
    assert "it was stopped on purpose, by " in run.flat
    host.check_output("docker start %s && docker kill %s" % (NAME, NAME))
    run = play(playbook=root("watch_medium"))
    assert run.status != 0
    assert "stopped on purpose" not in run.flat
    assert play(playbook=root("start_medium")).status == 0


def test_status_of_a_host_that_is_gone(serves, rows, tmp_path) -> None:
    """It is a row, and does not hide the other one. 192.0.2.0/24 is nobody's (RFC 5737)."""
    more = tmp_path / "more.yml"
    gone = {"ansible_host": "192.0.2.1", "ansible_connection": "ssh", "ansible_ssh_common_args": "-o ConnectTimeout=2"}
    more.write_text(json.dumps({"medium": {"hosts": {"gone": gone}}}), encoding="utf-8")
    found = rows("-i", str(more), "-e", json.dumps(serves))
    assert {name: row["state"] for name, row in found.items()} == {"health-trixie": "serves", "gone": "unreachable"}


def test_logs(serves, play) -> None:
    """A window of it, and what more there is."""
    run = play("-e", json.dumps(serves), "-e", "vllm_logs_lines=3", playbook=root("logs_medium"))
    assert run.status == 0, run.output
    assert "3 lines of %s (running). There may be more before them" % NAME in run.flat
    run = play("-e", "vllm_logs_match=(", playbook=root("logs_medium"))
    assert run.status != 0
    assert "vllm_logs_match: '(' is no regular expression" in run.flat


def test_updates_and_pin(serves, play, inventory, tmp_path) -> None:
    """What is newer is told without a registry, and written where it is wanted; hosts are not touched."""
    file = tmp_path / "versions.yml"
    said = json.dumps({**serves, "vllm_version": "0.17.1", "vllm_updates_to": "0.18.0", "vllm_updates_offline": True,
                       "vllm_extra_options": {"swap-space": 4}, "vllm_updates_file": str(file)})  # fmt: skip
    run = play("-e", said, playbook=root("check_updates"))
    assert run.status == 0, run.output
    assert "swap-space is not taken by vLLM 0.18.0" in run.flat
    assert "vllm_version: 0.18.0" in file.read_text(encoding="utf-8")
    run = play("--check", "-e", json.dumps(serves), playbook=root("pin_medium"))
    # the image was built on the spot, and no registry has it
    assert "vllm_image: no digest is known" in run.flat, run.output
    assert not list(pathlib.Path(inventory).parent.glob("host_vars/*/vllm_versions.yml"))


@pytest.mark.full
@pytest.mark.parametrize("verb", HERE)
def test_check_mode(host, serves, play, verb) -> None:
    """Every playbook can be tried first: it ends well, and nothing on the host has changed."""
    files = "find /opt/vllm /etc/docker -type f -not -name deployment.lock -printf '%p %T@ %m %u\\n' | sort"
    before = (state(host), host.check_output(files), host.check_output("docker ps -aq; docker volume ls -q"))
    given = json.dumps({**serves, "vllm_updates_offline": True, **MORE.get(verb, {})})
    run = play("--check", "-e", given, playbook=str(ROOT / "playbooks" / ("%s.yml" % verb)))
    assert run.status == 0, run.output
    assert (state(host), host.check_output(files), host.check_output("docker ps -aq; docker volume ls -q")) == before
