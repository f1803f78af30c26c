# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets, probes, and the files of Prometheus and Alertmanager."""

from __future__ import annotations

import json
import pathlib
import subprocess

import installed
import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import addresses, configuration, files, service
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import MonitoringError, Service, Timing

ROOT = pathlib.Path(__file__).resolve().parents[5]
BIN = ROOT / ".cache/prometheus/usr/bin"
PORTS = {"prometheus": 9090, "alertmanager": 9093, "blackbox": 9115}
SERVICE = Service(
    host="h1", name="medium", model='m"1', version="0.32.0", release="r1", address="10.0.0.7:5002",
    api_key_required=True, node_address="10.0.0.7:9100",
)  # fmt: skip

with_programs = installed.needs(BIN / "promtool")


def test_targets() -> None:
    """The release is a label: what fires again after a deployment is told again."""
    found = configuration.targets(SERVICE)
    assert sorted(found) == ["node/h1.json", "vllm/h1.medium.json"]
    (entry,) = json.loads(found["vllm/h1.medium.json"])
    assert entry["targets"] == ["10.0.0.7:5002"]
    shown = {name: value for name, value in entry["labels"].items() if not name.startswith("__")}
    assert shown == {"host": "h1", "service": "medium", "model": 'm"1', "release": "r1"}
    # vLLM's own labels would be renamed
    assert not {"engine", "model_name"} & set(entry["labels"])
    with pytest.raises(MonitoringError, match="host is 'a b'"):
        configuration.targets(Service(host="a b", name="x", model="m", version="0.32.0"))


def test_one_of_several_hosts_without_an_api() -> None:
    """It is not asked, not even by the file of before; its machine is."""
    headless = Service(**{**SERVICE.__dict__, "has_api": False})
    assert json.loads(configuration.targets(headless)["vllm/h1.medium.json"]) == []
    assert json.loads(configuration.targets(headless)["node/h1.json"]) != []
    assert configuration.question(headless, 9.5, "/keys", True) == ""


@pytest.mark.parametrize("kind", sorted(configuration.QUESTIONS))
def test_question(kind) -> None:
    """Its key is in a file, since blackbox_exporter shows headers to everybody; its body is JSON."""
    text = configuration.question(Service(**{**SERVICE.__dict__, "kind": kind}), 9.5, "/keys", True)
    module = yaml.safe_load("modules:\n" + text)["modules"]["request_h1.medium"]
    assert json.loads(module["http"]["body"])["model"] == 'm"1'
    assert module["http"]["authorization"] == {"type": "Bearer", "credentials_file": "/keys/h1.medium.key"}
    assert "Authorization" not in module["http"]["headers"]


def test_no_question() -> None:
    """A kind that cannot be asked by one text has none, and no target of that job."""
    deaf = Service(**{**SERVICE.__dict__, "kind": "transcription"})
    assert configuration.question(deaf, 9.5, "/keys", True) == ""
    (entry,) = json.loads(configuration.targets(deaf)["vllm/h1.medium.json"])
    assert "__vllm_path" not in entry["labels"]


RECEIVERS = [
    {"type": "webhook", "url": "http://127.0.0.1:1/"},
    {"type": "slack", "url": "https://hooks.example.org/x", "channel": "#ops", "severities": ["page"]},
    {"type": "email", "to": "a@example.org", "from": "b@example.org", "smarthost": "mail.example.org:587",
     "username": "u", "password": "p"},
]  # fmt: skip


def test_alertmanager() -> None:
    """Who wants pages alone gets no tickets."""
    found = yaml.safe_load(configuration.alertmanager(RECEIVERS, 15, 3600))
    by_name = {item["name"]: item for item in found["receivers"]}
    assert sorted(by_name["page"]) == ["email_configs", "name", "slack_configs", "webhook_configs"]
    assert sorted(by_name["ticket"]) == ["email_configs", "name", "webhook_configs"]
    assert "release" in found["route"]["group_by"]
    assert [item["repeat_interval"] for item in found["route"]["routes"]] == ["3600s", "43200s"]
    assert yaml.safe_load(configuration.alertmanager([], 15, 3600))["receivers"] == [
        {"name": "page"},
        {"name": "ticket"},
    ]


@pytest.mark.parametrize(
    ("receiver", "message"),
    [
        ({"type": "pager"}, "entry 1: its type is 'pager'. Choose one of webhook, slack, email"),
        ({"type": "email", "to": "x"}, "a receiver of the type email needs from and smarthost"),
        ({"type": "webhook", "url": "x", "chanel": "y"}, "has no key chanel"),
        ({"type": "webhook", "url": "x", "severities": "page"}, "severities are 'page'"),
        ("text", "is no dictionary"),
        ({"type": ["slack"], "url": "PLANTED"}, "its type is"),
        ({"type": "slack", "url": "PLANTED", "severities": 5}, "its severities are 5"),
        ({"type": "slack", "url": "PLANTED", "severities": [["page"]]}, "its severities are"),
    ],
)
def test_wrong_receivers(receiver, message) -> None:
    """No message holds an address, which may be a secret."""
    with pytest.raises(MonitoringError, match=message):
        configuration.alertmanager([receiver], 15, 3600)


@with_programs
def test_programs_take_their_files(tmp_path) -> None:
    """As promtool, amtool and blackbox_exporter themselves read them."""
    prometheus = configuration.prometheus(Timing(), "vllm", "127.0.0.1", PORTS, True)
    (tmp_path / "prometheus.yml").write_text(
        prometheus.replace("/etc/vllm-monitoring", str(tmp_path)), encoding="utf-8"
    )
    (tmp_path / "password").write_text("x", encoding="utf-8")
    (tmp_path / "alertmanager.yml").write_text(configuration.alertmanager(RECEIVERS, 15, 3600), encoding="utf-8")
    parts = [configuration.probes_head(9.5, True)]
    for kind in configuration.QUESTIONS:
        one = Service(**{**SERVICE.__dict__, "kind": kind, "name": kind})
        parts.append(configuration.question(one, 9.5, "/keys", False))
    (tmp_path / "blackbox.yml").write_text("".join(parts), encoding="utf-8")
    for words in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "alertmanager.yml"],
        ["prometheus-blackbox-exporter", "--config.check", "--config.file=blackbox.yml"],
    ):
        done = subprocess.run([BIN / words[0], *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def definition(**more) -> dict:
    """What monitoring reads of a service's definition."""
    return {"name": "medium", "port": 5002, "published": True, "publish_address": "10.0.0.7", **more}


@pytest.mark.parametrize(
    ("published", "same", "address"),
    [("10.0.0.7", False, "10.0.0.7:5002"), ("0.0.0.0", False, "10.0.0.9:5002"), ("127.0.0.1", True, "127.0.0.1:5002"),
     ("fd00::7", False, "[fd00::7]:5002")],
)  # fmt: skip
def test_address(published, same, address) -> None:
    """Where the service is asked; one that is open to everybody is told."""
    found, warning = addresses.of_service(definition(publish_address=published), "10.0.0.9", same)
    assert found == address
    assert ("/metrics" in warning) is (published == "0.0.0.0")


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"publish_address": "127.0.0.1"}, "vllm_publish_address: medium answers on 127.0.0.1 alone"),
     ({"published": False}, "vllm_publish is false")],
)  # fmt: skip
def test_unreachable(changed, message) -> None:
    """What Prometheus cannot reach is refused, with the way out."""
    with pytest.raises(MonitoringError, match=message):
        addresses.of_service(definition(**changed), "10.0.0.9", False)


def test_machine() -> None:
    """An address that everybody reaches is only taken when somebody says so."""
    assert addresses.of_machine("h", "", "10.0.0.7", False) == "10.0.0.7"
    assert addresses.of_machine("h", "", "10.0.0.7", True) == "127.0.0.1"
    assert addresses.of_machine("h", "8.8.8.8", "10.0.0.7", False) == "8.8.8.8"
    for found, message in (("8.8.8.8", "the public address 8.8.8.8"), ("", "has no default route")):
        with pytest.raises(MonitoringError, match=message):
            addresses.of_machine("h", "", found, False)


@pytest.mark.parametrize(
    ("own", "message"),
    [({"queue": 1}, "no limit 'queue'"), ({"queue_requests": "5"}, "is '5'"), ({"errors_ratio": 2}, "share below 1"),
     ({"slo_ttft_s": 3}, "Set one of .*2.5")],
)  # fmt: skip
def test_limits(own, message) -> None:
    """A goal that no bucket can show is refused."""
    with pytest.raises(MonitoringError, match=message):
        service.checked_limits(own)
    assert service.checked_limits({"slo_ttft_s": 1})["slo_ttft_s"] == 1


def test_several_services_of_one_machine() -> None:
    """Their machine is the label, by which its node_exporter is known too."""
    groups = {"all": ["gpu-1", "gpu-1-chat"], "vllm_machine_gpu_1": ["gpu-1-chat"]}
    assert files.machine_of({"name": "gpu-1-chat", "groups": groups}) == "gpu-1"
    assert files.machine_of({"name": "other", "groups": groups}) == "other"
