# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_gateway before a real vLLM: what passes, errors, changes under open streams, a switch, failures."""

from __future__ import annotations

import json
import queue
import random
import shlex
import socket
import ssl
import threading
import time

import pytest
from gateway_load import ALICE, BOB, CAROL, ROOT, VLLM_KEY, Load

testinfra_hosts = ["gateway-1"]

#: What the gateway offers (roles/vllm_gateway/meta/argument_specs.yml) of what vLLM has.
LISTED = {
    "GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/responses", "POST /v1/messages",
    "POST /v1/embeddings", "POST /v1/rerank", "POST /v1/score", "POST /classify", "POST /pooling",
}  # fmt: skip

#: What the client in vLLM's own image makes of each answer.
CLIENT = """
import json, sys, httpx, openai
address, keys = sys.argv[1], sys.argv[2:]
def client(key, retries=0):
    web = httpx.Client(verify=False)
    return openai.OpenAI(base_url=address + "/v1", api_key=key, max_retries=retries, http_client=web)
def chat(key, model="tiny-qwen3", size=1, **more):
    return client(key).chat.completions.create(
        model=model, max_tokens=4, messages=[{"role": "user", "content": "x" * size}], **more)
def name(call):
    try:
        call()
        return ["none", None]
    except openai.APIStatusError as error:
        return [type(error).__name__, error.code, error.response.headers.get("retry-after")]
alice, bob, carol = keys
print(json.dumps({
    "models": [m.id for m in client(alice).models.list().data],
    "stream": sum(1 for _ in chat(alice, stream=True)) > 2,
    "401": name(lambda: chat("nobody")),
    "403": name(lambda: chat(bob)),
    "404": name(lambda: chat(alice, "none")),
    "413": name(lambda: chat(alice, size=1300000)),
    "429": [name(lambda: chat(carol)) for _ in range(3)][-1],
}))
"""


def test_every_unlisted_path(gateway, nodes) -> None:
    """Each path and method of the live /openapi.json that is not listed: 403, with and without a key."""
    text = nodes["node-1"].check_output("curl -s 127.0.0.1:5002/openapi.json")
    there = {
        "%s %s" % (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in json.loads(text)["paths"].items()
        for method in methods
    }
    assert len(there) > 20
    assert "POST /v1/chat/completions" in there
    wrong = []
    for line in sorted(there - LISTED):
        for key in (ALICE, ""):
            found = gateway.status(*line.split(), body={} if line.startswith("POST") else None, key=key)
            if found[0] != 403 or json.loads(found[1])["error"]["code"] != "path_not_allowed":
                wrong.append((line, bool(key), found))
    assert wrong == []


def test_openai_client(gateway, nodes) -> None:
    """It reads models and streams, and raises what it knows for each error."""
    words = [
        "docker",
        "exec",
        "vllm-medium",
        "python3",
        "-c",
        CLIENT,
        "https://%s" % gateway.address,
        ALICE,
        BOB,
        CAROL,
    ]
    found = json.loads(nodes["node-2"].check_output(shlex.join(words)).splitlines()[-1])
    assert (found["models"], found["stream"]) == (["tiny-qwen3"], True)
    assert found["401"][:2] == ["AuthenticationError", "invalid_api_key"]
    assert found["403"][:2] == ["PermissionDeniedError", "model_not_allowed"]
    assert found["404"][:2] == ["NotFoundError", "model_not_found"]
    assert found["413"][:2] == ["APIStatusError", "request_too_large"]
    assert found["429"] == ["RateLimitError", "rate_limit_exceeded", "31"]


def test_vllm_asks_for_its_own_key(nodes) -> None:
    """A client's key is none of vLLM's."""
    for key, status in ((ALICE, "401"), (VLLM_KEY, "200")):
        command = "curl -s -o /dev/null -w '%%{http_code}' -H 'Authorization: Bearer %s' 127.0.0.1:5002/v1/models" % key
        assert nodes["node-1"].check_output(command) == status


def test_changes_under_open_streams(gateway, gateway_host, deploy_gateway, host, note) -> None:
    """20 streams at a time all end as they should while keys, configuration and certificate change."""
    before = host.check_output("pgrep -o haproxy")
    load = Load(gateway, 20, 900)
    load.wait_open(20)
    keys = [
        {"name": "alice", "key": ALICE},
        {"name": "bob", "key": BOB, "models": ["another-model"]},
        {"name": "carol", "key": CAROL, "requests_per_minute": 2},
    ]
    late = {"name": "dave", "key": "PLANTED-dave-key-00112233"}
    assert gateway.status("GET", "/v1/models", key=late["key"])[0] == 401
    run = deploy_gateway(vllm_gateway_keys=[*keys, late])
    assert "Without a reload: allowed.map, keys.map, models.map" in run.flat
    assert gateway.status("GET", "/v1/models", key=late["key"])[0] == 200
    host.check_output(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=renewed "
        "-keyout /root/renewed.key -out /root/renewed.pem 2>/dev/null"
    )
    renewed = host.check_output("vllm-gateway-certificate --certificate /root/renewed.pem --key /root/renewed.key")
    assert renewed == "changed"
    shown = host.check_output("openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | grep ^subject")
    assert "renewed" in shown
    assert load.open > 0
    run = deploy_gateway(vllm_gateway_keys=keys, vllm_gateway_queue_s=61)
    assert "HAProxy was reloaded" in run.flat
    assert load.open > 0
    assert gateway.status("GET", "/v1/models", key=late["key"])[0] == 401
    ends = load.end()
    note("20 streams at a time over key, certificate and reload", ends)
    assert set(ends) == {"ok"} and ends["ok"] >= 20, (ends, load.failures[:3])
    assert host.check_output("pgrep -o haproxy") == before
    assert deploy_gateway().status == 0


def test_one_host_alone_switches_under_load(gateway, nodes, switch, state, until, note) -> None:
    """With the other host drained, the first restarts: nobody is refused, nothing is cut."""
    switch("drain", "node-2")
    assert state()["node-2"]["status"].startswith("DRAIN")
    load = Load(gateway, 6, 60)
    time.sleep(4)
    begin_s = time.monotonic()
    switch("drain", "node-1")
    drained_s = time.monotonic() - begin_s
    nodes["node-1"].check_output("docker restart -t 90 vllm-medium")
    healthy = "curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health"
    until(lambda: nodes["node-1"].run(healthy).stdout == "200", what="node-1 healthy")
    switch("admit", "node-1")
    gap_s = time.monotonic() - begin_s
    time.sleep(4)
    ends = load.end()
    switch("admit", "node-2")
    note("one host alone: switch of %.0f s (drained after %.0f s) under load" % (gap_s, drained_s), ends)
    note("the longest request in it", "%.1f s" % load.longest_s)
    assert ends.get("ok", 0) > 10
    assert set(ends) <= {"ok", "503"}, (ends, load.failures[:3])


def test_killed_vllm(gateway, nodes, state, until, note) -> None:
    """It is out of the pool within seconds, the other host serves on, and it is back by itself."""
    load = Load(gateway, 4, 30)
    time.sleep(2)
    begin_s = time.monotonic()
    nodes["node-1"].check_output("docker exec vllm-medium sh -c 'kill -9 -1 || kill -9 $(pgrep -f EngineCore)'")
    out_s = until(lambda: state()["node-1"]["status"].startswith("DOWN"), 60, "node-1 out")
    at_kill = dict(load.outcomes)
    time.sleep(5)
    nodes["node-1"].run("docker start vllm-medium")
    until(lambda: state()["node-1"]["status"].startswith("UP"), what="node-1 back")
    back_s = time.monotonic() - begin_s
    ends = load.end()
    note("vLLM killed: out of the pool after, back after", "%.1f s, %.0f s" % (out_s, back_s))
    note("requests until it was out, and all", "%s, %s" % (at_kill, ends))
    assert out_s < 15
    # what was open on it is lost; every other request is served
    assert sum(number for name, number in ends.items() if name != "ok") <= 8, (ends, load.failures[:3])


def test_secrets(host, gateway_host) -> None:
    """A client's key is nowhere on the gateway; vLLM's own in one file that root alone reads. No log has either."""
    for secret, places in ((ALICE, []), (CAROL, []), (VLLM_KEY, ["/etc/haproxy/vllm/upstream.map"])):
        found = host.run("grep -rlF -e %s /etc /root /tmp /var/log /var/lib /opt /usr/local 2>/dev/null" % secret)
        assert sorted(found.stdout.split()) == places
        assert host.run("journalctl --no-pager | grep -cF -e %s" % secret).stdout.strip() == "0"
    assert host.file("/etc/haproxy/vllm/upstream.map").mode == 0o600
    assert host.file("/etc/haproxy/vllm").mode == 0o700


def test_log_and_usage(host, gateway) -> None:
    """A line a request, as JSON: the name of the key, the model, no prompt; and the tokens of each key."""
    body = {"model": "tiny-qwen3", "messages": [{"role": "user", "content": "PLANTED-prompt"}], "max_tokens": 3}
    assert gateway.status("POST", "/v1/chat/completions", body)[0] == 200
    time.sleep(0.5)
    lines = host.check_output("journalctl -t haproxy --no-pager -o cat -n 200").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    last = [row for row in rows if row.get("path") == "/v1/chat/completions"][-1]
    assert (last["key"], last["model"], last["status"], last["backend"]) == ("alice", "tiny-qwen3", 200, "vllm_medium")
    used = [row for row in rows if row.get("event") == "usage"][-1]
    assert (used["key"], used["completion_tokens"]) == ("alice", 3)
    assert "PLANTED" not in "".join(lines)
    metrics = host.check_output("curl -s 127.0.0.1:8404/metrics/keys")
    assert 'vllm_gateway_key_requests_total{key="alice",model="tiny-qwen3"}' in metrics


@pytest.mark.full
@pytest.mark.parametrize(
    ("playbook", "given"),
    [
        ("deploy_medium.yml", {"vllm_max_num_seqs": 63}),
        ("restart_medium.yml", {}),
        ("rollback_medium.yml", {}),
    ],
)
def test_open_streams_end_while_the_only_host_is_worked_on(gateway, nodes, play, switch, note, playbook, given) -> None:
    """With the other host drained: 20 of 20 streams that were open end as they should, and nobody is refused."""
    switch("drain", "node-2")
    try:
        streams = Load(gateway, 20, 300, once=True)
        streams.wait_open(20)
        after = Load(gateway, 4, 40)
        begin_s = time.monotonic()
        run = play("-e", json.dumps({"vllm_hosts": "node-1", **given}), playbook=str(ROOT / playbook))
        took_s = time.monotonic() - begin_s
        open_ends, ends = streams.end(), after.end()
    finally:
        switch("admit", "node-2")
    assert run.status == 0, run.output
    note("%s of the only host (%.0f s): 20 open streams, and who came meanwhile" % (playbook, took_s),
         "%s, %s, longest %.1f s" % (open_ends, ends, after.longest_s))  # fmt: skip
    assert open_ends == {"ok": 20}, streams.failures[:3]
    assert set(ends) <= {"ok", "503"} and ends["ok"] > 4, (ends, after.failures[:3])


@pytest.mark.full
def test_stopped_engine(gateway, nodes, state, until, note) -> None:
    """Its /health stays 200: the question for one token takes it out, and lets it in again."""
    load = Load(gateway, 4, 30)
    time.sleep(2)
    nodes["node-1"].check_output("pkill -STOP -f VLLM::Engine[C]or")
    try:
        out_s = until(lambda: not state()["node-1"]["status"].startswith("UP"), 90, "node-1 out")
        assert nodes["node-1"].run("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health").stdout == "200"
        time.sleep(5)
    finally:
        nodes["node-1"].check_output("pkill -CONT -f VLLM::Engine[C]or")
    back_s = until(lambda: state()["node-1"]["status"].startswith("UP"), 60, "node-1 back")
    ends = load.end()
    note("engine stopped (SIGSTOP): out of the pool after, back after", "%.1f s, %.1f s" % (out_s, back_s))
    note("requests until the end of it", ends)
    # what was open on it goes on with it
    assert set(ends) == {"ok"}, (ends, load.failures[:3])


def prefix_hits(nodes) -> tuple[float, float]:
    """Tokens that were looked for in both hosts' prefix caches, and those that were found."""
    asked = found = 0.0
    for node in nodes.values():
        for line in node.check_output("curl -s 127.0.0.1:5002/metrics").splitlines():
            if line.startswith("vllm:prefix_cache_queries_total{"):
                asked += float(line.rsplit(" ", 1)[1])
            if line.startswith("vllm:prefix_cache_hits_total{"):
                found += float(line.rsplit(" ", 1)[1])
    return asked, found


def talk(gateway, turns: queue.SimpleQueue) -> None:
    """Ask what is next of the conversations; all that was said before is sent again, as clients do."""
    while True:
        try:
            number, turn = turns.get_nowait()
        except queue.Empty:
            return
        first = "Conversation %s. " % (str(number) * 8) + "We speak of ships, of the sea and of the stars. " * 30
        messages = [{"role": "user", "content": first}]
        if turn:
            messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And the harbours?"}]
        body = {"model": "tiny-qwen3", "messages": messages, "max_tokens": 2}
        link = gateway.ask("POST", "/v1/chat/completions", body, more={"X-Session-Id": "s%d" % number})
        assert link.status == 200, link.read()
        link.read()


@pytest.mark.full
def test_affinity_finds_prefixes(gateway, nodes, deploy_gateway, note) -> None:
    """Conversations that stay on a host find more of what they said before in its cache."""
    share = {}
    for round_number, balance in enumerate(("leastconn", "session", "prefix")):
        deploy_gateway(vllm_gateway_balance=balance)
        asked, found = prefix_hits(nodes)
        turns: queue.SimpleQueue = queue.SimpleQueue()
        for turn in range(2):
            # others ask in between, or a client that has just been served finds its host the least busy one
            for number in random.Random(turn).sample(range(60), 60):
                turns.put((1000 * (round_number + 1) + number, turn))
        # few at a time: a host that has more than its share hands on what is above it
        threads = [threading.Thread(target=talk, args=(gateway, turns)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked_then, found_then = prefix_hits(nodes)
        share[balance] = (found_then - found) / (asked_then - asked)
        note("prefix cache hits, %s" % balance, "%.3f of the tokens" % share[balance])
    deploy_gateway()
    note("prefix cache hits, session and prefix as a ratio to leastconn",
         "%.2f, %.2f" % tuple(share[name] / share["leastconn"] for name in ("session", "prefix")))  # fmt: skip
    # how much more depends on how evenly the few conversations fall on two hosts: the figures are for the table
    assert share["session"] > share["leastconn"]


@pytest.mark.full
def test_restart_of_haproxy(gateway, host, until, note) -> None:
    """What nothing of the role does: it cuts what is open, and serves again within seconds."""
    load = Load(gateway, 6, 200)
    load.wait_open(6)
    begin_s = time.monotonic()
    host.check_output("systemctl restart haproxy")
    until(lambda: load.outcomes["ok"] > 0, 60, "served again")
    note("HAProxy restarted: first answer after", "%.1f s" % (time.monotonic() - begin_s))
    ends = load.end()
    note("requests in it", ends)
    assert ends["ok"] >= 6


@pytest.mark.full
def test_network_cut(gateway, nodes, state, until, note) -> None:
    """A host that is away is out of the pool; what follows is served by the other, and it is back by itself."""
    load = Load(gateway, 4, 30)
    time.sleep(2)
    node = nodes["node-1"]
    node.check_output("iptables -I INPUT -p tcp --dport 5002 -j DROP; iptables -I FORWARD -p tcp --dport 5002 -j DROP")
    try:
        out_s = until(lambda: state()["node-1"]["status"].startswith("DOWN"), 60, "node-1 out")
        before = dict(load.outcomes)
        time.sleep(10)
    finally:
        node.check_output(
            "iptables -D INPUT -p tcp --dport 5002 -j DROP; iptables -D FORWARD -p tcp --dport 5002 -j DROP"
        )
    back_s = until(lambda: state()["node-1"]["status"].startswith("UP"), 60, "node-1 back")
    ends = load.end()
    note("network cut: out of the pool after, back after", "%.1f s, %.1f s" % (out_s, back_s))
    note("requests until it was out, and all", "%s, %s" % (before, ends))
    assert out_s < 25
    assert set(ends) <= {"ok", "503"}, load.failures[:3]


@pytest.mark.full
def test_slow_and_large_requests_are_shed(gateway) -> None:
    """Headers and bodies that never end are given up, while others pass."""
    context = ssl._create_unverified_context()
    links = [context.wrap_socket(socket.create_connection((gateway.address, 443))) for _ in range(40)]
    for link in links:
        link.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
    body = {"model": "tiny-qwen3", "prompt": "x", "max_tokens": 2}
    statuses: list[int] = []
    asker = threading.Thread(target=lambda: statuses.append(gateway.status("POST", "/v1/completions", body)[0]))
    asker.start()
    asker.join(30)
    assert statuses == [200]
    ended = 0
    for link in links:
        link.settimeout(25)
        ended += b"408" in link.recv(1000)
        link.close()
    assert ended == 40


@pytest.mark.full
def test_second_run_and_removal(host, play, deploy_gateway) -> None:
    """Nothing changes twice; after a removal nothing of it is left, and it can be deployed again."""
    run = play(playbook=str(ROOT / "deploy_gateway.yml"))
    assert (run.status, run.recap["changed"]) == (0, 0), run.output
    run = play("--check", playbook=str(ROOT / "remove_gateway.yml"))
    assert run.status == 0 and run.recap["changed"] > 0, run.output
    assert host.file("/etc/haproxy/vllm").exists and host.run("pgrep haproxy").rc == 0
    run = play(playbook=str(ROOT / "remove_gateway.yml"))
    assert run.status == 0, run.output
    assert not host.file("/etc/haproxy/vllm").exists
    assert host.run("pgrep haproxy").rc != 0
    assert not host.package("haproxy").is_installed
    assert play(playbook=str(ROOT / "remove_gateway.yml")).recap["changed"] == 0
    deploy_gateway()


@pytest.mark.full
def test_keys_rotate_while_clients_ask(gateway, gateway_host, nodes, play, deploy_gateway, note) -> None:
    """vLLM's own key on both hosts, and a client's with an overlap: no request fails, and the old ones are dead."""
    new_key, new_alice = "PLANTED-vllm-key-rotated-5e", "PLANTED-alice-key-rotated-5e"
    load = Load(gateway, 6, 60)
    begin_s = time.monotonic()
    more = {"vllm_hosts": "vllm", "vllm_api_key": new_key}
    run = play("-e", json.dumps(more), playbook=str(ROOT / "rotate_secrets.yml"))
    took_s = time.monotonic() - begin_s
    assert run.status == 0, run.output
    assert "node-2 refuses it, and gets requests again" in run.flat
    # the inventory has the old one here, as that of somebody who was not told
    overlap = {"name": "alice", "key": new_alice, "previous": {"key": ALICE, "expires": "2099-01-01"}}
    changed = deploy_gateway(vllm_gateway_keys=[overlap])
    assert "is one that no host takes yet, so the gateway goes on with the one of before" in changed.flat
    for key in (ALICE, new_alice):
        assert gateway.status("GET", "/v1/models", key=key)[0] == 200
    time.sleep(3)
    ends = load.end()
    note("keys rotated on both hosts in %.0f s under load" % took_s, ends)
    assert set(ends) == {"ok"}, (ends, load.failures[:3])
    deploy_gateway(vllm_gateway_keys=[{"name": "alice", "key": new_alice}])
    statuses = [gateway.status("GET", "/v1/models", key=key)[0] for key in (ALICE, new_alice)]
    assert statuses == [401, 200]
    for node in nodes.values():
        asked = "curl -s -o /dev/null -w '%%{http_code}' -H 'Authorization: Bearer %s' 127.0.0.1:5002/v1/models"
        assert [node.check_output(asked % key) for key in (VLLM_KEY, new_key)] == ["401", "200"]
    assert gateway_host.run("grep -rlF -e %s /etc /var/lib /root" % VLLM_KEY).stdout == ""
    deploy_gateway()
