# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_probe, run as a program against a real HTTP server that answers as a vLLM does, or does not."""

from __future__ import annotations

import http.server
import json
import pathlib
import socket
import threading
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv

KEY = "PLANTED-it's-$key"
MODELS = {"object": "list", "data": [{"id": "tiny"}]}
TOKEN = {"choices": [{"text": "1"}], "usage": {"completion_tokens": 1}}


class Vllm(http.server.BaseHTTPRequestHandler):
    """Answers by the table ``server.answers``: path to (status, body); notes what it was asked."""

    def answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        status, answer = self.server.answers[self.path]
        if self.server.key and self.headers.get("Authorization") != "Bearer " + self.server.key:
            status, answer = 401, {"error": "Unauthorized: %s" % self.headers.get("Authorization")}
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()
        self.server.wait.wait(self.server.hold_s)

    do_GET = do_POST = answer

    def log_message(self, *_args) -> None:
        pass


@pytest.fixture
def server():
    """The server, healthy and without a key."""
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vllm)
    httpd.answers = {"/v1/models": (200, MODELS), "/v1/completions": (200, TOKEN)}
    httpd.asked, httpd.key, httpd.hold_s, httpd.missing_bytes = [], "", 0, 0
    httpd.wait = threading.Event()
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield httpd
    httpd.wait.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def release(tmp_path) -> pathlib.Path:
    """The folder of a release with a key."""
    text = "VLLM_MODEL_MEDIUM='x'\nVLLM_API_KEY_MEDIUM=%s\nHUGGING_FACE_HUB_TOKEN='hf_PLANTED'\n" % dotenv.quote(KEY)
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(run_module, server):
    """Ask the server; every answer is searched for the secrets."""

    def call(**args) -> dict:
        args = {"url": "http://127.0.0.1:%d" % server.server_port, "served_model_name": "tiny", **args}
        answer = run_module("service_probe", **args)
        assert "PLANTED" not in answer["_output"]
        assert answer["changed"] is False
        assert answer["answers"] is not bool(answer["problem"])
        return answer

    return call


def test_answers(run, server, documentation) -> None:
    """The model is known and gives one token; RETURN names exactly what is returned."""
    answer = run()
    assert (answer["answers"], answer["problem"], answer["generates"]) == (True, "", True)
    assert 0 <= answer["completion_s"] < 5
    assert [(method, path) for method, path, _key, _body in server.asked] == [
        ("GET", "/v1/models"),
        ("POST", "/v1/completions"),
    ]
    assert server.asked[1][3] == {"model": "tiny", "prompt": "1", "max_tokens": 1, "temperature": 0}
    assert server.asked[0][2] is None
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_probe", "RETURN"))


def test_key(run, server, release) -> None:
    """It is read from the release's .env, as Compose reads it, and sent with both requests."""
    server.key = KEY
    assert run(release=str(release))["answers"] is True
    assert [asked[2] for asked in server.asked] == ["Bearer " + KEY] * 2


@pytest.mark.parametrize("folder", [None, "/none"], ids=["no-release", "no-file"])
def test_without_the_key(folder, run, server) -> None:
    """A service that wants one refuses."""
    server.key = KEY
    answer = run(release=folder)
    assert answer["problem"].startswith("/v1/models answers 401: ")
    assert server.asked[0][2] is None


def test_wrong_key(run, server, release) -> None:
    """The server may repeat what it was given; the answer does not."""
    server.key = "other"
    assert '401: {"error": "Unauthorized: Bearer ***"}' in run(release=str(release))["problem"]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ((200, {"data": [{"id": "other"}, {"id": "third"}]}), "/v1/models knows other, third; expected tiny"),
        ((200, {"data": []}), "/v1/models knows no model; expected tiny"),
        ((200, {"data": ["odd"]}), "/v1/models knows no model; expected tiny"),
        ((200, ["odd"]), "/v1/models knows no model; expected tiny"),
        ((200, b"<html>no JSON</html>"), "/v1/models knows no model; expected tiny"),
        ((500, {"error": "engine dead"}), '/v1/models answers 500: {"error": "engine dead"}'),
        ((404, b""), "/v1/models answers 404: "),
    ],
    ids=str,
)
def test_wrong_models(models, words, run, server) -> None:
    """What was found, and what was expected."""
    server.answers["/v1/models"] = models
    answer = run()
    assert answer["problem"].startswith(words)
    assert (answer["answers"], answer["completion_s"], len(server.asked)) == (False, None, 1)


@pytest.mark.parametrize(
    "completions",
    [(404, {"detail": "Not Found"}), (400, {"message": "The model does not support Completions API"}),
     (501, {"message": "The model does not support Completions API"})],
    ids=str,
)  # fmt: skip
def test_model_without_completions(completions, run, server) -> None:
    """An embedding model cannot give a token, and needs not."""
    server.answers["/v1/completions"] = completions
    answer = run()
    assert (answer["answers"], answer["generates"], answer["completion_s"]) == (True, False, None)


@pytest.mark.parametrize(
    ("completions", "words"),
    [
        ((500, {"error": "EngineDeadError"}), 'a one-token completion answers 500: {"error": "EngineDeadError"}'),
        ((400, {"error": "bad"}), 'a one-token completion answers 400: {"error": "bad"}'),
        ((200, {"choices": []}), 'a one-token completion answers without a token: {"choices": []}'),
        ((200, {"choices": [{"text": ""}], "usage": {"completion_tokens": 0}}), "answers without a token"),
        ((200, {"choices": [{"text": ""}]}), "answers without a token"),
        ((200, b"x" * 5000), "answers without a token: " + "x" * 300),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_token(completions, words, run, server) -> None:
    """Only a token proves that the engine works."""
    server.answers["/v1/completions"] = completions
    answer = run()
    assert words in answer["problem"]
    assert len(answer["problem"]) < 400
    assert answer["completion_s"] is None


def test_slow(run, server) -> None:
    """A service that takes the request and hangs does not hold the module up, before its answer or within it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        before = time.monotonic()
        answer = run(url="http://127.0.0.1:%d" % sock.getsockname()[1], timeout_s=1)
    assert answer["problem"].startswith("/v1/models answers nothing: ")
    server.missing_bytes, server.hold_s = 10, 30
    answer = run(timeout_s=1)
    assert answer["problem"].startswith("/v1/models answers nothing: the answer broke off")
    assert time.monotonic() - before < 9


def test_engine_that_dies_within_its_answer(run, server) -> None:
    """The connection closes before all has come."""
    server.missing_bytes = 10
    assert "the answer broke off" in run()["problem"]


def test_nobody_listens(run) -> None:
    """Said, no crash."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % sock.getsockname()[1]
    answer = run(url=url)
    assert answer["problem"].startswith("/v1/models answers nothing: ")


def test_proxy_of_the_host_is_not_used(run) -> None:
    """A proxy in the environment must not stand between a host and its own service."""
    assert run(environ={"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"})["answers"] is True
