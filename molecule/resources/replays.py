# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs for the STAND-IN for vLLM to replay, and playbook runs that go on beside a test."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import time

import docker
import yaml
from docker.models.containers import Container

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = "myia-vllm-medium-qwen3"
RECORDINGS = ROOT / "tests" / "unit" / "data" / "startup_logs"
LINES = yaml.safe_load((ROOT / "tests" / "unit" / "data" / "failure_lines.yml").read_text(encoding="utf-8"))

#: A recorded start of two workers is cut after the first line that holds this, and the failure comes next.
CUTS = {
    "container_up": "non-default args",
    "engine": "Initializing a V1 LLM engine",
    "distributed": "world_size=2 rank=0",
    "load": "Starting to load model",
    "compile": "Start",
    "memory": "KV cache size",
}


def replayed(host, name: str, lines: list[str], then: str = "exit 1", seconds: float = 1) -> dict:
    """Put a log on the host and return the variables of a deployment that replays it."""
    text = "\n".join(lines) + "\n"
    subprocess.run(
        ["docker", "exec", "--interactive", container_of(host).name, "sh", "-c", "cat > /srv/standin/%s.log" % name],
        input=text.encode(), check=True,
    )  # fmt: skip
    return {
        "vllm_extra_volumes": ["/srv/standin:/standin:ro", "/srv/standin/vllm:/usr/local/bin/vllm:ro"],
        "vllm_extra_env": {
            "REPLAY": "/standin/%s.log" % name, "REPLAY_S": str(seconds), "REPLAY_THEN": then, "PYTHONUNBUFFERED": "1",
        },
    }  # fmt: skip


def worker_dies(cut: str, *texts: str) -> list[str]:
    """Return a recorded start up to a phase, followed by what a worker and then everybody else says."""
    recording = (RECORDINGS / "healthy-tensor-parallel-2.log").read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(recording) if CUTS[cut] in line)
    worker = "(Worker_TP0 pid=35) ERROR 11-24 23:26:30 [multiproc_executor.py:700] "
    core = "(EngineCore pid=24) ERROR 11-24 23:26:31 [core.py:1023] "
    return [
        *recording[: end + 1],
        worker + "Traceback (most recent call last):",
        worker + '  File "/usr/local/lib/python3.11/site-packages/vllm/v1/worker/gpu_worker.py", line 300, in step',
        *[worker + text for text in texts],
        core + "Traceback (most recent call last):",
        core + "RuntimeError: Worker failed with error, please check the stack trace above for the root cause",
        "(APIServer pid=1) Traceback (most recent call last):",
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. "
        "Failed core proc(s): {}",
    ]


def container_of(host) -> Container:
    """Return the container that is the test host."""
    scenario = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]).name
    return docker.from_env().containers.get("myia-%s-%s" % (scenario, host.backend.hostname))


def install(host) -> None:
    """Put the STAND-IN for vLLM on the host."""
    script = ROOT / "molecule" / "resources" / "standins" / "bin" / "vllm"
    # A container that an earlier scenario left in the shared engine starts with the host, before anything can remove
    # it, and the engine makes a folder of a file to mount that is not there.
    host.check_output("mkdir -p /srv/standin && rm -rf /srv/standin/vllm")
    subprocess.run(["docker", "cp", str(script), container_of(host).name + ":/srv/standin/vllm"], check=True)


def healthy(host) -> dict:
    """Return the variables of a deployment of the STAND-IN that replays a recorded start and serves."""
    lines = (RECORDINGS / "healthy-eager.log").read_text(encoding="utf-8").splitlines()
    return replayed(host, "healthy", lines, then="serve")


class Watch:
    """A playbook run that goes on while the test does something."""

    def __init__(self, inventory: str, *arguments: str, playbook: str = "watch_medium.yml") -> None:
        environment = {
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0", "PYTHONUNBUFFERED": "1", "ANSIBLE_PIPELINING": "true",
            # every task: tests wait for their names
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, playbook, *arguments],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.output = ""

    def until(self, pattern: str, limit_s: float = 240) -> str:
        """Read on until a line matches; return what was read."""
        end_s = time.monotonic() + limit_s
        for line in self.process.stdout:
            self.output += line
            if re.search(pattern, line):
                return self.output
            assert time.monotonic() < end_s, self.output
        raise AssertionError("it ended without %r:\n%s" % (pattern, self.output))

    def end(self) -> int:
        """Read the rest and return the exit status."""
        self.output += self.process.stdout.read()
        return self.process.wait()
