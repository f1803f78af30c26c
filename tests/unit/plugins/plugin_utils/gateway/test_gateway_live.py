# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration in a real HAProxy: what passes, what is refused and how, routing, limits, the wait, usage."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest
from gateway_cases import KEY, OTHER, ask, code, service

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket


def test_passes_and_swaps_the_key(bed) -> None:
    """A request with a key arrives with vLLM's own; so does one with x-api-key."""
    gateway = bed()
    assert ask(gateway)[0] == 200
    assert ask(gateway, key="", headers={"x-api-key": KEY})[0] == 200
    seen = [item for host in gateway.hosts.values() for item in host.seen]
    assert [item["headers"]["authorization"] for item in seen] == ["Bearer PLANTED-vllm"] * 2
    assert KEY not in json.dumps(seen)


@pytest.mark.parametrize("key", [KEY, ""], ids=["key", "no-key"])
@pytest.mark.parametrize(
    "line",
    ["POST /invocations", "GET /metrics", "POST /pause", "GET /health", "DELETE /v1/models", "GET /v1/chat/completions",
     "POST /v1/chat/completions/", "POST //v1/chat/completions", "POST /v1/../invocations",
     "POST /v1/chat/completions%2f",      "OPTIONS /v1/models", "POST /tokenize"],
)  # fmt: skip
def test_everything_else_is_refused(bed, line, key) -> None:
    """403 with and without a key, and no host sees it."""
    gateway = bed()
    method, path = line.split()
    answer = ask(gateway, method, path, key)
    assert (answer[0], code(answer)) == (403, "path_not_allowed")
    assert all(host.seen == [] for host in gateway.hosts.values())


def test_keys(bed) -> None:
    """No key, a wrong one, an expired one, one without the model, and the list of models of each."""
    keys = [
        {"name": "alice", "key": KEY},
        {"name": "bob", "key": OTHER, "models": ["other"]},
        {"name": "old", "key": "PLANTED-expired-key-000000", "expires": "2020-01-01"},
    ]
    gateway = bed(
        lambda hosts: [
            service("node-1", port=hosts["node-1"].port, address="127.0.0.1"),
            service("node-2", "second", ("other",), port=hosts["node-2"].port, address="127.0.0.1"),
        ],
        keys=keys,
    )
    for key, expected in (
        ("", "invalid_api_key"),
        ("wrong", "invalid_api_key"),
        ("PLANTED-expired-key-000000", "expired_api_key"),
    ):
        answer = ask(gateway, key=key)
        assert (answer[0], code(answer), answer[1]["WWW-Authenticate"]) == (401, expected, "Bearer")
    refused = ask(gateway, key=OTHER)
    assert (refused[0], code(refused)) == (403, "model_not_allowed")
    assert json.loads(ask(gateway, key=OTHER, body={"model": "other"})[2])["host"] == "node-2"
    assert json.loads(ask(gateway, body={"model": "tiny"})[2])["host"] == "node-1"
    models = [
        [row["id"] for row in json.loads(ask(gateway, "GET", "/v1/models", key)[2])["data"]] for key in (KEY, OTHER)
    ]
    assert models == [["tiny", "other"], ["other"]]


def large(size: int) -> dict:
    """A body with its model last."""
    return {"messages": [{"role": "user", "content": "x" * size}], "model": "tiny"}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("size", "expected"), [(20_000, 200), (1_000_000, 200), (1_150_000, 200), (1_250_000, 413), (5_000_000, 413)]
)
def test_bodies(bed, size, expected, chunked) -> None:
    """The model may stand at the end of a large one; beyond the limit it is 413."""
    gateway = bed()
    body = json.dumps(large(size)).encode()
    try:
        answer = ask(gateway, body=body, chunked=chunked)
    except (BrokenPipeError, ConnectionResetError):
        # the answer came before the body had ended, and http.client does not look
        assert expected == 413
        return
    assert answer[0] == expected, answer[2]
    if expected == 413:
        assert code(answer) == "request_too_large"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "model_missing")),
        (b"[]", (400, "model_missing")),
        (b'{"messages": []}', (400, "model_missing")),
        (b'{"model": null}', (400, "model_missing")),
        (b'{"mod\\u0065l": "tiny"}', (400, "model_missing")),
        (b'{"model": "none"}', (404, "model_not_found")),
        (b'{"model": 5}', (404, "model_not_found")),
    ],
)
def test_models_that_are_none(bed, body, expected) -> None:
    """An error object in the client's own terms."""
    answer = ask(bed(), body=body)
    assert (answer[0], code(answer)) == expected


def test_limits(bed) -> None:
    """Each key has its own; who is refused is told when to come back, and does not count against itself."""
    keys = [
        {"name": "alice", "key": KEY, "requests_per_minute": 3},
        {"name": "bob", "key": OTHER, "concurrent": 2},
    ]
    gateway = bed(keys=keys)
    answers = [ask(gateway) for _ in range(6)]
    assert [answer[0] for answer in answers] == [200] * 3 + [429] * 3
    assert (code(answers[-1]), answers[-1][1]["Retry-After"]) == ("rate_limit_exceeded", "21")
    for host in gateway.hosts.values():
        host.gap_s = 0.8
    together: list = []
    threads = [threading.Thread(target=lambda: together.append(ask(gateway, key=OTHER))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer[0] for answer in together) == [200, 200, 429, 429, 429]
    assert {code(answer) for answer in together if answer[0] == 429} == {"concurrency_exceeded"}


def test_streams_are_not_batched(bed) -> None:
    """Each token arrives when it is made: the gaps are looked at, not the total."""
    gateway = bed()
    for host in gateway.hosts.values():
        host.chunks, host.gap_s = 20, 0.03
    link = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    link.request(
        "POST",
        "/v1/chat/completions",
        json.dumps({"model": "tiny", "stream": True}),
        {"Authorization": "Bearer " + KEY},
    )
    answer = link.getresponse()
    times = []
    while line := answer.readline():
        if line.startswith(b"data: {"):
            times.append(time.monotonic())
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert gaps[len(gaps) // 2] < 0.1, gaps


def test_wait_while_the_only_host_switches(bed) -> None:
    """Requests wait and are served; those over the limit and after the time are told when to come back."""
    gateway = bed(hold_s=4, hold_requests=3, retry_after_s=7)
    runtime = runtime_socket.Runtime(str(gateway.tmp / "admin.sock"))
    for name in gateway.hosts:
        runtime.order("set server vllm_medium/%s state drain" % name)
    answers: list = []
    threads = [threading.Thread(target=lambda: answers.append(ask(gateway))) for _ in range(6)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    time.sleep(1.2)
    runtime.order("set server vllm_medium/node-1 state ready")
    for thread in threads:
        thread.join()
    assert sorted(answer[0] for answer in answers) == [200] * 3 + [503] * 3
    over = next(answer for answer in answers if answer[0] == 503)
    assert (code(over), over[1]["Retry-After"]) == ("service_unavailable", "7")
    runtime.order("set server vllm_medium/node-1 state drain")
    begin_s = time.monotonic()
    late = ask(gateway)
    assert (late[0], late[1]["Retry-After"]) == (503, "7")
    assert 3 < time.monotonic() - begin_s < 8


def test_reload_while_requests_wait(bed) -> None:
    """A worker that is replaced tells them to come again at once, instead of letting them wait for nobody."""
    gateway = bed(hold_s=60)
    runtime = runtime_socket.Runtime(str(gateway.tmp / "admin.sock"))
    for name in gateway.hosts:
        runtime.order("set server vllm_medium/%s state drain" % name)
    answers: list = []
    thread = threading.Thread(target=lambda: answers.append(ask(gateway)))
    thread.start()
    time.sleep(0.7)
    gateway.real.reload()
    thread.join(15)
    assert [(answer[0], answer[1]["Retry-After"]) for answer in answers] == [(503, "1")]


def test_a_host_that_fails(bed) -> None:
    """One that is not healthy gets nothing; both gone is an answer after the wait; back by itself."""
    gateway = bed(check_interval_s=1, check_fall=1, hold_s=1)
    gateway.hosts["node-1"].healthy = False
    time.sleep(2.5)
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(4)} == {"node-2"}
    gateway.hosts["node-1"].healthy = True
    time.sleep(2.5)
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(6)} == {"node-1", "node-2"}


def test_an_engine_that_stands_still(bed) -> None:
    """Its /health answers all the same: it is out while it gives no token, and back by itself."""
    gateway = bed(stall_s=2)
    runtime = runtime_socket.Runtime(str(gateway.tmp / "admin.sock"))

    def status() -> str:
        return runtime_socket.servers(runtime)["vllm_medium"]["node-1"]["status"]

    def until(word: str) -> None:
        end_s = time.monotonic() + 40
        while not status().startswith(word):
            assert time.monotonic() < end_s, status()
            time.sleep(0.2)

    runtime.order("set server vllm_medium/node-2 state drain")
    gateway.hosts["node-1"].frozen = True
    answers: list = []
    thread = threading.Thread(target=lambda: answers.append(ask(gateway, timeout=60)[0]))
    thread.start()
    time.sleep(1)
    runtime.order("set server vllm_medium/node-2 state ready")
    until("DOWN")
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(4)} == {"node-2"}
    gateway.hosts["node-1"].frozen = False
    until("UP")
    thread.join()
    assert answers == [200]


def test_usage(bed) -> None:
    """Requests and tokens of each key, streamed or not, in the metrics; HAProxy's own beside them."""
    gateway = bed()
    ask(gateway)
    ask(gateway, body={"model": "tiny", "stream": True})
    link = http.client.HTTPConnection("127.0.0.1", gateway.metrics, timeout=10)
    link.request("GET", "/metrics/keys")
    text = link.getresponse().read().decode()
    assert 'vllm_gateway_key_requests_total{key="alice",model="tiny"} 2' in text
    assert 'vllm_gateway_key_prompt_tokens_total{key="alice",model="tiny"} 14' in text
    assert 'vllm_gateway_key_completion_tokens_total{key="alice",model="tiny"} 10' in text
    link = http.client.HTTPConnection("127.0.0.1", gateway.metrics, timeout=10)
    link.request("GET", "/metrics")
    assert "haproxy_server_current_sessions" in link.getresponse().read().decode()


@pytest.mark.parametrize("balance", ["session", "prefix"])
def test_affinity(bed, balance) -> None:
    """The same session or beginning meets the same host; different ones are spread."""
    gateway = bed(balance=balance)

    def host(number: int) -> str:
        messages = [{"role": "user", "content": "beginning %d" % number}]
        return json.loads(
            ask(gateway, headers={"X-Session-Id": "s%d" % number}, body={"model": "tiny", "messages": messages})[2]
        )["host"]

    first = [host(number) for number in range(16)]
    assert set(first) == {"node-1", "node-2"}
    # a request whose end HAProxy has not seen yet counts as load, so now and then the other host takes over
    again = [host(number) for number in range(16)]
    assert sum(one == other for one, other in zip(first, again)) >= 13
