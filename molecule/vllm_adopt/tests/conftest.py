# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share: services that somebody sets up by hand, with a STAND-IN of vLLM."""

from __future__ import annotations

import base64
import json
import pathlib
import shlex

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
STANDIN = ROOT / "molecule/resources/standins/bin/vllm"
HOST = "adopt-trixie"

#: Makes an image of the host's own Python and the stand-in, since none can be pulled.
IMAGE = """
set -e
mkdir -p /srv/standin-image/usr/local/bin /srv/standin-image/root /srv/standin-image/tmp
echo {text} | base64 -d > /srv/standin-image/usr/local/bin/vllm
chmod 0755 /srv/standin-image/usr/local/bin/vllm
tar -C / -c bin lib lib64 usr/bin/python3 usr/bin/python3.* usr/bin/env usr/bin/sh usr/bin/dash usr/bin/sleep \
    usr/lib/python3.* usr/lib/x86_64-linux-gnu usr/lib64 \
    -C /srv/standin-image usr/local root tmp \
  | docker import --change 'ENTRYPOINT ["vllm", "serve"]' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - {tag} >/dev/null
"""


@pytest.fixture(scope="session")
def image(request) -> str:
    """The reference of an image that holds the stand-in."""
    return "vllm/vllm-openai:v0.32.0"


@pytest.fixture
def put(host):
    """Return a function that writes a file on the host."""

    def write(path: str, text: str, mode: str = "0644") -> None:
        encoded = base64.b64encode(text.encode()).decode()
        folder = shlex.quote(str(pathlib.PurePosixPath(path).parent))
        place = shlex.quote(path)
        host.check_output(
            "mkdir -p %s && echo %s | base64 -d > %s && chmod %s %s" % (folder, encoded, place, mode, place)
        )

    return write


@pytest.fixture
def hand_made(host, put, image):
    """Return a function that makes a service by hand and waits until it answers; all of it goes after the test."""
    if host.run("docker image inspect %s" % image).rc != 0:
        text = base64.b64encode(STANDIN.read_bytes()).decode()
        put("/root/make-image", IMAGE.format(text=text, tag=image))
        host.check_output("bash /root/make-image")
        # the engine finds what --gpus needs when it starts, and it was there before the toolkit
        host.check_output("systemctl restart docker")
        # what vllm_ipc: host shares; a test host has 64 MiB
        host.check_output("mount -o remount,size=512M /dev/shm")
    host.run("docker image tag %s vllm/vllm-openai:latest" % image)

    def make(files: dict[str, str], command: str, url: str, key: str = "") -> None:
        for path, text in files.items():
            put(path, text)
        host.check_output("%s" % command)
        ask = "curl --silent --fail -H 'Authorization: Bearer %s' %s/v1/models" % (key, url)
        host.check_output("for i in $(seq 60); do %s && exit 0; sleep 0.5; done; docker ps -a; exit 1" % ask)

    yield make
    host.run("systemctl disable --now llm.service; rm -f /etc/systemd/system/llm.service; systemctl daemon-reload")
    host.run("docker ps -aq | xargs -r docker rm -f -v; docker network prune -f; rm -rf /opt/vllm /srv/llm /srv/second")


@pytest.fixture
def state(host):
    """Return a function that tells id, start and state of a container."""
    return lambda name: host.check_output(
        "docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Status}}' %s" % name
    )


@pytest.fixture
def adopt(play, tmp_path):
    """Return a function that runs adopt_medium.yml; then ``folder``, ``said`` and ``vault`` are there."""

    def run(*arguments: str, **values: object):
        given = {
            "vllm_hosts": "all",
            "vllm_adopt_folder": str(tmp_path / "inventories"),
            "vllm_adopt_vault_password_file": str(tmp_path / "password"),
            **values,
        }
        return play("-e", json.dumps(given), *arguments, playbook=str(ROOT / "adopt_medium.yml"))

    run.folder = tmp_path / "inventories" / HOST
    run.password = tmp_path / "password"
    run.said = lambda: yaml.load((run.folder / "group_vars/vllm/main.yml").read_text(encoding="utf-8"), Loader=_Loader)
    return run


class _Loader(yaml.SafeLoader):
    """Reads ``!unsafe`` as the text behind it."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture
def deploy(play, adopt, tmp_path):
    """Return a function that runs a playbook of the adopted service with the inventory that was written."""

    def run(*arguments: str, playbook: str = "deploy_medium.yml", **values: object):
        given = {
            "vllm_hosts": "vllm",
            "vllm_report_dir": str(tmp_path / "reports"),
            # no test may depend on the net outside, and no stand-in has a libcuda
            "vllm_preflight_skip": ["hub", "registry", "clock", "disk"],
            "vllm_service_cuda_test": False,
            "vllm_service_verify": False,
            "vllm_service_pull": "never",
            "vllm_benchmark_on_deploy": False,
            **values,
        }
        return play(
            "-i", str(adopt.folder), "-e", json.dumps(given), *arguments, playbook=str(ROOT / playbook),
            env={"ANSIBLE_VAULT_IDENTITY_LIST": "%s@%s" % (HOST, adopt.password)},
        )  # fmt: skip

    return run
