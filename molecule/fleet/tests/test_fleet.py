# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet under a constant load of streamed requests: upgrade, a controller that is killed, a broken release.

The table at the end is what the load saw. Nothing here may cost a request: ``failed`` and ``cut`` are 0 in each row.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from stream_load import Load

ROOT = pathlib.Path(__file__).resolve().parents[3]
NODES = ("node-1", "node-2")
GATEWAY = "gateway-1"

#: Port of the gateway's address, and the key that it knows, of the scenario's variables.
PORT, KEY = 8000, "PLANTED-gateway-key-91b7"

#: Asks HAProxy on its socket.
ASK = (
    'import socket; s = socket.socket(socket.AF_UNIX); s.connect("/run/haproxy/admin.sock"); '
    's.sendall(b"%s\\n"); print(s.makefile().read())'
)

#: Between two requests of a stream: controller, load and three hosts share two processors here.
PAUSE_S = 1.0

_ROWS: list[tuple] = []


def inside(host: str, command: str) -> str:
    """Run a command on a test host; return what it printed."""
    argv = ["docker", "exec", "myia-fleet-%s" % host, "bash", "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout


def current(host: str) -> str:
    """Name of the release that serves on a host."""
    return pathlib.PurePath(inside(host, "readlink /opt/vllm/medium/current").strip()).name


def pool() -> dict[str, tuple[str, str]]:
    """What the gateway says of its servers: status, and its name for the state that was set."""
    rows = inside(GATEWAY, "python3 -c '%s'" % (ASK % "show servers state vllm_medium")).splitlines()
    names = rows[1].lstrip("# ").split()
    found = [dict(zip(names, row.split())) for row in rows[2:] if row.strip()]
    return {item["srv_name"]: (item["srv_op_state"], item["srv_admin_state"]) for item in found}


def all_serve() -> bool:
    """Both are in the pool and up: operational state 2, administrative state 0 (HAProxy's management guide)."""
    return pool() == {node: ("2", "0") for node in NODES}


@pytest.fixture(scope="session")
def url() -> str:
    """Address of the gateway on the scenario's network."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    argv = ["docker", "inspect", "--format", form, "myia-fleet-%s" % GATEWAY]
    address = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    return "http://%s:%d" % (address, PORT)


def note(what: str, load: Load, since_s: float, until_s: float, more: str = "") -> dict:
    """Put a row into the table and return the summary."""
    found, before = load.summary(since_s, until_s), load.summary(0, since_s)
    _ROWS.append((what, found["requests"], found["failed"], found["cut"], before["p99_s"], found["p99_s"], more))
    return found


@pytest.fixture(scope="session", autouse=True)
def table():
    """Print what the load saw, and keep it beside the reports."""
    yield
    head = (
        "| what happened | requests | failed | cut | p99 before, s | p99 during, s | |\n|---|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *("| %s |" % " | ".join(map(str, row)) for row in _ROWS)])
    pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "fleet.md").write_text(text + "\n", encoding="utf-8")
    print("\n" + text)


def report() -> dict:
    """The newest report of the fleet."""
    found = sorted(pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "reports/fleet/medium").iterdir())
    return json.loads((found[-1] / "report.json").read_text(encoding="utf-8"))


FLEET = str(ROOT / "deploy_fleet.yml")


def killed_when(inventory: str, condition, *arguments: str) -> str:
    """Run the playbook, and kill it with all its processes as soon as the condition holds; return what it said."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PIPELINING": "true",
                   "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}  # fmt: skip
    log = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "killed.log")
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, FLEET, *arguments],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 1200
        while not (seen := condition()) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        ended = process.poll()
        os.killpg(process.pid, signal.SIGKILL) if ended is None else None
        process.wait()
    text = log.read_text(encoding="utf-8")
    assert seen and ended is None, text
    return text


def test_the_upgrade_goes_on_after_its_controller_was_killed(play, inventory, url) -> None:
    """Killed with node-1 done and node-2 out of the pool: the pool serves, and the next run begins with node-2."""
    before = {node: current(node) for node in NODES}
    # another one each time, where the hosts are those of a run before
    upgrade = ("-e", json.dumps({"vllm_extra_env": {"HF_HUB_OFFLINE": 1, "UPGRADE": str(int(time.time()))}}))
    with Load(url, "tiny-qwen3", key=KEY, streams=3, tokens=20, pause_s=PAUSE_S) as load:
        load.wait_for(30)
        begin_s = time.time()
        killed_when(inventory, lambda: pool()["node-2"][1] != "0", *upgrade)
        assert current("node-1") != before["node-1"]
        assert current("node-2") == before["node-2"]
        assert pool()["node-1"] == ("2", "0")
        killed_s = time.time()
        load.wait_for(10)
        done = inside("node-1", "docker inspect -f '{{.Id}} {{.State.StartedAt}}' myia-vllm-medium-qwen3")
        run = play(*upgrade, playbook=FLEET)
        end_s = time.time()
        load.wait_for(10)
    assert run.status == 0, run.output
    assert "node-2 comes first: gateway-1 keeps requests from it" in run.flat
    assert inside("node-1", "docker inspect -f '{{.Id}} {{.State.StartedAt}}' myia-vllm-medium-qwen3") == done
    assert current("node-1") == current("node-2") != before["node-1"]
    assert all_serve()
    found = report()
    assert found["verdict"]["id"] == "fleet_deployed"
    assert {row["host"]: row["state"] for row in found["hosts"]} == {"node-1": "unchanged", "node-2": "deployed"}
    first = note("upgrade of node-1, controller killed at node-2", load, begin_s, killed_s)
    second = note("the next run ends the upgrade", load, killed_s, end_s)
    for summary in (first, second):
        assert (summary["failed"], summary["cut"], summary["told_to_wait"]) == (0, 0, 0), summary


def test_a_broken_release_stops_at_the_first_host(play, url) -> None:
    """It goes back there, the other host is not begun, and nobody notices."""
    before = {node: current(node) for node in NODES}
    other = inside("node-2", "docker inspect -f '{{.Id}} {{.State.StartedAt}}' myia-vllm-medium-qwen3")
    with Load(url, "tiny-qwen3", key=KEY, streams=3, tokens=20, pause_s=PAUSE_S) as load:
        load.wait_for(30)
        begin_s = time.time()
        run = play("-e", json.dumps({"vllm_extra_options": {"tokenizer": "/srv/models/no-such-model"}}), playbook=FLEET)
        end_s = time.time()
        load.wait_for(10)
    assert run.status != 0, run.output
    assert {node: current(node) for node in NODES} == before
    assert inside("node-2", "docker inspect -f '{{.Id}} {{.State.StartedAt}}' myia-vllm-medium-qwen3") == other
    assert all_serve()
    found = report()
    assert found["verdict"]["id"] == "fleet_stopped", found["verdict"]
    assert [row["state"] for row in found["hosts"]] == ["failed", "not_reached"]
    assert "Fleet stopped. 1 of 2 hosts of medium failed (node-1)" in run.flat
    summary = note("broken release, stops at node-1", load, begin_s, end_s)
    assert (summary["failed"], summary["cut"], summary["told_to_wait"]) == (0, 0, 0), summary


def test_two_runs_exclude_each_other(play, inventory) -> None:
    """The second is refused with the name of the first, and changes nothing."""
    seen: list = []

    def second() -> bool:
        folder = inside(GATEWAY, "cat /var/lib/vllm-fleet/medium/deployment.lock 2>/dev/null || true")
        if not folder:
            return False
        seen.append(play(playbook=FLEET))
        return True

    killed_when(inventory, second)
    assert seen[0].status != 0
    assert "The fleet of medium is being deployed by" in seen[0].flat
    # the holder was killed: the lock is in nobody's way
    run = play(playbook=FLEET)
    assert run.status == 0 and all_serve(), run.output
    # and with what the inventory says now, another run has nothing to do
    run = play(playbook=FLEET)
    assert run.status == 0 and run.recap["changed"] == 0, run.output
    assert report()["verdict"]["id"] == "fleet_nothing_to_do"


@pytest.mark.full
def test_nobody_takes_the_last_server(play) -> None:
    """With node-2 out of the pool for another reason, node-1 stays in it."""
    inside("node-2", "docker stop myia-vllm-medium-qwen3")
    try:
        until = time.monotonic() + 30
        while pool()["node-2"][0] != "0" and time.monotonic() < until:
            time.sleep(0.5)
        run = play("-e", "vllm_max_num_seqs=60", "-e", "vllm_hosts=node-1", playbook=FLEET)
        assert run.status != 0
        assert "gateway-1: only node-1 gets requests, and node-2 does not." in run.flat
        assert pool()["node-1"] == ("2", "0")
    finally:
        inside("node-2", "docker start myia-vllm-medium-qwen3")
    until = time.monotonic() + 120
    while not all_serve() and time.monotonic() < until:
        time.sleep(1)
    assert all_serve()


@pytest.mark.full
@pytest.mark.parametrize(
    "step", ["Wait until the open requests have ended", "Watch the start", "Mark the release good"]
)
def test_killed_at_each_step(play, inventory, url, step: str) -> None:
    """Wherever the controller dies, the pool goes on and the next run ends the upgrade."""
    log = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "killed.log")
    number = {"Wait until the open requests have ended": 51, "Watch the start": 52, "Mark the release good": 53}[step]
    with Load(url, "tiny-qwen3", key=KEY, streams=3, tokens=20, pause_s=PAUSE_S) as load:
        load.wait_for(10)
        begin_s = time.time()
        killed_when(inventory, lambda: step in log.read_text(encoding="utf-8"), "-e", "vllm_max_num_seqs=%d" % number)
        load.wait_for(10)
        run = play("-e", "vllm_max_num_seqs=%d" % number, playbook=FLEET)
        end_s = time.time()
        load.wait_for(5)
    assert run.status == 0, run.output
    assert all_serve() and current("node-1") == current("node-2")
    summary = note("controller killed at '%s', next run" % step, load, begin_s, end_s)
    assert (summary["failed"], summary["cut"]) == (0, 0), summary
