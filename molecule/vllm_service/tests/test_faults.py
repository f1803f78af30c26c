# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a real vLLM on the CPU, a real engine and a hub (a STAND-IN): named, and the service comes back."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from replays import container_of, healthy, install

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
NAME = "myia-vllm-medium-qwen3"

#: The hub knows the token that molecule/conftest.py plants.
PLANTED_TOKEN = "hf_PLANTEDtoken4f1d0c"

#: What vLLM refuses, or fails of: variables that bring it about, and the id.
FAULTS = {
    "unknown flag": ({"vllm_extra_options": {"no-such-option": 1}, "vllm_check_options": False}, "option-not-accepted"),
    "length beyond the model": ({"vllm_max_model_len": 999999}, "context-longer-than-model"),
    "KV cache too small": (
        # 1 GiB holds 2097152 tokens of this model
        {"vllm_max_model_len": 3000000, "vllm_hf_overrides": {"max_position_embeddings": 3000000}},
        "context-longer-than-kv-cache",
    ),
    "TP does not divide the heads": ({"vllm_tensor_parallel_size": 3}, "heads-not-divisible"),
    "bad tool parser": (
        # the definition knows the parsers of this release, and refuses others before anything happens
        {"vllm_extra_options": {"enable-auto-tool-choice": True, "tool-call-parser": "nobody"},
         "vllm_check_options": False},
        "parser-unknown",
    ),
    "corrupt weights": ({"vllm_model": "/srv/models/corrupt"}, "weights-broken"),
    "shm too small": (
        {"vllm_tensor_parallel_size": 2, "vllm_cpu_omp_threads_bind": "0|1", "vllm_shm_size": "1mb"},
        "shared-memory-too-small",
    ),
    "model not found, asked for by vLLM": (
        {"vllm_model": "test/nothing", "vllm_prefetch": False, "vllm_extra_env": {"HF_ENDPOINT": "http://HUB:8090"}},
        "model-not-found",
    ),
}  # fmt: skip

#: What the hub answers to the download before the switch: its fault, the repository and the ids.
HUB = {
    "hub answers 401": ("", "test/tiny", "hub-token-invalid"),
    "hub answers 403": ("", "test/gated", "model-gated"),
    "hub answers 404": ("", "test/nothing", "model-not-found"),
    "hub answers 429": ("fault/status=429,match=resolve", "test/tiny", "hub-busy"),
    "hub answers 500": ("fault/status=500,match=resolve", "test/tiny", "hub-busy"),
    "hub is too slow": ("fault/delay_s=30,match=resolve", "test/tiny", ("hub-not-reachable", "hub-busy")),
}


@pytest.fixture(scope="module")
def hub(host) -> str:
    """Serve the tiny model on the host by a STAND-IN for the Hugging Face hub; returns the address for containers."""
    script = ROOT / "molecule" / "resources" / "standins" / "hub"
    subprocess.run(["docker", "cp", str(script), container_of(host).name + ":/srv/hub"], check=True)
    gateway = host.check_output("docker network inspect bridge -f '{{(index .IPAM.Config 0).Gateway}}'")
    repos = ["test/tiny=/srv/models/tiny-qwen3", "test/gated=/srv/models/tiny-qwen3,gated"]
    # in a script and silent: the journal keeps the command lines of what speaks, and the token is looked for there
    command = "exec python3 /srv/hub --bind 0.0.0.0 --port 8090 --token %s --log /srv/hub.jsonl %s >/dev/null 2>&1" % (
        PLANTED_TOKEN, " ".join("--repo " + repo for repo in repos))  # fmt: skip
    host.check_output("echo '%s' > /srv/hub.sh && systemd-run --unit standin-hub sh /srv/hub.sh" % command)
    host.check_output(
        "for i in $(seq 50); do curl -s -o /dev/null %s:8090 && exit 0; sleep 0.2; done; exit 1" % gateway
    )
    yield gateway
    host.check_output("systemctl stop standin-hub")


@pytest.fixture(scope="module")
def corrupt(host) -> None:
    """Put a model on the host whose weights were cut short, as by a copy that was interrupted."""
    host.check_output("rm -rf /srv/models/corrupt; cp -r /srv/models/tiny-qwen3 /srv/models/corrupt")
    host.check_output("truncate -s 100000 /srv/models/corrupt/model.safetensors")


@pytest.fixture(scope="module")
def quick(host, play) -> None:
    """Let the STAND-IN for vLLM be the last good release, since a real one takes half a minute to come back.

    What fails is the real vLLM. The last two faults of this file come back to a real one.
    """
    install(host)
    run = play("-e", json.dumps(healthy(host)))
    assert run.status == 0, run.output
    yield
    run = play()
    assert run.status == 0, run.output


@pytest.mark.parametrize("what", FAULTS)
def test_vllm_does_not_start(host, fault, quick, corrupt, hub, what) -> None:
    """The cause is named within seconds of the line that shows it, and the release of before serves again."""
    variables, name = FAULTS[what]
    variables = json.loads(json.dumps(variables).replace("HUB", hub))
    fault(what, "vLLM", name, variables)


@pytest.mark.parametrize("what", HUB)
def test_hub_refuses(host, fault, quick, hub, what) -> None:
    """What the hub refuses is named before the switch: the service is not even stopped."""
    path, model, name = HUB[what]
    variables = {
        "vllm_model": model,
        "vllm_extra_env": {"HF_ENDPOINT": "http://%s:8090/%s" % (hub, path), "HF_HUB_ETAG_TIMEOUT": "3"},
        "vllm_service_retries": 0,
    }
    if "401" in what:
        variables["vllm_hf_token"] = "hf_nobodyknowsthistoken"
    fault(what, "hub (stand-in)", name, variables, kept=True)


@pytest.mark.full
def test_disk_full(host, fault, quick, hub) -> None:
    """A disk that is too small for the weights is found before the switch, with the arithmetic."""
    host.check_output("mkdir -p /srv/full && mount -t tmpfs -o size=64k tmpfs /srv/full")
    try:
        variables = {
            "vllm_model": "test/tiny", "vllm_hf_cache": "/srv/full",
            "vllm_extra_env": {"HF_ENDPOINT": "http://%s:8090" % hub},
        }  # fmt: skip
        fault("disk full", "vLLM's image", ("disk-full", "disk-too-small-for-model"), variables, kept=True)
    finally:
        host.run("umount /srv/full")


@pytest.mark.full
def test_image_missing(host, fault, quick) -> None:
    """An image that is not there, and that must not be pulled."""
    fault("image missing", "Docker Engine", "image-not-found", {"vllm_image": "myia-vllm-cpu:9.9.9"}, kept=True)


@pytest.mark.full
def test_registry_does_not_answer(host, fault, quick) -> None:
    """An image that must be pulled and cannot be."""
    variables = {"vllm_image": "registry.invalid/vllm:1", "vllm_service_pull": "missing", "vllm_service_retries": 0}
    fault("registry not there", "Docker Engine", "image-pull-failed", variables, kept=True)


# ---------------------------------------------------------------------------------------------- interruptions


def test_way_back_after_an_interrupted_compose(host, fault, quick, leave_behind, only_the_service) -> None:
    """What a Compose left that was killed does not keep the last good release from coming back."""
    first = host.check_output("docker inspect -f '{{.Id}}' %s" % NAME)

    def leave() -> None:
        """Leave it while the new release fails to start."""
        for _ in range(600):
            seen = host.run("docker inspect -f '{{.Id}}' %s" % NAME).stdout.strip()
            if seen not in ("", first):
                return leave_behind()
            time.sleep(0.2)

    variables, name = FAULTS["unknown flag"]
    found = fault("interrupted Compose", "vLLM", name, {**variables, "vllm_max_num_seqs": 62}, act=leave)
    assert "Show what was cleared up" in found.run.output
    only_the_service()


@pytest.mark.full
def test_docker_restarts_during_the_start(host, play) -> None:
    """The engine is restarted while vLLM starts: the start is repeated once, and the deployment succeeds."""
    process = running_deployment({"vllm_max_num_seqs": 62})
    until_replaced(host, process)
    host.check_output("systemctl restart docker")
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 0, output
    # killed while it starts, or Compose's own call cut off: which of them is a matter of a second
    assert "Show why the start is retried" in output
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"


@pytest.mark.full
def test_controller_is_killed_during_the_switch(host, play) -> None:
    """The run dies between stopping the old service and the new one's answer; the next run recovers at once."""
    process = running_deployment({"vllm_max_num_seqs": 61})
    until_replaced(host, process)
    refused = play("-e", json.dumps({"vllm_max_num_seqs": 60}))
    assert refused.status != 0
    assert "is being deployed by" in refused.flat
    assert "process %d" % process.pid in refused.flat
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert host.file("/opt/vllm/medium/deployment.lock").exists
    run = play()
    assert run.status == 0, run.output
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"
    assert "SEQS_MEDIUM='64'" in host.check_output("cat /opt/vllm/medium/current/.env")
    assert not host.file("/opt/vllm/medium/deployment.lock").exists


@pytest.mark.full
def test_lock_of_another_machine_goes_stale(host, play) -> None:
    """A lock whose holder nobody can ask is waited for, and taken when it was silent for long enough."""
    lock = {"token": "elsewhere:1:2:3", "who": "alice on another machine", "since": "2026-01-01 00:00:00 UTC",
            "boot_id": host.check_output("cat /proc/sys/kernel/random/boot_id")}  # fmt: skip
    host.check_output("echo '%s' > /opt/vllm/medium/deployment.lock" % json.dumps(lock))
    run = play()
    assert run.status != 0
    assert "is being deployed by alice on another machine" in run.flat
    host.check_output("touch -d '-10 minutes' /opt/vllm/medium/deployment.lock")
    run = play()
    assert run.status == 0, run.output
    assert not host.file("/opt/vllm/medium/deployment.lock").exists


# ---------------------------------------------------------------------------------- back to a real vLLM


@pytest.mark.full
def test_port_taken(host, fault) -> None:
    """A process of the host has the port."""
    host.check_output("systemd-run --unit taken python3 -m http.server 5099 --bind 127.0.0.1")
    try:
        fault("port taken", "Docker Engine", ("port-taken-by-process", "port-taken-by-container"), {
            "vllm_port": 5099, "vllm_publish_address": "127.0.0.1"})  # fmt: skip
    finally:
        host.check_output("systemctl stop taken")


@pytest.mark.full
def test_memory_limit(host, fault) -> None:
    """The kernel kills the start for lack of memory, and the second one too."""

    def limit() -> None:
        """Give each new container of the service a limit that no start fits into."""
        done = set()
        first = host.check_output("docker inspect -f '{{.Id}}' %s" % NAME)
        end_s = time.monotonic() + 300
        while time.monotonic() < end_s and len(done) < 2:
            seen = host.run(
                "docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' %s" % NAME
            ).stdout.split()
            if len(seen) == 3 and seen[0] != first and seen[2] == "true" and seen[1] not in done:
                host.run("docker update --memory 200m --memory-swap 200m %s" % NAME)
                done.add(seen[1])
            time.sleep(0.5)

    fault("memory limit", "kernel", "host-memory-exhausted", {"vllm_max_num_seqs": 63}, act=limit)


def running_deployment(variables: dict) -> subprocess.Popen:
    """Begin a deployment in a process group of its own."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                   "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_PIPELINING": "true",
                   "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}  # fmt: skip
    playbook = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml"
    return subprocess.Popen(
        [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", os.environ["MOLECULE_INVENTORY_FILE"],
         str(playbook), "-e", json.dumps(variables)],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def until_replaced(host, process: subprocess.Popen) -> None:
    """Wait until the deployment has replaced the container and vLLM has begun to say something."""
    before = host.check_output("docker inspect -f '{{.Id}}' %s" % NAME)
    for _ in range(240):
        seen = host.run("docker inspect -f '{{.Id}} {{.State.Running}}' %s" % NAME).stdout.split()
        if len(seen) == 2 and seen[0] != before and seen[1] == "true" and host.run("docker logs %s" % NAME).stderr:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.5)
    raise AssertionError("the container was not replaced")
