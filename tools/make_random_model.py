#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a model with random weights of any architecture, for trials of memory, KV cache and speed without a download.

Usage: ``make_random_model.py CONFIG_JSON FOLDER [--size-gib N | --layers N] [--dtype bfloat16] [--image IMAGE]``

Without ``--image`` this Python needs torch and transformers; with it, the image's are used, by ``docker run`` without a
network. On a GPU host the module ``myia.vllm.random_model`` does the same in the service's image.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import subprocess
import sys

MAKER = pathlib.Path(__file__).resolve().parent.parent / "plugins" / "module_utils" / "random_model" / "maker.py"


def main(argv: list[str]) -> int:
    """Make it, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=pathlib.Path, help="a config.json")
    parser.add_argument("folder", type=pathlib.Path, help="folder of the model; it must not have files yet")
    parser.add_argument("--size-gib", type=float, help="size of all weights: as many layers as come nearest")
    parser.add_argument("--layers", type=int, help="number of layers")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image", help="an image of vLLM; otherwise this Python's transformers")
    given = parser.parse_args(argv)
    given.folder.mkdir(parents=True, exist_ok=True)
    if any(given.folder.iterdir()):
        print("%s has files already: name a new folder." % given.folder, file=sys.stderr)
        return 2
    arguments = {
        "folder": str(given.folder.resolve()),
        "config": json.loads(given.config.read_text(encoding="utf-8")),
        "size_gib": given.size_gib,
        "layers": given.layers,
        "dtype": given.dtype,
        "seed": given.seed,
    }
    spec = importlib.util.spec_from_file_location("maker", MAKER)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    if given.image:
        return subprocess.call([
            "docker", "run", "--rm", "--pull=never", "--network=none",
            "--volume=%s:/model" % arguments["folder"], "--entrypoint=python3", given.image,
            "-c", MAKER.read_text(encoding="utf-8"), json.dumps({**arguments, "folder": "/model"}),
        ])  # fmt: skip
    try:
        print(json.dumps(maker.make(**arguments)))
    except maker.Refused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
