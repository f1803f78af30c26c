# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup monitoring_files: what a monitoring host gets of itself and of a service."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

DEFINITION = {
    "name": "medium", "port": 5002, "published": True, "publish_address": "10.0.0.7", "accelerator": "nvidia",
    "tensor_parallel_size": 2, "pipeline_parallel_size": 1, "gpu_devices": [], "served_model_name": "m",
    "scheme": "http", "version": "0.32.0", "api_key_required": True, "container_name": "c",
}  # fmt: skip
HOST = {
    "inventory_hostname": "h1",
    "groups": {"all": ["h1", "w1"], "monitoring": ["w1"]},
    "ansible_facts": {"default_ipv4": {"address": "10.0.0.7"}},
    "vllm_definition": DEFINITION,
    "vllm_api_key": trust_as_template("{{ 'PLANTED' ~ '-key' }}"),
}


@pytest.fixture(name="lookup")
def lookup_(loader):
    """Ask for the files of a part, by path."""

    def ask(part: str, options: dict, **more: object) -> dict:
        variables = {**HOST, **more}
        plugin = lookup_loader.get(
            "myia.vllm.monitoring_files", loader=loader, templar=Templar(loader=loader, variables=variables)
        )
        return {item["path"]: item for item in plugin.run([part], variables, hosts=["w1"], **options)}

    return ask


def test_service(lookup) -> None:
    """The release that runs decides; the key is the one secret, and in no other file."""
    found = lookup("service", {"release": "r1", "version": "0.20.0", "model": "other"})
    assert sorted(found) == [
        "address", "blackbox.d/50-h1.medium.yml", "keys/h1.medium.key", "rules/h1.medium.yml", "targets/node/h1.json",
        "targets/vllm/h1.medium.json",
    ]  # fmt: skip
    assert [path for path, item in found.items() if item["secret"]] == ["keys/h1.medium.key"]
    assert [path for path, item in found.items() if "PLANTED-key" in item["content"]] == ["keys/h1.medium.key"]
    (entry,) = json.loads(found["targets/vllm/h1.medium.json"]["content"])
    assert (entry["labels"]["release"], entry["labels"]["model"]) == ("r1", "other")
    assert "admission_rejections" not in found["rules/h1.medium.yml"]["content"]
    assert "< 2 and" in found["rules/h1.medium.yml"]["content"]
    assert found["address"]["content"] == "10.0.0.7"


def test_a_build_of_ones_own(lookup) -> None:
    """It calls itself what is no release: the one that the inventory names counts."""
    found = lookup("service", {"release": "r1", "version": "dev"})
    assert found["rules/h1.medium.yml"] == lookup("service", {"release": "r1"})["rules/h1.medium.yml"]
    assert lookup("dashboards", {"version": "dev"}) == lookup("dashboards", {})


@pytest.mark.parametrize("limits", [{"slo_ttft_s": "soon"}, {"no_such": 1}])
def test_limits_of_dashboards(limits, lookup) -> None:
    """Refused as those of the rules are."""
    with pytest.raises(AnsibleLookupError, match="vllm_monitoring_limits"):
        lookup("dashboards", {}, vllm_monitoring_limits=limits)


def test_server(lookup) -> None:
    """With files for a Prometheus that is there already, nobody's Alertmanager is configured."""
    assert sorted(lookup("server", {})) == [
        "alertmanager.yml",
        "blackbox.d/00-head.yml",
        "prometheus.yml",
        "rules/gateway.yml",
    ]
    assert "alertmanager.yml" not in lookup("server", {}, vllm_monitoring_mode="files")
    secret = {path for path, item in lookup("server", {}).items() if item["secret"]}
    assert secret == {"alertmanager.yml"}


def test_gateway(lookup) -> None:
    """Where its exporter is."""
    found = lookup("gateway", {})
    assert json.loads(found["targets/gateway/h1.json"]["content"])[0]["targets"] == ["10.0.0.7:8404"]


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, ["10.0.0.7:443"]),
        ({"vllm_gateway_port": 8443, "vllm_gateway_address": "10.0.0.9"}, ["10.0.0.9:8443"]),
        ({"vllm_gateway_address": "::"}, ["10.0.0.7:443"]),
        ({"vllm_gateway_tls": "none"}, []),
    ],
)
def test_certificate_of_a_gateway(lookup, variables, asked) -> None:
    """It is asked where clients reach it, and not where it has none."""
    found = json.loads(lookup("gateway", {}, **variables)["targets/certificate/h1.json"]["content"])
    assert [target for entry in found for target in entry["targets"]] == asked
    assert all(entry["labels"] == {"gateway": "h1"} for entry in found)


def test_port_of_a_gateway_that_is_none(lookup) -> None:
    """Said with its variable."""
    with pytest.raises(AnsibleLookupError, match="vllm_gateway_port"):
        lookup("gateway", {}, vllm_gateway_port="https")


@pytest.mark.parametrize(
    ("part", "more", "message"),
    [
        ("service", {"vllm_definition": {**DEFINITION, "publish_address": "127.0.0.1"}},
         "vllm_publish_address: medium"),
        ("service", {"vllm_api_key": ""}, "vllm_api_key: the service wants a key"),
        ("server", {"vllm_monitoring_scrape_s": 0}, "vllm_monitoring_scrape_s is 0"),
        ("server", {"vllm_monitoring_scrape_s": "often"}, "vllm_monitoring_scrape_s"),
        ("server", {"vllm_monitoring_blackbox_port": 9090}, "have the same value"),
        ("server", {"vllm_monitoring_receivers": [{"type": "fax"}]}, "its type is 'fax'"),
        ("nothing", {}, "no part 'nothing'"),
    ],
)  # fmt: skip
def test_refused(lookup, part, more, message) -> None:
    """With the variable, what was found and the way out."""
    with pytest.raises(AnsibleLookupError, match=message):
        lookup(part, {}, **more)
