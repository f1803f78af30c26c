# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_status, run as a program with a stand-in docker and a real HTTP server."""

from __future__ import annotations

import http.server
import json
import socket
import threading

import pytest

INSPECT = {
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": "2026-01-01T00:00:00Z",
        "Error": "",
    },
    "RestartCount": 2,
    "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
}


@pytest.fixture
def server():
    """An HTTP server on the loopback that answers /<status> with that status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_args) -> None:
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield "http://127.0.0.1:%d/" % httpd.server_port
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module with a docker that prints ``out``, or fails with ``err``."""

    def call(url: str, out: object = None, err: str = "", **more):
        script = "echo '%s' >&2; exit 1" % err if err else "cat <<'END'\n%s\nEND" % json.dumps([out])
        folder = tools("docker", script)
        return run_module("service_status", container="c", url=url, search="%s:%s" % (folder, bare_path), **more)

    return call


def inspected(**state: object) -> dict:
    """The answer of docker for another state."""
    return {**INSPECT, "State": {**INSPECT["State"], **state}}


def test_healthy(run, server) -> None:
    """It runs and answers 200."""
    answer = run(server + "200", INSPECT)
    assert {key: answer[key] for key in ("healthy", "ended", "state", "http_status", "error")} == {
        "healthy": True,
        "ended": False,
        "state": "running",
        "http_status": 200,
        "error": "",
    }
    assert (answer["restart_policy"], answer["restart_count"], answer["changed"]) == ("no", 2, False)
    assert answer["started_at"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("status", [204, 404, 500, 503])
def test_other_answers(status, run, server) -> None:
    """Anything but 200 is not healthy yet, and not ended."""
    answer = run(server + str(status), INSPECT)
    assert (answer["healthy"], answer["ended"], answer["http_status"]) == (False, False, status)
    assert answer["error"]


def test_nobody_listens(run) -> None:
    """The container runs, the port is silent: status 0."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        answer = run("http://127.0.0.1:%d/health" % sock.getsockname()[1], INSPECT)
    assert (answer["healthy"], answer["ended"], answer["http_status"]) == (False, False, 0)
    assert answer["error"]


def test_slow_answer(run) -> None:
    """A server that takes the connection and says nothing does not hold the module up."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        answer = run("http://127.0.0.1:%d/health" % sock.getsockname()[1], INSPECT, timeout_s=1)
    assert (answer["healthy"], answer["http_status"]) == (False, 0)


def test_proxy_of_the_host_is_not_used(run, server) -> None:
    """A proxy in the environment must not stand between a host and its own service."""
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert run(server + "200", INSPECT, environ=proxy)["healthy"] is True


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("exited", True),
        ("dead", True),
        ("created", True),
        ("restarting", False),
        ("paused", False),
        ("removing", False),
    ],
)
def test_other_states(state, ended, run, server) -> None:
    """Only a running container is asked; one that ended is said to have."""
    answer = run(server + "200", inspected(Status=state, ExitCode=1))
    assert (answer["healthy"], answer["ended"], answer["state"]) == (False, ended, state)
    assert (answer["http_status"], answer["exit_code"]) == (0, 1)
    assert answer["error"] == "the container is %s" % state


def test_out_of_memory_and_docker_error(run, server) -> None:
    """What Docker says goes first."""
    answer = run(server + "200", inspected(Status="exited", ExitCode=137, OOMKilled=True, Error="no nvidia runtime"))
    assert (answer["oom_killed"], answer["exit_code"], answer["error"]) == (True, 137, "no nvidia runtime")


@pytest.mark.parametrize(
    ("err", "state", "ended"),
    [
        pytest.param("Error: No such container: c", "missing", True, id="missing"),
        pytest.param("Error response from daemon: No such container: c", "missing", True, id="missing-28"),
        pytest.param("Cannot connect to the Docker daemon", "unknown", False, id="engine-down"),
    ],
)
def test_no_container(err, state, ended, run, server) -> None:
    """A missing container has ended; an engine that does not answer may come back."""
    answer = run(server + "200", err=err)
    assert (answer["state"], answer["ended"], answer["healthy"], answer["error"]) == (state, ended, False, err)


def test_no_docker(run_module, bare_path) -> None:
    """Without the docker command the module fails and says so."""
    answer = run_module("service_status", container="c", url="http://127.0.0.1:9/", search=bare_path)
    assert answer["failed"] is True
    assert "docker" in answer["msg"]
