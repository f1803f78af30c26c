# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugins version_changes and service_pin: what they ask, write and say. Registry and hub are STAND-INS."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import words

DIGEST, COMMIT = "sha256:" + "ab" * 32, "c" * 40
HUB_TOKEN = "planted-token-of-the-tests"


@pytest.fixture
def run(action, monkeypatch, tmp_path):
    """Run one of them on a service, with answers by a part of the address; returns the result and what was asked."""
    (tmp_path / "hosts.yml").write_text("x: {}\n", encoding="utf-8")
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(inventory=(str(tmp_path / "hosts.yml"),)))

    def call(name: str, args: dict, answers: dict | None = None, **more) -> tuple[dict, list]:
        plugin = action(name, args=args)
        plugin._task.check_mode = more.pop("check_mode", False)
        asked: list = []

        def fetch(url: str, headers: dict, method: str = "GET") -> tuple[int, dict, str]:
            asked.append((url, headers))
            return next((found for part, found in (answers or {}).items() if part in url), (0, {}, "no route"))

        names = plugin.run.__func__.__globals__
        monkeypatch.setattr(names["fetch"], "fetch", fetch)
        monkeypatch.setattr(names.get("live", names["fetch"]), "write", lambda _text: None, raising=False)
        return plugin.run(task_vars={"inventory_hostname": "gpu01", **more}), asked

    return call


TAGS = {"/tags/list": (200, {}, json.dumps({"tags": ["v0.32.0", "v0.33.0", "v0.33.1rc1"]}))}


def test_newest_release(run, medium, tmp_path) -> None:
    """It is told, and written where that is wanted."""
    args = {"definition": medium({"vllm_version": "0.32.0"}), "file": "inventory"}
    said = {"vllm_version": "0.32.0"}
    file = tmp_path / "host_vars" / "gpu01" / "vllm_versions.yml"
    result, _asked = run("version_changes", args, TAGS, check_mode=True, **said)
    assert (result["changed"], file.exists()) == (True, False)
    assert "Would be written to" in result["closing"]
    result, _asked = run("version_changes", args, TAGS, **said)
    assert result["releases"] == [{"version": "0.33.0", "in_table": True, "in_registry": True}]
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == {"vllm_version": "0.33.0"}
    assert "by the registry and the table" in result["closing"]
    result, _asked = run("version_changes", args, TAGS, **said)
    assert (result["changed"], result["closing"].endswith("has them already.")) == (False, True)


def test_a_model_over_several_hosts(run, medium) -> None:
    """It is one service, whose GPUs are those of all its hosts."""
    said = {
        "vllm_version": "0.32.0", "vllm_profile": "none", "vllm_name": "wide", "vllm_model": "o/m", "vllm_api_key": "k",
        "vllm_nodes": ["gpu01", "gpu02"], "vllm_network_mode": "host", "vllm_gpu_devices": [0, 1],
        "vllm_tensor_parallel_size": 2, "vllm_pipeline_parallel_size": 2,
        "groups": {}, "hostvars": {"gpu01": {"ansible_host": "10.0.0.1"}, "gpu02": {"ansible_host": "10.0.0.2"}},
    }  # fmt: skip
    result, _asked = run("version_changes", {"definition": medium({"vllm_version": "0.32.0"})}, TAGS, **said)
    assert "failed" not in result
    assert (result["change"]["version"], result["change"]["refused"]) == ("0.33.0", [])


def test_a_release_that_the_table_lacks(run, medium) -> None:
    """It is newer all the same, and what it changes is not known."""
    newest = vllm_options.versions()[-1]
    tags = {"/tags/list": (200, {}, json.dumps({"tags": ["v" + newest, "v9.0.0"]}))}
    result, _asked = run("version_changes", {"definition": medium({"vllm_version": newest})}, tags, vllm_version=newest)
    assert result["releases"] == [{"version": "9.0.0", "in_table": False, "in_registry": True}]
    assert "is the newest release" not in result["closing"]
    assert "1 newer release" in result["closing"]
    assert "9.0.0" in result["closing"] and "upgrade this collection" in result["closing"]
    shown = "\n".join(words.lines("medium", "gpu01", newest, result["releases"], None))
    assert "There is no newer release" not in shown
    assert "9.0.0 (not in this collection's table)" in shown


def test_no_registry(run, medium) -> None:
    """The table alone counts, and why is said; offline nobody is asked."""
    args = {"definition": medium({"vllm_version": "0.32.0"})}
    result, asked = run("version_changes", args, vllm_version="0.32.0")
    assert len(asked) == 1
    assert "(no route)" in result["asked"]
    assert result["change"]["version"] == "0.33.0"
    _result, asked = run("version_changes", {**args, "offline": True}, vllm_version="0.32.0")
    assert asked == []


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("nonsense", "vllm_updates_to: 'nonsense' is no version"),
        ("0.32.0", "is the release that the service has"),
        ("9.9.9", "is newer than this collection knows"),
    ],
)
def test_releases_that_cannot_be_compared(to, text, run, medium) -> None:
    """Refused by the name of the variable."""
    args = {"definition": medium({"vllm_version": "0.32.0"}), "to": to, "offline": True}
    result, _asked = run("version_changes", args, vllm_version="0.32.0")
    assert result["failed"]
    assert text in result["msg"]


def seen(definition: dict, **more) -> dict:
    """What runs on the host."""
    release = {"name": "r", "current": True, "image": definition["image"], "model": definition["model"]}
    return {
        "releases": [release],
        "image": {"digests": ["other/image@sha256:" + "0" * 64, "vllm/vllm-openai@" + DIGEST]},
        "model_commit": COMMIT,
        **more,
    }


def test_pin_what_serves(run, medium, tmp_path) -> None:
    """Nobody is asked; the definition takes what is written, and a second time nothing changes."""
    definition = medium({})
    args = {"definition": definition, "snapshot": seen(definition), "file": "inventory"}
    result, asked = run("service_pin", args)
    wanted = {"vllm_image": "%s@%s" % (definition["image"], DIGEST), "vllm_model_revision": COMMIT}
    assert (result["variables"], asked) == (wanted, [])
    file = tmp_path / "host_vars" / "gpu01" / "vllm_versions.yml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == wanted
    assert medium(wanted)["image"] == wanted["vllm_image"]
    again, asked = run("service_pin", {**args, "definition": medium(wanted)})
    assert (again["changed"], again["variables"], asked) == (False, wanted, [])


def test_pin_what_nobody_runs(run, medium) -> None:
    """Registry and hub are asked; the hub gets the token, the registry does not."""
    answers = {
        "/manifests/": (200, {"docker-content-digest": DIGEST}, ""),
        "/api/models/": (200, {}, json.dumps({"sha": COMMIT})),
    }
    result, asked = run("service_pin", {"definition": medium({})}, answers, vllm_hf_token=HUB_TOKEN)
    assert sorted(result["variables"]) == ["vllm_image", "vllm_model_revision"]
    assert "(the registry)" in result["closing"]
    assert "(the hub)" in result["closing"]
    with_token = [url for url, headers in asked if HUB_TOKEN in str(headers)]
    assert with_token == ["https://huggingface.co/api/models/Qwen/Qwen2.5-32B-Instruct-AWQ/revision/main"]
    assert HUB_TOKEN not in json.dumps(result)


def test_what_is_not_found(run, medium) -> None:
    """It fails, with what was found written all the same; another image on the host is no answer."""
    definition = medium({})
    other = seen({**definition, "image": "vllm/vllm-openai:v0.1.0"})
    result, _asked = run("service_pin", {"definition": definition, "snapshot": other, "file": "inventory"})
    assert result["failed"]
    assert "vllm_image: no digest is known: docker.io does not tell of" in result["msg"]
    assert list(result["variables"]) == ["vllm_model_revision"]


def test_a_model_in_a_folder(run, medium) -> None:
    """There is nothing to pin, and that is no failure."""
    definition = medium({"vllm_model": "/srv/models/x", "vllm_profile": "none", "vllm_name": "x"})
    result, _asked = run("service_pin", {"definition": definition, "snapshot": seen(definition)})
    assert "failed" not in result
    assert "nothing to pin" in result["closing"]
