# SPDX-License-Identifier: GPL-3.0-or-later
"""One model over two hosts: served by both, refused before it hangs, switched and lost as one."""

from __future__ import annotations

import json
import pathlib
import threading
import time

import pytest
import testinfra

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "vllm-wide"
KEY = "PLANTED-key-3f9a11"
HEAD, OTHER = "node-1", "node-2"

#: (fault, seconds until it was noticed, seconds until both serve again) of the table.
_ROWS: list[tuple[str, str, str]] = []

#: Longest wait for a group that begins anew, in seconds: two starts of vLLM on a busy machine.
_BACK_S = 400


@pytest.fixture(scope="module")
def nodes(inventory) -> dict:
    """The two hosts."""
    return {name: testinfra.get_host("ansible://%s?ansible_inventory=%s" % (name, inventory)) for name in (HEAD, OTHER)}


@pytest.fixture(scope="module", autouse=True)
def table():
    """Print what the faults led to."""
    yield
    print("\nfault | noticed after s | serves again after s")
    for row in _ROWS:
        print(" | ".join(row))


def completion(host, timeout_s: int = 20) -> str:
    """The status of a completion, as a client of the head gets it: 000 for none in time."""
    body = json.dumps({"model": "tiny-qwen3", "prompt": "hello", "max_tokens": 2})
    return host.run(
        "curl -s -m %d -o /dev/null -w '%%{http_code}' -H 'Authorization: Bearer %s' "
        "-H 'Content-Type: application/json' -d '%s' http://node-1:5002/v1/completions" % (timeout_s, KEY, body)
    ).stdout


def started(host) -> str:
    """When the container that runs was started; empty while none does."""
    form = "{{if .State.Running}}{{.Id}} {{.State.StartedAt}}{{end}}"
    return host.run("docker inspect -f '%s' %s" % (form, NAME)).stdout.strip()


def ready(nodes: dict) -> bool:
    """Whether a completion is answered, which takes the layers of both."""
    return completion(nodes[OTHER], 15) == "200"


def wait(condition, seconds: float) -> float:
    """Wait for a condition; return the seconds it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(1)
    pytest.fail("not within %d s" % seconds)


def after_fault(nodes: dict, what: str, act) -> None:
    """Bring a fault about, and wait until both have begun anew and serve again."""
    # what came before may have failed in the middle
    wait(lambda: ready(nodes), _BACK_S)
    before, begun = {name: started(host) for name, host in nodes.items()}, time.monotonic()
    act()
    wait(lambda: all(started(host) not in (before[name], "") for name, host in nodes.items()), _BACK_S)
    noticed = time.monotonic() - begun
    back = noticed + wait(lambda: ready(nodes), _BACK_S)
    _ROWS.append((what, "%.0f" % noticed, "%.0f" % back))


def test_both_serve(nodes) -> None:
    """The head answers from the other host, with the key; the other has no API of its own."""
    assert completion(nodes[OTHER]) == "200"
    for name, host in nodes.items():
        command = host.check_output("docker inspect -f '{{json .Config.Cmd}}' %s" % NAME)
        assert ("--headless" in command) is (name == OTHER)
        assert host.check_output("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' %s" % NAME) == "unless-stopped"
        assert host.file("/opt/vllm/wide/current/compose.yml").exists
    assert nodes[OTHER].run("curl -s -m 5 127.0.0.1:5002/health").rc != 0


def test_health_is_seen_by_docker(nodes) -> None:
    """The health check of each knows the other."""
    for host in nodes.values():
        wait(
            lambda host=host: host.check_output("docker inspect -f '{{.State.Health.Status}}' %s" % NAME) == "healthy",
            60,
        )


def test_one_host_alone_is_refused(play, nodes) -> None:
    """Half of a service is none: nothing is touched."""
    before = {name: started(host) for name, host in nodes.items()}
    run = play("--limit", "node-1,localhost", "-e", "vllm_max_num_seqs=7")
    assert run.status != 0
    assert "node_reports: found nothing of node-2" in run.flat, run.output
    assert {name: started(host) for name, host in nodes.items()} == before


def test_names_that_mean_oneself_are_refused(play, nodes) -> None:
    """What Debian writes into /etc/hosts, told with its host before anything is touched."""
    hosts = nodes[OTHER].check_output("cat /etc/hosts")
    nodes[OTHER].check_output("echo '127.0.1.1 node-1' > /tmp/h; cat /etc/hosts >> /tmp/h; cat /tmp/h > /etc/hosts")
    before = {name: started(host) for name, host in nodes.items()}
    try:
        run = play("-e", "vllm_max_num_seqs=7")
    finally:
        nodes[OTHER].check_output("cat > /etc/hosts <<'X'\n%s\nX" % hosts)
    assert run.status != 0
    assert "node_names: found on node-2, node-1 (node-1) is 127.0.1.1" in run.flat, run.output
    assert {name: started(host) for name, host in nodes.items()} == before


def test_port_that_is_blocked_one_way_is_refused(play, nodes) -> None:
    """The other does not take what comes from the head."""
    rule = "INPUT -p tcp --dport 29502 -j DROP"
    nodes[OTHER].check_output("iptables -I %s" % rule)
    try:
        run = play("-e", "vllm_max_num_seqs=7")
    finally:
        nodes[OTHER].check_output("iptables -D %s" % rule)
    assert run.status != 0
    assert "node_network: found node-1 does not reach node-2 (timed out)" in run.flat, run.output


@pytest.mark.full
@pytest.mark.parametrize("interface", ["eth9", "docker0"])
def test_interface_that_leads_nowhere_is_refused(interface, play, nodes) -> None:
    """One that no host has, and Docker's bridge, which has the same address on each."""
    before = {name: started(host) for name, host in nodes.items()}
    run = play("-e", "vllm_nodes_interface=%s" % interface)
    assert run.status != 0
    assert "node_interface: found" in run.flat, run.output
    assert {name: started(host) for name, host in nodes.items()} == before


@pytest.mark.full
def test_packets_that_are_too_large_are_refused(play, nodes) -> None:
    """A network that swallows full packets, as one does whose MTU is smaller than the interfaces say."""
    rule = "INPUT -p tcp --dport 29502 -m length --length 1200:65535 -j DROP"
    nodes[OTHER].check_output("iptables -I %s" % rule)
    try:
        run = play("-e", "vllm_max_num_seqs=7")
    finally:
        nodes[OTHER].check_output("iptables -D %s" % rule)
    assert run.status != 0
    assert "node_packets" in run.flat, run.output


def test_killed_worker(nodes) -> None:
    """The process with the layers of the other host dies: vLLM's head goes on saying that all is well."""
    after_fault(
        nodes,
        "kill -9 of the other host's worker",
        lambda: nodes[OTHER].check_output("pkill -9 -f VLLM::Work[e]r"),
    )


@pytest.mark.full
def test_killed_head(nodes) -> None:
    """The head's engine dies: the other waits for it for ever."""
    after_fault(
        nodes, "kill -9 of the head's engine", lambda: nodes[HEAD].check_output("pkill -9 -f VLLM::Engine[C]ore")
    )


@pytest.mark.full
def test_cut_network(nodes) -> None:
    """Packets of the other host are swallowed for a while: both begin anew when it is back."""

    def act() -> None:
        nodes[OTHER].check_output("iptables -I INPUT -s node-1 -j DROP && iptables -I OUTPUT -d node-1 -j DROP")
        time.sleep(30)
        nodes[OTHER].check_output("iptables -D INPUT -s node-1 -j DROP && iptables -D OUTPUT -d node-1 -j DROP")

    after_fault(nodes, "network of the other host cut for 30 s", act)


@pytest.mark.full
def test_engine_of_a_host_restarted(nodes) -> None:
    """As after a reboot: Docker starts the container again by its policy."""
    after_fault(
        nodes, "the other host's Docker restarted", lambda: nodes[OTHER].check_output("systemctl restart docker")
    )


@pytest.mark.full
def test_change_and_back(play, nodes) -> None:
    """A changed value is a new release on both, and a rollback takes both back."""
    before = {name: host.check_output("readlink /opt/vllm/wide/current") for name, host in nodes.items()}
    run = play("-e", "vllm_max_num_seqs=9")
    assert run.status == 0, run.output
    changed = {name: host.check_output("readlink /opt/vllm/wide/current") for name, host in nodes.items()}
    assert all(changed[name] != before[name] for name in nodes)
    assert ready(nodes)
    assert play("-e", "vllm_max_num_seqs=9").recap["changed"] == 0
    run = play(playbook=str(ROOT / "rollback_medium.yml"))
    assert run.status == 0, run.output
    assert {name: host.check_output("readlink /opt/vllm/wide/current") for name, host in nodes.items()} == before
    assert ready(nodes)


@pytest.mark.full
def test_failing_release_comes_back_on_both(play, nodes) -> None:
    """A start that fails on every host: the release of before serves again, on both."""
    before = {name: host.check_output("readlink /opt/vllm/wide/current") for name, host in nodes.items()}
    run = play("-e", json.dumps({"vllm_max_model_len": 999999, "vllm_preflight_skip": ["max_model_len"]}))
    assert run.status != 0
    assert "serves again" in run.flat, run.output
    assert KEY not in run.output
    assert {name: host.check_output("readlink /opt/vllm/wide/current") for name, host in nodes.items()} == before
    assert ready(nodes)


@pytest.mark.full
def test_one_host_fails_and_both_go_back(play, nodes) -> None:
    """What fails on one host alone ends the other's watch at once, with host and rank; both are started once more."""
    stop = threading.Event()

    def kill() -> None:
        for _start in range(2):
            old = started(nodes[OTHER])
            while not stop.is_set() and started(nodes[OTHER]) in (old, ""):
                time.sleep(0.5)
            nodes[OTHER].run("docker kill -s KILL %s" % NAME)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        run = play("-e", "vllm_max_num_seqs=11", "-e", "vllm_service_retries=0")
    finally:
        stop.set()
        thread.join()
    assert run.status != 0, run.output
    assert "node-2 (rank 1) failed" in run.flat, run.output
    assert "serves again" in run.flat, run.output
    assert ready(nodes)
