# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that runs inside the container: a stand-in for the service answers it, and a stand-in for ``vllm``."""

from __future__ import annotations

import contextlib
import http.server
import inspect
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import types

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import client as benchmark_client

DATA = pathlib.Path(__file__).resolve().parents[3] / "data" / "bench"
KEY = "PLANTED-key-0123456789"
RUN = {"name": "one", "num_prompts": 5, "request_rate": None, "max_concurrency": 1, "input_tokens": 64,
       "output_tokens": 16}  # fmt: skip
METRICS = 'vllm:num_requests_running{engine="0"} %s\nvllm:num_requests_waiting{engine="0"} %s\n'
GOOD = {
    "/health": (200, ""),
    "/v1/models": (200, json.dumps({"data": [{"id": "tiny", "max_model_len": 2048}]})),
    "/metrics": (200, METRICS % (0.0, 0.0)),
    "/version": (200, '{"version": "0.32.0"}'),
    "/v1/completions": (200, "{}"),
}


@pytest.fixture
def service():
    """Return a function that starts a stand-in for the service; it notes what it was asked."""
    with contextlib.ExitStack() as stack:

        def start(answers: dict) -> types.SimpleNamespace:
            found = types.SimpleNamespace(asked=[], bodies=[], keys=[])

            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    found.asked.append(self.path)
                    found.keys.append(self.headers.get("Authorization"))
                    status, text = answers[self.path]
                    if isinstance(text, list):
                        text = text.pop(0) if len(text) > 1 else text[0]
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(text.encode())

                def do_POST(self) -> None:
                    found.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                    self.do_GET()

                def log_message(self, *args) -> None:
                    pass

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            found.port = server.server_port
            return found

        yield start


def settings(port: int = 1, **more: object) -> dict:
    """Settings of a benchmark of one run."""
    return {"scheme": "http", "port": port, "served_model_name": "tiny", "tokenizer": "/srv/tiny",
            "tokenizer_revision": "", "tokenizer_mode": "", "trust_remote_code": False, "on_busy": False,
            "timeout_s": 60, "seed": 7, "runs": [RUN], **more}  # fmt: skip


def test_tls(tls_server) -> None:
    """A certificate of nobody known is taken."""
    assert benchmark_client.query(benchmark_client.address(settings(tls_server, scheme="https")), "/health")[0] == 200
    assert benchmark_client.query(benchmark_client.address(settings(tls_server)), "/health")[0] != 200


@pytest.mark.parametrize("step", [0, 1, 7])
def test_recorded_output(step) -> None:
    """vLLM's own output, cut anywhere: each request counts once, and bars are no lines."""
    text = (DATA / "output.txt").read_text(encoding="utf-8", errors="replace")
    output = benchmark_client.Output(5)
    seen = [
        output.x
        for begin in range(0, len(text), step or len(text))
        if output.feed(text[begin : begin + (step or len(text))])
    ]
    assert seen[-1] == 5
    if step:
        assert seen == [1, 2, 3, 4, 5]
    assert "Successful requests:                     5" in output.lines
    assert not [line for line in output.lines if "it/s]" in line]


def test_output_is_bounded() -> None:
    """Whatever it says, little is kept; the bar of something else is not ours."""
    output = benchmark_client.Output(5)
    assert not output.feed(" 30%|###  | 3/10 [00:00\r" + "".join("line %d\n" % number for number in range(500)))
    assert not output.feed("x" * 100_000 + "\n")
    assert (output.x, len(output.lines)) == (0, benchmark_client.LINES)
    assert len(output.lines[-1]) == benchmark_client.LINE_CHARS
    # a bar that has not been ended yet
    assert output.feed(" 40%|##  | 2/5 [00:00<00:00")
    assert output.x == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (METRICS % (2.0, 1.0), {"running": 2.0, "waiting": 1.0}),
        (METRICS % (2.0, 0.0) + METRICS.replace('"0"', '"1"') % (3.0, 4.0), {"running": 5.0, "waiting": 4.0}),
        ("vllm:num_requests_running 1.0\n", {"running": 1.0, "waiting": None}),
        ("# HELP vllm:num_requests_running x\nvllm:num_requests_running_total 9\n", {"running": None, "waiting": None}),
        ("", {"running": None, "waiting": None}),
    ],
)
def test_gauges(text, found) -> None:
    """All engines together; a name that only begins alike does not count."""
    assert benchmark_client.gauges(text) == found


NOTHING_WAITS = METRICS % (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({}, {}, ""),
        ({"/health": (503, "")}, {}, "The service does not answer: /health gives 503."),
        ({"/v1/models": (401, "no key")}, {}, "/v1/models answers 401: no key"),
        ({}, {"served_model_name": "other"}, "The service serves tiny; expected other (vllm_served_model_name)."),
        ({}, {"runs": [RUN, {**RUN, "input_tokens": 2033}]},
         "A request of 2049 tokens is asked for, and the service takes at most 2048."),
        ({}, {"runs": [{**RUN, "input_tokens": 2032}]}, ""),
        ({"/metrics": (200, METRICS % (1.0, 0.0))}, {}, "The service is busy: 1 requests run and 0 wait."),
        ({"/metrics": (200, METRICS % (0.0, 2.0))}, {}, "The service is busy: 0 requests run and 2 wait."),
        # one moment without a request is no idle service
        ({"/metrics": (200, [NOTHING_WAITS, NOTHING_WAITS, METRICS % (1.0, 0.0)])}, {}, "The service is busy"),
        ({"/metrics": (200, METRICS % (1.0, 5.0))}, {"on_busy": True}, ""),
        ({"/metrics": (404, "")}, {}, "Whether the service is busy cannot be seen"),
        ({"/metrics": (404, "")}, {"on_busy": True}, ""),
    ],
)  # fmt: skip
def test_check_service(service, changes, more, said) -> None:
    """What cannot or must not be measured is refused with its reason, before the model is asked anything."""
    stand_in = service({**GOOD, **changes})
    if said:
        with pytest.raises(benchmark_client.ServiceError) as caught:
            benchmark_client.check_service(settings(stand_in.port, **more), sleep=lambda _s: None)
        assert said in str(caught.value)
    else:
        assert benchmark_client.check_service(settings(stand_in.port, **more), sleep=lambda _s: None) == "0.32.0"
    assert stand_in.bodies == []


def test_nobody_listens() -> None:
    """The reason of the operating system."""
    with pytest.raises(benchmark_client.ServiceError, match=r"/health gives .*refused"):
        benchmark_client.check_service(settings(1))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "{}"), ""),
        ((404, "Not Found"), "The model generates no text"),
        ((400, "The model does not support Completions API"), "The model generates no text"),
        ((400, "prompt too long"), "answered by 400: prompt too long"),
        ((500, ""), "answered by 500"),
    ],
)
def test_warm_up(service, answer, said) -> None:
    """One request as long as those of the run, with other prompts each time."""
    stand_in = service({**GOOD, "/v1/completions": answer})
    with pytest.raises(benchmark_client.ServiceError, match=said) if said else contextlib.nullcontext():
        benchmark_client.warm_up(settings(stand_in.port), RUN)
    if not said:
        benchmark_client.warm_up(settings(stand_in.port), RUN)
        one, two = stand_in.bodies
        assert (len(one["prompt"]), one["max_tokens"], one["ignore_eos"], one["model"]) == (64, 16, True, "tiny")
        assert one["prompt"] != two["prompt"]


@pytest.mark.parametrize(
    ("run", "more", "there", "not_there"),
    [
        ({}, {}, "--max-concurrency 1 --temperature 0 --ignore-eos --ready-check-timeout-sec 0", "--request-rate"),
        ({"request_rate": 2.5, "max_concurrency": None}, {}, "--request-rate 2.5", "--max-concurrency"),
        ({}, {}, "--model tiny --tokenizer /srv/tiny --dataset-name random", "--trust-remote-code"),
        ({}, {"tokenizer_mode": "mistral", "trust_remote_code": True}, "--tokenizer-mode mistral --trust-remote-code",
         "nothing"),
        ({}, {}, "--random-input-len 64 --random-output-len 16 --num-prompts 5", "--tokenizer-mode"),
        ({}, {}, "--seed 9 --save-result --save-detailed --result-dir /tmp/x --result-filename 0.json", "api"),
        ({}, {}, "--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 50,90,99", "key"),
    ],
)  # fmt: skip
def test_argv(run, more, there, not_there) -> None:
    """The options, all of which vLLM 0.11 and 0.32 have."""
    command = " ".join(benchmark_client.argv(settings(80, **more), {**RUN, **run}, 9, "/tmp/x", "0.json"))
    assert command.startswith(
        "vllm bench serve --backend openai --endpoint /v1/completions --base-url http://127.0.0.1:80 "
    )
    assert there in command
    assert not_there not in command


def test_argv_with_tls() -> None:
    """A certificate that does not name 127.0.0.1 is no reason to measure nothing."""
    command = benchmark_client.argv(settings(80, scheme="https"), RUN, 9, "/tmp/x", "0.json")
    assert command[command.index("--base-url") + 1] == "https://127.0.0.1:80"
    assert "--insecure" in command
    assert "--insecure" not in benchmark_client.argv(settings(80), RUN, 9, "/tmp/x", "0.json")


@pytest.mark.parametrize(("text", "able"), [('add_argument("--insecure")', True), ("", False), (None, False)])
def test_check_tls(text, able, monkeypatch, tmp_path) -> None:
    """Only a benchmark that can leave the certificate alone is begun; without TLS any."""
    (tmp_path / "vllm" / "benchmarks").mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").write_text("raise RuntimeError('imported')")
    if text is not None:
        (tmp_path / "vllm" / "benchmarks" / "serve.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    benchmark_client.check_tls(settings())
    if able:
        benchmark_client.check_tls(settings(scheme="https"))
        return
    with pytest.raises(benchmark_client.ServiceError, match=r"0\.17\.0 or later"):
        benchmark_client.check_tls(settings(scheme="https"))


@pytest.mark.parametrize(
    ("work", "there"),
    [
        ("embed", "--backend openai-embeddings --endpoint /v1/embeddings"),
        ("embed", "--dataset-name random --random-input-len 64 --num-prompts 5"),
        ("rerank", "--backend vllm-rerank --endpoint /v1/rerank"),
        ("rerank", "--dataset-name random-rerank"),
        ("rerank", "--percentile-metrics e2el --metric-percentiles 50,90,99"),
    ],
)
def test_argv_of_services_that_do_not_write(work, there) -> None:
    """The options of vLLM 0.32, none of those for answers."""
    command = " ".join(benchmark_client.argv(settings(80, work=work), {**RUN, "output_tokens": None}, 9, "/tmp/x", "0"))
    assert there in command
    assert not {"--temperature", "--ignore-eos", "--random-output-len"} & set(command.split())


@pytest.mark.parametrize(
    ("work", "path", "keys"),
    [("embed", "/v1/embeddings", {"input"}), ("rerank", "/v1/rerank", {"query", "documents"})],
)
def test_warm_up_of_services_that_do_not_write(service, work, path, keys) -> None:
    """The same endpoint as the measurement's, with text that any tokenizer knows."""
    stand_in = service({**GOOD, path: (200, "{}")})
    benchmark_client.warm_up(settings(stand_in.port, work=work), {**RUN, "output_tokens": None})
    assert stand_in.asked[-1] == path
    assert keys <= set(stand_in.bodies[-1])
    missing = service({**GOOD, path: (404, "Not Found")})
    with pytest.raises(benchmark_client.ServiceError, match="does no such work"):
        benchmark_client.warm_up(settings(missing.port, work=work), RUN)


def test_tokenizer_of(monkeypatch, tmp_path) -> None:
    """A pinned revision becomes its folder in the cache; a folder and an unpinned name stay."""
    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = lambda name, revision, local_files_only: (
        "/cache/%s/%s/%s" % (name, revision, local_files_only)
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert benchmark_client.tokenizer_of(settings(tokenizer="own/model")) == "own/model"
    pinned = settings(tokenizer="own/model", tokenizer_revision="abc")
    assert benchmark_client.tokenizer_of(pinned) == "/cache/own/model/abc/True"
    assert benchmark_client.tokenizer_of({**pinned, "tokenizer": str(tmp_path)}) == str(tmp_path)

    def missing(*args, **more):
        raise OSError("not cached")

    hub.snapshot_download = missing
    with pytest.raises(
        benchmark_client.ServiceError, match="of revision abc is not in the container's cache: not cached"
    ):
        benchmark_client.tokenizer_of(pinned)


@pytest.fixture
def program(tools, tmp_path):
    """Start the program as a container would, with a stand-in for ``vllm`` (a shell script)."""
    started = []

    def start(script: str, given: dict) -> subprocess.Popen:
        head = 'for last; do :; done; out="$PWD/$last"; printf "%%s\\n" "$@" > %s/argv; env > %s/env\n'
        folder = tools("vllm", head % (tmp_path, tmp_path) + script)
        (tmp_path / "tmp").mkdir(exist_ok=True)
        environ = {"PATH": "%s:%s" % (folder, os.environ["PATH"]), "TMPDIR": str(tmp_path / "tmp"), "VLLM_API_KEY": KEY,
                   "HTTP_PROXY": "http://192.0.2.1:1"}  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", inspect.getsource(benchmark_client), json.dumps(given)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def events(process: subprocess.Popen) -> list[dict]:
    """All that it tells until its end."""
    return [json.loads(line) for line in process.stdout]


BARS = "printf '\\r 20%%|## | 1/5 [00:00<00:00\\r 100%%|##### | 5/5 [00:01<00:00\\n' >&2\n"


def test_program(service, program, tmp_path) -> None:
    """Two runs, each with its own prompts; the key only in the environment, no proxy, nothing left."""
    stand_in = service(GOOD)
    process = program(BARS + 'echo "{}" > "$out"', settings(stand_in.port, runs=[RUN, {**RUN, "name": "two"}]))
    told = events(process)
    assert [item["event"] for item in told if item["event"] != "progress"] == [
        "begun", "run", "result", "run", "result", "end"]  # fmt: skip
    assert told[0] == {"event": "begun", "vllm_version": "0.32.0"}
    assert [item["index"] for item in told if item["event"] == "run"] == [0, 1]
    assert {"event": "progress", "x": 5} in told
    assert {item["raw"] for item in told if item["event"] == "result"} == {"{}\n"}
    environ = (tmp_path / "env").read_text(encoding="utf-8")
    assert "OPENAI_API_KEY=%s\n" % KEY in environ
    assert "PROXY" not in environ
    assert "HF_HUB_OFFLINE=1\n" in environ
    asked_with = (tmp_path / "argv").read_text(encoding="utf-8")
    assert KEY not in asked_with + json.dumps(told)
    assert "--seed\n8\n" in asked_with
    assert set(stand_in.keys) == {"Bearer " + KEY}
    assert len(stand_in.bodies) == 2
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo words; echo last words; exit 3", "vllm bench serve ended with exit code 3: last words"),
        ("exit 0", "vllm bench serve wrote no result"),
        ('echo "{}" > "$out"; exit 1', "vllm bench serve ended with exit code 1"),
    ],
)
def test_broken(service, program, script, problem) -> None:
    """A run without a result is the last one, and its words are told."""
    told = events(program(script, settings(service(GOOD).port, runs=[RUN, RUN])))
    assert [item["event"] for item in told] == ["begun", "run", "broken"]
    assert told[-1]["problem"] == problem
    assert told[-1]["lines"] == (["words", "last words"] if "words" in script else [])


def test_refused(service, program) -> None:
    """One event with the reason."""
    told = events(program("exit 0", settings(service({**GOOD, "/health": (500, "")}).port)))
    assert told == [{"event": "refused", "problem": "The service does not answer: /health gives 500."}]
    told = events(program("exit 0", settings(service({**GOOD, "/v1/models": (200, "no JSON")}).port)))
    assert [item["event"] for item in told] == ["refused"]


def test_ends_with_its_input(service, program, tmp_path) -> None:
    """When nobody is there any more, the benchmark with its children is killed and nothing stays."""
    (tmp_path / "tmp" / "myia-benchmark-old").mkdir(parents=True)
    process = program("sleep 77 & echo $$ $! > %s/pids; wait" % tmp_path, settings(service(GOOD).port))
    end = time.monotonic() + 10
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text(encoding="ascii").strip():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "myia-benchmark-old" not in os.listdir(tmp_path / "tmp")
    process.stdin.close()
    assert process.wait(10) == 3
    pids = [int(pid) for pid in (tmp_path / "pids").read_text(encoding="ascii").split()]
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert os.listdir(tmp_path / "tmp") == []


def _runs(pid: int) -> bool:
    try:
        state = pathlib.Path("/proc/%d/stat" % pid).read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
