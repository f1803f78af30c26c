# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin report: what it reads from the host's variables, and what it writes."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib

import pytest
import yaml
from ansible.template import trust_as_template
from report_samples import NEW

from ansible_collections.myia.vllm.plugins.action import report as plugin_file

LOGS = pathlib.Path(__file__).resolve().parents[2] / "data" / "startup_logs"


@pytest.fixture
def run(action, tmp_path, report_cases, planted):
    """Run the plugin on the variables of a case."""

    def call(name: str = "deployed", variables: dict | None = None, check: bool = False, **args) -> dict:
        about, results, snapshot, failure = report_cases.case(name)
        given = {"run": about["run"], "dir": str(tmp_path), "snapshot": snapshot, "failure": failure, **args}
        plugin = action("report", args=given)
        plugin._task.check_mode = check
        task_vars = {
            "inventory_hostname": "gpu01",
            "ansible_host": "192.0.2.7",
            **results,
            **planted,
            **(variables or {}),
        }
        return plugin.run(task_vars=task_vars)

    return call


def test_writes(run, tmp_path) -> None:
    """The report lies where it says, and nothing counts as changed."""
    result = run()
    assert (result["changed"], result.get("failed"), result.get("warnings")) == (False, None, None)
    assert result["verdict"] == "deployed"
    assert result["summary"].startswith("Release %s serves" % NEW)
    path = pathlib.Path(result["path"])
    assert path.parent == tmp_path / "reports" / "gpu01" / "medium"
    assert result["url"] == "file://%s/index.html" % path
    document = json.loads((path / "report.json").read_text(encoding="utf-8"))
    assert (document["host"], document["address"], document["run"]) == ("gpu01", "192.0.2.7", "deploy")
    assert (
        document["collection"]
        == yaml.safe_load((plugin_file.pathlib.Path(__file__).parents[4] / "galaxy.yml").read_text())["version"]
    )
    assert result["report"]["path"] == result["path"]


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    assert set(run()) - {"changed"} == set(documentation("report", "RETURN"))


def test_cause_of_a_crash(run, report_cases) -> None:
    """The log of before a restart is read for its cause, and goes no further."""
    text = (LOGS / "killed-when-ready.log").read_text(encoding="utf-8")
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    _about, _results, snapshot, _failure = report_cases.case("healthy_restarted")
    result = run("healthy_restarted", snapshot={**snapshot, "ended_log_gz": packed})
    assert "it had ended of engine-died: " in result["closing"]
    folder = pathlib.Path(result["path"])
    assert not any(packed in path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file())


def test_check_mode(run) -> None:
    """It writes all the same, and says so."""
    result = run("would_change", check=True)
    assert result["verdict"] == "would_change"
    assert "check mode (nothing was changed)" in (pathlib.Path(result["path"]) / "report.md").read_text(
        encoding="utf-8"
    )


def test_no_secret(run, planted, tmp_path) -> None:
    """Neither the host's secrets nor Ansible's own passwords, wherever a failed task quoted them."""
    more = {
        "vllm_extra_env": {"WANDB_API_KEY": "PLANTEDwandb", "LEVEL": "debug-level"},
        "ansible_become_password": "PLANTEDsudo",
    }
    message = " ".join([*planted.values(), "PLANTEDwandb", "PLANTEDsudo", "debug-level"])
    result = run("failed_still_serves", more, failure={"message": message, "task": "x"})
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) == 5
    for text in [*texts, json.dumps(result)]:
        assert "PLANTED" not in text
    assert sum("debug-level" in text for text in texts) == 3


def test_nothing_known(run, action, tmp_path) -> None:
    """A run that failed at its first task has a report, named after its variables."""
    plugin = action("report", args={"dir": str(tmp_path), "failure": {"message": "3 problems", "task": "Define"}})
    result = plugin.run(task_vars={"inventory_hostname": "gpu02", "vllm_name": "mini"})
    assert result["verdict"] == "failed_unseen"
    assert "/reports/gpu02/mini/" in result["path"]


def test_value_that_cannot_be_evaluated(run) -> None:
    """It counts as missing."""
    result = run(variables={"vllm_verify_result": trust_as_template("{{ nobody_defines_this }}")})
    assert result["verdict"] == "deployed"
    assert result["report"]["failed_checks"] == []


def test_cannot_be_written(run, tmp_path) -> None:
    """A deployment does not fail for its report; the summary is returned."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run(dir=str(tmp_path / "file"))
    assert not result.get("failed")
    assert (result["path"], result["url"]) == ("", "")
    assert "vllm_report_dir" in result["warnings"][0]
    assert result["report"]["verdict"] == "deployed"


def test_default_folder(run, tmp_path, monkeypatch) -> None:
    """Where Ansible was started."""
    monkeypatch.chdir(tmp_path)
    assert run(dir="")["path"].startswith(str(tmp_path / "reports"))


def test_keep(run, tmp_path) -> None:
    """Only the newest stay."""
    paths = [run(keep=2)["path"] for _ in range(3)]
    assert [pathlib.Path(path).exists() for path in paths] == [False, True, True]


def test_installed(monkeypatch, tmp_path) -> None:
    """The version of an installed collection is in its manifest."""
    (tmp_path / "plugins" / "action").mkdir(parents=True)
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "9.8.7"}}', encoding="utf-8")
    monkeypatch.setattr(plugin_file, "__file__", str(tmp_path / "plugins" / "action" / "report.py"))
    assert plugin_file.collection_version() == "9.8.7"
    (tmp_path / "MANIFEST.json").unlink()
    assert plugin_file.collection_version() == "unknown"


def test_contacts_no_host() -> None:
    """A host that is gone has a report too."""
    assert plugin_file.ActionModule._requires_connection is False


def test_a_fault_of_ours_fails_no_deployment(run, monkeypatch) -> None:
    """A report that cannot be made is a warning without the data that it fell over; the roles after it go on."""

    def build(*_args) -> dict:
        raise KeyError("PLANTED")

    monkeypatch.setattr(plugin_file.report_document, "build", build)
    result = run()
    assert (result.get("failed"), result["verdict"], result["path"], result["report"]["run"]) == (
        None,
        "unreported",
        "",
        "deploy",
    )
    assert "could not be made (KeyError)" in result["warnings"][0]
    assert "PLANTED" not in json.dumps(result)
