# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin start_watch: what it asks, when it stops, what it prints and returns. No second really passes."""

from __future__ import annotations

import base64
import gzip

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.myia.vllm.plugins.action import start_watch as plugin_file
from ansible_collections.myia.vllm.plugins.plugin_utils.common import retry

T0 = 1_780_000_000.0
VERSION = "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:1] vLLM API server version 0.32.0"
ENGINE = "(EngineCore pid=5) INFO 11-24 10:00:05 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: x"
OOM = "(Worker_TP0 pid=9) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
GOOD = {"answers": True, "problem": "", "completion_s": 0.25, "generates": True}
DEAD = {"answers": False, "problem": "a one-token completion answers 500: x.", "completion_s": None, "generates": True}


def inspect(now_s: float, *lines: str, **changes: object) -> dict:
    """What service_status_info returns ``now_s`` seconds after the start, with new lines of the log."""
    text = "".join("2026-05-28T20:26:%02d.000000000Z %s\n" % (40 + now_s % 20, line) for line in lines)
    return {
        "healthy": False, "ended": False, "state": "running", "exit_code": 0, "oom_killed": False, "restart_count": 0,
        "restart_policy": "no", "started_at": "2026-05-28T20:26:40Z", "started_s": T0, "http_status": 0, "error": "",
        "docker_error": "", "id": "a" * 64, "finished_at": "0001-01-01T00:00:00Z", "finished_s": 0.0,
        "now_s": T0 + now_s, "log_gz": base64.b64encode(gzip.compress(text.encode())).decode() if text else "",
        "log_cursor": {"time": str(now_s), "id": "a" * 64}, "log_more": False, "lock_problem": "", "download_bytes": 0,
        **changes,
    }  # fmt: skip


MISSING = {"state": "missing", "ended": True, "id": "", "started_s": 0.0, "error": "No such container"}


class Host:
    """Answers of the modules, in order, and what they were asked for."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict]] = []

    def __call__(self, module_name: str, module_args: dict, task_vars: dict, wrap_async: bool) -> dict:
        self.asked.append((module_name.rpartition(".")[2], module_args))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def looks(self) -> list[dict]:
        """The arguments of each look."""
        return [args for name, args in self.asked if name == "service_status_info"]


@pytest.fixture
def run(action, monkeypatch):
    """Watch a host; returns the result and the lines that were printed. Time passes in sleep() only."""
    now, lines = [1000.0], []
    for module in (plugin_file, retry):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    monkeypatch.setattr(plugin_file.live, "write", lines.append)

    def call(host: Host, **args) -> tuple[dict, list[str]]:
        lines.clear()
        args = {"container": "c", "url": "http://127.0.0.1:5002", "served_model_name": "tiny", **args}
        plugin = action("start_watch", args={key: value for key, value in args.items() if value is not None})
        monkeypatch.setattr(plugin, "_execute_module", host)
        return plugin.run(task_vars={"inventory_hostname": "gpu-1"}), list(lines)

    return call


def test_start_that_gets_healthy(run, documentation) -> None:
    """Phase by phase, then the token; RETURN names exactly what is returned."""
    host = Host(inspect(1, VERSION), inspect(5, ENGINE), inspect(9, healthy=True, http_status=200), GOOD)
    result, lines = run(host, release="/r", folder="/f", token="t", image="i", model="a/b")
    assert (result.get("failed"), result["changed"], result["healthy"], result["problem"]) == (None, False, True, "")
    assert (result["answers"], result["completion_s"], result["http_status"]) == (True, 0.25, 200)
    assert (result["diagnosis"], result["stalled"], result["verdict_s"], result["again"]) == ({}, "", None, "")
    assert result["now_s"] == T0 + 9
    assert [step["phase"] for step in result["start"]["phases"]] == ["container_up", "engine"]
    assert lines == [
        "gpu-1: c | [container_up] the container is up | 1 s",
        "gpu-1: c | [engine] starting the engine | 5 s",
        "gpu-1: c | [serving] answers after 9 s",
    ]
    assert set(result) - {"changed"} == set(documentation("start_watch", "RETURN"))
    assert set(result["start"]) == set(documentation("start_watch", "RETURN")["start"]["contains"])


def test_what_the_host_is_asked(run) -> None:
    """The log from where the last look ended; the release's key for the probe."""
    host = Host(inspect(1, VERSION), inspect(5, ENGINE), inspect(9, healthy=True), GOOD)
    run(host, release="/r", folder="/f", token="t", model="a/b")
    first, second, third = host.looks
    assert first == {
        "container": "c", "url": "http://127.0.0.1:5002/health", "log": "unless_healthy", "log_cursor": {},
        "folder": "/f", "token": "t", "model": "a/b", "download": False,
    }  # fmt: skip
    assert (second["log"], second["log_cursor"]["time"], second["download"]) == ("always", "1", False)
    assert (third["log_cursor"]["time"], third["download"]) == ("5", True)
    assert host.asked[-1] == (
        "service_probe",
        {"url": "http://127.0.0.1:5002", "container": "c", "served_model_name": "tiny", "release": "/r"}
    )  # fmt: skip


@pytest.mark.parametrize("model", ["", "/models/tiny", "tiny"])
def test_no_download_of_a_model_of_the_hosts_own(model, run) -> None:
    """There is nothing in the cache to add up."""
    host = Host(inspect(1, ENGINE), inspect(5), inspect(9, healthy=True), GOOD)
    run(host, model=model)
    assert not any(asked["download"] for asked in host.looks)


def test_service_that_is_healthy_already(run) -> None:
    """It is asked for a token and no more; nothing is printed of a start that nobody saw."""
    result, lines = run(Host(inspect(5000, healthy=True), GOOD))
    assert (result["healthy"], result["start"], lines) == (True, {}, [])


def test_content_with_health(run) -> None:
    """Without a model's name no token is asked for."""
    host = Host(inspect(1, healthy=True))
    result, _lines = run(host, served_model_name="")
    assert (result["healthy"], result["answers"], result["completion_s"]) == (True, None, None)
    assert len(host.asked) == 1


def test_failure(run) -> None:
    """Named, with evidence and fix, as soon as its line is there."""
    host = Host(inspect(1, ENGINE), inspect(3, OOM))
    result, _lines = run(host)
    assert result["failed"] is True
    lines = result["msg"].splitlines()
    assert lines[0] == "c did not start."
    assert lines[1].startswith("gpu-out-of-memory (V14), in the phase engine: ")
    assert lines[2] == "Seen: " + OOM
    assert "vllm_" in lines[-1]
    assert (result["problem"], result["diagnosis"]["id"], result["healthy"]) == (
        result["msg"],
        "gpu-out-of-memory",
        False,
    )
    assert result["verdict_s"] == 0.0
    assert len(host.asked) == 2


def test_failure_that_the_caller_handles(run) -> None:
    """The same result, without failing."""
    result, _lines = run(Host(inspect(1, OOM)), fail=False)
    assert (result.get("failed"), result["healthy"], result["diagnosis"]["id"]) == (None, False, "gpu-out-of-memory")
    assert result["problem"].startswith("c did not start.")


def test_docker_would_not_start_it(run) -> None:
    """The host is not even asked."""
    host = Host({})
    error = "Error response from daemon: unknown or invalid runtime name: nvidia"
    result, _lines = run(host, docker_error=error)
    assert (host.asked, result["diagnosis"]["id"]) == ([], "nvidia-runtime-not-registered")
    assert error in result["msg"]
    assert (result["start"], result["verdict_s"]) == ({}, None)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"total": 60}, "c does not answer on http://127.0.0.1:5002/health after 1 min 1 s (vllm_health_timeout_s)."),
        ({"engine": 30}, "c has been in the phase engine for 31 s, longer than vllm_health_engine_timeout_s allows."),
    ],
)
def test_time_limit(limits, words, run) -> None:
    """The variable is named."""
    host = Host(inspect(0, VERSION), inspect(0, ENGINE), *[inspect(second) for second in range(1, 100)])
    result, _lines = run(host, limits=limits)
    assert result["msg"].splitlines()[0] == words
    assert result["stalled"] == next(iter(limits))


def test_no_limit(run) -> None:
    """0 is none."""
    host = Host(inspect(0, VERSION), inspect(5000), inspect(50_000), inspect(50_001, healthy=True), GOOD)
    assert run(host, limits={"total": 0, "container_up": 0})[0]["healthy"] is True


@pytest.mark.parametrize(
    ("limits", "words"), [({"laod": 5}, "there is no phase laod"), ({"load": None}, "expected seconds")]
)
def test_wrong_limits(limits, words, run) -> None:
    """A misspelt phase would never run out."""
    host = Host({})
    with pytest.raises(AnsibleError, match=words):
        run(host, limits=limits)
    assert host.asked == []


def test_no_container(run) -> None:
    """Said at once, with what to do."""
    host = Host(inspect(0, **MISSING))
    result, _lines = run(host)
    assert result["msg"].startswith("There is no container c on this host. Run deploy_medium.yml to start one, ")
    assert (result["diagnosis"], result["state"], len(host.asked)) == ({}, "missing", 1)


def test_container_that_is_removed(run) -> None:
    """It does not come back."""
    host = Host(inspect(1, VERSION), *[inspect(second, **MISSING) for second in range(2, 40)])
    result, lines = run(host)
    assert result["msg"].startswith("The container c was removed by somebody while it was watched. Run deploy_medium")
    assert result["diagnosis"] == {}
    assert lines[1] == "gpu-1: c | the container is gone"
    assert host.answers[0]["now_s"] == T0 + 13


def test_long_log_is_read_without_pauses(run, monkeypatch) -> None:
    """What is there already needs no waiting."""
    slept = []
    host = Host(
        inspect(1, VERSION, log_more=True),
        inspect(1, ENGINE, log_more=True),
        inspect(1),
        inspect(2, healthy=True),
        GOOD,
    )
    monkeypatch.setattr(plugin_file.time, "sleep", slept.append)
    assert run(host, poll_s=7)[0]["healthy"] is True
    assert slept == [7]


def test_lock_that_was_lost(run) -> None:
    """Another run has taken over: this one stops, and the caller can tell that from a failed start."""
    problem = "its lock /f/deployment.lock was taken over by anna"
    result, _lines = run(Host(inspect(1, VERSION), inspect(2, OOM, lock_problem=problem)), token="t", folder="/f")
    assert result["msg"] == "This run stops: %s. Nothing more was changed by it." % problem
    assert (result["diagnosis"], result["lock_problem"]) == ({}, problem)


def test_module_that_fails(run) -> None:
    """What it says is the problem, at the first look too."""
    result, _lines = run(Host({"failed": True, "msg": "docker is not installed"}))
    assert (result["failed"], result["msg"], result["start"]) == (True, "docker is not installed", {})


def test_connection_that_drops(run) -> None:
    """The watch takes the start up again where it was."""
    lost = AnsibleConnectionFailure("Connection timed out")
    host = Host(inspect(1, VERSION), lost, lost, inspect(20, ENGINE), inspect(30, healthy=True), GOOD)
    result, lines = run(host)
    assert result["healthy"] is True
    assert lines[1] == "gpu-1: c | connection lost, trying again (Connection timed out)"
    assert [asked["log_cursor"].get("time") for asked in host.looks] == [None, "1", "1", "1", "20"]


def test_connection_that_stays_away(run) -> None:
    """Unreachable, not failed: the start goes on by itself."""
    host = Host(inspect(1, VERSION), AnsibleConnectionFailure("No route to host"))
    result, _lines = run(host, connection_timeout_s=30)
    assert (result["unreachable"], result.get("failed")) == (True, None)
    assert "did not answer for 30 s (vllm_health_connection_timeout_s)" in result["msg"]
    assert "No route to host" in result["msg"]


def test_no_token(run) -> None:
    """/health is not enough: what the model answered is said when its log tells nothing better."""
    host = Host(inspect(1, VERSION), inspect(5, healthy=True), DEAD, inspect(6, healthy=True))
    result, lines = run(host)
    assert result["msg"] == "c answers /health, but not as expected: a one-token completion answers 500: x."
    assert (result["answers"], result["healthy"], result["diagnosis"]) == (False, False, {})
    assert not any("answers after" in line for line in lines)


def test_engine_that_dies_of_the_first_request(run) -> None:
    """Its log says why."""
    host = Host(inspect(1, VERSION), inspect(5, healthy=True), DEAD, inspect(6, healthy=True), inspect(7, OOM))
    result, _lines = run(host)
    assert result["diagnosis"]["id"] == "gpu-out-of-memory"
    assert result["msg"].startswith("c did not start.")


def test_probe_that_fails(run) -> None:
    """The module itself went wrong."""
    assert run(Host(inspect(1, healthy=True), {"failed": True, "msg": "no Python"}))[0]["msg"] == "no Python"


def test_own_entries(run) -> None:
    """The users' own failures are known, and one that cannot work is refused by the role's variable."""
    entry = {"id": "own", "class": "transient", "cause": "c", "fix": "f", "patterns": ["own failure"]}
    result, _lines = run(Host(inspect(1, "own failure")), extra_failures=[entry])
    assert (result["diagnosis"]["id"], result["again"]) == ("own", "transient")
    with pytest.raises(AnsibleError, match="vllm_extra_failures, entry 1: cause is missing"):
        run(Host({}), extra_failures=[{"class": "host", "fix": "f", "patterns": ["x"], "cause": ""}])


def test_bar_that_moves(run) -> None:
    """Not a line for each look."""
    bar = "Loading safetensors checkpoint shards:  %d%% Completed | %d/20 [00:01<00:02, 1.4it/s]"
    looks = [inspect(second, bar % (5 * second, second)) for second in range(1, 19)]
    _result, lines = run(Host(*looks, inspect(19, healthy=True), GOOD), poll_s=1)
    assert len([line for line in lines if "[load]" in line]) == 2


def test_stopped_on_purpose(run) -> None:
    """There is nothing to watch, and it is no failure that anybody has to find the cause of."""
    by = {"at": "2026-05-28T20:30:00Z", "who": "ann on ctl, process 7", "run": "Stop the service"}
    host = Host(inspect(60, VERSION, state="exited", ended=True, exit_code=0, stopped=by))
    result, _lines = run(host)
    assert result["failed"]
    assert result["msg"].endswith(
        "does not run: it was stopped on purpose, by ann on ctl, process 7 at 2026-05-28T20:30:00Z. start_medium.yml "
        "and deploy_medium.yml start it."
    )
    assert (result["stopped"], result["diagnosis"], len(host.looks)) == (by, {}, 1)
