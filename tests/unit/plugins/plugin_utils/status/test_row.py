# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service is, by what was seen of it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.status import row as status_row

NOW_S = 1769860800.0
ABOUT = {"host": "gpu01", "address": "192.0.2.10", "service": "medium"}
RELEASE = {
    "name": "20260131T120000Z-abc", "current": True, "good": True, "good_since": "2026-01-31T12:05:00Z",
    "model": "a/b", "served_model_name": "b", "vllm_version": "0.32.0", "image": "i:v0.32.0", "container_id": "c1",
}  # fmt: skip
SNAPSHOT = {
    "healthy": True, "vllm_version": "0.32.0", "releases": [RELEASE], "image": {"created": "2026-01-01T12:00:00.5Z"},
    "container": {"id": "c1", "state": "running", "restart_count": 2, "restart_policy": "unless-stopped"},
    "kv_cache": {"tokens": 1000}, "problem": "", "model_commit": "f" * 40,
}  # fmt: skip
VITALS = {
    "now_s": NOW_S, "started_s": NOW_S - 90, "exit_code": 0, "weights_s": NOW_S - 86400, "lock": {},
    "load": {"running": 3, "waiting": 1, "kv_cache_usage": 0.25},
    "gpus": [{"index": 0, "uuid": "GPU-a"}, {"index": 1, "uuid": "GPU-b"}],
    "ports": [{"address": "127.0.0.1", "port": 5002, "inside": 5002}], "networks": ["x"],
    "host_addresses": ["192.0.2.10", "2001:db8::1"], "guards": {"api_key": True, "tls": False},
}  # fmt: skip
CONFIG = {"summary": [], "problem": "", "release": {"name": RELEASE["name"], "current": True}}


@pytest.fixture(name="row")
def row_(medium):
    """Make the row of a service that serves, with changes of what was seen."""
    definition = medium({"vllm_api_key": "key-of-the-tests"})

    def make(snapshot=None, vitals=None, config=None, failure="", known=True) -> dict:
        return status_row.made(
            ABOUT, definition if known else {}, {**SNAPSHOT, **(snapshot or {})} if snapshot != {} else {},
            {**VITALS, **(vitals or {})}, {**CONFIG, **(config or {})}, failure,
        )  # fmt: skip

    return make


def test_one_that_serves(row) -> None:
    """Everything that is known is in it."""
    found = row()
    assert (found["state"], found["words"], found["release"]) == ("serves", "", RELEASE["name"])
    assert (found["uptime_s"], found["restarts"]) == (90, 2)
    assert (found["requests_running"], found["requests_waiting"], found["kv_cache_usage"]) == (3, 1, 0.25)
    assert found["drift"] == {"known": True, "lines": []}
    assert (found["image_age_s"], found["weights_age_s"]) == (30 * 86400, 86400)
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 1]


DOWN = {"healthy": False, "problem": "nothing answers"}


@pytest.mark.parametrize(
    ("snapshot", "vitals", "state", "words"),
    [
        ({"unreachable": True, "msg": "ssh: no route\nmore"}, {}, "unreachable", "ssh: no route"),
        ({**DOWN, "stopped": {"who": "ann", "at": "now"}, "container": {"state": "exited"}}, {}, "stopped",
         "by ann at now"),
        ({**DOWN, "container": {"id": "c1", "state": "exited"}}, {"exit_code": 137}, "failed", "exit code 137"),
        ({**DOWN, "container": {"id": "c1", "state": "restarting"}}, {}, "failed", "restarting"),
        ({**DOWN, "container": {"id": "c1", "state": "running"}}, {}, "no answer", "/health does not answer"),
        ({**DOWN, "container": {"id": "c1", "state": "running"}}, {"lock": {"who": "x"}}, "starting", "watch_medium"),
        ({**DOWN, "container": {"id": "c1", "state": "running"}, "releases": [{**RELEASE, "good": False}]}, {},
         "starting", "watch_medium"),
        ({**DOWN, "container": {"state": ""}}, {}, "failed", "nothing answers"),
        ({**DOWN, "container": {"state": ""}, "releases": []}, {}, "not deployed", "nothing answers"),
        ({"failed": True, "msg": "no root"}, {}, "no answer", "no root"),
    ],
)  # fmt: skip
def test_states(snapshot, vitals, state, words, row) -> None:
    """Each has its words, and is one of those that the table puts in order."""
    found = row(snapshot, vitals)
    assert found["state"] == state
    assert state in status_row.STATES
    assert words in found["words"]


@pytest.mark.parametrize(
    ("container", "state"), [("running", "serves"), ("exited", "failed"), ("restarting", "failed")]
)
def test_a_node_without_an_api(container, state, medium) -> None:
    """Its head answers, and goes on saying that all is well when this one is gone; clients never come here."""
    definition = {**medium({}), "nodes": {"has_api": False}}
    seen = {**SNAPSHOT, "container": {**SNAPSHOT["container"], "state": container}}
    found = status_row.made(ABOUT, definition, seen, VITALS, CONFIG, "")
    assert (found["state"], found["reached"]) == (state, [])


def test_variables_that_are_no_service(row) -> None:
    """The count of the problems and the first of them are told."""
    found = row({}, failure="2 problems in the definition\n- vllm_port: no number\n- more", known=False)
    assert (found["state"], found["drift"]["known"], found["reached"]) == ("refused", False, [])
    assert found["words"] == "2 problems in the definition - vllm_port: no number"


@pytest.mark.parametrize(
    ("snapshot", "config", "known", "text"),
    [
        ({}, {"summary": [".env: +A"]}, True, ".env: +A"),
        ({}, {"release": {"name": "older", "current": False}}, True, "release older, which the host has"),
        ({"container": {**SNAPSHOT["container"], "id": "c2"}}, {}, True, "made anew"),
        (
            {"container": {**SNAPSHOT["container"], "restart_policy": "no"}},
            {},
            True,
            "restart policy is no, not unless",
        ),
        ({"releases": []}, {}, True, "nothing is deployed"),
        ({}, {"problem": "Compose refuses it"}, False, "cannot be compared: Compose refuses it"),
        ({}, {"failed": True, "msg": "no file"}, False, "cannot be compared: no file"),
    ],
)
def test_drift(snapshot, config, known, text, row) -> None:
    """What differs is named; what could not be compared is not the same."""
    drift = row({**SNAPSHOT, **snapshot}, None, config)["drift"]
    assert drift["known"] is known
    assert text in drift["lines"][0]


@pytest.mark.parametrize(
    ("vitals", "wanted"),
    [
        ({}, [("http://127.0.0.1:5002", "this host only", ["API key", "no TLS"])]),
        ({"ports": [{"address": "0.0.0.0", "port": 80, "inside": 1}, {"address": "::", "port": 80, "inside": 1}],
          "guards": {"api_key": False, "tls": True}},
         [("https://192.0.2.10:80", "whoever reaches an address of the host", ["no key", "TLS"]),
          ("https://[2001:db8::1]:80", "whoever reaches an address of the host", ["no key", "TLS"])]),
        ({"ports": [{"address": "10.0.0.1", "port": 80, "inside": 1}]},
         [("http://10.0.0.1:80", "whoever reaches this address", ["API key", "no TLS"])]),
        ({"ports": [], "networks": ["backend"]},
         [("http://127.0.0.1:5002", "containers of the network backend", ["API key", "no TLS"])]),
    ],
)  # fmt: skip
def test_reached(vitals, wanted, row) -> None:
    """Where, by whom, and what guards it there; every address of a host once."""
    found = [(item["url"], item["by"], item["guards"]) for item in row(None, vitals)["reached"]]
    assert found == wanted


@pytest.mark.parametrize(
    ("address", "url", "by"),
    [
        ("0.0.0.0", "http://192.0.2.10:", "whoever reaches an address of the host"),
        ("127.0.0.1", "http://127.0.0.1:", "this host only"),
    ],
)
def test_the_network_of_the_host(address, url, by, medium) -> None:
    """Address and port are those of the process, where no port is published."""
    definition = medium({"vllm_network_mode": "host", "vllm_publish_address": address})
    seen = {**VITALS, "ports": [], "networks": ["host"]}
    found = status_row.reached(definition, seen, ABOUT["address"], True)
    assert found[0]["url"].startswith(url)
    assert found[0]["by"] == by


@pytest.mark.parametrize(("address", "guarded"), [("0.0.0.0", True), ("10.0.0.1", True), ("127.0.0.1", False)])
def test_allowed_sources(address, guarded, medium) -> None:
    """They hold wherever others reach the port, whichever address it is published on."""
    definition = {**medium({}), "allowed_sources": ["10.1.0.0/16"]}
    seen = {**VITALS, "ports": [{"address": address, "port": 80, "inside": 1}]}
    found = status_row.reached(definition, seen, ABOUT["address"], True)
    assert ("only from 10.1.0.0/16" in found[0]["guards"]) is guarded


@pytest.mark.parametrize(
    ("devices", "indices"),
    [(["1"], [1]), ([0, "GPU-b"], [0, 1]), (["all"], [0, 1]), ([], [0, 1]), (["MIG-x"], [0, 1]), (["7"], [])],
)
def test_gpus_of_the_service(devices, indices) -> None:
    """One that nvidia-smi does not show any more has nobody else's in its place."""
    assert [gpu["index"] for gpu in status_row._of_service(VITALS["gpus"], devices)] == indices
