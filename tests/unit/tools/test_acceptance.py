# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make acceptance` writes down: judged against what was recorded on hardware, with nothing that names anybody."""

from __future__ import annotations

import argparse
import http.server
import importlib.util
import json
import pathlib
import sys
import threading

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
stream = tool("acceptance_stream")

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
    "benchmark": {
        "path": "SECRET-FOLDER",
        "runs": [
            {
                "name": "one at a time",
                "ok": True,
                "max_concurrency": 1,
                "output_throughput": 412.5,
                "problem": "",
                "ttft_ms": {"p50": 11.7},
                "tpot_ms": {"p50": 2.4},
            }
        ],
    },
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
    assert checks["benchmark"] == (True, "1 of 1 runs whole, 412 tokens/s at best")
    assert "| plain | one at a time | 412.5 | 11.7 | 2.4 |" in record.markdown(made)
    assert made["complete"] is True
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


def test_a_benchmark_that_broke_off() -> None:
    """It does not support the claim."""
    broken = {"runs": [{"name": "x", "ok": False, "output_throughput": None, "ttft_ms": {}, "tpot_ms": {}}]}
    made = record.record("2026-11-29", {}, {"plain": {**REPORT, "benchmark": broken}}, RUNS)
    assert {item["id"]: item["ok"] for item in made["checks"]}["benchmark"] is False


def test_a_model_that_was_made() -> None:
    """It is told with its size, and not without one."""
    seen = {**look(RECORDED[0]), "model": {"bytes": 2**30, "layers": 28, "architecture": "x"}}
    checks = {item["id"]: item["found"] for item in record.record("2026-11-29", seen, {}, RUNS)["checks"]}
    assert checks["random-model"] == "1.0 GiB of weights"
    assert not record.model_checks({})


def test_cut_off() -> None:
    """A run that is cut off says so, in what it wrote and on the page."""
    made = record.record("2026-11-29", look(RECORDED[0]), {"plain": REPORT}, RUNS, complete=False)
    assert "Cut off" in record.markdown(made)
    assert "make acceptance, cut off" in "\n".join(hardware.machines([made]))


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


def run_in(folder: pathlib.Path, **more: object):
    """An acceptance that writes into a folder."""
    given = {"gpus": "0", "ready": True, "vars": None, "host": None, "inventory": "inventories/demo", "reboot": False}
    return acceptance.Run(argparse.Namespace(**{**given, "out": str(folder), "failures": 10, **more}))


def test_a_host_that_is_ready(tmp_path) -> None:
    """Engine and toolkit are left alone by options that the playbook takes."""
    run = run_in(tmp_path)
    assert (run.common["docker_engine_install"], run.common["docker_engine_daemon_config"]) == (False, {})
    option, skipped = run.tags("deploy_medium.yml")
    assert option == "--skip-tags"
    assert run_options.problem(["deploy_medium.yml"], ["all"], skipped.split(","), None) == ""
    assert run.tags("remove_medium.yml") == []


def test_each_step_is_written_down(tmp_path, monkeypatch) -> None:
    """What a lease cuts off leaves all steps before; the last one says that nothing is missing."""
    run, seen = run_in(tmp_path), []

    def playbook(name: str, _more: dict) -> tuple[int, str, dict, float]:
        written = tmp_path / "acceptance.json"
        seen.append((name, json.loads(written.read_text(encoding="utf-8")) if written.exists() else None))
        return 0, "changed=0", REPORT if name == "deploy_medium.yml" else {}, 1.0

    monkeypatch.setattr(run, "playbook", playbook)
    monkeypatch.setattr(run, "drain", lambda: run.step("drain", "other", True, "whole", 1.0, claim="drain"))
    assert run.all() is True
    names = [name for name, _written in seen]
    assert (names[0], names[1], names[-1]) == ("playbooks/acceptance.yml", "deploy_medium.yml", "remove_medium.yml")
    # before the second deployment the first one's figures are there
    again = seen[2][1]
    assert (again["complete"], next(item["id"] for item in again["checks"])) == (False, "deploy")
    assert again["figures"][0]["benchmark"][0]["output_throughput"] == 412.5
    assert len(seen[-1][1]["failures"]) == 10
    assert not list(tmp_path.glob("*.new"))
    assert json.loads((tmp_path / "acceptance.json").read_text(encoding="utf-8"))["complete"] is False
    run.write(complete=True)
    assert json.loads((tmp_path / "acceptance.json").read_text(encoding="utf-8"))["complete"] is True


@pytest.mark.parametrize(
    ("status", "report", "ok"),
    [
        (0, {"benchmark": REPORT["benchmark"]}, True),
        (2, {"benchmark": REPORT["benchmark"]}, False),
        (0, {"benchmark": {"note": "Not run."}}, False),
    ],
)
def test_benchmark_is_run_by_itself(tmp_path, monkeypatch, status, report, ok) -> None:
    """Its figures belong to the last start, and say how long an answer is asked for."""
    run = run_in(tmp_path)
    last = list(acceptance.STARTS)[-1]
    run.reports[last] = {"benchmark": {"note": "Not run."}}
    monkeypatch.setattr(run, "playbook", lambda _name, _more: (status, "", report, 1.0))
    run.measure()
    assert (run.runs[-1]["name"], run.runs[-1]["ok"]) == ("benchmark", ok)
    assert run.reports[last]["benchmark"] == report["benchmark"]


def test_output_of_a_playbook_is_kept(tmp_path, monkeypatch) -> None:
    """Each in a file of its own, also when nobody lives to read it."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "ansible-playbook").write_text("#!/bin/sh\necho said by $3\nexit 2\n")
    (bin_folder / "ansible-playbook").chmod(0o755)
    monkeypatch.setattr(acceptance, "BIN", bin_folder)
    run = run_in(tmp_path / "out")
    for _time in range(2):
        assert run.playbook("verify_medium.yml", {})[:3] == (2, "said by verify_medium.yml\n", {})
    logs = sorted(path.name for path in (tmp_path / "out" / "logs").iterdir())
    assert logs == ["01-verify_medium.log", "02-verify_medium.log"]


WHOLE = {"tokens": 900, "finish": "length", "done": True, "ended_s": 1000.0}


@pytest.mark.parametrize(
    ("seen", "after_s", "stopped", "ok", "words"),
    [
        (
            WHOLE,
            30.0,
            1003.0,
            True,
            "the last 30 s after the restart began, the container's end 3 s",
        ),
        ({**WHOLE, "tokens": 400}, 30.0, 1003.0, False, "cut off: 400 of 900"),
        ({**WHOLE, "done": False}, 30.0, 1003.0, False, "cut off"),
        ({**WHOLE, "finish": "abort"}, 30.0, 1003.0, False, "cut off"),
        (WHOLE, 3.0, 1003.0, False, "too early to tell"),
        (WHOLE, 30.0, 990.0, False, "was not stopped after that"),
        (WHOLE, 30.0, None, False, "was not stopped after that"),
    ],
)
def test_drained(seen, after_s, stopped, ok, words) -> None:
    """Whole, long enough to have been waited for, and before the container's end."""
    found = acceptance.drained(900, seen, after_s, stopped)
    assert found[0] is ok
    assert words in found[1]


def test_when_a_container_ended() -> None:
    """By Docker's own time; one that never ended has none."""
    text = 'host | CHANGED | rc=0 >>\n "FinishedAt": "2026-11-28T22:08:30.123456789Z",'
    assert acceptance.stopped_s(text) == pytest.approx(1795903710.123456)
    assert acceptance.stopped_s('"FinishedAt": "2026-11-28T22:08:30Z"') == 1795903710.0
    assert acceptance.stopped_s('"FinishedAt": "0001-01-01T00:00:00Z"') is None
    assert acceptance.stopped_s("no such container") is None


def test_how_long_an_answer_is_asked_for(tmp_path) -> None:
    """As long as it shall last at the speed that was measured, never longer than the model's length."""
    run = run_in(tmp_path)
    assert run.stream_tokens() == 300 * 36
    run.reports["plain"] = REPORT
    assert run.stream_tokens() == round(412.5 * 36)
    run.reports["x"] = {"benchmark": {"runs": [{"output_throughput": 9000.0, "max_concurrency": 1}]}}
    assert run.stream_tokens() == acceptance.STREAM_MOST_TOKENS
    run.reports["y"] = {"benchmark": {"runs": [{"output_throughput": 5.0, "max_concurrency": 8}]}}
    assert run.stream_tokens() == acceptance.STREAM_MOST_TOKENS
    assert list(acceptance.STARTS.values())[-1]["vllm_max_model_len"] > acceptance.STREAM_MOST_TOKENS


class Answer(http.server.BaseHTTPRequestHandler):
    """A service that streams tokens, and ends in the middle when the model's name says so."""

    def do_POST(self) -> None:
        """Stream what was asked for."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        number = 2 if asked["model"] == "dies" else asked["max_tokens"]
        for index in range(number):
            ends = "length" if index + 1 == asked["max_tokens"] else None
            self.said({"choices": [{"text": "x", "finish_reason": ends}]})
        if asked["model"] != "dies":
            self.said({"choices": [], "usage": {"completion_tokens": number}})
            self.wfile.write(b"data: [DONE]\n\n")

    def said(self, part: dict) -> None:
        """Send one event."""
        self.wfile.write(b"data: " + json.dumps(part).encode() + b"\n\n")

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


@pytest.mark.parametrize(
    ("model", "status", "words"),
    [("whole", 0, "streamed tokens=5 finish=length done=1"), ("dies", 1, "streamed tokens=0 finish=none done=0")],
)
def test_stream(model, status, words, capsys) -> None:
    """A whole answer, and one that ends in the middle."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert stream.main(["http://127.0.0.1:%d/v1/completions" % server.server_port, model, "5"]) == status
    finally:
        server.shutdown()
        server.server_close()
    assert words in capsys.readouterr().out


def test_no_service_to_stream(capsys) -> None:
    """That nobody answers is told, not raised."""
    assert stream.main(["http://127.0.0.1:9/v1/completions", "x", "5"]) == 1
    assert "done=0" in capsys.readouterr().out


def test_drain_reads_what_the_host_said(tmp_path, monkeypatch) -> None:
    """The answer's end is found in Ansible's output, and the step has the claim."""
    run = run_in(tmp_path)
    line = "streamed tokens=%d finish=length done=1 ended_s=1795903700.000"

    def ad_hoc(module: str, arguments: str, *_options: str) -> tuple[int, str]:
        if module == "ansible.builtin.script":
            return 0, '"stdout": "%s"' % (line % int(arguments.split()[3]))
        return 0, '"FinishedAt": "2026-11-28T22:08:30Z"'

    monkeypatch.setattr(run, "ad_hoc", ad_hoc)
    monkeypatch.setattr(run, "playbook", lambda _name, _more: (0, "", {}, 1.0))
    monkeypatch.setattr(acceptance, "STREAM_BEFORE_S", 0)
    monkeypatch.setattr(acceptance, "STREAM_LEAST_S", -1)
    run.drain()
    assert (run.runs[0]["ok"], run.runs[0]["claim"]) == (True, "drain")
    assert "end 10 s after that" in run.runs[0]["found"]
    monkeypatch.setattr(run, "playbook", lambda _name, _more: (2, "fatal: [x]: FAILED! => why", {}, 1.0))
    run.drain()
    assert run.runs[1]["ok"] is False
    assert "the restart: fatal" in run.runs[1]["found"]


ACCEPTED = json.loads((ROOT / "docs" / "hardware" / "2026-11-30-h200.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("start", ACCEPTED["starts"], ids=lambda start: start["name"])
def test_plans_of_today_hold_what_an_h200_got(run_module, tmp_path, start) -> None:
    """The KV cache of each start lies in the range that is planned now for the same variables."""
    (tmp_path / "config.json").write_text(json.dumps({**acceptance.CONFIG, "torch_dtype": "bfloat16"}))
    given = {name.removeprefix("vllm_"): value for name, value in acceptance.STARTS[start["name"]].items()}
    options = {"vllm_version": "0.26.0", "gpu_memory_mib": 143771, "gpu_name": "NVIDIA H200", **given}
    options["weights_bytes"] = ACCEPTED["model"]["bytes"]
    plan = run_module("capacity_info", model_config=str(tmp_path / "config.json"), **options)["capacity"]
    planned = plan["kv_cache_gib_per_gpu"]
    assert planned["low"] <= start["kv_gib"]["reported"] <= planned["high"], planned
