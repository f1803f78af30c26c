# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of playbooks/configure_awx.yml against a STAND-IN for the API of AWX, as the tests of it share it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from awx_standin import AwxStandin

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OTHERS = (
    "check_updates.yml",
    "deploy.yml",
    "deploy_fleet.yml",
    "deploy_gateway.yml",
    "deploy_monitoring.yml",
    "not_released.yml",
    "remove_gateway.yml",
    "remove_monitoring.yml",
    "rotate_secrets.yml",
)
PLAYBOOKS = sorted([*(path.name for path in ROOT.glob("*_medium.yml")), *OTHERS])

#: What must be in credentials alone.
SECRETS = {
    "vllm_awx_ssh_private_key": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nUExBTlRFRGtleQ==\n-----END OPENSSH PRIVATE KEY-----\n"
    ),
    "vllm_awx_become_password": "PLANTED-become-1",
    "vllm_awx_vault_password": "PLANTED-vault-2",
    "vllm_awx_hf_token": "hf_PLANTEDtoken3",
    "vllm_awx_api_key": "PLANTED-key-4",
}
PLANTED = ("UExBTlRFRGtleQ", "PLANTED-become-1", "PLANTED-vault-2", "hf_PLANTEDtoken3", "PLANTED-key-4")

SETTINGS = {
    "vllm_awx_execution_environment": "registry.example.org/vllm-ee:1",
    "vllm_awx_hosts": {"gpu01": {"ansible_host": "192.0.2.10"}},
    "vllm_awx_variables": {"vllm_port": 5010, "vllm_image": "registry.example.org/vllm:1"},
    "vllm_awx_ssh_user": "deployer-of-models",
    "vllm_awx_notification": {
        "notification_type": "webhook",
        "notification_configuration": {"url": "https://hooks.example.org/vllm"},
    },
}

#: What a template says for each of its jobs, by playbook; the others say the group of the hosts.
EXTRA_VARS = {"deploy_gateway.yml": {"vllm_gateway_service_hosts": "medium"}, "remove_gateway.yml": {}}
#: Whose work needs all hosts at once.
ONE_JOB = (
    "deploy_fleet.yml",
    "deploy_gateway.yml",
    "remove_gateway.yml",
    "deploy_monitoring.yml",
    "remove_monitoring.yml",
)


def said_of(template: dict) -> dict:
    """The extra variables of a template."""
    return json.loads(template["extra_vars"] or "{}")


class Run:
    """One run of the playbook."""

    def __init__(self, awx: AwxStandin, folder: pathlib.Path, variables: dict[str, Any], *words: str) -> None:
        """Run it with the settings and more variables, which are a file as an operator's are."""
        (folder / "settings.json").write_text(json.dumps({**SETTINGS, **variables}), encoding="utf-8")
        start = len(awx.writes)
        program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
        done = subprocess.run(
            [program, "playbooks/configure_awx.yml", "-e", "@%s" % (folder / "settings.json"), *words],
            cwd=ROOT,
            env={**os.environ, **awx.environment, "no_proxy": "127.0.0.1", "ANSIBLE_FORCE_COLOR": "0",
                 "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        self.status, self.output = done.returncode, done.stdout
        self.writes = awx.writes[start:]

    @property
    def changed(self) -> list[str]:
        """The items of loops that changed something."""
        marker = "changed: [localhost] => (item="
        return [line.removeprefix(marker)[:-1] for line in self.output.splitlines() if line.startswith(marker)]
