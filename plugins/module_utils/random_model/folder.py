# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a model with random weights on a host: whether it is the wanted one, and the command that fills it.

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.random_model import maker

#: Written beside the weights: what the model was made of, and what came out.
RECORD = "myia-vllm-random-model.json"


def made(path: str, wanted: dict) -> dict:
    """Return what is recorded of a model that was made of ``wanted``; empty when there is none, or another."""
    found = files.read_json(os.path.join(path, RECORD))
    return found.get("model") or {} if found.get("wanted") == wanted else {}


def refusal(path: str) -> str:
    """Return why the folder must not be written; empty when it may."""
    if os.path.lexists(path) and not os.path.isdir(path):
        return "path: %s is no folder. Name a new one, or remove that file." % path
    if os.path.isdir(path) and os.listdir(path) and not os.path.exists(os.path.join(path, RECORD)):
        return (
            "path: %s has files, and none of them says that this module made them (%s). Name a new folder, or remove "
            "that one." % (path, RECORD)
        )
    return ""


def empty(path: str) -> None:
    """Leave an empty folder that has the record alone, so that a broken run can be told and begun anew.

    The folder itself stays, as something may be mounted there.

    Raises:
        OSError: it cannot be made, or not be emptied.
    """
    os.makedirs(path, exist_ok=True)
    record(path, {}, {})
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != RECORD:
            os.unlink(entry.path)


def record(path: str, wanted: dict, model: dict) -> None:
    """Write down what is there."""
    files.write_atomically(os.path.join(path, RECORD), json.dumps({"wanted": wanted, "model": model}), 0o644)


def run_command(image: str, path: str, name: str, wanted: dict) -> list[str]:
    """Return the command that makes the model in the image."""
    arguments = json.dumps({"folder": "/model", **wanted})
    return [
        "docker", "run", "--rm", "--pull=never", "--network=none", "--name=" + name,
        "--volume=%s:/model" % os.path.abspath(path), "--entrypoint=python3", image,
        "-c", inspect.getsource(maker), arguments,
    ]  # fmt: skip


def answer(out: str) -> dict:
    """Return what the program in the container says that it has made; empty where it says nothing of the kind."""
    return files.json_object((out.strip().splitlines() or [""])[-1])


def failure(status: int, out: str, err: str, params: dict) -> str:
    """Return what kept the model from being made, with the fix."""
    said = [line for line in out.splitlines() if line.startswith("random-model: ")]
    if said:
        return said[-1].replace("random-model: ", "config: ", 1)
    if status == 124:
        return "timeout_s: nothing came within %g s. Raise it, or make a smaller model." % params["timeout_s"]
    if status == 137:
        return (
            "size_gib: the container was killed, most likely since the host had too little memory (dmesg tells). All "
            "weights are in memory once: free some, or make a smaller model."
        )
    if "No such image" in err or "Unable to find image" in err:
        return "image: %s is not on this host. Pull it first (docker pull %s)." % (params["image"], params["image"])
    return "The container ended with %d: %s" % (status, " ".join((err or out).split())[-600:])
