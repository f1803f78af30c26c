# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened service whose secrets are files: nobody sees them, they are rotated, no archive has them."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import tarfile

import pytest
import testinfra

testinfra_hosts = ["ansible://guard-1"]
ROOT = pathlib.Path(__file__).resolve().parents[3]
ARCHIVES = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports" / "support"
NAME, KEY, NEW_KEY, WORD = "vllm-medium", "PLANTED-key-5d0b12", "PLANTED-key-77aa31", "PLANTED-word-9a"
HARDENED = {
    "vllm_publish_address": "127.0.0.1",
    "vllm_allowed_sources": [],
    "vllm_no_new_privileges": True,
    "vllm_cap_drop": ["ALL"],
    "vllm_read_only": True,
    "vllm_secrets_as_files": True,
    "vllm_extra_env": {"MY_PASSWORD": WORD},
}


def status(host, key: str) -> str:
    """What the service answers to a key."""
    ask = "curl -s -o /dev/null -w '%%{http_code}' -H 'Authorization: Bearer %s' http://127.0.0.1:5002/v1/models"
    return host.check_output(ask % key)


@pytest.fixture(scope="module")
def deployed(play, node):
    """Deploy it; returns a function that runs a playbook of the root on it."""
    node.check_output("docker rm -f web 2>/dev/null; mkdir -p /srv/standin /srv/models/tiny-qwen3")
    program = base64.b64encode((ROOT / "molecule/resources/standins/bin/vllm").read_bytes()).decode()
    node.check_output("echo %s | base64 -d > /srv/standin/vllm && chmod 755 /srv/standin/vllm" % program)

    def run(playbook: str, *more: str, **changes):
        arguments = ["-e", json.dumps({**HARDENED, **changes}), *more]
        done = play(*arguments, playbook=str(ROOT / playbook))
        assert "PLANTED" not in done.output
        return done

    done = run("deploy_medium.yml", "--skip-tags", "benchmark")
    assert done.status == 0, done.output
    return run


@pytest.fixture(scope="module")
def node(web_image):
    """The host, with the image."""
    found = testinfra.get_host("ansible://guard-1?ansible_inventory=%s" % os.environ["MOLECULE_INVENTORY_FILE"])
    found.check_output(web_image)
    return found


def test_it_serves_hardened(deployed, node) -> None:
    """With all that can be taken away taken away."""
    seen = json.loads(node.check_output("docker inspect %s" % NAME))[0]["HostConfig"]
    assert (seen["ReadonlyRootfs"], seen["CapDrop"]) == (True, ["ALL"])
    assert seen["SecurityOpt"] == ["no-new-privileges:true"]
    assert (status(node, KEY), status(node, "none")) == ("200", "401")
    assert "CapEff:\t0000000000000000" in node.check_output("docker exec %s cat /proc/1/status" % NAME)


def test_nobody_sees_the_secrets(deployed, node) -> None:
    """Not in docker inspect, not in the list of processes, nowhere on the host but in the release."""
    assert "PLANTED" not in node.check_output("docker inspect %s" % NAME)
    assert "PLANTED" not in node.check_output("ps axww")
    # the process itself has them, and no shell is left
    assert WORD in node.check_output("docker exec %s cat /proc/1/environ | tr '\\0' '\\n'" % NAME)
    assert "/bin/sh" not in node.check_output("docker top %s" % NAME)
    found = node.run("grep -rlE PLANTED /opt /etc /root /var/log /tmp 2>/dev/null").stdout.split()
    names = {pathlib.Path(path).name for path in found}
    assert names == {".env", "env_VLLM_API_KEY", "env_MY_PASSWORD"}
    assert node.file("/opt/vllm/medium/current/secrets").mode == 0o700


def test_rotation(deployed, node) -> None:
    """The old key is refused afterwards, and gone from the host; another run changes nothing."""
    before = node.check_output("docker inspect -f '{{.Id}}' %s" % NAME)
    done = deployed("rotate_secrets.yml", vllm_api_key=NEW_KEY)
    assert done.status == 0, done.output
    assert "VLLM_API_KEY_MEDIUM of medium on guard-1 will be another one" in done.flat
    assert "1 old key(s) refused by the service" in done.flat
    assert (status(node, NEW_KEY), status(node, KEY)) == ("200", "401")
    assert node.check_output("docker inspect -f '{{.Id}}' %s" % NAME) != before
    assert node.run("grep -rl %s /opt" % KEY).stdout == ""
    done = deployed("rotate_secrets.yml", vllm_api_key=NEW_KEY)
    assert (done.status, done.recap["changed"]) == (0, 0), done.output


@pytest.mark.full
def test_rotation_refuses_more_than_secrets(deployed, node) -> None:
    done = deployed("rotate_secrets.yml", vllm_api_key=NEW_KEY, vllm_cap_drop=[])
    assert done.status != 0 and "expected names of secrets only" in done.flat
    assert status(node, NEW_KEY) == "200"


def test_archive_for_an_issue(deployed, node) -> None:
    """Neither the key nor the host's name is in it, and what is needed is."""
    done = deployed("diagnose_medium.yml", vllm_api_key=NEW_KEY)
    assert done.status == 0, done.output
    with tarfile.open(max(ARCHIVES.glob("support-*.tar.gz"))) as tar:
        texts = {name.partition("/")[2]: tar.extractfile(name).read().decode() for name in tar.getnames()}
    assert {"CONTENTS.md", "findings.md", "service/inspect.json", "service/compose.yml", "service/log.txt"} <= set(
        texts
    )
    assert not [name for name, text in texts.items() if "PLANTED" in text or "guard-1" in text]
    assert "STAND-IN of vLLM" in texts["service/log.txt"]
