# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make acceptance` writes down: judged against what was recorded on hardware, with nothing that names anybody."""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import sys

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_options
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks

ROOT = pathlib.Path(__file__).resolve().parents[3]
CATALOGUE = yaml.safe_load((ROOT / "plugins" / "plugin_utils" / "startup" / "failures.yml").read_text(encoding="utf-8"))
DATA = ROOT / "tests" / "unit" / "data" / "nvidia_smi"
RECORDED = sorted(path.name.removesuffix(".q.txt") for path in DATA.glob("*recorded*.q.txt") if "busy" not in path.name)


def tool(name: str):
    """A program of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


record, hardware, acceptance = tool("acceptance_record"), tool("hardware_docs"), tool("acceptance")

REPORT = {
    "host": "SECRET-HOST",
    "address": "SECRET-ADDRESS",
    "ansible_core": "2.19.1",
    "standins": False,
    "versions": {"vllm": "0.26.0", "docker": "26.1.5", "image_id": "sha256:SECRET"},
    "plan": {
        "rows": [
            {"id": "kv_gib", "unit": "GiB", "low": 10.0, "high": 12.0, "reported": 11.0, "inside": True},
            {"id": "kv_tokens", "unit": "tokens", "low": 1, "high": 3, "reported": 2, "inside": True},
        ]
    },
    "start": {"total_s": 60.5, "phases": [{"phase": "load", "start_s": 1.0, "duration_s": 2.0}]},
    "endpoints": {"checks": [{"id": "a", "status": "passed", "evidence": "SECRET"}, {"id": "b", "status": "skipped"}]},
    "gpu": {"gpus": [{"uuid": "GPU-SECRET", "used_now_mib": 5}]},
    "failure": {"note": "There was none."},
}
RUNS = [
    {"name": "plain", "kind": "start", "ok": True, "found": "answers", "s": 60, "settings": "x 1", "claim": "deploy"},
    {"name": "no template", "kind": "failure", "ok": True, "found": "chat-template-missing", "s": 9, "settings": ""},
    {"name": "way back", "kind": "other", "ok": False, "found": "no", "s": 1, "settings": "", "claim": "way-back"},
]


def look(name: str) -> dict:
    """What the playbook saw of a recorded machine."""
    return {
        "gpu": json.loads((DATA / (name + ".json")).read_text(encoding="utf-8")),
        "smi": (DATA / (name + ".q.txt")).read_text(encoding="utf-8"),
        "access": [
            {"item": "runtime", "gpu_test": {"ok": True, "error": None}},
            {"item": "cdi", "gpu_test": {"ok": False, "error": {"id": "cdi_device_unknown"}}},
            {"item": "deploy", "skipped": True},
        ],
        "cuda": [{"item": "runtime", "cuda_test": {"ok": True}}],
    }


@pytest.mark.parametrize("name", RECORDED)
def test_facts(name) -> None:
    """Agree on every recorded machine; a value that differs is named."""
    seen = look(name)
    assert record.facts_checks(seen)[0]["ok"] is True
    seen["gpu"]["gpus"][0]["memory_total_mib"] += 1
    seen["gpu"]["driver_version"] = "1"
    found = record.facts_checks(seen)[0]
    assert (found["ok"], found["found"]) == (False, "differs: memory_total_mib, driver_version")


def test_record() -> None:
    """Everything that was tried is in it, and nothing that names a host, a card or a secret."""
    made = record.record("2026-11-29", look(RECORDED[0]), {"plain": REPORT}, RUNS)
    checks = {item["id"]: (item["ok"], item["found"]) for item in made["checks"]}
    assert checks["access-runtime"] == (True, "listed, and CUDA starts")
    assert checks["access-cdi"] == (False, "cdi_device_unknown")
    assert "access-deploy" not in checks
    assert checks["plan"] == (True, "1 of 1 starts inside")
    assert checks["verify"][1].startswith("1 of 1 checks")
    assert checks["failures"] == (True, "1 of 1 named")
    assert checks["way-back"][0] is False
    assert set(checks) <= set(hardware.CLAIMS)
    text = json.dumps(made) + record.markdown(made)
    assert "SECRET" not in text
    assert not [gpu["uuid"] for gpu in look(RECORDED[0])["gpu"]["gpus"] if gpu["uuid"] in text]
    assert made["standins"] is False
    assert made["starts"][0]["kv_gib"] == {"low": 10.0, "high": 12.0, "reported": 11.0}
    assert "chat-template-missing" in "\n".join(hardware.failures([made]))
    assert "NOT: a failing release goes back" in "\n".join(hardware.machines([made]))
    assert "11.00" in "\n".join(hardware.starts([made]))


def test_without_gpus() -> None:
    """A CPU, or stand-ins, are said to be that, first of all."""
    made = record.record("2026-11-29", {}, {"plain": {**REPORT, "standins": True}}, RUNS)
    assert made["standins"] is True
    assert "supports nothing about GPUs" in record.markdown(made)
    assert "STAND-IN" in "\n".join(hardware.machines([made]))


@pytest.mark.parametrize(
    ("report", "names"),
    [
        ({}, []),
        ({"failure": {"note": "x"}}, []),
        ({"failure": {"id": "parser-unknown", "findings": []}}, ["parser-unknown"]),
        ({"failure": {"id": "", "findings": [{"id": "capacity"}]}}, ["capacity"]),
    ],
)
def test_named(report, names) -> None:
    """By the catalogue's id, or by preflight's."""
    assert acceptance.named(report) == names


def test_last_words_name_no_host() -> None:
    """The host's name stays out of what is written down."""
    assert acceptance.last_words("x\nfatal: [gpu-host-1]: FAILED! => no") == "fatal: : FAILED! => no"


def test_ten_failures() -> None:
    """Ten wrong configurations, each with a name that the catalogue or preflight can give."""
    assert len(acceptance.FAILURES) == 10
    known = {*checks.IDS, *(entry["id"] for entry in CATALOGUE["failures"]), "definition"}
    for _more, expected in acceptance.FAILURES.values():
        assert expected
        assert set(expected) <= known


def test_page_is_made_of_the_files() -> None:
    """A row that is added shows; a check without words is refused by name."""
    rows = hardware.rows()
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    page = "a\n%s\nSTALE\n%s\nz" % (hardware.BEGIN, hardware.END)
    assert "STALE" not in hardware.made(page, rows)
    assert hardware.made(page, rows).startswith("a\n")
    assert hardware.made(page, rows).endswith("\nz")


def test_check_without_words(tmp_path, monkeypatch) -> None:
    """A file with a check that the page has no words for is refused by its name."""
    folder = tmp_path / "docs" / "hardware"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text('{"checks": [{"id": "nosuch"}]}', encoding="utf-8")
    monkeypatch.setattr(hardware, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="no claim for nosuch"):
        hardware.rows()


def test_a_host_that_is_ready(tmp_path) -> None:
    """Engine and toolkit are left alone by options that the playbook takes."""
    given = argparse.Namespace(
        out=str(tmp_path), gpus="0", ready=True, vars=None, host=None, inventory="inventories/demo"
    )
    run = acceptance.Run(given)
    assert (run.common["docker_engine_install"], run.common["docker_engine_daemon_config"]) == (False, {})
    option, skipped = run.tags("deploy_medium.yml")
    assert option == "--skip-tags"
    assert run_options.problem(["deploy_medium.yml"], ["all"], skipped.split(","), None) == ""
    assert run.tags("remove_medium.yml") == []
