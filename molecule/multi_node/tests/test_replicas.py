# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole replicas on each of two hosts: data parallel 2 behind the API of the head, switched to and lost as one.

The service of the scenario, whose layers are split over the hosts, is made one of replicas and back again, so these
tests are the last ones and leave what they have found.
"""

from __future__ import annotations

import json
import threading
import time

import pytest
import testinfra

NAME = "vllm-wide"
KEY = "PLANTED-key-3f9a11"
HEAD, OTHER = "node-1", "node-2"

#: Longest wait for a group that begins anew, in seconds: two starts of vLLM on a busy machine.
_BACK_S = 400

#: What makes replicas of the service. One API server: each takes more than half a GiB.
_OPTIONS = {
    "compilation-config": {"backend": "eager"},
    "reasoning-parser": "qwen3",
    "enable-auto-tool-choice": True,
    "tool-call-parser": "hermes",
    "data-parallel-size": 2,
    "api-server-count": 1,
}
REPLICAS = ("-e", json.dumps({"vllm_extra_options": _OPTIONS}))

#: (fault, seconds until it was noticed, seconds until both serve again) of the table.
_ROWS: list[tuple[str, str, str]] = []

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def nodes(inventory) -> dict:
    """The two hosts."""
    return {name: testinfra.get_host("ansible://%s?ansible_inventory=%s" % (name, inventory)) for name in (HEAD, OTHER)}


def release(host) -> str:
    """The release that a host serves."""
    return host.check_output("readlink /opt/vllm/wide/current")


@pytest.fixture(scope="module")
def replicas(nodes, play):
    """The service with a replica on each host; the one of before is back afterwards."""
    before = {name: release(host) for name, host in nodes.items()}
    run = play(*REPLICAS)
    assert run.status == 0, run.output
    assert KEY not in run.output
    assert all(release(host) != before[name] for name, host in nodes.items())
    yield nodes
    print("\nfault (replicas) | noticed after s | serves again after s")
    for row in _ROWS:
        print(" | ".join(row))
    run = play()
    assert run.status == 0, run.output


def ask(host, timeout_s: int = 20) -> str:
    """The status of a completion, as a client of the head gets it: 000 for none in time."""
    body = json.dumps({"model": "tiny-qwen3", "prompt": "hello", "max_tokens": 8})
    return host.run(
        "curl -s -m %d -o /dev/null -w '%%{http_code}' -H 'Authorization: Bearer %s' "
        "-H 'Content-Type: application/json' -d '%s' http://node-1:5002/v1/completions" % (timeout_s, KEY, body)
    ).stdout


def many(host, count: int = 8) -> list[str]:
    """The status of requests at the same time, which go to both replicas."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(ask(host))) for _number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def answered(host) -> dict[str, float]:
    """How many requests each engine has ended, by its number: vLLM labels its counters with it."""
    text = host.check_output("curl -s -m 10 -H 'Authorization: Bearer %s' http://node-1:5002/metrics" % KEY)
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("vllm:request_success_total{"):
            engine = line.partition('engine="')[2].partition('"')[0]
            found[engine] = found.get(engine, 0) + float(line.rpartition(" ")[2])
    return found


def started(host) -> str:
    """When the container that runs was started; empty while none does."""
    form = "{{if .State.Running}}{{.Id}} {{.State.StartedAt}}{{end}}"
    return host.run("docker inspect -f '%s' %s" % (form, NAME)).stdout.strip()


def health(host) -> str:
    """What Docker thinks of the container."""
    return host.run("docker inspect -f '{{.State.Health.Status}}' %s" % NAME).stdout.strip()


def wait(condition, seconds: float) -> float:
    """Wait for a condition; return the seconds it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(1)
    pytest.fail("not within %d s" % seconds)


def serves(nodes: dict) -> bool:
    """Whether all of several requests are answered, which takes both replicas."""
    return set(many(nodes[OTHER])) == {"200"}


def after_fault(nodes: dict, what: str, act) -> None:
    """Bring a fault about, and wait until both have begun anew and serve again."""
    # what came before may have failed in the middle
    wait(lambda: serves(nodes), _BACK_S)
    before, begun = {name: started(host) for name, host in nodes.items()}, time.monotonic()
    act()
    wait(lambda: all(started(host) not in (before[name], "") for name, host in nodes.items()), _BACK_S)
    noticed = time.monotonic() - begun
    back = noticed + wait(lambda: serves(nodes), _BACK_S)
    _ROWS.append((what, "%.0f" % noticed, "%.0f" % back))


def test_each_host_has_a_replica(replicas) -> None:
    """The head has the API and one engine, the other an engine alone; both end requests."""
    for name, host in replicas.items():
        command = json.loads(host.check_output("docker inspect -f '{{json .Config.Cmd}}' %s" % NAME))
        assert ("--headless" in command) is (name == OTHER)
        assert ("--data-parallel-start-rank" in command) is (name == OTHER)
        assert ("--api-server-count" in command) is (name == HEAD)
        assert command[command.index("--data-parallel-size-local") + 1] == "1"
        assert "--nnodes" not in command
        engines = host.check_output("docker top %s -eo pid,args" % NAME)
        assert engines.count("VLLM::EngineCore") == 1, engines
    before = answered(replicas[OTHER])
    for _time in range(3):
        assert set(many(replicas[OTHER])) == {"200"}
    after = answered(replicas[OTHER])
    assert sorted(after) == ["0", "1"]
    assert all(after[engine] > before.get(engine, 0) for engine in after), (before, after)
    assert replicas[OTHER].run("curl -s -m 5 127.0.0.1:5002/health").rc != 0


def test_docker_sees_both_healthy(replicas) -> None:
    """The health check knows the connections that vLLM keeps, and goes on knowing them."""
    for host in replicas.values():
        wait(lambda host=host: health(host) == "healthy", 90)
    before = {name: started(host) for name, host in replicas.items()}
    time.sleep(30)
    assert {name: started(host) for name, host in replicas.items()} == before
    assert [health(host) for host in replicas.values()] == ["healthy"] * 2


def test_nothing_to_do(replicas, play) -> None:
    """A second run changes nothing."""
    run = play(*REPLICAS)
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0, run.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data-parallel-size": 3}, "Set a multiple of 2"),
        ({"data-parallel-external-lb": True}, "Use data-parallel-hybrid-lb"),
        ({"data-parallel-hybrid-lb": True}, "node_replicas: found a model without experts, 1 replicas on each host"),
    ],
)
def test_what_is_refused(options, words, replicas, play) -> None:
    """Before anything is touched."""
    before = {name: started(host) for name, host in replicas.items()}
    run = play("-e", json.dumps({"vllm_extra_options": {**_OPTIONS, **options}}))
    assert run.status != 0
    assert words in run.flat, run.output
    assert {name: started(host) for name, host in replicas.items()} == before


def test_copy_of_the_weights_that_is_not_whole(replicas, play) -> None:
    """Told with its host: vLLM would find it out minutes later."""
    weights = "/srv/models/tiny-qwen3/model.safetensors"
    replicas[OTHER].check_output("cp %s /tmp/whole && truncate -s -1000 %s" % (weights, weights))
    try:
        run = play(*REPLICAS, "-e", "vllm_max_num_seqs=7")
    finally:
        replicas[OTHER].check_output("cat /tmp/whole > %s" % weights)
    assert run.status != 0
    assert "node_model: found" in run.flat, run.output
    assert "bytes of weights on node-2" in run.flat


def test_other_image_under_the_same_tag(replicas, play) -> None:
    """An image is what its digest says."""
    other = replicas[OTHER]
    image = "myia-vllm-cpu:0.32.0"
    other.check_output("docker tag %s whole:1" % image)
    other.check_output("printf 'FROM whole:1\\nLABEL another=one\\n' | docker build -q -t %s -" % image)
    try:
        run = play(*REPLICAS, "-e", "vllm_max_num_seqs=7")
    finally:
        other.check_output("docker tag whole:1 %s && docker rmi whole:1" % image)
    assert run.status != 0
    assert "node_image: found %s: sha256:" % image in run.flat, run.output


def test_killed_engine_of_the_other(replicas) -> None:
    """The head's /health stays 200, and its requests to that replica hang, until both begin anew."""
    after_fault(
        replicas,
        "kill -9 of the other host's engine",
        lambda: replicas[OTHER].check_output("pkill -9 -f VLLM::Engine[C]ore"),
    )


def test_killed_head(replicas) -> None:
    """The other waits for requests of nobody for ever, and could not join a new head."""
    after_fault(
        replicas, "kill -9 of the head's engine", lambda: replicas[HEAD].check_output("pkill -9 -f VLLM::Engine[C]ore")
    )


def test_network_of_the_other_cut(replicas) -> None:
    """Packets are swallowed for a while: connections stay as they are, and nobody is there."""

    def act() -> None:
        host = replicas[OTHER]
        host.check_output("iptables -I INPUT -s node-1 -j DROP && iptables -I OUTPUT -d node-1 -j DROP")
        time.sleep(40)
        host.check_output("iptables -D INPUT -s node-1 -j DROP && iptables -D OUTPUT -d node-1 -j DROP")

    after_fault(replicas, "network of the other host cut for 40 s", act)


def test_failing_release_comes_back_on_both(replicas, play) -> None:
    """A start that fails on every host: the release of before serves again, on both."""
    before = {name: release(host) for name, host in replicas.items()}
    run = play(*REPLICAS, "-e", json.dumps({"vllm_max_model_len": 999999, "vllm_preflight_skip": ["max_model_len"]}))
    assert run.status != 0
    assert "serves again" in run.flat, run.output
    assert {name: release(host) for name, host in replicas.items()} == before
    assert serves(replicas)
