# SPDX-License-Identifier: GPL-3.0-or-later
"""Old Compose and ``.env`` files of a host: archived with their secrets encrypted, never one in use, and given back."""

from __future__ import annotations

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PLAYBOOK = str(ROOT / "archive_configs.yml")
SECRET = "hf_PLANTEDtokenofarchive1"
LIVE = "services:\n  nap: {image: standin-sleeper, command: [/usr/bin/sleep, '900'], env_file: [nap.env]}\n"
FILES = {
    "/srv/old/live/compose.yml": LIVE,
    "/srv/old/live/nap.env": "A=1\n",
    "/srv/old/live/compose.yml.bak": LIVE,
    "/srv/old/gone/docker-compose.yml": "services: {llm: {image: x}}\n",
    "/srv/old/gone/.env": "HF_TOKEN=%s\n" % SECRET,
    "/srv/old/app/.env": "MINE=1\n",
}
LOOK = "find /srv/old -type f -printf '%p %m %u %T@ ' -exec sha256sum {} \\; | sort"


@pytest.fixture
def old_files(host, put, sleeper):
    """Files of two projects, one of which has a container."""
    for path, text in FILES.items():
        put(path, text)
    host.check_output("chmod 0640 /srv/old/gone/.env && chown nobody /srv/old/gone/.env")
    host.check_output("cd /srv/old/live && docker compose up -d 2>&1")
    yield
    host.run("docker ps -aq | xargs -r docker rm -f; docker network prune -f; rm -rf /srv/old")


def test_there_and_back(host, play, old_files, tmp_path) -> None:
    """Check mode lists; what is unused goes, encrypted; it comes back byte for byte, with owner, mode and time."""

    def run(*arguments: str, **values: object):
        given = {
            "vllm_hosts": "all",
            "config_archive_folders": ["/srv/old"],
            "config_archive_vault_password_file": str(tmp_path / "password"),
            **values,
        }
        return play("-e", json.dumps(given), *arguments, playbook=PLAYBOOK)

    before = host.check_output(LOOK)
    looked = run("--check")
    assert looked.status == 0, looked.output
    assert "/srv/old/gone/.env goes" in looked.flat
    assert "/srv/old/live/nap.env stays" in looked.flat
    assert host.check_output(LOOK) == before

    gone = run("-v")
    assert gone.status == 0, gone.output
    assert "PLANTED" not in gone.output
    left = host.check_output("find /srv/old -type f -not -path '*/archived/*' | sort").split()
    assert left == ["/srv/old/app/.env", "/srv/old/live/compose.yml", "/srv/old/live/nap.env"]
    assert host.run("grep -r PLANTED /srv/old").rc == 1
    assert host.check_output("grep -rl 'ANSIBLE_VAULT;1.2;AES256;archive' /srv/old").endswith("gone/.env")
    assert run().recap["changed"] == 0

    back = run(config_archive_give_back=True)
    assert back.status == 0, back.output
    host.check_output("rm -r /srv/old/archived")
    assert host.check_output(LOOK) == before
