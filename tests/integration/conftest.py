# SPDX-License-Identifier: GPL-3.0-or-later
"""What the jobs of these tests have in common: the checkout as project, and hosts that are the machine they run on."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from awx_job import AwxJob

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: A host that is where the job runs. The system's own Python: another may lack what Ansible's modules need.
HERE = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}

#: What turns up nowhere but where it belongs.
PLANTED = {"vllm_api_key": "PLANTED-api-key-7a03e1", "vllm_hf_token": "hf_PLANTEDtoken7a03e1"}
VAULT_PASSWORD = "PLANTED-vault-password-7a03e1"


@pytest.fixture(scope="session")
def inventory() -> dict:
    """Two hosts of the group that the playbooks deploy to."""
    return {"medium": {"box1": HERE, "box2": HERE}}


@pytest.fixture(scope="session")
def paths() -> dict[str, str]:
    """Names of images and folders that tools/images made."""
    done = subprocess.run([ROOT / "tools" / "images", "paths"], capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="session")
def service(paths: dict[str, str]) -> dict:
    """Survey answers for a service that could run on this machine's CPU, under a name that no other test has."""
    return {
        "vllm_name": "awxjob",
        "vllm_container_name": "myia-vllm-awxjob",
        "vllm_accelerator": "cpu",
        "vllm_image": paths["vllm_cpu_image"],
        "vllm_model": paths["model"],
        "vllm_served_model_name": "tiny-qwen3",
        "vllm_max_model_len": 2048,
        "vllm_tensor_parallel_size": 1,
        "vllm_hf_overrides": {},
        "vllm_kv_cache_dtype": "auto",
        "vllm_cpu_kv_cache_gib": 1,
        "vllm_shm_size": "1gb",
        "vllm_port": 5719,
        "vllm_service_pull": "never",
        "vllm_preflight_min_free_gib": 1,
    }


@pytest.fixture(scope="session")
def make_job(tmp_path_factory: pytest.TempPathFactory, inventory: dict) -> Callable[..., AwxJob]:
    """Return a function that makes a job of this checkout, for both hosts unless it names others."""

    def make(hosts: dict | None = None, **given: object) -> AwxJob:
        return AwxJob(tmp_path_factory.mktemp("awx"), ROOT, inventory if hosts is None else hosts, **given)

    return make


@pytest.fixture(scope="session")
def vault_password() -> str:
    """The password of the vault id prod."""
    return VAULT_PASSWORD


@pytest.fixture(scope="session")
def add_vault() -> Callable[[AwxJob], None]:
    """Return a function that puts the secrets of the service into a job's project, encrypted for the vault id prod.

    AWX reads no variables beside an inventory, only those beside the playbook, and that is the collection's: the one in
    the root imports it.
    """
    text = "".join("%s: %s\n" % item for item in PLANTED.items())
    encrypted = VaultLib().encrypt(text.encode(), secret=VaultSecret(VAULT_PASSWORD.encode()), vault_id="prod")

    def add(job: AwxJob) -> None:
        path = job.project / "playbooks" / "group_vars" / "medium" / "vault.yml"
        path.parent.mkdir(parents=True)
        path.write_bytes(encrypted)

    return add


@pytest.fixture(scope="session")
def find_leaks() -> Callable[[pathlib.Path], list[str]]:
    """Return a function that tells which files below a folder hold a planted secret, relative to it."""
    words = [word.encode() for word in (*PLANTED.values(), VAULT_PASSWORD)]

    def find(folder: pathlib.Path) -> list[str]:
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return [str(path.relative_to(folder)) for path in files if any(word in path.read_bytes() for word in words)]

    return find
