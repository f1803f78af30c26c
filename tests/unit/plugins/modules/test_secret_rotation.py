# SPDX-License-Identifier: GPL-3.0-or-later
"""The module secret_rotation: what differs, whether old secrets are dead, and that none is left or shown."""

from __future__ import annotations

import http.server
import os
import threading

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases

OLD = {"VLLM_API_KEY_MEDIUM": "PLANTED-old-key", "HUGGING_FACE_HUB_TOKEN": "hf_PLANTEDold", "VLLM_PORT_MEDIUM": "5002"}
NEW = {"VLLM_API_KEY_MEDIUM": "PLANTED-new-key", "HUGGING_FACE_HUB_TOKEN": "hf_PLANTEDnew", "VLLM_PORT_MEDIUM": "5002"}


def add(service: releases.Service, number: int, env: dict, compose: str = "x: 1\n") -> str:
    """Make a release."""
    staging = service.begin()
    text = "".join("%s=%s\n" % (name, dotenv.quote(value)) for name, value in env.items())
    service.write(staging, releases.ENV, text)
    service.write_secrets(staging, {"env_VLLM_API_KEY": env["VLLM_API_KEY_MEDIUM"]})
    service.write(staging, releases.COMPOSE, compose)
    service.write(staging, releases.DESCRIPTION, releases.describe({"image": "i"}))
    name = releases.new_name("0123456789ab", number)
    os.rename(staging, service.folder(name))
    return name


@pytest.fixture
def service(tmp_path) -> releases.Service:
    """A service with a release of before, and the current one with new secrets."""
    found = releases.Service(str(tmp_path / "medium"))
    add(found, 1, OLD)
    found.switch(add(found, 2, NEW))
    return found


@pytest.fixture
def server():
    """A service and a hub at one address: those in ``taken`` are let in."""
    taken = {"PLANTED-new-key", "hf_PLANTEDnew"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in ("/v1/models", "/api/whoami-v2")
            key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            self.send_response((200 if key in taken else 401) if known else 404)
            self.end_headers()

        def log_message(self, *_args) -> None:
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield "http://127.0.0.1:%d" % httpd.server_port, taken
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def rotate(run_module, service):
    """Run a step of the module."""

    def call(step: str, url: str = "http://127.0.0.1:9", **more) -> dict:
        answer = run_module("secret_rotation", step=step, container="c", url=url, folder=service.path, **more)
        assert "PLANTED" not in answer["_output"]
        return answer

    return call


@pytest.mark.parametrize(
    ("changes", "compose", "secrets", "others"),
    [
        ({}, "x: 1\n", [], []),
        ({"VLLM_API_KEY_MEDIUM": "PLANTED-third"}, "x: 1\n", ["VLLM_API_KEY_MEDIUM"], []),
        ({"VLLM_API_KEY_MEDIUM": "PLANTED-third", "VLLM_FILES_MEDIUM": "12"}, "x: 1\n", ["VLLM_API_KEY_MEDIUM"], []),
        ({"EXTRA_ENV_MY_PASSWORD": "abc"}, "x: 1\n", ["EXTRA_ENV_MY_PASSWORD"], []),
        ({"VLLM_PORT_MEDIUM": "5003"}, "x: 2\n", [], ["VLLM_PORT_MEDIUM", "compose.yml"]),
    ],
)
def test_compared(rotate, service, changes, compose, secrets, others) -> None:
    """Secrets are told from what else differs."""
    name = add(service, 3, {**NEW, **changes}, compose)
    answer = rotate("compared", release=name)
    assert (answer["changed"], answer["secrets"], answer["others"]) == (False, secrets, others)


def test_proven(rotate, server) -> None:
    """The new ones are taken, the old ones refused."""
    url, _taken = server
    answer = rotate("proven", url, endpoint=url)
    assert answer["key"] == {"new": 200, "old": [401]}
    assert answer["token"] == {"new": 200, "old": [401]}
    assert (answer["changed"], answer["other"]) == (False, [])


def test_an_old_one_that_lives_is_seen(rotate, server) -> None:
    url, taken = server
    taken |= {"PLANTED-old-key", "hf_PLANTEDold"}
    answer = rotate("proven", url, endpoint=url)
    assert (answer["key"]["old"], answer["token"]["old"]) == ([200], [200])


def test_nobody_answers(rotate) -> None:
    """That proves nothing, and is not taken for a refusal."""
    answer = rotate("proven", endpoint="http://127.0.0.1:9")
    assert (answer["key"], answer["token"]["old"]) == ({"new": 0, "old": [0]}, [0])


def test_what_answers_is_no_hub(rotate, no_http) -> None:
    """As nobody: neither a proof nor a traceback."""
    answer = rotate("proven", no_http, endpoint=no_http)
    assert (answer["key"], answer["token"]["old"]) == ({"new": 0, "old": [0]}, [0])


def test_forgotten(rotate, service) -> None:
    """Neither .env nor the files hold an old one afterwards; the current release is as it was."""
    first, second = service.names()
    answer = rotate("forgotten", check=True)
    assert (answer["changed"], answer["forgotten"], service.has_env(first)) == (True, [first], True)
    answer = rotate("forgotten")
    assert (answer["changed"], answer["forgotten"]) == (True, [first])
    assert not service.has_env(first) and not os.path.exists(os.path.join(service.folder(first), releases.SECRETS))
    assert service.has_env(second)
    assert rotate("forgotten")["changed"] is False


def test_files_of_a_release_are_closed(service) -> None:
    """Root alone enters the folder; the container's user reads the file that is mounted from it."""
    folder = os.path.join(service.folder(service.names()[1]), releases.SECRETS)
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(folder, "env_VLLM_API_KEY")).st_mode & 0o777 == 0o444
