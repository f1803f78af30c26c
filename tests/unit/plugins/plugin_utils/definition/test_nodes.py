# SPDX-License-Identifier: GPL-3.0-or-later
"""One model over several hosts: who they are, what each is told, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition as service
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import nodes
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import role_options

HOSTVARS = {
    "gpu-1": {"ansible_host": "10.0.0.1"},
    "gpu-2": {"ansible_host": "203.0.113.2", "vllm_node_address": "10.0.0.2"},
    "gpu-3": {},
}
GROUPS = {"wide": ["gpu-1", "gpu-2"]}


@pytest.mark.parametrize(
    ("given", "names", "addresses"),
    [
        ([], [], []),
        (None, [], []),
        ("", [], []),
        ("wide", ["gpu-1", "gpu-2"], ["10.0.0.1", "10.0.0.2"]),
        (["wide"], ["gpu-1", "gpu-2"], ["10.0.0.1", "10.0.0.2"]),
        ("gpu-3, gpu-1", ["gpu-3", "gpu-1"], ["gpu-3", "10.0.0.1"]),
        (["gpu-2", "gpu-3"], ["gpu-2", "gpu-3"], ["10.0.0.2", "gpu-3"]),
    ],
)
def test_read(given, names, addresses) -> None:
    """A list of hosts, or one group; the first is the head, and the node's own address wins."""
    found = nodes.read(given, "gpu-1", GROUPS, HOSTVARS)
    assert found.get("names", []) == names
    assert found.get("addresses", []) == addresses


def hosts(me: str, given: object = "wide") -> dict:
    """What the plugins make of ``vllm_nodes``."""
    return nodes.read(given, me, GROUPS, HOSTVARS)


def defined(me: str, given: object = "wide", **variables: object) -> tuple[dict, list[dict], list[str]]:
    """Define a service that is sound but for ``variables``."""
    options = role_options("vllm")
    values = {name: option.get("default") for name, option in options.items()}
    values.update(
        {
            "vllm_profile": "none", "vllm_name": "wide", "vllm_model": "o/m", "vllm_nodes": given,
            "vllm_network_mode": "host", "vllm_api_key": "key", "vllm_gpu_devices": [0, 1],
            "vllm_tensor_parallel_size": 2, **variables,
        }
    )  # fmt: skip
    return service.define(values, options, hosts(me, given))


@pytest.mark.parametrize(
    ("me", "rank", "url"), [("gpu-1", 0, "http://127.0.0.1:8000"), ("gpu-2", 1, "http://10.0.0.1:8000")]
)
def test_each_is_told_its_place(me, rank, url) -> None:
    """Rank, rendezvous, and only the head has an API; layers are split over the hosts where nobody says otherwise."""
    found, problems, _warnings = defined(me)
    assert problems == []
    command = found["command"]
    assert command[command.index("--nnodes") + 1] == "2"
    assert command[command.index("--node-rank") + 1] == str(rank)
    assert command[command.index("--master-addr") + 1] == "10.0.0.1"
    assert ("--headless" in command) is bool(rank)
    assert (found["tensor_parallel_size"], found["pipeline_parallel_size"]) == (2, 2)
    assert found["sources"]["vllm_pipeline_parallel_size"] == {"value": "2", "from": "vllm_nodes"}
    assert found["base_url"] == url
    assert found["nodes"]["rank"] == rank
    assert found["nodes"]["peers"] == [name for name in ("gpu-1", "gpu-2") if name != me]
    assert "VLLM_HOST_IP" in found["environment"]


def data(**options: object) -> dict:
    """Options by which replicas are asked for."""
    return {"vllm_extra_options": {name.replace("_", "-"): value for name, value in options.items()}}


@pytest.mark.parametrize("size", [2, "2"])
@pytest.mark.parametrize("name", ["data-parallel-size", "dp"])
@pytest.mark.parametrize(("me", "rank", "url"), [("gpu-1", 0, "127.0.0.1"), ("gpu-2", 1, "10.0.0.1")])
def test_replicas(me, rank, url, name, size) -> None:
    """A data parallel size puts whole replicas onto each host; the head balances, the others are headless."""
    found, problems, _warnings = defined(me, vllm_extra_options={name: size, "api-server-count": 1})
    assert problems == []
    command = found["command"]
    told = {"--data-parallel-size-local": "1", "--data-parallel-address": "10.0.0.1"}
    told["--data-parallel-rpc-port"] = "29501"
    for option, value in told.items():
        assert command[command.index(option) + 1] == value
    assert "--data-parallel-size" in command
    assert not {"--nnodes", "--node-rank", "--pipeline-parallel-size"} & set(command)
    assert ("--headless" in command) is bool(rank)
    # vLLM refuses it where there is no API
    assert ("--api-server-count" in command) is not bool(rank)
    assert ("--data-parallel-start-rank" in command) is bool(rank)
    assert found["pipeline_parallel_size"] == 1
    assert (found["nodes"]["parallel"], found["nodes"]["has_api"]) == ("data", not rank)
    assert found["base_url"] == "http://%s:8000" % url
    # requests are waited for from outside: vLLM itself lets its engines go at once
    assert "--shutdown-timeout" not in command


def test_several_replicas_on_each_host() -> None:
    """Ranks go on where those of the hosts before end, and GPUs are those of one host's replicas."""
    found, problems, _warnings = defined("gpu-2", **data(data_parallel_size=4), vllm_gpu_devices=None)
    assert problems == []
    assert found["nodes"]["replicas_here"] == 2
    assert found["command"][found["command"].index("--data-parallel-start-rank") + 1] == "2"
    assert found["gpu_devices"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("me", "rank"), [("gpu-1", 0), ("gpu-2", 1)])
@pytest.mark.parametrize("hybrid", [True, "true"])
def test_hybrid(me, rank, hybrid) -> None:
    """Each host has an API of its own, of which nobody else has to know."""
    found, problems, _warnings = defined(
        me, **data(data_parallel_size=2, data_parallel_hybrid_lb=True), vllm_publish_address="127.0.0.1"
    )
    assert problems == []
    assert "--data-parallel-hybrid-lb" in found["command"]
    assert "--headless" not in found["command"]
    assert ("--data-parallel-start-rank" in found["command"]) is bool(rank)
    assert found["nodes"]["has_api"] is True
    assert found["base_url"] == "http://127.0.0.1:8000"
    assert nodes.has_api(hosts(me), {"data-parallel-size": 2, "data-parallel-hybrid-lb": hybrid})


def test_release_without_the_options(monkeypatch) -> None:
    """What a release lacks is looked up in the table of options."""
    known = dict(nodes.vllm_options.options("0.32.0"))
    monkeypatch.setattr(
        nodes.vllm_options, "options", lambda _version: {k: v for k, v in known.items() if k != "headless"}
    )
    for more, words in (({}, "has no --headless"), ({"data_parallel_hybrid_lb": True}, "")):
        _found, problems, _warnings = defined("gpu-1", **data(data_parallel_size=2, **more))
        told = {item["variable"]: item["message"] for item in problems}
        assert words in told.get("vllm_version", "")
        assert bool(words) == ("vllm_version" in told)


def test_replicas_need_no_nnodes() -> None:
    """The oldest release has all that replicas need."""
    _found, problems, _warnings = defined("gpu-1", **data(data_parallel_size=2), vllm_version="0.11.0")
    assert problems == []


def test_alone_nothing_changes() -> None:
    """A service of one host hears nothing of nodes."""
    found, problems, _warnings = defined("gpu-1", given=[])
    assert problems == []
    assert found["nodes"] == {}
    assert not {"--nnodes", "--headless", "--distributed-executor-backend"} & set(found["command"])


def test_interface() -> None:
    """One interface for both libraries; what the operator sets for himself wins."""
    options = role_options("vllm")
    found, problems, _warnings = defined(
        "gpu-1", vllm_nodes_interface="eth1", vllm_extra_env={"NCCL_SOCKET_IFNAME": "ib0"}
    )
    assert problems == []
    assert found["environment"]["GLOO_SOCKET_IFNAME"] == "GLOO_SOCKET_IFNAME"
    assert found["environment"]["NCCL_SOCKET_IFNAME"] == "EXTRA_ENV_NCCL_SOCKET_IFNAME"
    values = {name: option.get("default") for name, option in options.items()}
    values.update(
        vllm_profile="none", vllm_name="wide", vllm_model="o/m", vllm_nodes="wide", vllm_network_mode="host",
        vllm_api_key="key", vllm_nodes_interface="eth1",
    )  # fmt: skip
    lines = dict(service.env_entries(values, options, hosts("gpu-2")))
    assert lines["GLOO_SOCKET_IFNAME"] == "eth1"
    assert lines["VLLM_HOST_IP"] == "10.0.0.2"


@pytest.mark.parametrize(
    ("me", "given", "variables", "variable", "words"),
    [
        ("gpu-1", ["gpu-1", "gpu-9"], {}, "vllm_nodes", "gpu-9: no such host"),
        ("gpu-1", ["gpu-1", "gpu-1"], {}, "vllm_nodes", "stands there twice"),
        ("gpu-1", ["gpu-1"], {"vllm_tensor_parallel_size": 2}, "vllm_nodes", "is one host"),
        ("gpu-3", "wide", {}, "vllm_nodes", "gpu-3 is none of them"),
        ("gpu-1", "wide", {"vllm_network_mode": "bridge"}, "vllm_network_mode", "Set host"),
        ("gpu-1", "wide", {"vllm_version": "0.11.0"}, "vllm_version", "0.11.1 is the first"),
        ("gpu-1", "wide", {"vllm_version": "nightly"}, "vllm_version", "nightly"),
        ("gpu-1", "wide", {"vllm_api_key": ""}, "vllm_publish_address", "seen by the head alone"),
        ("gpu-1", "wide", {"vllm_extra_options": {"nnodes": 2}}, "vllm_extra_options", "follows from vllm_nodes"),
        ("gpu-1", "wide", {"vllm_nodes_interface": "eth 1"}, "vllm_nodes_interface", "no interface"),
        ("gpu-1", "wide", {"vllm_tensor_parallel_size": 4}, "vllm_tensor_parallel_size", "on each"),
        ("gpu-1", "wide", {"vllm_nodes_port": 80}, "vllm_nodes_port", "1024"),
        ("gpu-1", "wide", data(data_parallel_size=3), "vllm_extra_options", "Set a multiple of 2"),
        ("gpu-1", "wide", data(data_parallel_size=1), "vllm_extra_options", "data-parallel-size, of all hosts"),
        ("gpu-1", "wide", data(data_parallel_hybrid_lb=True), "vllm_extra_options", "data-parallel-size, of all hosts"),
        ("gpu-1", "wide", data(data_parallel_size=4), "vllm_tensor_parallel_size", "data-parallel-size 4, over"),
        ("gpu-1", "wide", data(data_parallel_size=2, dpl=1), "vllm_extra_options", "data-parallel-size-local follows"),
        ("gpu-1", "wide", data(data_parallel_size=2, data_parallel_rank=0), "vllm_extra_options", "a process for each"),
        (
            "gpu-1", "wide", data(data_parallel_size=2, data_parallel_external_lb=True),
            "vllm_extra_options", "Use data-parallel-hybrid-lb",
        ),
        (
            "gpu-1", "wide", data(data_parallel_size=2, data_parallel_backend="ray"),
            "vllm_extra_options", "data-parallel-backend: vLLM's own processes",
        ),
        (
            "gpu-1", "wide", {**data(data_parallel_size=2), "vllm_api_key": ""},
            "vllm_publish_address", "seen by the head alone",
        ),
    ],
)  # fmt: skip
def test_refused(me, given, variables, variable, words) -> None:
    """Each message names the variable and the fix, before any host is contacted."""
    options = role_options("vllm")
    values = {name: option.get("default") for name, option in options.items()}
    values.update(
        {
            "vllm_profile": "none", "vllm_name": "wide", "vllm_model": "o/m", "vllm_nodes": given,
            "vllm_network_mode": "host", "vllm_api_key": "key", "vllm_gpu_devices": [0, 1],
            "vllm_tensor_parallel_size": 2, **variables,
        }
    )  # fmt: skip
    _found, problems, _warnings = service.define(values, options, hosts(me, given))
    told = {item["variable"]: item["message"] for item in problems}
    assert words in told[variable]


def test_loopback_is_refused() -> None:
    """A host that others would take for themselves."""
    options = role_options("vllm")
    values = {name: option.get("default") for name, option in options.items()}
    values.update(vllm_profile="none", vllm_name="w", vllm_model="o/m", vllm_network_mode="host", vllm_api_key="key")
    found = nodes.read(["a", "b"], "a", {}, {"a": {"ansible_host": "127.0.0.1"}, "b": {}})
    _found, problems, _warnings = service.define(values, options, found)
    assert "vllm_node_address" in {item["variable"] for item in problems}
