# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on which every preflight check of the medium service passes, and copies of it with changes."""

from __future__ import annotations

import copy
import json
import pathlib
from collections.abc import Callable

import pytest
import report_cases as report_cases_of

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
CONFIG = json.loads((DATA / "qwen2.5-32b-instruct-awq" / "config.json").read_text(encoding="utf-8"))
#: Bytes of the weights of Qwen2.5-32B-Instruct-AWQ, about.
WEIGHTS = 19_330_000_000

MEMORY = {"memory_total_mib": 24564, "memory_used_mib": 1, "memory_free_mib": 24081}
CARD = {**nvidia_smi.UNKNOWN_GPU, **MEMORY, "name": "NVIDIA GeForce RTX 4090"}
GPUS = [
    {**CARD, "index": 0, "uuid": "GPU-a", "minor_number": 0},
    {**CARD, "index": 1, "uuid": "GPU-b", "minor_number": 1},
]
HOST = {
    "os": {"id": "debian", "id_like": "", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)"},
    "uid": 0,
    "wsl": False,
    "docker": {
        "installed": True,
        "podman": False,
        "dockerd_pid": 812,
        "answering": True,
        "error": "",
        "version": "26.1.5",
        "compose_version": "2.26.1",
        "registry_mirrors": [],
        "proxied": False,
    },
    "gpu": {"gpus": GPUS, "driver_version": "580.95.05", "cuda_version": "13.0", "error": None},
    "driver": {
        "kernel": "6.1.0-40-amd64",
        "wsl": False,
        "dxg": False,
        "module_version": "580.95.05",
        "modules": ["nvidia"],
        "module_files": ["updates/dkms/nvidia.ko"],
        "module_kernels": [],
        "library_versions": ["580.95.05"],
        "device_nodes": ["nvidia0", "nvidia1", "nvidiactl"],
        "cards": None,
        "secure_boot": None,
    },
    "port": {"listening": False, "owner": {}, "containers": []},
    "containers": [],
    "own_containers": [],
    "named_container": None,
    "adapters": {},
    "free_gib": {"/opt/vllm": 500.0, "/var/lib/docker": 100.0, "/cache": 100.0},
    "file_systems": {"/opt/vllm": "1", "/var/lib/docker": "2", "/cache": "2"},
    "docker_root": "/var/lib/docker",
    "missing_mounts": [],
    "missing_files": [],
    "networks": {},
    "addresses": ["192.0.2.7", "2001:db8::7"],
    "port_guard": False,
    "tls_problem": "",
    "path_problems": {},
    "ambient": {},
    "cache_dir": "/cache",
    "shm_free_mib": 32000.0,
    "image_present": False,
    "image_digests": [],
    "model": {
        "config": CONFIG,
        "weights_bytes": WEIGHTS,
        "weights_source": "hub",
        "cached": False,
        "commit": "",
        "files_bytes": None,
        "missing_files": [],
        "files": {"pooling_module": False, "chat_template": True, "mistral_tokenizer": False},
        "error": None,
    },
    "registry": {"registry": "registry-1.docker.io", "ok": True, "text": "HTTP 401"},
    "clock": {"skew_s": 0.4, "by": "hub and registry", "time": 1.0e9},
}


def changed(base: dict, changes: dict) -> dict:
    """A copy with changes by dotted path; numbers in it are places in lists."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        place = result
        *heads, last = path.split(".")
        for head in heads:
            place = place[int(head) if isinstance(place, list) else head]
        place[int(last) if isinstance(place, list) else last] = value
    return result


@pytest.fixture
def host_with() -> Callable[[dict], dict]:
    """Make the good host, with changes by dotted path."""
    return lambda changes: changed(HOST, changes)


@pytest.fixture
def medium(define) -> Callable[[dict], dict]:
    """Make the definition of the medium service with changed variables."""

    def make(changes: dict) -> dict:
        found, problems, _warnings = define(**changes)
        assert problems == []
        return found

    return make


@pytest.fixture
def report_cases(medium, host_with) -> report_cases_of.Cases:
    """What a report is made of for runs of the medium service, a case for each verdict."""
    return report_cases_of.Cases(medium({"vllm_api_key": "key-of-the-tests"}), host_with({}))


@pytest.fixture
def standin_cases(medium, host_with) -> report_cases_of.Cases:
    """The same on stand-ins for GPUs."""
    host = report_cases_of.with_stand_ins(host_with({}))
    return report_cases_of.Cases(medium({"vllm_api_key": "key-of-the-tests"}), host)
