# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_query, run as a program with a docker that notes what it is asked and answers as a container."""

from __future__ import annotations

import http.server
import json
import os
import threading

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock

#: Notes its arguments and its standard input beside itself, then does what the test says.
DOCKER = """for last; do :; done
printf '%%s' "$last" > "$0.program"
printf '%%s' "$1 $2 $3 $4 $5 $6 $7" > "$0.arguments"
IFS= read -r order
printf '%%s' "$order" > "$0.order"
%s"""
TOLD = {"answers": [{"id": "a", "error": "", "body": "the key is PLANTED-key"}], "left": ["b"], "gone": False}


@pytest.fixture
def run(run_module, tools, bare_path, tmp_path):
    """Ask one question; returns the answer and the folder of the docker that was run."""
    release = tmp_path / "vllm" / "releases" / "20260101T000000Z-000000000000"
    release.mkdir(parents=True)
    (release / ".env").write_text("VLLM_API_KEY_MEDIUM='PLANTED-key'\n", encoding="utf-8")

    def call(docker: str, **args) -> tuple[dict, object]:
        folder = tools("docker", DOCKER % docker)
        answer = run_module(
            "service_query",
            **{
                "container": "vllm-medium",
                "port": 5002,
                "model": "qwen",
                "folder": str(tmp_path / "vllm"),
                "questions": [{"id": "a", "kind": "paths"}],
                **args,
            },
            search="%s:%s" % (folder, bare_path),
        )
        assert "PLANTED" not in answer["_output"]
        return answer, folder

    return call


def test_asks_in_the_container(run, documentation) -> None:
    """The program goes as an argument, the questions through standard input; secrets in answers are masked."""
    answer, folder = run("echo warning; echo '%s'" % json.dumps(TOLD))
    assert answer["answers"] == [{"id": "a", "error": "", "body": "the key is ***"}]
    assert (answer["left"], answer["gone"], answer["published"], answer["changed"]) == (["b"], False, {}, False)
    assert (folder / "docker.arguments").read_text() == "exec --interactive --workdir /tmp vllm-medium python3 -c"
    assert "def main()" in (folder / "docker.program").read_text()
    order = json.loads((folder / "docker.order").read_text())
    assert order.pop("questions") == [{"id": "a", "kind": "paths"}]
    assert "def ranking(" in order.pop("more")
    assert order == {"scheme": "http", "port": 5002, "model": "qwen", "budget_s": 20.0, "timeout_s": 120.0}
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_query", "RETURN"))


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        ("echo 'Error response from daemon: No such container: vllm-medium' >&2; exit 1", "No such container"),
        ("echo 'Error response from daemon: Container 1 is not running' >&2; exit 1", "is not running"),
        (
            "echo 'Traceback'; echo 'ModuleNotFoundError: No module named openai PLANTED-key'",
            "No module named openai ***",
        ),
        ("exit 0", "no reason given"),
    ],
)
def test_nobody_to_ask(run, docker: str, said: str) -> None:
    answer, _folder = run(docker)
    assert answer["failed"] is True
    assert answer["msg"].startswith("Nobody can be asked in the container vllm-medium: ")
    assert said in answer["msg"]


def test_no_docker(run_module, bare_path, tmp_path) -> None:
    answer = run_module(
        "service_query", container="x", port=1, model="m", folder=str(tmp_path), questions=[], search=bare_path
    )
    assert "docker is not installed" in answer["msg"]


def test_lock(run, tmp_path) -> None:
    """Its holder shows that it lives; who lost it asks nothing any more."""
    lock = service_lock.Lock(str(tmp_path / "vllm"), 300)
    lock.take("mine", {"who": "alice", "run": "deploy"}, [])
    os.utime(lock.path, (1, 1))
    answer, folder = run("echo '%s'" % json.dumps(TOLD), token="mine")
    assert answer["lock_problem"] == ""
    assert lock.holder()["silent_s"] < 100
    (folder / "docker.program").unlink()
    answer, folder = run("echo '%s'" % json.dumps(TOLD), token="another")
    assert "was taken over by alice" in answer["lock_problem"]
    assert (answer["answers"], answer["left"]) == ([], ["a"])
    assert not (folder / "docker.program").exists()


@pytest.mark.parametrize("status", [200, 503])
def test_published_address_is_asked_from_the_host(run, status: int) -> None:
    class Vllm(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vllm)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = "http://127.0.0.1:%d" % server.server_port
    answer, _folder = run("echo '%s'" % json.dumps(TOLD), url=url)
    assert (answer["published"]["status"], answer["published"]["error"]) == (status, "")
    server.shutdown()
    thread.join()
    server.server_close()
    answer, _folder = run("echo '%s'" % json.dumps(TOLD), url=url)
    assert answer["published"]["status"] < 1
    assert "refused" in answer["published"]["error"]


def test_tls(run, tls_server) -> None:
    """The program in the container and the host ask by TLS."""
    url = "https://127.0.0.1:%d" % tls_server
    answer, folder = run("echo '%s'" % json.dumps(TOLD), url=url, scheme="https")
    assert (answer["published"]["status"], answer["published"]["error"]) == (200, "")
    assert json.loads((folder / "docker.order").read_text())["scheme"] == "https"
