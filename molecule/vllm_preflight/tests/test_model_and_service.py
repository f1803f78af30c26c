# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of model, memory, Docker and net, on the host with an engine. GPUs, hub and registry are STAND-INS."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import re
import time

import pytest

testinfra_hosts = ["ansible://preflight-trixie"]

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PLAN = str(ROOT / "plan_medium.yml")
GPUS = "/etc/myia-standin/gpus.json"
TOKEN = "hf_PLANTEDtoken0123456789"
UUID = "GPU-57a4d140-0000-4000-8000-%012x"
#: Every check, in the order of plugins/plugin_utils/preflight/checks.py.
IDS = re.findall(
    r'"(\w+)"',
    (ROOT / "plugins/plugin_utils/preflight/checks.py").read_text(encoding="utf-8").split("IDS = (")[1].split(")")[0],
)


@pytest.fixture
def role(host, play):
    """Run the role with variables on the host."""

    def run(*more: str, **variables):
        return play("--limit", "preflight-trixie", "-e", json.dumps(variables), *more)

    return run


@pytest.fixture
def net(host):
    """Let hub and registry answer otherwise for the time of a test."""

    def wish(**wishes) -> None:
        host.check_output("echo '%s' > /run/standin-net.json" % json.dumps(wishes))

    yield wish
    host.check_output("rm -f /run/standin-net.json")


@contextlib.contextmanager
def standin_gpus(host, **description):
    """Let the host have other GPUs."""
    text = json.dumps({"check_nodes": True, "gpus": [{}, {}], **description})
    host.check_output("cp %s /tmp/gpus; echo '%s' > %s" % (GPUS, text, GPUS))
    try:
        yield
    finally:
        host.check_output("cat /tmp/gpus > %s" % GPUS)


@pytest.mark.parametrize(
    ("wishes", "words", "fix"),
    [
        pytest.param(
            {"hub": 401, "code": "RepoNotFound"}, "private or does not exist (HTTP 401)", "vllm_model", id="401"
        ),
        pytest.param({"hub": 403, "code": "GatedRepo"}, "is gated (HTTP 403)", "Accept its licence", id="403"),
        pytest.param(
            {"hub": 404, "code": "RepoNotFound"}, "is not on the hub (HTTP 404)", "Correct vllm_model", id="404"
        ),
        pytest.param({"hub": 503}, "127.0.0.1:8998 answers HTTP 503", "HF_ENDPOINT", id="503"),
    ],
)
def test_hub(wishes, words, fix, role, net) -> None:
    """Each refusal of the hub is told from the others, and hides no second message about the plan."""
    net(**wishes)
    run = role()
    assert run.status != 0
    assert "1 preflight check failed" in run.flat
    assert words in run.flat
    assert fix in run.flat


@pytest.mark.full
def test_net_that_is_slow(host, role, net) -> None:
    """Hub and registry that never answer are both named, after seconds: asked at a time, and not waited for."""
    start = time.monotonic()
    assert role().status == 0
    usual = time.monotonic() - start
    net(delay_s=20)
    host.check_output("rm -f /run/standin-net.asked")
    start = time.monotonic()
    run = role()
    slow = time.monotonic() - start
    print("usual %.1f s, slow net %.1f s" % (usual, slow))
    assert "2 preflight checks failed" in run.flat
    assert "- hub: found 127.0.0.1:8998 does not answer" in run.flat
    assert "- registry: found 127.0.0.1:8998" in run.flat
    # one that had to wait for the other would be asked when the other's three seconds are over
    asked = dict(line.split() for line in reversed(host.file("/run/standin-net.asked").content_string.splitlines()))
    assert abs(float(asked["hub"]) - float(asked["registry"])) < 3.0
    assert slow - usual < 10.0


@pytest.mark.full
def test_model_in_the_cache(host, role, net) -> None:
    """A hub that is silent stops nobody who has the model; one that refuses does. Offline mode asks nobody."""
    base = "/var/lib/docker/volumes/vllm-hf-cache/_data/hub/models--Qwen--Qwen2.5-32B-Instruct-AWQ/snapshots/main"
    offline = {"vllm_extra_env": {"HF_HUB_OFFLINE": 1}}
    nowhere = role(**offline)
    host.check_output(
        "mkdir -p %s; cp /etc/myia-standin/config.json %s; echo x > %s/model.safetensors" % (base, base, base)
    )
    try:
        net(hub=503)
        silent, there = role(), role(**offline)
        net(hub=403)
        refused = role()
    finally:
        host.check_output("rm -rf /var/lib/docker/volumes/vllm-hf-cache")
    assert nowhere.status == 0
    assert (
        "HF_HUB_OFFLINE is set in vllm_extra_env; Qwen/Qwen2.5-32B-Instruct-AWQ is not in vllm_hf_cache" in nowhere.flat
    )
    assert "preflight check capacity warns: found no capacity plan" in nowhere.flat
    assert silent.status == 0, silent.output
    assert "the model is in the cache, though" in silent.flat
    assert there.status == 0
    assert "WARNING" not in there.flat
    assert refused.status != 0


def test_everything_in_one_report(host, role, net, daemon_json, sleeper, untouched) -> None:
    """Errors before warnings, each with what was found and the fix; the container that holds the memory is named."""
    daemon_json.write('{"runtimes": {"nvidia": {"path": "runc"}}}', "systemctl reload docker; sleep 1")
    host.check_output(
        "docker run -d --name other-llm --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=1 standin-sleeper /usr/bin/sleep 900"
    )
    pid = int(host.check_output("docker inspect -f '{{.State.Pid}}' sleeper"))
    holder = {"gpu_uuid": UUID % 1, "pid": pid, "process_name": "/usr/bin/sleep", "used_memory": 20000}
    net(registry=503, late_s=-900, weights=10**16)
    host.check_output("rm -f /tmp/myia-mark; touch /tmp/myia-mark; sleep 1.1")
    try:
        with standin_gpus(host, driver_version="575.57.08", gpus=[{}, {"memory_used": 20001}], processes=[holder]):
            host.check_output("touch /tmp/myia-mark; sleep 1.1")
            run = role(
                vllm_unset=["vllm_hf_overrides"], vllm_kv_cache_dtype="auto", vllm_shm_size="64m",
                vllm_preflight_min_free_gib=None,
                docker_engine_min_version="99.0", docker_engine_compose_min_version="99.0",
            )  # fmt: skip
            assert untouched() == []
    finally:
        host.run("docker rm -f other-llm")
    assert run.status != 0
    for text in (
        "driver_cuda: found driver 575.57.08, needed branch 580 or later for CUDA 13.0",
        "max_model_len: found 131072 tokens are more than the model's config.json allows (32768)",
        "capacity: found it does not fit",
        "Budget: 0.90 x that",
        "GPU 1: 4.0 of 24.0 GiB free, held by /usr/bin/sleep (pid %d, container sleeper) 19.5 GiB" % pid,
        "container other-llm (GPU 1)",
        "shm: found 64 MiB in the container's /dev/shm",
        "weights 9313225.7",
        "docker: found Docker Engine",
        "compose: found Docker Compose",
        "- registry: found 127.0.0.1:8998: HTTP 503",
        "seconds behind hub and registry, needed at most 300 seconds",
    ):
        assert text in run.flat, "%r is not in:\n%s" % (text, run.output)
    assert run.flat.index("- clock:") < run.flat.index("Not refused for") < run.flat.index("- gpu_shared:")


@pytest.mark.full
def test_memory_of_our_own_container(host, role) -> None:
    """What the service itself holds is free again when it is replaced."""
    host.run("docker rm -f sleeper")
    host.check_output(
        "docker run -d --name sleeper --label com.docker.compose.project=vllm-medium standin-sleeper /usr/bin/sleep 900"
    )
    pid = int(host.check_output("docker inspect -f '{{.State.Pid}}' sleeper"))
    holder = {"gpu_uuid": UUID % 1, "pid": pid, "process_name": "vllm", "used_memory": 20000}
    try:
        with standin_gpus(host, gpus=[{}, {"memory_used": 20001}], processes=[holder]):
            run = role()
    finally:
        host.run("docker rm -f sleeper")
    assert run.status == 0, run.output


@pytest.mark.full
def test_tensor_parallel(host, role) -> None:
    """Three GPUs cannot share forty heads."""
    host.check_output("mknod -m 0666 /dev/nvidia2 c 1 3")
    try:
        with standin_gpus(host, gpus=[{}, {}, {}]):
            run = role(vllm_gpu_devices=[0, 1, 2], vllm_tensor_parallel_size=3)
    finally:
        host.check_output("rm /dev/nvidia2")
    assert "1 preflight check failed" in run.flat
    assert "tensor_parallel: found tensor parallel 3 for 40 attention heads and 8 KV heads" in run.flat


@pytest.mark.full
def test_uncertain_goes_on(role) -> None:
    """What may not fit is warned of, with the arithmetic and what would help."""
    run = role(vllm_max_num_seqs=256)
    assert run.status == 0, run.output
    assert "preflight check capacity warns: found it may not fit" in run.flat
    assert "vllm_max_num_seqs: 64" in run.flat


def test_misspelt_skip(role) -> None:
    """An id that no check has is refused."""
    run = role(vllm_preflight_skip=["gpu_memmory"])
    assert run.status != 0
    assert "no check is called gpu_memmory; did you mean gpu_memory?" in run.flat


def test_no_secret(host, role, net) -> None:
    """The token reaches the hub, and nothing else: no output, no file, no journal."""
    net(hub=403, code="GatedRepo")
    run = role("-vvv")
    assert run.status != 0
    assert "(HTTP 403)" in run.flat
    assert host.file("/run/standin-net.token").content_string == hashlib.sha256(TOKEN.encode()).hexdigest()
    net()
    passed = role("-vvv")
    assert passed.status == 0
    assert "PLANTED" not in run.output + passed.output
    search = "grep -rIlE PLANTE[D] / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev 2>/dev/null; true"
    assert host.check_output(search) == ""
    assert host.check_output("journalctl --no-pager | grep -c PLANTE[D]; true") == "0"


def test_plan(play, net, untouched) -> None:
    """The playbook prints the plan, changes nothing, and ends well even where a deployment would be refused."""
    run = play("--limit", "localhost,preflight-trixie", playbook=PLAN)
    assert run.status == 0, run.output
    assert "Plan of the vLLM service medium on preflight-trixie (nothing was changed)" in run.output
    assert "fits: YES" in run.output
    passed = re.search(r"^passed  (.*?)^=+$", run.output, re.DOTALL | re.MULTILINE).group(1)
    # the password of the tests' vault is in Git, which is warned of
    without = ("model_path", "adapters", "tls", "networks", "controller_files")
    assert re.findall(r"\w+", passed) == [name for name in IDS if name not in without]
    assert "controller_files" in run.output
    net(hub=404)
    run = play("--limit", "localhost,preflight-trixie", "--check", "-e", "vllm_shm_size=1m", playbook=PLAN)
    assert run.status == 0, run.output
    assert "A deployment would be refused." in run.output
    assert run.recap["changed"] == 0
    assert untouched() == []
