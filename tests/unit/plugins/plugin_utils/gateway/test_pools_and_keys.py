# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told: services of all hosts, keys, limits, errors; and what is refused, in which words."""

from __future__ import annotations

import hashlib
import json

import pytest
from gateway_cases import GATEWAY, KEY, service

from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import errors, keys, maps, plan, pools


def read(*found) -> tuple:
    """Read services for the gateway of the cases."""
    return pools.read(list(found), GATEWAY)


def test_pools() -> None:
    """Replicas are one pool, other services pools of their own; adapters are models."""
    one = service("node-1")
    one["definition"]["lora_adapters"] = [{"name": "sql"}]
    two = service("node-2")
    two["definition"]["lora_adapters"] = [{"name": "sql"}]
    found, problems, warnings = read(two, one, service("node-3", "second", ("other",)))
    assert (problems, warnings) == ([], [])
    assert [pool["backend"] for pool in found] == ["vllm_medium", "vllm_second"]
    assert found[0]["models"] == ["tiny", "sql"]
    assert [(row["name"], row["address"]) for row in found[0]["servers"]] == [
        ("node-1", "192.0.2.11"),
        ("node-2", "192.0.2.12"),
    ]


@pytest.mark.parametrize(("has_api", "names"), [(False, ["node-1"]), (True, ["node-1", "node-2"])])
def test_hosts_that_serve_together(has_api, names) -> None:
    """The head is the replica's server; where each host has an API, each is one."""
    head, other = service("node-1"), service("node-2")
    head["definition"]["nodes"] = {"has_api": True}
    other["definition"]["nodes"] = {"has_api": has_api}
    found, problems, _warnings = read(head, other)
    assert problems == []
    assert [row["name"] for row in found[0]["servers"]] == names


@pytest.mark.parametrize(
    ("changes", "address", "words"),
    [
        ({"publish_address": "127.0.0.1"}, "127.0.0.1", "Set vllm_publish_address"),
        ({"publish_address": "127.0.0.1", "ansible_host": "gateway-1.example.com"}, "127.0.0.1", ""),
        ({"publish_address": "0.0.0.0"}, "node-1", "listens on all addresses"),
        ({"publish_address": "0.0.0.0", "ansible_host": "gateway-1.example.com"}, "127.0.0.1", "listens on all"),
        ({"publish_address": "0.0.0.0", "address": "192.0.2.99"}, "192.0.2.99", "listens on all addresses"),
        ({"publish_address": "8.8.8.8"}, "8.8.8.8", "no private address"),
        ({"publish_address": "10.1.2.3"}, "10.1.2.3", ""),
        ({"published": False}, "", "vllm_publish is false"),
        ({"address": "a b"}, "a b", "vllm_gateway_server_address"),
    ],
)
def test_addresses(changes, address, words) -> None:
    """Where the gateway reaches a host, and what is said of it."""
    found, problems, warnings = read(service("node-1", **changes))
    assert found[0]["servers"][0]["address"] == address
    assert words in " ".join(problems + warnings)
    assert bool(words) == bool(problems + warnings)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (service("node-2", models=("else",)), "vllm_served_model_name"),
        (service("node-2", api_key="PLANTED-2"), "vllm_api_key"),
        (service("node-2", scheme="https"), "vllm_ssl_certfile"),
        (service("node-2", "second"), "'tiny' is a name of the services medium and second"),
        (service("no de2"), "HAProxy takes no such name"),
    ],
)
def test_what_does_not_go_together(second, words) -> None:
    """Told with the variable, and without a key."""
    _found, problems, _warnings = read(service("node-1"), second)
    assert words in " ".join(problems)
    assert "PLANTED" not in " ".join(problems)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "a"}, "neither key nor sha256"),
        ({"name": "a", "key": KEY, "sha256": "0" * 64}, "it has both"),
        ({"name": "a", "key": "PLANTED short"}, "20 or more characters"),
        ({"name": "a", "key": "PLANTED with a space in it"}, "without spaces"),
        ({"name": "a", "sha256": "xyz"}, "64 hexadecimal"),
        ({"name": "a|b", "key": KEY}, "no usable name"),
        ({"key": KEY}, "no usable name"),
        ({"name": "a", "key": KEY, "models": "tiny"}, "no list of names"),
        ({"name": "a", "key": KEY, "concurrent": 0}, "concurrent"),
        ({"name": "a", "key": KEY, "requests_per_minute": "5"}, "requests_per_minute"),
        ({"name": "a", "key": KEY, "expires": "soon"}, "expires is 'soon'"),
        ({"name": "a", "key": KEY, "expire": "2030-01-01"}, "no field expire"),
        (
            {"name": "a", "key": KEY, "previous": {"key": KEY, "expires": "2030-01-01"}},
            "the same key stands there twice",
        ),
        ({"name": "a", "key": KEY, "previous": {"sha256": "0" * 64}}, "until when the key of before is taken"),
        ({"name": "a", "key": KEY, "previous": KEY}, "previous is no dictionary"),
        ({"name": "a", "key": KEY, "previous": {"expires": "2030-01-01"}}, "previous: it has neither key nor sha256"),
        ({"name": "a", "key": KEY, "previous": {"sha256": "0" * 64, "expires": "soon"}}, "previous: expires is 'soon'"),
    ],
)
def test_bad_keys(entry, words) -> None:
    """Each problem names the entry and holds no key."""
    _keys, problems, _warnings = keys.read([entry], ["tiny"])
    assert words in " ".join(problems)
    assert "PLANTED" not in " ".join(problems)


def test_keys_twice() -> None:
    """A name or a key that two entries have; a model that nobody has is a warning."""
    entries = [{"name": "a", "key": KEY}, {"name": "a", "key": KEY, "models": ["none"]}]
    _keys, problems, warnings = keys.read(entries, ["tiny"])
    assert ("two entries" in problems[0], "the same key" in problems[1], "none" in warnings[0]) == (True, True, True)
    assert keys.read("x", [])[1] != []


def test_maps() -> None:
    """The hash and no key; limits, models and expiry of each."""
    entry = {
        "name": "a",
        "key": KEY,
        "models": ["tiny"],
        "requests_per_minute": 5,
        "concurrent": 2,
        "expires": "2030-01-01",
        "previous": {"sha256": "e" * 64, "expires": "2029-01-01"},
    }
    read_keys, _problems, _warnings = keys.read([entry, {"name": "b", "sha256": "F" * 64}], ["tiny"])
    found = maps.of(read_keys, read(service("node-1"))[0], ["POST /v1/embeddings"])
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert digest + " a\n" + "e" * 64 + " a\n" in found["keys"]
    assert "f" * 64 + " b\n" in found["keys"]
    assert KEY not in json.dumps(found)
    names = ("expiry", "rate", "concurrent", "allowed", "backends", "paths", "upstream")
    assert [found[name].splitlines()[1:] for name in names] == [
        [digest + " 1893456000", "e" * 64 + " 1861920000"], ["a 5"], ["a 2"],
        ["a|tiny 1", "b|* 1"], ["tiny vllm_medium"], ["POST|/v1/embeddings 1"],
        ["vllm_medium PLANTED-vllm"],
    ]  # fmt: skip


def test_errors() -> None:
    """Each is an object of the OpenAI API; raw answers have the length that they say."""
    for item in errors.returns().values():
        assert set(json.loads(item["body"])["error"]) == {"message", "type", "param", "code"}
        assert "'" not in item["body"]
    for name, text in errors.files(9).items():
        head, _line, content = text.partition("\r\n\r\n")
        assert "Content-Length: %d" % len(content) in head
        assert ("Retry-After: 9" in head) == (name == "503.http")
        json.loads(content)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retry_after_s": 90}, "Use 1 to 60"),
        ({"hold_requests": 0}, "vllm_gateway_hold_requests: 0 is out of range"),
        ({"port": 70000}, "vllm_gateway_port: 70000 is out of range"),
        ({"address": "gateway.example.com"}, "expected an IP address"),
        ({"tls": "files"}, "vllm_gateway_tls_certificate is not set"),
        ({"paths": ["/v1/models"]}, "expected a method and a path"),
    ],
)
def test_bad_settings(values, changes, words) -> None:
    """Told with the variable."""
    _made, problems, _warnings = plan.make(values(**changes), [service("node-1")], GATEWAY)
    assert words in " ".join(problems)


def test_plan_shows_no_secret(values, render) -> None:
    """The configuration and what it is rendered with hold no key; without services there is no plan."""
    made, problems, warnings = plan.make(values(tls="none"), [service("node-1")], GATEWAY)
    assert (problems, len(warnings)) == ([], 1)
    configuration = render("haproxy.cfg.j2", made)
    assert "PLANTED" not in json.dumps(made["settings"]) + configuration
    # with more, answers hang now and then (the template says when)
    assert "\n    nbthread 1\n" in configuration
    assert "nothing to send requests to" in plan.make(values(), [], GATEWAY)[1][0]
    assert "everybody gets 401" in " ".join(plan.make(values(keys=[]), [service("node-1")], GATEWAY)[2])
