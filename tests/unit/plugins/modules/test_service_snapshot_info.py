# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_snapshot_info, run as a program with stand-in commands and a real HTTP server."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import os
import threading

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases

ID = "0123456789ab" * 5
TOKEN = "hf_PLANTED'$token"
CONTAINER = {
    "Id": ID,
    "Name": "/c",
    "Image": "sha256:1",
    "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
    "RestartCount": 0,
    "Mounts": [],
    "HostConfig": {"RestartPolicy": {"Name": "no"}},
    "Config": {"Env": ["HF_TOKEN=" + TOKEN]},
}
IMAGE = {
    "Id": "sha256:1",
    "RepoDigests": ["vllm/vllm-openai@sha256:2"],
    "Created": "2026-01-01",
    "Size": 7,
    "Config": {},
}
ANSWERS = {
    "/health": (200, ""),
    "/version": (200, '{"version": "0.32.0"}'),
    "/metrics": (200, 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n'),
}


@pytest.fixture
def server():
    """Serve ``answers``; the address it returns is of a server on the loopback."""
    running = []

    def serve(answers: dict) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(self.path, (404, ""))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_args) -> None:
                pass

        httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((httpd, thread))
        return "http://127.0.0.1:%d" % httpd.server_port

    yield serve
    for httpd, thread in running:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def folder(tmp_path):
    """A service with one release that failed, and its token."""
    service = releases.Service(str(tmp_path / "medium"))
    staging = service.begin()
    service.write(staging, releases.ENV, "HUGGING_FACE_HUB_TOKEN=%s\n" % dotenv.quote(TOKEN))
    service.write(staging, releases.DESCRIPTION, releases.describe({"image": "i"}))
    os.rename(staging, service.folder(releases.new_name("0123456789ab", 1)))
    service.failed(service.names()[0], {"id": "unknown", "evidence": ["403 for %s" % TOKEN]})
    return service.path


@pytest.fixture
def look(run_module, tools, bare_path, folder):
    """Run the module with a docker that knows ``container``."""

    def call(url: str, container: dict | None = CONTAINER, docker: str = "", **more) -> dict:
        there = (
            "cat <<'END'\n%s\nEND" % json.dumps([container]) if container else "echo 'no such container' >&2; exit 1"
        )
        script = "\n".join([
            'case "$1 $2" in',
            '"version --format") echo 26.1.5 ;;',
            '"container inspect") %s\n;;' % there,
            '"stats --no-stream") echo "1.5GiB / 31GiB" ;;',
            "\"image inspect\") cat <<'END'\n%s\nEND\n;;" % json.dumps([IMAGE]),
            '"logs --timestamps") [ "$3 $4" = "--until 2026-01-01T00:00:00Z" ] && cat <<\'END\'\n%s died of %s\nEND\n;;'
            % (ID, TOKEN),
            "*) exit 1 ;;",
            "esac",
        ])  # fmt: skip
        path = tools("docker", docker or script)
        return run_module(
            "service_snapshot_info", container="c", url=url, folder=folder, search="%s:%s" % (path, bare_path), **more
        )

    return call


def test_all(look, server, documentation) -> None:
    """Everything in one answer, with the documented keys."""
    answer = look(server(ANSWERS), gpus=False)
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_snapshot_info", "RETURN"))
    assert (answer["changed"], answer["healthy"], answer["vllm_version"]) == (False, True, "0.32.0")
    assert answer["kv_cache"] == {"tokens": 1600, "blocks": 100, "block_size": 16}
    assert answer["image"]["digests"] == ["vllm/vllm-openai@sha256:2"]
    assert (answer["container"]["state"], answer["container"]["memory_bytes"]) == ("running", 1610612736)
    assert (answer["engine_version"], answer["gpu"], answer["problem"]) == ("26.1.5", {}, "")
    assert answer["releases"][0]["failure"]["id"] == "unknown"


def test_no_secret(look, server) -> None:
    """Neither of the container's variables nor of what a release remembers."""
    answer = look(server(ANSWERS), gpus=False)
    assert "PLANTED" not in answer["_output"]
    assert answer["releases"][0]["failure"]["evidence"] == ["403 for ***"]


@pytest.mark.parametrize(
    ("restarts", "state", "words"),
    [(0, "running", ""), (2, "running", "%s died of ***\n" % ID), (2, "restarting", "")],
)
def test_log_of_before(look, server, restarts, state, words) -> None:
    """What ended a container that Docker started again stands in its log before that start; without secrets."""
    there = {**CONTAINER, "RestartCount": restarts, "State": {**CONTAINER["State"], "Status": state}}
    answer = look(server(ANSWERS), there, gpus=False)
    packed = answer["ended_log_gz"]
    assert (gzip.decompress(base64.b64decode(packed)).decode() if packed else "") == words


def test_no_container(look, server) -> None:
    """The image that was asked for is looked at."""
    answer = look(server({}), None, gpus=False, image="vllm/vllm-openai:v0.32.0")
    assert answer["container"] == {"name": "", "id": "", "state": "", "started_at": "", "restart_count": 0,
                                   "restart_policy": "", "memory_bytes": 0}  # fmt: skip
    assert answer["image"]["id"] == "sha256:1"
    assert "there is no container c" in answer["problem"]
    assert "/health answers HTTP 404" in answer["problem"]
    assert (answer["healthy"], answer["vllm_version"]) == (False, "")


def test_nothing_there(run_module, bare_path, tmp_path) -> None:
    """A fresh host: no docker, no service, no GPU. It is no failure."""
    answer = run_module(
        "service_snapshot_info",
        container="c",
        url="http://127.0.0.1:9",
        folder=str(tmp_path / "none"),
        search=bare_path,
    )
    assert not answer.get("failed")
    assert "docker is not installed" in answer["problem"]
    assert "/health answers nothing" in answer["problem"]
    assert (answer["gpu"]["gpus"], answer["gpu"]["error"]["id"]) == ([], "not_installed")
    assert answer["releases"] == []


@pytest.mark.parametrize(
    ("docker", "words"),
    [("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "docker does not answer: Cannot connect"),
     ("exec sleep 30", "docker gave no answer in 0.5 s")],
)  # fmt: skip
def test_engine_that_does_not_answer(docker, words, look, server) -> None:
    """The service is asked all the same."""
    answer = look(server(ANSWERS), docker=docker, timeout_s=0.5, gpus=False)
    assert words in answer["problem"]
    assert (answer["healthy"], answer["engine_version"]) == (True, "")


@pytest.mark.parametrize("version", [(200, "no json"), (200, "[]"), (500, ""), (200, "null")])
def test_odd_answers(version, look, server) -> None:
    """Something else than vLLM listens there."""
    answer = look(server({**ANSWERS, "/version": version, "/metrics": (500, "")}), gpus=False)
    assert answer["healthy"] is True
    assert (answer["vllm_version"], answer["kv_cache"]["tokens"]) == ("", 0)
    assert "/version gives no version" in answer["problem"]
