# SPDX-License-Identifier: GPL-3.0-or-later
"""A STAND-IN for vLLM on the test host, which replays logs; and what goes on beside a watch."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib

import pytest
import testinfra
from replays import Watch, healthy, install


@pytest.fixture(scope="session")
def standin_host():
    """The test host, for fixtures that live longer than one test."""
    return testinfra.get_host(
        "ansible://health-trixie?ansible_inventory=%s" % pathlib.Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    )


@pytest.fixture(scope="session")
def standin(standin_host, play):
    """Let the stand-in for vLLM serve as the last good release; what is deployed after it can go back in a second."""
    install(standin_host)
    variables = healthy(standin_host)
    run = play("-e", json.dumps(variables))
    assert run.status == 0, run.output
    return variables


@pytest.fixture(scope="session")
def toolkit(play):
    """Give the host the STAND-INS for NVIDIA's toolkit and runtime, by the role."""
    run = play(
        "-e",
        "vllm_accelerator=nvidia vllm_gpu_devices=0",
        roles=["myia.vllm.docker_engine", "myia.vllm.nvidia_container_toolkit"],
    )
    assert run.status == 0, run.output


@pytest.fixture
def watch(inventory):
    """Return a function that starts a playbook beside the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **more: str) -> Watch:
            found = Watch(inventory, *arguments, **more)
            stack.callback(found.process.wait)
            stack.callback(found.process.kill)
            return found

        yield start
