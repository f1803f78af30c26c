# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests share: the collection loader, modules run as programs, stand-in commands, Docker Compose.

The checkout resolves itself as ``ansible_collections.myia.vllm`` through the link in collections/. Ansible's own loader
is installed for that, as ``ansible-playbook`` does it, so that plugins are found by their full names too.
"""

from __future__ import annotations

import ast
import copy
import datetime
import http.server
import json
import os
import pathlib
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from unittest import mock

import installed
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import action_loader, init_plugin_loader
from ansible.template import Templar
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COLLECTIONS = ROOT / "collections"

init_plugin_loader([str(COLLECTIONS)])

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: E402 - needs the loader above
    definition,
    role_variables,
)

#: Values that must turn up nowhere but in .env.
TOKEN = "hf_PLANTEDtoken0123456789"
API_KEY = "PLANTED-key-$HOME-0123456789"


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def mounted() -> Iterator[Callable[..., None]]:
    """Mount a file system in memory on a folder, until the test ends: with options such as ``ro`` or ``size=64k``."""
    folders = []

    def mount(folder: pathlib.Path, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "disk", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            # only root may, and not in every container: `make test` runs as root, who else runs the units may not
            pytest.skip("this machine may not mount")
        folders.append(folder)

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def planted() -> dict[str, str]:
    """Secrets to look for where they must not be."""
    return {"vllm_hf_token": TOKEN, "vllm_api_key": API_KEY}


@pytest.fixture(scope="session")
def options() -> dict:
    """The documented options of the role vllm."""
    return role_variables.role_options("vllm")


@pytest.fixture
def values(options: dict) -> Callable[..., dict]:
    """Make the values of all vllm_* variables: the defaults with changes."""

    def make(**changes: object) -> dict:
        unknown = set(changes) - set(options)
        assert not unknown, "the test uses variables that do not exist: %s" % unknown
        defaults = {name: copy.deepcopy(option.get("default")) for name, option in options.items()}
        return {**defaults, **changes}

    return make


@pytest.fixture
def define(options: dict, values: Callable[..., dict]) -> Callable[..., tuple]:
    """Call ``definition.define`` with the defaults and changes."""
    return lambda **changes: definition.define(values(**changes), options)


@pytest.fixture
def env_of(options: dict, values: Callable[..., dict]) -> Callable[..., dict]:
    """The entries of .env for the defaults with changes; a name that stands twice fails the test."""

    def entries(**changes: object) -> dict:
        pairs = definition.env_entries(values(**changes), options)
        names = [name for name, _value in pairs]
        assert len(names) == len(set(names)), "a name stands twice in .env: %s" % names
        return dict(pairs)

    return entries


@pytest.fixture
def tools(tmp_path: pathlib.Path) -> Callable[[str, str], pathlib.Path]:
    """Write a stand-in command (a shell script); the folder it returns goes to the front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)

    def write(name: str, script: str) -> pathlib.Path:
        path = folder / name
        # put into place when it is complete: one that still runs cannot be written to
        new = path.with_name(".%s.new" % path.name)
        new.write_text("#!/bin/sh\n%s\n" % script, encoding="utf-8")
        new.chmod(0o755)
        new.replace(path)
        return folder

    return write


@pytest.fixture
def bare_path(tmp_path: pathlib.Path) -> str:
    """A PATH with the few system commands that stand-ins need, and neither docker nor nvidia-smi."""
    folder = tmp_path / "system"
    folder.mkdir()
    for name in ("sh", "env", "cat", "sed", "grep", "printf", "sleep"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture
def run_module(tmp_path: pathlib.Path) -> Callable[..., dict]:
    """Run a module of the collection as a program of its own, as on a host, and return its answer.

    ``check`` and ``diff`` are Ansible's modes, ``search`` replaces PATH, ``environ`` adds variables, anything else is
    an option of the module. The whole output is kept under ``_output``.
    """
    count = 0

    def run(module: str, *, check: bool = False, diff: bool = False, search: str = "", environ=None, **args) -> dict:
        nonlocal count
        count += 1
        arguments = tmp_path / ("arguments-%d.json" % count)
        temporary = tmp_path / "ansible-tmp"
        temporary.mkdir(exist_ok=True)
        arguments.write_text(
            json.dumps(
                {
                    "ANSIBLE_MODULE_ARGS": {
                        **args,
                        "_ansible_check_mode": check,
                        "_ansible_diff": diff,
                        "_ansible_remote_tmp": str(temporary),
                        "_ansible_tmpdir": str(temporary),
                    }
                }
            ),
            encoding="utf-8",
        )
        done = subprocess.run(
            [sys.executable, "-m", "ansible_collections.myia.vllm.plugins.modules." + module, str(arguments)],
            env={
                "PATH": search or os.environ["PATH"],
                "HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(COLLECTIONS),
                "PYTHONDONTWRITEBYTECODE": "1",
                **(environ or {}),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.strip(), "the module gave no answer: " + done.stderr
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        assert "Traceback" not in done.stdout + done.stderr, answer.get("exception") or done.stderr
        assert bool(answer.get("failed")) == (done.returncode != 0)
        answer["_output"] = done.stdout + done.stderr
        # by this key ansible-core 2.22 tells the controller what to mask, and nobody else sees it
        secrets = answer.pop("_ansible_new_secrets", None)
        if secrets:
            answer["_output"] = answer["_output"].replace(json.dumps(secrets), "")
        return answer

    return run


@pytest.fixture
def loader() -> DataLoader:
    """Ansible's reader of YAML files, without any vault password."""
    return DataLoader()


@pytest.fixture
def action(loader: DataLoader) -> Callable[..., ActionBase]:
    """Make an action plugin of the collection as a task with ``args`` on a host with ``variables`` would."""

    def make(name: str, args: dict | None = None, variables: dict | None = None) -> ActionBase:
        task = mock.MagicMock(args=args or {}, async_val=0, check_mode=False, diff=False, environment=[])
        return action_loader.get(
            "myia.vllm." + name,
            task=task,
            connection=mock.MagicMock(),
            play_context=mock.MagicMock(),
            loader=loader,
            templar=Templar(loader=loader, variables=variables or {}),
            shared_loader_obj=None,
        )

    return make


@pytest.fixture(scope="session")
def documentation() -> Callable[[str, str], dict]:
    """A documentation block of a module (DOCUMENTATION, RETURN), parsed."""

    def block(module: str, name: str) -> dict:
        source = ast.parse((ROOT / "plugins" / "modules" / (module + ".py")).read_text(encoding="utf-8"))
        for node in source.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                return yaml.safe_load(ast.literal_eval(node.value))
        raise AssertionError("%s has no %s" % (module, name))

    return block


@pytest.fixture(scope="session")
def compose() -> Callable[..., subprocess.CompletedProcess]:
    """Run the real ``docker compose`` (it needs no engine for ``config``)."""
    docker = shutil.which("docker")
    there = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    if not there:
        installed.missing("docker compose is not installed. Run `make compose` (it calls tools/bootstrap).")

    def run(folder: pathlib.Path, *argv: str) -> subprocess.CompletedProcess:
        clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        return subprocess.run(
            [docker, "compose", "--file", str(folder / "compose.yml"), "--env-file", str(folder / ".env"), *argv],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> pathlib.Path:
    """A file with a certificate that nobody knows, for another name than 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "llm.example.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path_factory.mktemp("tls") / "llm.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return file


@pytest.fixture
def tls_server(certificate):
    """The port of a server that answers ``ok`` to everything, by TLS only."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_args: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_args: None  # who speaks plain HTTP is turned away
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_http():
    """The address of something that answers and does not speak HTTP, as an SSH server on a port that was mistyped."""

    class Greets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            self.request.recv(65536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greets) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_address[1]
        server.shutdown()
