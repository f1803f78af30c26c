# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a host: each check passes once and fails once, and says what it found and what to do."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import model as preflight_model

GIB = 1024**3
NO_YARN = {"vllm_unset": ["vllm_hf_overrides"]}
CPU = {
    "vllm_accelerator": "cpu",
    "vllm_tensor_parallel_size": 1,
    "vllm_model": "/m",
    "vllm_unset": ["vllm_hf_overrides"],
}
LOCAL = {"vllm_model": "/m"}
LORA = {"vllm_lora_adapters": [{"name": "sql", "source": "org/sql"}]}
OURS = {"name": "myia-vllm-medium-qwen3", "project": "vllm-medium"}
OTHER = {"name": "web", "project": ""}
PYTHON = {"pid": 7, "name": "python3", "type": "C", "memory_mib": 20000, "container": "", "project": ""}
IN_OURS = {**PYTHON, "container": OURS["name"], "project": OURS["project"]}
FULL = {"gpu.gpus.1.memory_used_mib": 20001, "gpu.gpus.1.memory_free_mib": 4081}
CLAIM = {"id": "c0", "name": "other-llm", "project": "", "gpus": ["1"]}
OUR_CLAIM = {**OURS, "id": "c1", "gpus": ["0", "1"]}
GONE = {"model.config": None, "model.weights_bytes": None, "model.weights_source": ""}
REGISTRY_DOWN = {"registry.ok": False, "registry.text": "timed out"}


def error(kind: str, text: str = "the hub says no. Do this.") -> dict:
    """The changes of a host whose model cannot be read."""
    return {**GONE, "model.error": {"kind": kind, "text": text}}


def dead_engine(said: str = "Cannot connect") -> dict:
    """The changes of a host whose engine does not answer."""
    return {"docker.answering": False, "docker.version": "", "docker.error": said}


#: A file and a network of the host.
SECRET = {"vllm_secret_files": {"hf": "/srv/hf"}}
TLS = {"vllm_ssl_certfile": "/srv/c", "vllm_ssl_keyfile": "/srv/k"}
EXTERNAL = {"vllm_networks": [{"name": "ai", "external": True}]}

NO_DOCKER = {
    **dead_engine("not installed"), "docker.installed": False, "docker.compose_version": "", "docker.dockerd_pid": 0,
}  # fmt: skip

#: id of the check, severity, changes of the host, changed variables, settings, words of the report
FAILING = [
    ("operating_system", "error", {"os.version": "11", "os.name": "Debian 11"}, {}, {}, "found Debian 11"),
    ("operating_system", "error", {"os.id": "arch", "os.name": ""}, {}, {}, "found arch"),
    ("operating_system", "error", {"os.id": "", "os.name": ""}, {}, {}, "unknown operating system"),
    ("root", "error", {"uid": 1000}, {}, {}, "user id 1000"),
    ("gpu_devices", "error", {}, {"vllm_gpu_devices": ["GPU-a", "GPU-z"]}, {}, "needed GPU GPU-z"),
    ("driver_cuda", "error", {"gpu.driver_version": "575.57.08"}, {}, {}, "branch 580 or later for CUDA 13.0"),
    (
        "driver_cuda", "error", {"gpu.driver_version": "570.1"},
        {"vllm_image": "mirror.example/vllm/vllm-openai:v0.32.0-cu129"}, {}, "branch 575 or later for CUDA 12.9",
    ),
    (
        "driver_cuda", "warning",
        {"gpu.driver_version": "575.1", "gpu.gpus.0.name": "NVIDIA L40S", "gpu.gpus.1.name": "NVIDIA L40S"}, {}, {},
        "VLLM_ENABLE_CUDA_COMPATIBILITY",
    ),
    (
        "folder", "error",
        {"path_problems": {"/opt/vllm/medium": {"text": "/opt is no folder but a file; it belongs to root, mode 0644.",
                                                "fix": "Move it away."}}},
        {}, {}, "found /opt is no folder but a file; it belongs to root, mode 0644, needed a folder that root can",
    ),
    (
        "environment", "error", {"ambient": {"NVIDIA_DRIVER_CAPABILITIES": "differs", "X": "unknown"}}, {}, {},
        "NVIDIA_DRIVER_CAPABILITIES, X set in the environment in which Ansible runs on this host",
    ),
    ("environment", "warning", {"ambient": {"HUGGING_FACE_HUB_TOKEN": "unknown"}}, {}, {}, "HUGGING_FACE_HUB_T"),
    ("mounts", "error", {"missing_mounts": ["/a", "/b"]}, {}, {}, "/a, /b missing"),
    ("model_path", "error", error("missing"), LOCAL, {}, "/m/config.json missing"),
    ("model_path", "error", error("invalid", "it is no JSON"), LOCAL, {}, "unreadable: it is no JSON"),
    ("model_path", "error", {"model.missing_files": list("abcde")}, LOCAL, {}, "a, b, c and 2 more, which its index"),
    (
        "model_path", "warning", {"model.missing_files": ["a"]},
        {
            **LOCAL, "vllm_tensor_parallel_size": 2, "vllm_max_model_len": 8192,
            "vllm_extra_options": {"load-format": "dummy"},
        }, {}, "/m without a, which its",
    ),
    *[
        ("hub", "error", error(kind), {}, {}, "found the hub says no, needed a model that the host may download. Do")
        for kind in ("unauthorized", "gated", "not_found", "unreachable", "invalid")
    ],
    ("hub", "error", {"model.cached": True, "model.error": {"kind": "gated", "text": "a. b."}}, {}, {}, "found a"),
    (
        "hub", "warning", {"model.cached": True, "model.error": {"kind": "unreachable", "text": "no answer. b."}}, {},
        {}, "no answer; the model is in the cache",
    ),
    ("hub", "warning", {}, {}, {"hub_skipped": "HF_HUB_OFFLINE"}, "is not in vllm_hf_cache"),
    (
        "tensor_parallel", "error", {},
        {"vllm_tensor_parallel_size": 3, "vllm_gpu_devices": ["0", "1", "GPU-a"]}, {}, "tensor parallel 3 for 40 att",
    ),
    (
        "tensor_parallel", "error", {}, {"vllm_tensor_parallel_size": 1, "vllm_pipeline_parallel_size": 2}, {},
        "pipeline parallel 2 for 1 layers",
    ),
    (
        "adapters", "error", {"adapters": {"sql": {"rank": 64, "error": None}}}, LORA, {},
        "sql has rank 64, needed adapters of rank 16 at most (max-lora-rank). Set max-lora-rank in",
    ),
    (
        "adapters", "error", {"adapters": {"sql": {"rank": None, "error": {"kind": "not_found", "text": "gone."}}}},
        LORA, {}, "sql: gone",
    ),
    (
        "adapters", "warning", {"adapters": {"sql": {"rank": None, "error": {"kind": "unreachable", "text": "no."}}}},
        LORA, {}, "sql: no",
    ),
    ("adapters", "warning", {"adapters": {"sql": {"rank": None, "error": None}}}, LORA, {}, "names no rank"),
    (
        "model_kind", "error", {"model.config.architectures": ["EagleLlamaForCausalLM"]}, {}, {},
        "EagleLlamaForCausalLM is a draft model",
    ),
    (
        "container_name", "error", {"named_container": {"name": OURS["name"], "project": "hand-made"}}, {}, {},
        "myia-vllm-medium-qwen3, the Compose project hand-made",
    ),
    (
        "container_name", "error", {"named_container": {"name": OURS["name"], "project": ""}}, {}, {},
        "nobody's Compose project",
    ),
    ("mounts", "error", {"missing_files": ["/srv/hf"]}, SECRET, {}, "every path of vllm_secret_files"),
    (
        "mounts", "error", {"missing_files": ["/srv/hf"], "missing_mounts": ["/a"]}, SECRET, {},
        "/a missing; /srv/hf missing, or no file, needed every path of vllm_extra_volumes and vllm_secret_files",
    ),
    ("mounts", "error", {"missing_files": ["/srv/k"]}, TLS, {}, "correct vllm_ssl_keyfile"),
    ("tls", "error", {"tls_problem": "KEY_VALUES_MISMATCH"}, TLS, {}, "/srv/c with /srv/k: KEY_VALUES_MISMATCH"),
    ("exposure", "warning", {}, {"vllm_publish_address": "0.0.0.0"}, {}, "vllm_allowed_sources"),
    ("networks", "error", {}, EXTERNAL, {}, "docker network create ai"),
    ("networks", "error", {"networks": {"ai": "other"}}, {"vllm_networks": ["ai"]}, {}, "external: true"),
    ("networks", "error", {"networks": {"ai": ""}}, {"vllm_networks": ["ai"]}, {}, "did not make"),
    ("networks", "error", NO_DOCKER, EXTERNAL, {}, "--tags engine"),
    ("max_model_len", "error", {}, NO_YARN, {}, "more than the model's config.json allows (32768)"),
    (
        "max_model_len", "warning", {}, NO_YARN, {"longer_allowed": True}, "set vllm_hf_overrides",
    ),
    ("capacity", "error", {}, {"vllm_kv_cache_dtype": "auto"}, {}, "it does not fit"),
    ("capacity", "warning", {}, {"vllm_max_num_seqs": 256}, {}, "it may not fit"),
    (
        "capacity", "warning", {}, {"vllm_kv_cache_dtype": "auto", "vllm_extra_options": {"cpu-offload-gb": 8}}, {},
        "not counted: cpu-offload-gb",
    ),
    ("capacity", "warning", error("missing"), {}, {}, "no capacity plan: the model's config.json cannot be read"),
    ("capacity", "warning", {"model.config": {"a": 1}}, {}, {}, "cannot be planned with"),
    (
        "gpu_memory", "error", {**FULL, "gpu.gpus.1.processes": [PYTHON]}, {}, {},
        "GPU 1: 4.0 of 24.0 GiB free, held by python3 (pid 7) 19.5 GiB",
    ),
    (
        "gpu_memory", "error", {**FULL, "gpu.gpus.1.processes": [{**PYTHON, "container": "comfy"}]}, {}, {},
        "python3 (pid 7, container comfy) 19.5 GiB",
    ),
    ("gpu_memory", "error", FULL, {}, {}, "held by nobody that can be seen"),
    (
        "gpu_memory", "error",
        {**FULL, "gpu.gpus.1.processes": [{**PYTHON, "memory_mib": 12000}, {**IN_OURS, "memory_mib": 8000}]}, {}, {},
        "GPU 1: 11.8 of 24.0 GiB free, held by python3 (pid 7) 11.7 GiB (with 7.8 GiB of this service's running",
    ),
    ("gpu_shared", "warning", {"containers": [CLAIM]}, {}, {}, "container other-llm (GPU 1)"),
    ("gpu_shared", "warning", {"containers": [{**CLAIM, "gpus": ["all"]}]}, {}, {}, "container other-llm (GPU 0, 1)"),
    ("shm", "error", {}, {"vllm_shm_size": "64m"}, {}, "64 MiB in the container's /dev/shm (vllm_shm_size), needed"),
    (
        "shm", "error", {"shm_free_mib": 64.0}, {"vllm_ipc": "host", "vllm_shm_size": ""}, {},
        "64 MiB free in the host's /dev/shm",
    ),
    (
        "port", "error", {"port.listening": True, "port.owner": {"pid": 7, "command": "nginx"}}, {}, {},
        "port 5002 in use by nginx, pid 7",
    ),
    ("port", "error", {"port.listening": True}, {}, {}, "a process that cannot be seen"),
    ("port", "error", {"port.containers": [OTHER]}, {}, {}, "container web"),
    ("port", "error", {"port.listening": True}, {"vllm_network_mode": "host"}, {}, "a process that cannot be seen"),
    ("port", "error", {"port.containers": [OURS, OTHER]}, {}, {}, "container web"),
    (
        "disk", "error", {"free_gib./var/lib/docker": 40.0, "free_gib./cache": 40.0}, {}, {},
        "40.0 GiB free on /var/lib/docker, needed 42.0 GiB (release and caches 2.0, image about 22.0, weights 18.0)",
    ),
    (
        "disk", "error", {"free_gib./cache": 41.0, "model.weights_bytes": None}, {}, {}, "size unknown, say 18.0",
    ),
    ("disk", "error", {"free_gib./opt/vllm": 1.0}, {}, {}, "1.0 GiB free on /opt/vllm, needed 2.0 GiB (release"),
    ("disk", "error", {"free_gib": {"/x": None}}, {}, {}, "0.0 GiB free on any folder"),
    ("docker", "error", {"docker.version": "19.03.15"}, {}, {}, "Docker Engine 19.03.15, needed Docker Engine 20.10"),
    ("docker", "error", {"docker.version": "24.0"}, {"vllm_gpu_access": "cdi"}, {}, "needed Docker Engine 25.0"),
    (
        "docker", "error", {**dead_engine(), "docker.dockerd_pid": 0}, {}, {},
        "a Docker Engine that does not answer (Cannot connect), needed",
    ),
    (
        "docker", "error", dead_engine(), {}, {},
        "does not answer (Cannot connect), though it runs (dockerd, pid 812), needed Docker Engine 20.10 or later. Its",
    ),
    (
        "docker", "error", {**NO_DOCKER, "docker.dockerd_pid": 812}, {}, {},
        "a Docker Engine that runs (dockerd, pid 812), without the command docker",
    ),
    (
        "docker", "error", {**NO_DOCKER, "docker.installed": True, "docker.podman": True}, {}, {},
        "Podman under the name docker (package podman-docker), needed Docker Engine 20.10 or later. Remove",
    ),
    ("compose", "error", {"docker.compose_version": "2.10.2"}, {}, {}, "Docker Compose 2.10.2, needed Docker Compose"),
    ("compose", "error", {"docker.compose_version": ""}, {}, {"docker_install": False}, "found no Docker Compose"),
    ("registry", "error", REGISTRY_DOWN, {}, {}, "registry-1.docker.io: timed out"),
    ("registry", "warning", {**REGISTRY_DOWN, "docker.proxied": True}, {}, {}, "timed out"),
    ("registry", "warning", {**REGISTRY_DOWN, "docker.registry_mirrors": ["https://m"]}, {}, {}, "timed out"),
    # nothing is pulled, so the disk needs no room for an image
    (
        "registry", "error", {"registry": {}, "free_gib./var/lib/docker": 21.0, "free_gib./cache": 21.0}, {},
        {"pull": "never"}, "image vllm/vllm-openai:v0.32.0 not on the host",
    ),
    ("clock", "warning", {"clock.skew_s": 400.0}, {}, {}, "a clock 400 seconds ahead of hub and registry"),
    ("clock", "warning", {"clock.skew_s": -4000.0}, {}, {}, "a clock 4000 seconds behind hub and registry"),
]  # fmt: skip

PASSING = [
    *[
        ("operating_system", {"os.id": name, "os.version": version}, {}, {})
        for name, version in (
            ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04"), ("rocky", "9.4"), ("almalinux", "10.0"),
            ("rhel", "9"), ("centos", "9"),
        )
    ],
    ("gpu_devices", {}, {"vllm_gpu_devices": ["GPU-b", "GPU-a"]}, {}),
    ("driver_cuda", {"gpu.driver_version": "575.57.08"}, {"vllm_version": "0.19.0"}, {}),
    (
        "driver_cuda",
        {"gpu.driver_version": "570.1", "gpu.gpus.0.name": "NVIDIA L40S", "gpu.gpus.1.name": "NVIDIA L40S"}, {},
        {"cuda_compatibility": True},
    ),
    ("model_path", {}, {**LOCAL, "vllm_tensor_parallel_size": 2, "vllm_max_model_len": 8192}, {}),
    ("hub", {"model.cached": True}, {}, {"hub_skipped": "HF_HUB_OFFLINE"}),
    ("container_name", {"named_container": OURS}, {}, {}),
    ("tls", {}, TLS, {}),
    ("networks", {"networks": {"ai": "stack"}}, EXTERNAL, {}),
    ("networks", {"networks": {"ai": "vllm-medium"}}, {"vllm_networks": ["ai", "new"]}, {}),
    ("adapters", {"adapters": {"sql": {"rank": 16, "error": None}}}, LORA, {}),
    ("max_model_len", {}, {"vllm_version": "0.11.0", "vllm_max_num_seqs": 16}, {}),
    ("max_model_len", {}, {"vllm_max_model_len": 32768, **NO_YARN}, {}),
    ("gpu_memory", {**FULL, "gpu.gpus.1.processes": [IN_OURS]}, {}, {}),
    ("gpu_memory", {**FULL, "containers": [OUR_CLAIM]}, {}, {}),
    (
        "gpu_memory",
        {**FULL, "containers": [OUR_CLAIM], "gpu.gpus.1.processes": [{**IN_OURS, "memory_mib": None}]}, {}, {},
    ),
    ("gpu_memory", {"gpu.gpus.0.memory_free_mib": None}, {}, {}),
    ("gpu_shared", {"containers": [OUR_CLAIM, {**CLAIM, "gpus": []}, {**CLAIM, "gpus": ["GPU-c", "5"]}]}, {}, {}),
    ("shm", {}, {"vllm_shm_size": "256mb"}, {}),
    ("shm", {}, {"vllm_shm_size": "268435456"}, {}),
    ("shm", {}, {"vllm_ipc": "host", "vllm_shm_size": ""}, {}),
    ("port", {"port.listening": True, "port.containers": [OURS]}, {}, {}),
    ("port", {"port.listening": True, "named_container": OURS}, {"vllm_network_mode": "host"}, {}),
    ("port", {"port.listening": True}, {"vllm_publish": False}, {}),
    ("disk", {"free_gib./var/lib/docker": 42.5, "free_gib./cache": 42.5}, {}, {}),
    (
        "disk",
        {"free_gib./var/lib/docker": 2.0, "free_gib./cache": 2.0, "image_present": True, "model.cached": True}, {}, {},
    ),
    ("disk", {"free_gib./cache": 20.5, "file_systems./cache": "3", "free_gib./var/lib/docker": 24.0}, {}, {}),
    ("docker", NO_DOCKER, {}, {}),
    ("compose", {"docker.compose_version": ""}, {}, {}),
    ("registry", {"registry": {}, "image_present": True}, {}, {}),
    ("registry", {"registry": {}, "image_present": True}, {}, {"pull": "never"}),
    ("clock", {"clock.skew_s": -299.0}, {}, {}),
    ("clock", {"clock.skew_s": None}, {}, {}),
]  # fmt: skip


def judge(host: dict, definition: dict, around: dict | None = None, min_free: float | None = None) -> list[dict]:
    """All findings."""
    return preflight_checks.check(definition, host, min_free, around)["findings"]


def failed(findings: list[dict]) -> list[dict]:
    """The findings that are not ok."""
    return [item for item in findings if not item["ok"]]


def test_good_host(host_with, medium) -> None:
    """Nothing is wrong, nothing is to be mended; the checks come in their documented order."""
    result = preflight_checks.check(medium({}), host_with({}), None)
    assert failed(result["findings"]) == []
    assert [item["id"] for item in result["findings"]] == [
        name
        for name in preflight_checks.IDS
        if name not in ("model_path", "adapters", "networks", "tls", "controller_files")
    ]
    assert all(item["fix"] == "" for item in result["findings"])
    assert (result["capacity"]["fits"], result["no_capacity"]) == ("yes", "")
    assert preflight_checks.warnings(result["findings"], []) == []


def test_port_of_a_container_that_docker_does_not_tell(host_with, medium) -> None:
    """docker-proxy is Docker's; that Docker does not answer is the fault, and the port is not blamed."""
    held = {"port.listening": True, "port.owner": {"command": "docker-proxy", "pid": 9}}
    for silent in (dead_engine(), {**NO_DOCKER, "docker.dockerd_pid": 812}):
        bad = failed(judge(host_with({**held, **silent}), medium({})))
        assert {item["id"]: item["severity"] for item in bad} == {"port": "warning", "docker": "error"}
        assert "held by Docker for a container, of which it does not tell" in bad[0]["found"]
    bad = failed(judge(host_with(held), medium({})))
    assert {item["id"]: item["severity"] for item in bad} == {"port": "error"}


def test_folder_is_not_judged_without_root(host_with, medium) -> None:
    """Without the rights nothing can be written, which the check root says."""
    problem = {"/opt/vllm/medium": {"text": "no.", "fix": "x"}}
    bad = failed(judge(host_with({"uid": 1000, "path_problems": problem}), medium({})))
    assert [item["id"] for item in bad] == ["root"]


def test_cpu_asks_for_no_gpu(host_with, medium) -> None:
    """Without GPUs to use, neither they nor a plan are looked for; the model is."""
    host = host_with({"registry": {}, "image_present": True})
    del host["gpu"], host["driver"]
    result = preflight_checks.check(medium({**CPU, "vllm_max_model_len": 32768}), host, None)
    assert failed(result["findings"]) == []
    assert [item["id"] for item in result["findings"]] == [
        "operating_system", "root", "folder", "environment", "mounts", "model_path", "model_kind", "tensor_parallel",
        "max_model_len", "shm", "port", "exposure", "container_name", "disk", "docker", "compose", "registry", "clock",
    ]  # fmt: skip
    assert result["capacity"] is None
    assert "vllm_accelerator is cpu" in result["no_capacity"]


@pytest.mark.parametrize(
    ("identity", "severity", "host", "variables", "around", "words"),
    [pytest.param(*case, id="%s-%d" % (case[0], number)) for number, case in enumerate(FAILING)],
)
def test_fails(identity, severity, host, variables, around, words, host_with, medium) -> None:
    """Exactly this check fails; the report names what was found, what is needed and the fix."""
    changes = dict(host)
    if identity == "tensor_parallel" and variables.get("vllm_pipeline_parallel_size"):
        changes["model.config"] = {**host_with({})["model"]["config"], "num_hidden_layers": 1}
    findings = judge(host_with(changes), medium(variables), around)
    bad = failed(findings)
    assert [item["id"] for item in bad] == [identity]
    assert bad[0]["severity"] == severity
    assert bad[0]["fix"]
    refused = preflight_checks.refused(findings, [])
    text = preflight_checks.report(findings, [])
    if severity == "error":
        assert refused == bad
        assert text.startswith("1 preflight check failed; nothing was changed.\n- %s: found " % identity)
        assert preflight_checks.warnings(findings, []) == []
        assert "failed and was skipped" in preflight_checks.warnings(findings, [identity])[0]
    else:
        assert refused == []
        text = preflight_checks.warnings(findings, [])[0]
    assert words in text
    assert bad[0]["fix"] in text


@pytest.mark.parametrize(
    ("identity", "host", "variables", "around"),
    [pytest.param(*case, id="%s-%d" % (case[0], number)) for number, case in enumerate(PASSING)],
)
def test_passes(identity, host, variables, around, host_with, medium) -> None:
    """The check is made, and nothing fails."""
    findings = judge(host_with(host), medium(variables), around)
    assert failed(findings) == []
    assert identity in [item["id"] for item in findings]


def test_every_check_fails_and_passes_once() -> None:
    """The tables above leave out only the driver's checks, which test_nvidia_driver.py has."""
    driver = {"driver_missing", "secure_boot", "driver_module_missing", "driver_library_mismatch", "nvidia_smi",
              "gpu_lost", "device_nodes_missing", "controller_files"}  # fmt: skip
    assert {case[0] for case in FAILING} | driver == set(preflight_checks.IDS)


def test_driver_faults_hide_the_rest(host_with, medium) -> None:
    """A driver that does not answer is one finding; what needs GPUs is not said besides, what does not is."""
    hang = {"id": "hang", "text": "gave no answer", "fix": "Reboot."}
    host = host_with({"gpu.gpus": [], "gpu.error": hang, "gpu.driver_version": None, "uid": 1000})
    findings = judge(host, medium(NO_YARN))
    assert [item["id"] for item in failed(findings)] == ["root", "nvidia_smi", "max_model_len"]
    assert {item["id"] for item in findings} & {"capacity", "gpu_memory", "gpu_shared", "driver_cuda"} == set()
    assert {item["id"] for item in findings} >= set(nvidia_id(host, medium))


def nvidia_id(host, medium) -> list[str]:
    """The ids of the driver's findings."""
    facts = {**host["driver"], "smi": host["gpu"]}
    return [item["id"] for item in nvidia_driver.check(facts, medium({})["gpu_devices"])]


def test_mig_device(host_with, medium) -> None:
    """The memory that counts is the MIG device's."""
    mig = {"index": 0, "uuid": "MIG-a", "name": None, "gpu_instance_id": 7, "compute_instance_id": 0,
           "memory_total_mib": 9856, "memory_used_mib": 0, "memory_free_mib": 9800}  # fmt: skip
    host = host_with({"gpu.gpus.0.mig_devices": [mig], "gpu.gpus.0.mig_mode": "Enabled"})
    variables = {"vllm_gpu_devices": ["MIG-a"], "vllm_tensor_parallel_size": 1}
    result = preflight_checks.check(medium(variables), host, None)
    assert [item["id"] for item in failed(result["findings"])] == ["capacity"]
    assert "9856 MiB" in result["capacity"]["explanation"][0]


@pytest.mark.parametrize(
    ("own", "free", "least", "ok"),
    [
        pytest.param([], 39.0, 40.0, False, id="first-too-little"),
        pytest.param([], 40.0, 40.0, True, id="first-exactly"),
        pytest.param(["a"], 1.5, 40.0, False, id="again-too-little"),
        pytest.param(["a"], 2.0, 40.0, True, id="again"),
        pytest.param(["a"], 1.0, 0.5, True, id="again-less-asked-for"),
    ],
)
def test_disk_by_the_operator(own, free, least, ok, host_with, medium) -> None:
    """vllm_preflight_min_free_gib takes the place of what is worked out."""
    host = host_with({"own_containers": own, "free_gib": {"/x": free, "/y": None}, "file_systems": {"/x": "1"}})
    assert [item["ok"] for item in judge(host, medium({}), min_free=least) if item["id"] == "disk"] == [ok]


@pytest.mark.parametrize(
    ("system", "version"),
    [("ubuntu", "22.10"), ("ubuntu", "24.041"), ("rocky", "8.10"), ("debian", "120"), ("rocky", "90")],
)
def test_near_misses_of_versions(system, version, host_with, medium) -> None:
    """A version that merely begins like a supported one is none."""
    findings = judge(host_with({"os.id": system, "os.version": version}), medium({}))
    assert [item["id"] for item in failed(findings)] == ["operating_system"]


def test_scaling_that_is_not_read(host_with, medium) -> None:
    """A model whose own scaling this release ignores would answer nonsense: refused."""
    config = {**host_with({})["model"]["config"], "max_position_embeddings": 131072}
    config["rope_parameters"] = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    definition = medium({"vllm_version": "0.11.0", "vllm_unset": ["vllm_hf_overrides"], "vllm_max_num_seqs": 16})
    bad = failed(judge(host_with({"model.config": config}), definition))
    assert [item["id"] for item in bad] == ["max_model_len"]
    assert "Name it rope_scaling in vllm_hf_overrides" in bad[0]["fix"]


def test_one_report_worst_first(host_with, medium) -> None:
    """Errors before warnings, whatever their place; the arithmetic under its line; skipped ones at the end."""
    host = host_with({"containers": [CLAIM], "uid": 1000, "free_gib": {"/x": 1.0}, **error("unreachable")})
    host["model"].update(config=host_with({})["model"]["config"], cached=True)
    findings = judge(host, medium({"vllm_kv_cache_dtype": "auto"}))
    lines = preflight_checks.report(findings, ["root"]).splitlines()
    assert lines[0] == "2 preflight checks failed; nothing was changed."
    heads = [line.split(":")[0] for line in lines if line.startswith("- ") or line.startswith("Not")]
    assert heads == [
        "- capacity", "- disk", "Not refused for, but worth a look", "- (skipped) root", "- hub", "- gpu_shared",
    ]  # fmt: skip
    assert lines[2].startswith("    GPU memory: nvidia-smi reports 24564 MiB")
    assert "    Verdict: no" in lines
    assert "vllm_kv_cache_dtype: fp8" in lines[1]


def test_documented_report(root, host_with, medium) -> None:
    """docs/preflight.md shows a report as it is."""
    holder = {**PYTHON, "pid": 4242, "container": "comfyui"}
    claim = {**CLAIM, "name": "comfyui"}
    host = host_with({**FULL, "gpu.gpus.1.processes": [holder], "containers": [claim]})
    text = preflight_checks.report(judge(host, medium({"vllm_kv_cache_dtype": "auto"})), [])
    assert "```\n%s\n```" % text in (root / "docs" / "preflight.md").read_text(encoding="utf-8")


def test_warning_with_the_arithmetic(host_with, medium) -> None:
    """What is uncertain goes on, and says why."""
    text = preflight_checks.warnings(judge(host_with({}), medium({"vllm_max_num_seqs": 256})), [])[0]
    assert text.startswith("preflight check capacity warns: found it may not fit")
    assert "vllm_max_num_seqs: 64" in text
    assert " | Verdict: uncertain" in text


@pytest.mark.parametrize("down", [{**error("unreachable"), "model.cached": True}, REGISTRY_DOWN])
def test_clock_that_blocks(down, host_with, medium) -> None:
    """Where the net does not answer, a wrong clock may be why: an error then."""
    findings = judge(host_with({**down, "clock.skew_s": 1e6}), medium({}))
    assert [item["severity"] for item in failed(findings) if item["id"] == "clock"] == ["error"]


@pytest.mark.parametrize(
    ("tp", "heads", "kv_heads", "fits"),
    [(2, 40, 8, True), (8, 40, 8, True), (3, 40, 8, False), (16, 64, 8, True), (12, 24, 8, False), (3, 40, 3, False)],
)
def test_heads(tp, heads, kv_heads, fits) -> None:
    """Heads evenly; KV heads evenly, or each on the same number of GPUs."""
    assert preflight_model.fits_heads(tp, heads, kv_heads) is fits


def test_unknown_ids() -> None:
    """A misspelt id is named with the nearest known one."""
    assert preflight_checks.unknown_ids(["port", "gpu_memmory", "xyzzy"]) == [
        ("gpu_memmory", "gpu_memory"),
        ("xyzzy", ""),
    ]


def test_every_check_is_documented(root) -> None:
    """The README of vllm_preflight says what each looks for."""
    text = (root / "roles" / "vllm_preflight" / "README.md").read_text(encoding="utf-8")
    assert [name for name in preflight_checks.IDS if "`%s`" % name not in text] == []


@pytest.mark.parametrize("length", [None, "auto"])
def test_length_that_vllm_chooses(length, host_with, medium) -> None:
    """Its own default, and the longest that fits: nothing is refused for a length that nobody has asked for."""
    changes = {
        "vllm_unset": ["vllm_max_model_len", "vllm_hf_overrides", "vllm_max_num_seqs", "vllm_gpu_memory_utilization"]
    }
    if length:
        changes = {"vllm_max_model_len": length, "vllm_unset": ["vllm_hf_overrides"], "vllm_kv_cache_dtype": "auto"}
    result = preflight_checks.check(medium(changes), host_with({}), None)
    assert [item["id"] for item in result["findings"] if not item["ok"]] == []
    assert result["capacity"]["fits"] == "yes"
    assert result["capacity"]["settings"]["max_model_len"] == 32768


@pytest.mark.parametrize(
    ("variables", "settings", "missing", "present"),
    [
        pytest.param({}, {}, "that draft", "Overhead, cuda graphs", id="plain"),
        pytest.param(
            {
                "vllm_extra_options": {
                    "speculative-config": {
                        "model": "org/drafts-EAGLE3",
                        "method": "eagle3",
                        "num_speculative_tokens": 3,
                    }
                }
            },
            {},
            "FlashInfer",
            "64 full + 1 that draft",
            id="speculation",
        ),
        pytest.param(
            {"vllm_max_num_seqs": 512, "vllm_extra_options": {"runner": "pooling"}},
            {},
            "sampler",
            "Overhead, forward",
            id="pooling",
        ),
        pytest.param(
            {},
            {"environment": {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "0"}},
            "Overhead, cuda graphs",
            "Overhead, forward",
            id="environment",
        ),
    ],
)
def test_plan_knows_the_service(variables, settings, missing, present, host_with, medium) -> None:
    """The plan is made with the kind of service, what its options say about memory and the container's variables."""
    result = preflight_checks.check(medium(variables), host_with({}), None, settings)
    text = "\n".join(result["capacity"]["explanation"])
    assert missing not in text
    assert present in text


def test_speculation_is_counted(host_with, medium) -> None:
    """A draft is no reason to let pass what does not fit: the plan counts it."""
    changes = {
        "vllm_kv_cache_dtype": "auto",
        "vllm_extra_options": {"speculative-config": '{"method": "ngram", "num_speculative_tokens": 3}'},
    }
    found = [item for item in judge(host_with({}), medium(changes)) if item["id"] == "capacity"]
    assert [(item["ok"], item["severity"]) for item in found] == [(False, "error")]
