# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin, look at and finish a benchmark: a stand-in for docker, whose ``exec`` tells events."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import runner as benchmark_runner
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import steps as benchmark_steps
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import store as benchmark_store
from ansible_collections.myia.vllm.plugins.module_utils.service import releases

KEY = "PLANTED-key-0123456789"
RUN = {"name": "one", "num_prompts": 5, "request_rate": None, "max_concurrency": 1, "input_tokens": 64,
       "output_tokens": 16}  # fmt: skip
RAW = {"completed": 5, "failed": 0, "duration": 2.0, "request_throughput": 2.5, "output_throughput": 40.0,
       "p50_ttft_ms": 20.0, "p50_tpot_ms": 8.0}  # fmt: skip
RUNNING = {"Id": "c0ffee", "State": {"Status": "running", "ExitCode": 0, "OOMKilled": False},
           "Config": {"Cmd": ["/srv/tiny", "--port", "5002", "--served-model-name=tiny"]}}  # fmt: skip
RELEASE = "20260101T000000Z-0123456789ab"


def told(*raws: dict, more: tuple = ({"event": "end"},)) -> str:
    """The words of a benchmark that measured these."""
    events: list[dict] = [{"event": "begun", "vllm_version": "0.32.0"}]
    for index, raw in enumerate(raws):
        events += [{"event": "run", "index": index}, {"event": "result", "raw": json.dumps(raw)}]
    return "\n".join(map(json.dumps, [*events, *more]))


@pytest.fixture
def service(tmp_path):
    """The folder of a service with a release that has a secret."""
    found = releases.Service(str(tmp_path / "service"))
    os.makedirs(found.folder(RELEASE))
    found.write(found.folder(RELEASE), releases.ENV, "VLLM_API_KEY_MEDIUM='%s'\n" % KEY)
    found.switch(RELEASE)
    return found.path


@pytest.fixture
def steps(tmp_path, tools, monkeypatch, service):
    """Make the steps of a run with this token; docker answers ``inspected`` and tells ``words`` in the container."""

    def make(words: str = "", then: str = "", inspected=RUNNING, **more: object) -> benchmark_steps.Steps:
        (tmp_path / "words").write_text(words + "\n" if words else "", encoding="utf-8")
        folder = tools("docker", 'printf "%%s\\n" "$@" > %s/exec\ncat %s/words\n%s' % (tmp_path, tmp_path, then))
        monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))

        def run(argv: list[str], timeout_s: float) -> tuple[int, str, str, bool]:
            assert argv == ["docker", "container", "inspect", "c"]
            if isinstance(inspected, dict):
                return 0, json.dumps([inspected]), "", False
            return inspected

        settings = {"container": "c", "folder": service, "runner_folder": str(tmp_path / "runner"), "token": "mine",
                    "dead": [], "who": "me", "profile": "p", "runs": [RUN], "on_busy": False, "timeout_s": 60,
                    "keep": 3, "warn_percent": 10.0, **more}  # fmt: skip
        return benchmark_steps.Steps(settings, "the program", run)

    yield make
    if (tmp_path / "runner").exists():
        benchmark_runner.stop(str(tmp_path / "runner"))


def ended(found: benchmark_steps.Steps) -> dict:
    """Look until it is over."""
    end = time.monotonic() + 10
    while (answer := found.inspect())["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


DEFAULT = {"model": "m", "scheme": "http", "port": 8000, "served_model_name": "m", "tokenizer": "m",
           "tokenizer_revision": "", "tokenizer_mode": "", "trust_remote_code": False}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["m"], {}),
        (["serve", "m"], {}),
        (["--model", "m"], {}),
        (["m", "--port", "5002", "--served-model-name", "s"], {"port": 5002, "served_model_name": "s"}),
        (["m", "--port=5002", "--served-model-name=s"], {"port": 5002, "served_model_name": "s"}),
        (["m", "--revision", "abc"], {"tokenizer_revision": "abc"}),
        (["m", "--revision", "abc", "--tokenizer-revision", "def"], {"tokenizer_revision": "def"}),
        # the model's revision is not that of another repository
        (["m", "--revision", "abc", "--tokenizer", "t"], {"tokenizer": "t"}),
        (["m", "--tokenizer-mode", "mistral", "--trust-remote-code"],
         {"tokenizer_mode": "mistral", "trust_remote_code": True}),
        (["m", "--ssl-certfile", "/c.pem", "--ssl-keyfile", "/k.pem"], {"scheme": "https"}),
        (["m", "--port"], {}),
        ([], {"model": "", "served_model_name": "", "tokenizer": ""}),
    ],
)  # fmt: skip
def test_served(arguments, changes) -> None:
    """What a running service was started with."""
    assert benchmark_steps.served(arguments) == {**DEFAULT, **changes}


def test_whole(steps, service, tmp_path) -> None:
    """Begun, ended, finished: the result is kept with everything that the contract of other roles names."""
    found = steps(told(RAW))
    assert found.inspect()["state"] == "absent"
    answer = found.start()
    assert (answer["state"] in ("running", "ended"), answer["note"], answer["result"]) == (True, "", {})
    answer = ended(found)
    assert (answer["state"], answer["begun"], answer["measured"], answer["problem"]) == ("ended", True, 1, "")
    answer = found.finish()
    result = answer["result"]
    expected = {"ok": True, "problem": "", "profile": "p", "release": RELEASE, "vllm_version": "0.32.0"}
    assert {key: result[key] for key in (*expected, "model")} == {**expected, "model": "/srv/tiny"}
    assert (result["compared"], result["warnings"]) == ({}, [])
    assert (result["runs"][0]["output_throughput"], result["runs"][0]["ttft_ms"]["p50"]) == (40.0, 20.0)
    assert time.strptime(result["at"], "%Y-%m-%dT%H:%M:%SZ")
    assert os.path.dirname(result["path"]) == os.path.join(service, "benchmarks")
    with open(os.path.join(result["path"], "result.json"), encoding="utf-8") as handle:
        assert json.load(handle) == result
    with open(os.path.join(result["path"], "run-1.json"), encoding="utf-8") as handle:
        assert json.load(handle) == RAW
    # an answer that was lost is asked for again
    assert found.finish()["result"] == result
    assert found.start()["state"] == "ended"
    assert steps(told(RAW), token="another").finish()["state"] == "absent"
    *argv, client = (tmp_path / "exec").read_text(encoding="utf-8").splitlines()
    assert argv == ["exec", "--interactive", "c0ffee", "python3", "-c", "the program"]
    client = json.loads(client)
    assert (client["port"], client["served_model_name"], client["runs"], client["timeout_s"]) == (
        5002,
        "tiny",
        [RUN],
        60,
    )
    assert abs(client["seed"] - time.time()) < 60


@pytest.mark.parametrize(
    ("inspected", "problem"),
    [
        ((1, "", "Error: No such container: c", False), "There is no container c."),
        ((127, "", "docker: not found", False), "docker is not installed on this host."),
        ((124, "", "", True), "The engine does not tell about the container c: no answer within 20 s"),
        ((1, "", "Cannot connect to the Docker daemon", False),
         "The engine does not tell about the container c: Cannot connect to the Docker daemon"),
        ({**RUNNING, "State": {"Status": "exited", "ExitCode": 1, "OOMKilled": False}},
         "The container c is exited (exit code 1)."),
        ({**RUNNING, "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True}},
         "The container c is exited (exit code 137, out of memory)."),
        ({**RUNNING, "State": {"Status": "paused"}}, "The container c is paused."),
    ],
)  # fmt: skip
def test_refused(steps, tmp_path, inspected, problem) -> None:
    """Nothing to measure: nothing is begun."""
    answer = steps(told(RAW), inspected=inspected).start()
    assert (answer["state"], answer["problem"]) == ("refused", problem)
    assert not (tmp_path / "exec").exists()


def test_refused_by_the_service(steps, service) -> None:
    """A busy service: a result that says so, and no folder."""
    found = steps(json.dumps({"event": "refused", "problem": "busy, %s" % KEY}))
    found.start()
    assert ended(found)["problem"] == "busy, ***"
    result = found.finish()["result"]
    assert (result["ok"], result["problem"], result["path"]) == (False, "busy, ***", "")
    assert not os.path.exists(os.path.join(service, "benchmarks"))


def test_broken(steps, service) -> None:
    """What was measured before is kept; each run says what became of it; no secret in what it said."""
    broken = {"event": "broken", "problem": "exit code 1: %s" % KEY, "lines": ["key %s" % KEY]}
    runs = [{**RUN, "name": name} for name in ("one", "two", "three")]
    found = steps(told(RAW, more=({"event": "run", "index": 1}, broken)), runs=runs)
    found.start()
    answer = ended(found)
    assert (answer["lines"], answer["problem"]) == (["key ***"], "exit code 1: ***")
    result = found.finish()["result"]
    assert [run["problem"] for run in result["runs"]] == ["", "exit code 1: ***", "It was not begun."]
    assert (result["ok"], result["problem"]) == (False, "exit code 1: ***")
    with open(os.path.join(result["path"], "result.json"), encoding="utf-8") as handle:
        assert KEY not in handle.read()


def test_failed_requests(steps) -> None:
    """Every run gave a result, but not every request was answered."""
    found = steps(told({**RAW, "completed": 3, "failed": 2, "errors": ["", "Bad Request"]}))
    found.start()
    ended(found)
    result = found.finish()["result"]
    assert (result["ok"], result["problem"]) == (False, "one: 2 of 5 requests failed: Bad Request")
    assert result["path"]


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ({**RUNNING, "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": False}},
         "The benchmark broke off: the container c is exited (exit code 137)."),
        ((1, "", "Error: No such container: c", False), "The benchmark broke off: There is no container c."),
        (RUNNING, "The benchmark broke off: docker exec ended with exit code 9."),
    ],
)  # fmt: skip
def test_container_dies(steps, after, problem) -> None:
    """The state of the container says why the benchmark broke off."""
    first = steps(told(more=()), "exit 9")
    first.start()
    ended(first)  # before docker is another one
    found = steps(inspected=after)
    assert ended(found)["problem"] == problem
    result = found.finish()["result"]
    assert (result["ok"], result["problem"], result["path"]) == (False, problem, "")


def test_runner_is_killed(steps, tmp_path) -> None:
    """The out-of-memory killer may take the runner too."""
    found = steps(told(more=()), "cat > /dev/null")
    assert found.start()["state"] == "running"
    with open("/proc/locks", encoding="ascii") as handle:
        inode = os.stat(tmp_path / "runner" / "benchmark.lock").st_ino
        pid = next(int(line.split()[4]) for line in handle if line.split()[5].endswith(":%d" % inode))
    os.kill(pid, signal.SIGKILL)
    answer = ended(found)
    assert answer["problem"] == "The process that kept the benchmark was killed, and the benchmark with it."
    assert found.finish()["result"]["problem"] == answer["problem"]


def test_finish_ends_it(steps) -> None:
    """A caller that gives up leaves nothing running."""
    found = steps(told(more=()), "cat > /dev/null")
    assert found.start()["state"] == "running"
    answer = found.finish()
    assert (answer["state"], answer["result"]["problem"]) == ("ended", "It was ended from outside.")


@pytest.mark.parametrize(
    ("dead", "silent_s", "state"),
    [([], 0, "other"), (["theirs"], 0, "running"), ([], 179, "other"), ([], 200, "running")],
)
def test_leftover(steps, tmp_path, dead, silent_s, state) -> None:
    """Somebody else's goes on; one whose run is over, or that nobody has looked at, is ended first."""
    assert steps(told(more=()), "cat > /dev/null", token="theirs", who="them").start()["state"] == "running"
    looked = tmp_path / "runner" / benchmark_runner.VISITED
    os.utime(looked, (time.time() - silent_s,) * 2)
    found = steps(told(more=()), "cat > /dev/null", dead=dead)
    answer = found.start()
    assert answer["state"] == state
    if state == "other":
        assert (answer["other"]["token"], answer["other"]["who"]) == ("theirs", "them")
        assert abs(answer["other"]["silent_s"] - silent_s) < 10
        assert found.inspect()["state"] == "absent"
        assert found.finish()["state"] == "absent"
        assert benchmark_runner.background(str(tmp_path / "runner")).is_alive()
    else:
        assert "A benchmark of them, begun at 20" in answer["note"]
        assert benchmark_runner.inspect(str(tmp_path / "runner"))["about"]["token"] == "mine"


def test_look_is_a_sign_of_life(steps, tmp_path) -> None:
    """The runner sees that somebody waits."""
    found = steps(told(more=()), "cat > /dev/null")
    found.start()
    looked = tmp_path / "runner" / benchmark_runner.VISITED
    os.utime(looked, (1, 1))
    found.inspect()
    assert looked.stat().st_mtime > 1


def test_compared_and_pruned(steps, service, monkeypatch) -> None:
    """The second one is compared with the first, and only the newest are kept."""
    for number, throughput in enumerate((40.0, 20.0, 20.0, 20.0, 20.0)):
        monkeypatch.setattr(benchmark_steps.time, "time", lambda number=number: 1_700_000_000.0 + number)
        monkeypatch.setattr(benchmark_runner, "unvisited_s", lambda folder: 0.0)
        found = steps(told({**RAW, "output_throughput": throughput}), token=str(number))
        found.start()
        while found.inspect()["state"] == "running":
            pass
        result = found.finish()["result"]
        if number == 1:
            assert result["compared"]["path"].endswith("20231114T221320Z-p")
            assert len(result["warnings"]) == 1
            assert "output_throughput 20.00, was 40.00 (-50.0 %)" in result["warnings"][0]
            with open(os.path.join(result["path"], "result.json"), encoding="utf-8") as handle:
                assert json.load(handle) == result
    assert result["warnings"] == []
    assert len(benchmark_store.Store(service).names()) == 3
