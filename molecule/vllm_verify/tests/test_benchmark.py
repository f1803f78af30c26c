# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_benchmark on a real vLLM: figures, what it refuses, what breaks, and what it compares with."""

from __future__ import annotations

import json
import re
import time

import pytest
from replays import Watch

NAME = "myia-vllm-medium-qwen3"
BENCHMARKS = "/opt/vllm/medium/benchmarks"
KEY = "PLANTED-key-7c31e2"
SMALL = {
    "vllm_benchmark_profile": "small",
    "vllm_benchmark_extra_profiles": {
        "small": [{"name": "small", "num_prompts": 5, "max_concurrency": 1, "input_tokens": 64, "output_tokens": 16}],
        # mostly idle: a vLLM that computes all the time leaves two cores no time for the playbooks that run beside it
        "long": [{"name": "long", "num_prompts": 900, "request_rate": 2, "input_tokens": 64, "output_tokens": 4}],
    },
}
LATENCIES = ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")


def kept(host) -> list[str]:
    """Folders of the benchmarks on the host, the oldest first."""
    return sorted(host.run("ls -d %s/*/ 2>/dev/null" % BENCHMARKS).stdout.split())


def result_of(host, folder: str) -> dict:
    """The result that is kept in a folder."""
    return json.loads(host.file(folder + "result.json").content_string)


#: Begins the temporary folders (benchmark_client.py); in the command line of every process that takes part.
TRACE = "[m]yia-benchmark-"


def nothing_runs(host) -> bool:
    """Whether no benchmark runs, on the host or in its containers, whose processes are the host's too."""
    return host.run("for i in $(seq 20); do pgrep -f '%s' || exit 0; sleep 0.5; done; exit 1" % TRACE).rc == 0


@pytest.fixture
def measure(play):
    """Return a function that runs the playbook with variables."""

    def run(*arguments: str, **variables: object):
        given = {**SMALL, **variables}
        return play("-e", json.dumps(given), *arguments, playbook="benchmark_medium.yml")

    return run


@pytest.fixture
def beside(inventory):
    """Return a function that starts the playbook, which goes on while the test does something."""
    started = []

    def start(**variables: object) -> Watch:
        run = Watch(inventory, "-e", json.dumps({**SMALL, **variables}), playbook="benchmark_medium.yml")
        started.append(run)
        return run

    yield start
    for run in started:
        run.process.kill()
        run.process.wait()


@pytest.fixture
def service_back(host):
    """Have the service answer again after the test."""
    yield
    host.check_output("docker start %s" % NAME)
    host.check_output(
        "for i in $(seq 120); do [ $(curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health) = 200 ] && exit 0; "
        "sleep 1; done; exit 1"
    )


def test_latency(host, measure) -> None:
    """All figures are there, the raw JSON is kept, and only root's group reads it."""
    before = kept(host)
    run = measure(vllm_benchmark_profile="latency")
    assert run.status == 0, run.output
    assert re.search(r"latency: run 1 of 1 \(one at a time\), (\d+ of 10 requests|begins)", run.output), run.output
    assert "10 of 10 requests in" in run.output
    (folder,) = set(kept(host)) - set(before)
    result = result_of(host, folder)
    assert (result["ok"], result["problem"], result["profile"]) == (True, "", "latency")
    assert result["vllm_version"] == "0.32.0"
    assert result["release"] == host.check_output("basename $(readlink /opt/vllm/medium/current)")
    (measured,) = result["runs"]
    assert (measured["completed"], measured["failed"]) == (10, 0)
    for name in LATENCIES:
        assert 0 < measured[name]["p50"] <= measured[name]["p90"] <= measured[name]["p99"]
    assert measured["ttft_ms"]["p50"] < measured["e2el_ms"]["p50"]
    assert measured["output_throughput"] == pytest.approx(10 * 128 / measured["duration_s"], rel=0.01)
    raw = json.loads(host.file(folder + "run-1.json").content_string)
    assert (raw["completed"], raw["total_output_tokens"]) == (10, 1280)
    assert host.check_output("stat -c '%%a %%U' %s %srun-1.json" % (folder, folder)).split() == [
        "750", "root", "640", "root"]  # fmt: skip
    assert nothing_runs(host)


def test_check_mode(host, measure, untouched) -> None:
    """It says what it would do, and does nothing."""
    run = measure("--check")
    assert run.status == 0, run.output
    assert "Would send 5 requests in 1 runs (small)" in run.flat
    assert untouched() == []


def test_bad_values(host, measure) -> None:
    """Refused with the variable, before the service is asked anything."""
    before = kept(host)
    profiles = {"small": [{"num_prompts": 5, "input_tokens": 2033, "output_tokens": 16}]}
    run = measure(vllm_benchmark_extra_profiles=profiles)
    assert run.status != 0
    assert "2033 input_tokens and 16 output_tokens are 2049, and the service takes 2048" in run.flat
    assert kept(host) == before


@pytest.mark.full
def test_compared(host, measure) -> None:
    """Worse figures than the last good ones are a warning, not a failure; other settings are not compared."""
    assert measure().status == 0
    last = kept(host)[-1]
    result = result_of(host, last)
    for measured in result["runs"]:
        measured["output_throughput"] *= 100
        measured["ttft_ms"]["p50"] /= 100
    text = json.dumps({**result, "release": "20200101T000000Z-000000000000", "vllm_version": "0.11.0"})
    host.check_output("cat > %sresult.json <<'END'\n%s\nEND" % (last, text))
    run = measure()
    assert run.status == 0, run.output
    assert "Benchmark small, small: worse by more than 10 % than at" in run.flat
    assert "release 20200101T000000Z-000000000000, vLLM 0.11.0; now release" in run.flat
    compared = result_of(host, kept(host)[-1])["compared"]
    assert compared["path"] == last.rstrip("/")
    worse = {row["metric"] for row in compared["rows"] if row["worse"]}
    assert {"output_throughput", "ttft_ms.p50"} <= worse
    other = {"small": [{**SMALL["vllm_benchmark_extra_profiles"]["small"][0], "num_prompts": 4}]}
    run = measure(vllm_benchmark_extra_profiles=other, vllm_benchmark_keep=3)
    assert run.status == 0, run.output
    assert result_of(host, kept(host)[-1])["compared"] == {}
    assert len(kept(host)) == 3


@pytest.mark.full
def test_busy(host, measure) -> None:
    """A service with requests of others is left alone, unless that is wanted."""
    body = json.dumps({"model": "tiny-qwen3", "prompt": "a", "max_tokens": 200, "ignore_eos": True})
    ask = "curl -s -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '%s' " % (KEY, body)
    host.check_output(
        "cat > /srv/busy.sh <<'END'\nwhile :; do %s 127.0.0.1:5002/v1/completions; sleep 0.5; done\nEND\n"
        "systemd-run --unit standin-users sh -c 'exec sh /srv/busy.sh >/dev/null 2>&1'" % ask
    )
    before = kept(host)
    try:
        time.sleep(2)
        run = measure()
        assert run.status != 0
        assert re.search(r"The service is busy: \d+ requests run", run.flat), run.output
        assert "vllm_benchmark_on_busy" in run.flat
        assert kept(host) == before
        assert measure(vllm_benchmark_on_busy=True).status == 0
    finally:
        host.check_output("systemctl stop standin-users; rm -f /srv/busy.sh")
    assert len(kept(host)) == len(before) + 1


@pytest.mark.full
def test_another_benchmark_and_a_leftover(host, measure, beside) -> None:
    """Two at once are refused; one that an interrupted playbook left is ended by the next, and leaves nothing."""
    first = beside(vllm_benchmark_profile="long")
    first.until(r"run 1 of 1 \(long\), \d+ of 900 requests")
    run = measure()
    assert run.status != 0
    assert "A benchmark of this service runs already" in run.flat
    first.process.kill()
    first.process.wait()
    time.sleep(1)
    run = measure()
    assert run.status == 0, run.output
    assert "still ran though nobody waited for it; it was ended" in run.flat
    assert nothing_runs(host)


@pytest.mark.full
def test_time_limit(host, measure) -> None:
    """It ends at its limit, and nothing goes on."""
    run = measure(vllm_benchmark_profile="long", vllm_benchmark_timeout_s=5)
    assert run.status != 0
    assert "It took longer than 5 s (vllm_benchmark_timeout_s)" in run.flat
    assert nothing_runs(host)


@pytest.mark.full
def test_broken_benchmark(host, measure) -> None:
    """A tokenizer that is not there any more: its own words, and the play can go on if that is wanted."""
    host.check_output("mv /srv/models/tiny-qwen3/tokenizer.json /srv/models/tokenizer.away")
    try:
        run = measure()
        assert run.status != 0
        assert "vllm bench serve ended with exit code 1" in run.flat
        assert "the last lines of vllm bench serve" in run.output
        run = measure(vllm_benchmark_fail=False)
        assert run.recap["failed"] == 0, run.output
    finally:
        host.check_output("mv /srv/models/tokenizer.away /srv/models/tiny-qwen3/tokenizer.json")
    assert measure().status == 0


@pytest.mark.full
def test_service_dies(host, measure, beside, service_back) -> None:
    """Stopped in the middle, and not there at all: a result that says so."""
    run = beside(vllm_benchmark_profile="long")
    run.until(r"run 1 of 1 \(long\), \d+ of 900 requests")
    host.check_output("docker stop --time 1 %s" % NAME)
    assert run.end() != 0
    said = " ".join(run.output.split())
    assert "The benchmark broke off: the container %s is exited (exit code" % NAME in said
    run = measure()
    assert run.status != 0
    assert "The container %s is exited" % NAME in run.flat
    assert "watch_medium.yml" in run.flat


@pytest.mark.full
def test_service_does_not_answer(host, measure, service_back) -> None:
    """A container that runs, and a service in it that has not come up."""
    host.check_output("docker restart --time 1 %s" % NAME)
    run = measure()
    assert run.status != 0
    assert "The service does not answer: /health gives" in run.flat


@pytest.mark.full
def test_no_key_anywhere(host, measure, beside) -> None:
    """Not in what it says, not in any command line while it runs, not in what it keeps."""
    run = beside(vllm_benchmark_profile="long")
    run.until(r"run 1 of 1 \(long\), \d+ of 900 requests")
    assert host.run("pgrep -f '[v]llm bench serve'").rc == 0
    lines = "for path in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $path; echo; done 2>/dev/null"
    # whoever looks has the key in its own command line
    assert host.run("(%s) | grep -F -e %s | grep -v grep" % (lines, KEY)).stdout == ""
    host.check_output("touch $(dirname $(find /run/myia-vllm -name benchmark.json))/benchmark.stop")
    assert run.end() != 0
    assert "It was ended from outside" in run.output
    assert KEY not in run.output
    assert host.run("grep -rlF -e %s %s /run/myia-vllm" % (KEY, BENCHMARKS)).stdout == ""
