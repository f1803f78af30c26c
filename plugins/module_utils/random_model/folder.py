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
    try:
        record = json.loads(files.read_text(os.path.join(path, RECORD)) or "{}")
    except ValueError:
        return {}
    return record.get("model") or {} if record.get("wanted") == wanted else {}


def refusal(path: str) -> str:
    """Return why the folder must not be written; empty when it may."""
    if os.path.isdir(path) and os.listdir(path) and not os.path.exists(os.path.join(path, RECORD)):
        return (
            "path: %s has files, and none of them says that this module made them (%s). Name a new folder, or remove "
            "that one." % (path, RECORD)
        )
    return ""


def empty(path: str) -> None:
    """Leave an empty folder that has the record alone, so that a broken run can be told and begun anew."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    record(path, {}, {})


def record(path: str, wanted: dict, model: dict) -> None:
    """Write down what is there."""
    with open(os.path.join(path, RECORD), "w", encoding="utf-8") as out:
        json.dump({"wanted": wanted, "model": model}, out)


def run_command(image: str, path: str, name: str, wanted: dict) -> list[str]:
    """Return the command that makes the model in the image."""
    arguments = json.dumps({"folder": "/model", **wanted})
    return [
        "docker", "run", "--rm", "--pull=never", "--network=none", "--name=" + name,
        "--volume=%s:/model" % os.path.abspath(path), "--entrypoint=python3", image,
        "-c", inspect.getsource(maker), arguments,
    ]  # fmt: skip


def failure(status: int, out: str, err: str, params: dict) -> str:
    """Return what kept the model from being made, with the fix."""
    said = [line for line in out.splitlines() if line.startswith("random-model: ")]
    if said:
        return said[-1].replace("random-model: ", "config: ", 1)
    if status == 124:
        return "timeout_s: nothing came within %g s. Raise it, or make a smaller model." % params["timeout_s"]
    if status == 137:
        return (
            "size_gib: the host had too little memory (the container was killed). All weights are in memory once: free "
            "some, or make a smaller model."
        )
    if "No such image" in err or "Unable to find image" in err:
        return "image: %s is not on this host. Pull it first (docker pull %s)." % (params["image"], params["image"])
    return "The container ended with %d: %s" % (status, " ".join((err or out).split())[-600:])
