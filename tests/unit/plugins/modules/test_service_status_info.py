# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_status_info, run as a program with a stand-in docker and a real HTTP server."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import os
import socket
import threading
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock

ID = "0123456789ab" * 5
NEVER = "0001-01-01T00:00:00Z"
KEY = "PLANTED-it's-$key"
LOG = "2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.000000000Z two\n"

INSPECT = {
    "Id": ID,
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": "2026-01-01T00:00:00Z",
        "FinishedAt": NEVER,
        "Error": "",
    },
    "RestartCount": 2,
    "Mounts": [],
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
def run(run_module, tools, bare_path, tmp_path):
    """Run the module with a docker that prints ``out``, or fails with ``err``; ``lines`` is the container's log.

    What docker was asked for stands in the file ``asked``.
    """

    def call(url: str, out: object = None, err: str = "", lines: str = LOG, **more):
        script = "echo '%s' >&2; exit 1" % err if err else "cat <<'END'\n%s\nEND" % json.dumps([out])
        logs = "[ \"$1\" = logs ] && { cat <<'END'\n%sEND\nexit 0; }" % lines
        folder = tools("docker", 'echo "$@" >>%s/asked\n%s\n%s' % (tmp_path, logs, script))
        return run_module("service_status_info", container="c", url=url, search="%s:%s" % (folder, bare_path), **more)

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
    answer = run_module("service_status_info", container="c", url="http://127.0.0.1:9/", search=bare_path)
    assert answer["failed"] is True
    assert "docker" in answer["msg"]


def inside(answer: dict) -> str:
    """The log in an answer."""
    return gzip.decompress(base64.b64decode(answer["log_gz"])).decode() if answer["log_gz"] else ""


@pytest.fixture
def asked(tmp_path):
    """What docker was asked for the log the last time; empty when it never was."""

    def read() -> list[str]:
        lines = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
        return ([line for line in lines if line.startswith("logs")] or [""])[-1].split()

    return read


@pytest.fixture
def service(tmp_path) -> releases.Service:
    """The folder of a service with one release, whose .env has a secret, and which was started once."""
    found = releases.Service(str(tmp_path / "vllm" / "medium"))
    staging = found.begin()
    found.write(staging, releases.ENV, "VLLM_API_KEY_MEDIUM=%s\nPORT='5002'\n" % dotenv.quote(KEY))
    start = {"at": "2026-01-01T00:00:00Z", "total_s": 40.0, "phases": []}
    found.write(staging, releases.DESCRIPTION, releases.describe({"image": "i", "model": "m", "start": start}))
    os.rename(staging, found.folder("20260101T000000Z-0123456789ab"))
    return found


def test_what_docker_says(run, server) -> None:
    """Ids and times, in seconds too; never is 0."""
    before = time.time()
    answer = run(server + "200", INSPECT)
    assert (answer["id"], answer["docker_error"]) == (ID, "")
    assert (answer["started_s"], answer["finished_at"], answer["finished_s"]) == (1767225600.0, NEVER, 0.0)
    assert before - 1 <= answer["now_s"] <= time.time() + 1
    ended = inspected(Status="exited", ExitCode=1, FinishedAt="2026-01-01T00:00:30.5Z", Error="no such runtime")
    answer = run(server + "200", ended)
    assert (answer["finished_s"], answer["docker_error"]) == (1767225630.5, "no such runtime")


def test_documented_keys(run, server, service, documentation) -> None:
    """RETURN names exactly what is returned, with a container and without one."""
    documented = set(documentation("service_status_info", "RETURN"))
    own = {"changed", "invocation", "_output"}
    assert set(run(server + "200", INSPECT, folder=service.path)) - own == documented
    assert set(run(server + "200", INSPECT)) - own == documented - {"lock", "starts", "stopped"}
    assert set(run(server + "200", err="No such container: c")) - own == documented - {"lock", "starts", "stopped"}


@pytest.mark.parametrize(
    ("log", "status", "read"),
    [
        ("never", 503, False),
        ("unless_healthy", 503, True),
        # a service that is healthy already is not asked for a log of weeks
        ("unless_healthy", 200, False),
        ("always", 200, True),
    ],
)
def test_when_the_log_is_read(log, status, read, run, server, asked) -> None:
    """As it was wished; otherwise docker is not even asked."""
    answer = run(server + str(status), INSPECT, log=log)
    assert (inside(answer), bool(asked())) == ((LOG, True) if read else ("", False))
    cursor = {"time": "2026-01-01T00:00:02.000000000Z", "seen": 1, "id": ID}
    assert answer["log_cursor"] == (cursor if read else {})
    assert answer["log_more"] is False


def test_the_log_of_a_container_that_ended(run, server) -> None:
    """It says why it did."""
    answer = run(server + "200", inspected(Status="exited", ExitCode=1), log="unless_healthy")
    assert (answer["ended"], inside(answer)) == (True, LOG)


def test_next_look(run, server, asked) -> None:
    """Only newer lines, as long as it is the same container."""
    cursor = {"time": "2026-01-01T00:00:01.000000000Z", "seen": 1, "id": ID}
    answer = run(server + "503", INSPECT, log="always", log_cursor=cursor)
    assert inside(answer) == LOG.splitlines(keepends=True)[1]
    assert asked() == ["logs", "--timestamps", "--since", cursor["time"], ID]
    answer = run(server + "503", INSPECT, log="always", log_cursor=answer["log_cursor"], lines="")
    assert (inside(answer), answer["log_cursor"]["id"]) == ("", ID)


def test_a_long_log_comes_in_pieces(run, server) -> None:
    """No more than asked for at a time, and that there is more is said."""
    answer = run(server + "503", INSPECT, log="always", log_max_bytes=10)
    assert (inside(answer), answer["log_more"]) == (LOG.splitlines(keepends=True)[0], True)
    answer = run(server + "503", INSPECT, log="always", log_max_bytes=10, log_cursor=answer["log_cursor"])
    assert inside(answer) == LOG.splitlines(keepends=True)[1]


@pytest.mark.parametrize(
    ("restarts", "finished", "cursor", "since"),
    [
        pytest.param(0, NEVER, {}, ["--since", "1767225599.000000000"], id="first-start"),
        # somebody started it again by hand: what it said before is another story
        pytest.param(0, "2025-12-31T23:59:59.75Z", {}, ["--since", "1767225599.750000000"], id="started-again"),
        pytest.param(0, "2025-12-31T23:00:00Z", {}, ["--since", "1767225599.000000000"], id="started-again-later"),
        pytest.param(0, "2026-01-01T00:10:00Z", {}, ["--since", "1767225599.000000000"], id="ended"),
        # Docker starts it again and again: why stands before
        pytest.param(3, "2025-12-31T23:59:59Z", {}, ["--tail", "5000"], id="restarted"),
        pytest.param(0, NEVER, {"time": "2026-01-01T00:00:01.000000000Z", "seen": 1, "id": "another"},
                     ["--since", "1767225599.000000000"], id="replaced"),
    ],
)  # fmt: skip
def test_where_the_log_begins(restarts, finished, cursor, since, run, server, asked) -> None:
    """With the present run of the container, unless that one cannot tell."""
    out = {**inspected(FinishedAt=finished), "RestartCount": restarts}
    answer = run(server + "503", out, log="always", log_cursor=cursor)
    assert asked() == ["logs", "--timestamps", *since, ID]
    assert inside(answer) == LOG


def test_no_secret_in_any_answer(run, server, service) -> None:
    """Neither in the log nor in what Docker says."""
    lines = "2026-01-01T00:00:01.000000000Z key %s and %r\n" % (KEY, [KEY])
    out = inspected(Status="exited", ExitCode=1, Error="bad value %s" % KEY)
    answer = run(server + "200", out, lines=lines, log="always", folder=service.path)
    assert (answer["docker_error"], answer["error"]) == ("bad value ***", "bad value ***")
    assert "key *** and " in inside(answer)
    assert "PLANTED" not in inside(answer) + answer["_output"]


def test_starts(run, server, service) -> None:
    """The recorded starts come once, at the first look."""
    answer = run(server + "503", INSPECT, folder=service.path)
    assert [(start["model"], start["total_s"]) for start in answer["starts"]] == [("m", 40.0)]
    assert "starts" not in run(server + "503", INSPECT, folder=service.path, log_cursor={"id": ID})


def test_lock(run, server, service) -> None:
    """Who deploys is said; whoever holds the lock shows that it lives, and learns when the lock is gone."""
    lock = service_lock.Lock(service.path)
    assert run(server + "200", INSPECT, folder=service.path)["lock"] == {}
    lock.take("mine", {"who": "anna"}, [])
    os.utime(lock.path, (1, 1))
    answer = run(server + "200", INSPECT, folder=service.path)
    assert (answer["lock"]["who"], answer["lock_problem"]) == ("anna", "")
    assert answer["lock"]["silent_s"] > 1000
    answer = run(server + "200", INSPECT, folder=service.path, token="mine")
    assert (answer["lock"]["silent_s"], answer["lock_problem"]) == (0, "")
    answer = run(server + "200", INSPECT, folder=service.path, token="other")
    assert "was taken over by anna" in answer["lock_problem"]
    assert lock.holder()["token"] == "mine"


def test_download(run, server, tmp_path) -> None:
    """What is in the cache that is mounted, files that are being written by what they take on the disk."""
    blobs = tmp_path / "cache" / "hub" / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "one").write_bytes(b"x" * 100_000)
    with (blobs / "two.incomplete").open("wb") as stream:
        stream.write(b"x" * 50_000)
        stream.truncate(10**9)
    out = {**INSPECT, "Mounts": [
        {"Destination": "/root/.cache/vllm", "Source": "/nowhere"},
        {"Destination": "/root/.cache/huggingface", "Source": str(tmp_path / "cache")},
    ]}  # fmt: skip
    answer = run(server + "503", out, download=True, model="a/b")
    assert 150_000 <= answer["download_bytes"] <= 170_000
    assert run(server + "503", out, download=True, model="a/c")["download_bytes"] == 0
    assert run(server + "503", INSPECT, download=True, model="a/b")["download_bytes"] == 0
    assert run(server + "503", out, model="a/b")["download_bytes"] == 0
