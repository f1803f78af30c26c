# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway_config and the program for certificates, on a real HAProxy: keys without a reload, reloads without a cut."""

from __future__ import annotations

import datetime
import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from gateway_cases import KEY, OTHER, ask, service

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket


@pytest.fixture
def configure(run_module):
    """Run gateway_config for a bed."""

    def call(bed, check=False, diff=False, reload=None, **changes) -> dict:
        files = bed.texts(**changes)
        main = files.pop("haproxy.cfg")
        return run_module(
            "gateway_config",
            check=check,
            diff=diff,
            configuration=changes.get("configuration", main),
            files=files,
            folder=str(bed.folder),
            path=str(bed.real.file),
            socket=str(bed.tmp / "admin.sock"),
            master_socket=str(bed.tmp / "master.sock"),
            state_file=str(bed.tmp / "state"),
            wait_held_s=0.5,
            reload=reload or ["/bin/kill", "-USR2", str(bed.real.process.pid)],
        )

    return call


def stream(bed, results: list, key: str = KEY) -> threading.Thread:
    """Read a stream in the background; what it ends with is added to the results."""

    def run() -> None:
        link = http.client.HTTPConnection("127.0.0.1", bed.port, timeout=30)
        body = json.dumps({"model": "tiny", "stream": True})
        link.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + key})
        results.append(link.getresponse().read().decode().strip().splitlines()[-1])

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_keys_come_and_go_without_a_reload(bed, configure) -> None:
    """In force with the next request; the process is the same; twice changes nothing."""
    gateway = bed()
    keys = [{"name": "alice", "key": KEY}]
    assert configure(gateway, keys=keys)["changed"] is False
    more = [*keys, {"name": "bob", "key": OTHER, "models": ["tiny"]}]
    assert ask(gateway, key=OTHER)[0] == 401
    assert configure(gateway, check=True, keys=more)["changed"] is True
    assert ask(gateway, key=OTHER)[0] == 401
    begin_s = time.monotonic()
    done = configure(gateway, keys=more)
    assert (done["changed"], done["reloaded"]) == (True, False)
    assert {pathlib.Path(path).name for path in done["maps"]} == {"keys.map", "allowed.map", "models.map"}
    assert ask(gateway, key=OTHER)[0] == 200
    assert time.monotonic() - begin_s < 5
    assert json.loads(ask(gateway, "GET", "/v1/models", OTHER)[2])["data"][0]["id"] == "tiny"
    assert configure(gateway, keys=more)["changed"] is False
    assert configure(gateway, keys=keys)["changed"] is True
    assert ask(gateway, key=OTHER)[0] == 401
    assert runtime_socket.processes(str(gateway.tmp / "master.sock"))["reloads"] == 0


def test_a_client_changes_its_key_within_the_overlap(bed, configure) -> None:
    """Both are taken, as one name with one limit; the old one ends by itself, and no request fails meanwhile."""
    gateway = bed(keys=[{"name": "alice", "key": KEY, "requests_per_minute": 8}])
    soon = datetime.datetime.fromtimestamp(int(time.time()) + 4, datetime.timezone.utc).isoformat()
    both = {"name": "alice", "key": OTHER, "requests_per_minute": 8, "previous": {"key": KEY, "expires": soon}}
    assert ask(gateway)[0] == 200
    assert configure(gateway, keys=[both])["reloaded"] is False
    answers = [ask(gateway, key=key)[0] for key in (KEY, OTHER, KEY, OTHER)]
    assert answers == [200] * 4
    while time.time() < datetime.datetime.fromisoformat(soon).timestamp() + 1:
        time.sleep(0.2)
    assert [ask(gateway, key=key)[0] for key in (KEY, OTHER)] == [401, 200]
    # the limit counts those of both keys
    assert [ask(gateway, key=OTHER)[0] for _ in range(4)] == [200, 200, 429, 429]


def test_a_new_key_that_no_host_takes_yet_waits(bed, configure) -> None:
    """The services' hosts have to be restarted with it first; until then the gateway goes on with the old one."""

    def hosts_with(key: str):
        return lambda hosts: [
            service(name, port=host.port, address="127.0.0.1", api_key=key) for name, host in hosts.items()
        ]

    gateway = bed(hosts_with("PLANTED-old-vllm"))
    for host in gateway.hosts.values():
        host.key = "PLANTED-old-vllm"
    gateway.found[:] = hosts_with("PLANTED-new-vllm")(gateway.hosts)
    held = configure(gateway)
    assert (held["changed"], held["kept_keys"]) == (False, ["vllm_medium"])
    assert "PLANTED" not in held["_output"]
    assert ask(gateway)[0] == 200
    # one host has it: who deploys the gateway now means it, and the other one is passed by
    gateway.hosts["node-2"].key = "PLANTED-new-vllm"
    done = configure(gateway)
    assert (done["changed"], done["kept_keys"], done["reloaded"]) == (True, [], False)
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(6)} == {"node-2"}


def test_a_killed_run_is_ended_by_the_next(bed, configure) -> None:
    """The file has the key and the process does not: it is told again."""
    gateway = bed()
    more = [{"name": "alice", "key": KEY}, {"name": "bob", "key": OTHER}]
    for path, text in gateway.texts(keys=more).items():
        if path.endswith(".map"):
            pathlib.Path(path).write_text(text, encoding="utf-8")
    assert ask(gateway, key=OTHER)[0] == 401
    done = configure(gateway, keys=more)
    assert (done["changed"], done["files"], done["reloaded"]) == (True, [], False)
    assert ask(gateway, key=OTHER)[0] == 200


def test_a_run_that_was_killed_before_its_reload(bed, configure) -> None:
    """The files are new and the worker has read the old ones: it is reloaded, in check mode this is predicted."""
    gateway = bed()
    master = str(gateway.tmp / "master.sock")
    # what a reload cannot be asked of has written the files by then
    with pytest.raises(AssertionError):
        configure(gateway, queue_s=61, reload=["/bin/sh", "-c", "kill -9 $PPID"])
    assert "timeout queue 61s" in gateway.real.file.read_text(encoding="utf-8")
    assert runtime_socket.processes(master)["reloads"] == 0
    assert configure(gateway, check=True, queue_s=61)["reloaded"] is True
    done = configure(gateway, queue_s=61)
    assert (done["changed"], done["files"], done["reloaded"]) == (True, [], True)
    assert runtime_socket.processes(master)["reloads"] == 1
    assert configure(gateway, queue_s=61)["changed"] is False


def test_reload_cuts_nothing(bed, configure) -> None:
    """Streams end as they should, no request fails, and a drained host stays out."""
    gateway = bed()
    for host in gateway.hosts.values():
        host.chunks, host.gap_s = 40, 0.05
    runtime = runtime_socket.Runtime(str(gateway.tmp / "admin.sock"))
    runtime.order("set server vllm_medium/node-2 state drain")
    ends: list = []
    threads = [stream(gateway, ends) for _ in range(20)]
    time.sleep(0.5)
    done = configure(gateway, diff=True, queue_s=61)
    assert (done["changed"], done["reloaded"]) == (True, True)
    assert "timeout queue 61s" in done["diff"]["after"]
    assert "PLANTED" not in done["_output"]
    assert runtime_socket.servers(runtime)["vllm_medium"]["node-2"]["admin"] == "drain"
    for host in gateway.hosts.values():
        host.gap_s = 0
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(4)} == {"node-1"}
    for thread in threads:
        thread.join()
    assert ends == ["data: [DONE]"] * 20


def test_a_new_port_beats_the_state_file(bed, configure) -> None:
    """What HAProxy remembers of a server must not bring its old address back."""
    gateway = bed()
    before = gateway.texts()
    main = before["haproxy.cfg"].replace(
        "127.0.0.1:%d" % gateway.hosts["node-1"].port, "127.0.0.1:%d" % gateway.hosts["node-2"].port
    )
    assert configure(gateway, configuration=main)["reloaded"] is True
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(6)} == {"node-2"}


def test_what_haproxy_refuses_changes_nothing(bed, configure) -> None:
    """Told in its words; the files are those of before."""
    gateway = bed()
    main = gateway.real.file.read_text(encoding="utf-8")
    done = configure(gateway, configuration=main + "\nbackend x\n    no-such-word\n")
    assert done["changed"] is False
    assert "no-such-word" in done["problem"]
    assert gateway.real.file.read_text(encoding="utf-8") == main
    assert ask(gateway)[0] == 200


def test_a_reload_that_fails_brings_the_files_back(bed, configure) -> None:
    """A port that somebody else has is seen by the new worker only."""
    gateway = bed()
    main = gateway.real.file.read_text(encoding="utf-8")
    taken = gateway.hosts["node-1"].port
    done = configure(gateway, configuration=main + "\nfrontend x\n    bind 127.0.0.1:%d\n" % taken)
    assert "files of before are back" in done["problem"]
    assert gateway.real.file.read_text(encoding="utf-8") == main
    assert ask(gateway)[0] == 200


def test_somebody_elses_configuration(bed, configure) -> None:
    """It is left alone."""
    gateway = bed()
    gateway.real.file.write_text("global\n", encoding="utf-8")
    done = configure(gateway)
    assert done["changed"] is False
    assert "somebody else" in done["problem"]
    assert gateway.real.file.read_text(encoding="utf-8") == "global\n"


@pytest.fixture
def program(root, tmp_path):
    """Run the program for certificates."""

    def run(*arguments: str) -> tuple[int, str]:
        words = [sys.executable, str(root / "roles/vllm_gateway/files/vllm-gateway-certificate"), *arguments]
        words += ["--place", str(tmp_path / "vllm-tls" / "gateway.pem"), "--socket", str(tmp_path / "admin.sock")]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
        return done.returncode, (done.stdout + done.stderr).strip()

    return run


def subject(port: int) -> bytes:
    """The certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as link, context.wrap_socket(link) as tls:
        return tls.getpeercert(binary_form=True)


def test_a_certificate_that_was_not_given_to_the_end(root, program, certificate, tmp_path) -> None:
    """Killed while it asks HAProxy: the next run does not take it for done."""
    place, socket_path = tmp_path / "vllm-tls" / "gateway.pem", tmp_path / "admin.sock"
    words = [sys.executable, str(root / "roles/vllm_gateway/files/vllm-gateway-certificate")]
    words += ["--certificate", str(certificate), "--key", str(certificate)]
    # a HAProxy that takes the question and does not answer
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path))
        server.listen()
        server.settimeout(60)
        with subprocess.Popen([*words, "--place", str(place), "--socket", str(socket_path)]) as process:
            link, _address = server.accept()
            process.kill()
            link.close()
    socket_path.unlink()
    assert program(*words[2:]) == (0, "changed")
    assert place.exists()
    assert program(*words[2:]) == (0, "unchanged")


def test_certificates(bed, program, certificate, tmp_path) -> None:
    """A self-signed one for a start, another without a reload; a key that does not fit changes nothing."""
    assert program("--self-signed", "gateway.example.com") == (0, "changed")
    assert program("--self-signed", "gateway.example.com") == (0, "unchanged")
    place = tmp_path / "vllm-tls" / "gateway.pem"
    assert place.stat().st_mode & 0o777 == 0o600
    gateway = bed(tls="self_signed")
    first = subject(gateway.port)
    assert program("--certificate", str(certificate), "--key", str(certificate), "--check") == (0, "changed")
    assert program("--certificate", str(certificate), "--key", str(certificate)) == (0, "changed")
    second = subject(gateway.port)
    assert second != first
    assert program("--certificate", str(certificate), "--key", str(certificate)) == (0, "unchanged")
    other = tmp_path / "other.pem"
    words = ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(other)]
    subprocess.run(words, check=True, capture_output=True)
    lines = certificate.read_text(encoding="ascii")
    alone = tmp_path / "certificate.pem"
    alone.write_text(lines[: lines.index("-----BEGIN PRIVATE")], encoding="ascii")
    status, text = program("--certificate", str(alone), "--key", str(other))
    assert (status, "do not belong together" in text) == (1, True)
    assert subject(gateway.port) == second
