# SPDX-License-Identifier: GPL-3.0-or-later
"""The action gateway_plan: whose services it takes, which it misses, and that it shows no key."""

from __future__ import annotations

import hashlib
import json

import pytest
from gateway_cases import KEY, service


@pytest.fixture
def run(action):
    """Run it on gateway-1, with these groups and variables of hosts."""

    def call(groups: dict, hosts: dict, **variables) -> dict:
        hosts = {"gateway-1": {}, **hosts}
        given = {
            "inventory_hostname": "gateway-1",
            "groups": groups,
            "hostvars": hosts,
            "vllm_gateway_keys": [{"name": "alice", "key": KEY}],
            **variables,
        }
        return action("gateway_plan", {}, given).run(task_vars=given)

    return call


def host(name: str, **more) -> dict:
    """Variables of a host whose service is defined."""
    return {"vllm_definition": service(name, **more)["definition"], "vllm_api_key": "PLANTED-vllm"}


def test_takes_hosts_and_services_of_machines(run) -> None:
    """A machine with several services is left out for the hosts that were made of them."""
    groups = {"vllm": ["node-1", "node-2", "node-2-second"], "vllm_machine_node_2": ["node-2-second"]}
    second = host("node-2")
    second["vllm_definition"].update(name="second", served_model_names=["other"])
    result = run(groups, {"node-1": host("node-1"), "node-2": {}, "node-2-second": second})
    assert not result.get("failed"), result
    assert [pool["backend"] for pool in result["settings"]["pools"]] == ["vllm_medium", "vllm_second"]
    assert result["_ansible_no_log"] is True
    assert "PLANTED" not in json.dumps(result["settings"])


@pytest.mark.parametrize(
    ("groups", "hosts", "variables", "words"),
    [
        ({"vllm": ["node-1"]}, {"node-1": {}}, {}, "node-1: its service is not defined in this run"),
        ({}, {}, {}, "nothing to send requests to"),
        ({"vllm": ["node-1"]}, {"node-1": host("node-1")}, {"vllm_gateway_hold_s": "soon"}, "vllm_gateway_hold_s"),
        ({"vllm": ["node-1"]}, {"node-1": host("node-1")}, {"vllm_gateway_keys": [{"name": "x"}]}, "neither key nor"),
    ],
)
def test_problems(run, groups, hosts, variables, words) -> None:
    """All in one message, without a key."""
    result = run(groups, hosts, **variables)
    assert result["failed"]
    assert words in result["msg"]
    assert "PLANTED" not in json.dumps(result)


def test_keys_of_a_form(run) -> None:
    """A form sends them as JSON in a text; what is no JSON is refused without being quoted."""
    groups, hosts = {"vllm": ["node-1"]}, {"node-1": host("node-1")}
    text = json.dumps([{"name": "try", "key": KEY, "requests_per_minute": 3}])
    result = run(groups, hosts, vllm_gateway_keys=text)
    assert not result.get("failed"), result
    assert hashlib.sha256(KEY.encode()).hexdigest() in json.dumps(result["files"])
    for broken in (text[:-1], '{"name": "x", "key": "%s"}' % KEY):
        result = run(groups, hosts, vllm_gateway_keys=broken)
        assert result["failed"]
        assert "vllm_gateway_keys" in result["msg"]
        assert KEY not in json.dumps(result)
