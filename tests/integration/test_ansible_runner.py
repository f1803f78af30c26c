# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook under ansible-runner, as AWX starts it: the checkout as project, an inventory, extra variables."""

from __future__ import annotations

import os
import pathlib
import sys

import ansible_runner
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INVENTORY = {
    "medium": {"hosts": {"box": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}}}
}


def run(folder: pathlib.Path, inventory: dict, **variables: object) -> ansible_runner.Runner:
    """Run deploy_medium.yml in check mode from a private data directory of its own."""
    (folder / "project").symlink_to(ROOT)
    (folder / "inventory").mkdir()
    (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return ansible_runner.run(
        private_data_dir=str(folder),
        playbook="deploy_medium.yml",
        extravars={"vllm_report_dir": str(folder), **variables},
        cmdline="--check",
        quiet=True,
        # the tools of the tests need not be on the PATH of the shell that started them
        envvars={
            "ANSIBLE_FORCE_COLOR": "0",
            "PATH": "%s:%s" % (pathlib.Path(sys.executable).parent, os.environ["PATH"]),
        },
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"vllm_port": 70000}, "vllm_port: 70000 is not a TCP port"),
        (
            # a name of its own, since a service that is already there needs less space
            {"vllm_name": "runner", "vllm_accelerator": "cpu", "vllm_preflight_min_free_gib": 10**6},
            "needed 1000000.0 GiB",
        ),
    ],
)
def test_refusal_reaches_the_job(tmp_path, variables: dict, said: str) -> None:
    """A refused deployment is a failed job that shows the reason."""
    job = run(tmp_path, INVENTORY, **variables)
    assert job.status == "failed"
    assert job.rc != 0
    assert said in " ".join(job.stdout.read().split())


def test_inventory_without_the_group(tmp_path) -> None:
    """No matching host is a failed job too: Ansible alone would end with success."""
    job = run(tmp_path, {"other": {"hosts": {"box": {"ansible_connection": "local"}}}})
    assert job.status == "failed"
    assert "has no host in 'medium'" in " ".join(job.stdout.read().split())
