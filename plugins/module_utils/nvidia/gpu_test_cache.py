# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember that a container got its GPUs, as long as nothing has changed that could keep the next from it.

A test starts a container, which takes a second or more; most runs find everything as the last one left it. The record
lies under /run, so a restart of the host forgets it.

Private to this collection; may change at any time. Python standard library only; runs on hosts.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import stat

from ansible_collections.myia.vllm.plugins.module_utils.common import files

PATH = "/run/myia-vllm/gpu-test.json"

#: What takes part when a container gets a GPU: programs, and files and folders that they read.
_PROGRAMS = (
    "dockerd", "containerd", "runc", "nvidia-container-runtime", "nvidia-container-runtime-hook",
    "nvidia-container-cli", "nvidia-ctk", "nvidia-cdi-hook", "nvidia-smi",
)  # fmt: skip
_FILES = (
    "/etc/docker/daemon.json", "/etc/nvidia-container-runtime/*", "/etc/cdi/*", "/var/run/cdi/*", "/dev/nvidia*",
)  # fmt: skip

#: What ``docker_cli.engine_info`` tells that does not change by itself.
_ENGINE = ("version", "runtimes", "default_runtime", "cdi_spec_dirs", "cgroup_driver", "root_dir", "rootless")


def cache_key(asked: dict, engine: dict, engine_identity: str, gpus: list[dict], driver: str, root: str = "/") -> str:
    """Return a digest of everything a test depends on.

    Args:
        asked: how the container asks for which GPUs.
        engine: as ``docker_cli.engine_info`` returns it.
        engine_identity: process of the engine that runs now.
        gpus: the host's GPUs, with ``index`` and ``uuid``.
        driver: version of the driver.
        root: where the file system begins (for tests).
    """
    programs = [shutil.which(name) for name in _PROGRAMS]
    paths = [os.path.realpath(path) for path in programs if path]
    for pattern in _FILES:
        paths += sorted(glob.glob(os.path.join(root, pattern.lstrip("/"))))
    known = {
        "asked": asked,
        "engine": {key: engine.get(key) for key in _ENGINE},
        "engine_identity": engine_identity,
        "gpus": [[gpu["index"], gpu["uuid"]] for gpu in gpus],
        "driver": driver,
        "files": [[path, *_state(path)] for path in paths],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _state(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    if not stat.S_ISREG(found.st_mode):
        # a device that was used is the same device
        return [found.st_mode, found.st_rdev]
    return [found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns]


def read(key: str, path: str = PATH) -> dict:
    """Return the test that was kept under the key ``key``; empty without one."""
    record = files.read_json(path)
    try:
        return record["gpu_test"] if record["cache_key"] == key and record["gpu_test"]["ok"] is True else {}
    except (KeyError, TypeError):
        return {}


def write(key: str, found: dict, path: str = PATH) -> None:
    """Remember a test; that it cannot be remembered costs only the next run's time."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        files.write_atomically(path, json.dumps({"cache_key": key, "gpu_test": found}), 0o644)
