# SPDX-License-Identifier: GPL-3.0-or-later
"""What adopt_medium.yml makes of containers and files: each kind of what people write, in a small form."""

from __future__ import annotations

import copy
import pathlib

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import answer, inventory

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent.parent.parent
SPECS = yaml.safe_load((ROOT / "roles/vllm/meta/argument_specs.yml").read_text(encoding="utf-8"))
OPTIONS = SPECS["argument_specs"]["main"]["options"]
DIGEST = "vllm/vllm-openai@sha256:" + "a" * 64
TOKEN, KEY = "hf_exampleexampleexample", "sk-example-0123456789abcdef"


def host(
    argv=(), *, env=(), image="vllm/vllm-openai:v0.20.0", version="0.20.0", files=None, process=None, gpus=2, **more
):
    """Return a host with one container; ``more`` is put into its parts (``HostConfig``, ``Config``, ``Mounts`` ...)."""
    config = {
        "Image": image,
        "Entrypoint": ["vllm", "serve"],
        "Cmd": list(argv),
        "Env": ["PATH=/usr/bin", *env],
        "Labels": {},
        **more.get("Config", {}),
    }
    settings = {
        "NetworkMode": "bridge",
        "IpcMode": "private",
        "ShmSize": 17179869184,
        "Runtime": "nvidia",
        "RestartPolicy": {"Name": "unless-stopped"},
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]},
        "LogConfig": {"Type": "json-file", "Config": {}},
        **more.get("HostConfig", {}),
    }
    container = {
        "Id": "c" * 64,
        "Name": "/llm",
        "Image": "sha256:1",
        "State": {"Status": more.get("status", "running")},
        "Config": config,
        "HostConfig": settings,
        "Mounts": more.get("Mounts", []),
        "NetworkSettings": {"Networks": more.get("Networks", {"bridge": {"Aliases": None}})},
    }
    image_facts = {
        "Id": "sha256:1",
        "RepoDigests": [DIGEST],
        "Config": {
            "Env": ["PATH=/usr/bin", "NVIDIA_VISIBLE_DEVICES=all"],
            "Labels": {},
            "Entrypoint": ["vllm", "serve"],
        },
        **more.get("image_facts", {}),
    }
    return {
        "host": {
            "home": "/home/ops", "directory": "/srv/llm", "started_by": more.get("started_by", ""),
            "gpus": [{"index": number, "uuid": "GPU-%d" % number} for number in range(gpus)],
        },
        "containers": {"llm": container},
        "images": {image: image_facts},
        "processes": {"llm": process} if process else {},
        "http": {"llm": {"/version": {"version": version}, "/v1/models": {"data": [{"id": "x"}]}}} if version else {},
        "files": files or {},
        "neighbours": more.get("neighbours", {}),
        "units": more.get("units", {}),
    }  # fmt: skip


def one(found: dict) -> dict:
    """Return the only service of an answer, with the whole answer behind it."""
    result = answer.find(found, OPTIONS)
    assert len(result["services"]) == 1
    return {**result["services"][0], "kinds": [item["kind"] for item in result["warnings"]], "adopt": result["adopt"]}


def compose(text: str, service: str = "llm", **more) -> dict:
    """Return more facts for ``host``: the labels and the file of a Compose project."""
    labels = {
        "com.docker.compose.project": "stack",
        "com.docker.compose.service": service,
        "com.docker.compose.project.working_dir": "/srv/llm",
        "com.docker.compose.project.config_files": "/srv/llm/compose.yml",
    }
    return {"Config": {"Labels": labels}, "files": {"/srv/llm/compose.yml": text, **more}}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["Qwen/Qwen3-8B"], {"vllm_model": "Qwen/Qwen3-8B"}),
        (["--model=Qwen/Qwen3-8B", "--max_model_len", "8k"], {"vllm_max_model_len": 8000}),
        (["--model", "Qwen/Qwen3-8B", "-tp", "2"], {"vllm_tensor_parallel_size": 2, "vllm_gpu_devices": ["0", "1"]}),
        (["Qwen/Qwen3-8B", "-q", "fp8"], {"vllm_quantization": "fp8"}),
        (["Qwen/Qwen3-8B", "--served-model-name", "a", "b"], {"vllm_served_model_name": ["a", "b"]}),
        (["Qwen/Qwen3-8B", "--no-enable-prefix-caching"], {"vllm_extra_options": {"enable-prefix-caching": False}}),
        (
            ["Qwen/Qwen3-8B", "--speculative-config", '{"method": "ngram", "num_speculative_tokens": 2}'],
            {"vllm_extra_options": {"speculative-config": {"method": "ngram", "num_speculative_tokens": 2}}},
        ),
        (
            ["Qwen/Qwen3-8B", "--speculative-config.method", "ngram", "--seed", "-1"],
            {"vllm_extra_options": {"speculative-config.method": "ngram", "seed": -1}},
        ),
        (["Qwen/Qwen3-8B", "--dtype", "auto", "--enforce-eager"], {"vllm_enforce_eager": True}),
    ],
)
def test_arguments(argv, expected) -> None:
    """Positional and --model, = and blanks, short names, lists, switches, JSON; what is vLLM's own is left out."""
    service = one(host(argv))
    assert {name: service["variables"].get(name) for name in expected} == expected
    assert "vllm_dtype" not in service["variables"]
    assert service["adopt"]["without_restart"], service["why_not"]


@pytest.mark.parametrize(
    ("entrypoint", "command", "env"),
    [
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], ["--model", "Qwen/Qwen3-8B", "--seed", "3"], ()),
        (["python3"], ["-m", "vllm.entrypoints.openai.api_server", "--model", "Qwen/Qwen3-8B", "--seed", "3"], ()),
        (["/bin/bash", "-c"], ["exec vllm serve Qwen/Qwen3-8B \\\n  --seed 3"], ()),
        (["/bin/sh", "-c"], ["echo hello && vllm serve $MODEL --seed ${SEED:-3}"], ("MODEL=Qwen/Qwen3-8B",)),
        ([], ["vllm", "serve", "Qwen/Qwen3-8B", "--seed", "3"], ()),
    ],
)
def test_entrypoints(entrypoint, command, env) -> None:
    """However it is started, the options are the same."""
    service = one(host(env=env, Config={"Entrypoint": entrypoint, "Cmd": command}))
    assert service["variables"]["vllm_model"] == "Qwen/Qwen3-8B"
    assert service["variables"]["vllm_extra_options"] == {"seed": 3}
    assert "vllm_extra_env" not in service["variables"]


def test_a_shell_that_only_the_process_explains() -> None:
    """Branches are not guessed: the process tells, and without it the service is not taken over."""
    script = {"Entrypoint": ["/bin/bash", "-c"], "Cmd": ["if true; then X=1; fi; exec vllm serve $M $X"]}
    told = one(host(Config=script, process=["python3", "/usr/bin/vllm", "serve", "Qwen/Qwen3-8B", "--seed", "1"]))
    assert told["variables"]["vllm_extra_options"] == {"seed": 1}
    assert told["adopt"]["without_restart"]
    untold = one(host(Config=script))
    assert not untold["adopt"]["without_restart"]
    assert "a script puts together" in " ".join(untold["why_not"])


@pytest.mark.parametrize(
    ("settings", "env", "devices", "access"),
    [
        ({"Runtime": "runc", "DeviceRequests": [{"Driver": "nvidia", "Count": 1}]}, (), ["0"], "deploy"),
        ({"Runtime": "runc", "DeviceRequests": [{"Count": 0, "DeviceIDs": ["1"]}]}, (), ["1"], "deploy"),
        ({"Runtime": "runc", "DeviceRequests": [{"Count": 0, "DeviceIDs": ["GPU-1"]}]}, (), ["1"], "deploy"),
        ({"Runtime": "runc", "DeviceRequests": [{"Count": -1}]}, ("CUDA_VISIBLE_DEVICES=1",), ["1"], "deploy"),
        (
            {"Runtime": "runc", "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]},
            (), ["0"], "cdi",
        ),
        ({}, ("NVIDIA_VISIBLE_DEVICES=1",), ["1"], None),
        ({}, ("NVIDIA_VISIBLE_DEVICES=all",), ["0"], None),
    ],
)  # fmt: skip
def test_gpus(settings, env, devices, access) -> None:
    """By count, by id, by UUID, by CDI, by the runtime, and what CUDA leaves of them."""
    service = one(host(["Qwen/Qwen3-8B"], env=env, HostConfig=settings))
    assert service["variables"]["vllm_gpu_devices"] == devices
    assert service["variables"].get("vllm_gpu_access") == access


def test_secrets_are_in_the_vault_only() -> None:
    """Token, key, and whatever else looks like one; values stand nowhere else."""
    env = ("HF_TOKEN=" + TOKEN, "AWS_SECRET_ACCESS_KEY=aws-secret", "HTTPS_PROXY=http://me:pw1234@proxy:1", "A_PATH=/x")
    service = one(host(["Qwen/Qwen3-8B", "--api-key", KEY], env=env))
    assert service["secrets"]["vllm_hf_token"] == TOKEN
    assert service["secrets"]["vllm_api_key"] == KEY
    assert "aws-secret" in service["secrets"].values()
    told = {name: value for name, value in service.items() if name != "secrets"}
    for secret in (TOKEN, KEY, "aws-secret", "pw1234"):
        assert secret not in str(told)
    assert "key-in-process-list" in service["kinds"]
    written = inventory.text([service], "gpu-1", [])
    assert "aws-secret" not in written and "{{ adopted_llm_aws_secret_access_key }}" in written


def test_templates_in_values_stay_texts() -> None:
    """A chat template with braces must not become a template of Ansible."""
    service = one(host(["Qwen/Qwen3-8B", "--chat-template", "{% for m in messages %}{{ m }}{% endfor %}"]))
    assert "!unsafe" in inventory.text([service], "gpu-1", [])


@pytest.mark.parametrize(
    ("bindings", "expected", "noticed"),
    [
        ({"8000/tcp": [{"HostIp": "", "HostPort": "9100"}]}, ("0.0.0.0", 9100, 8000), False),
        (
            {"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}, {"HostIp": "::", "HostPort": "80"}]},
            ("0.0.0.0", 80, 8000), False,
        ),
        (
            {"8000/tcp": [{"HostIp": "192.0.2.1", "HostPort": "1"}, {"HostIp": "127.0.0.1", "HostPort": "1"}]},
            ("192.0.2.1", 1, 8000), True,
        ),
        ({}, (None, 8000, None), False),
    ],
)  # fmt: skip
def test_ports(bindings, expected, noticed) -> None:
    """Another port outside, all addresses, two addresses (which clients would miss), none."""
    service = one(host(["Qwen/Qwen3-8B"], HostConfig={"PortBindings": bindings}))
    names = ("vllm_publish_address", "vllm_port", "vllm_container_port")
    assert tuple(service["variables"].get(name) for name in names) == expected
    assert service["adopt"]["without_restart"] is not noticed
    assert service["variables"].get("vllm_publish") is (False if not bindings else None)


def test_mounts() -> None:
    """Caches, a model elsewhere, a token's file, others; a path that another option names stays there."""
    mounts = [
        {"Type": "volume", "Name": "hub", "Source": "/volumes/hub", "Destination": "/root/.cache/huggingface"},
        {"Type": "bind", "Source": "/data/models", "Destination": "/models"},
        {"Type": "bind", "Source": "/srv/llm/t.txt", "Destination": "/run/secrets/hf", "RW": False},
        {"Type": "bind", "Source": "/data/log", "Destination": "/log"},
    ]  # fmt: skip
    argv = ["/models/a/", "--chat-template", "/models/t.jinja"]
    service = one(host(argv, Mounts=mounts, files={"/srv/llm/t.txt": TOKEN + "\n"}))
    said = service["variables"]
    assert (said["vllm_model"], said["vllm_model_container_path"]) == ("/data/models/a", "/models/a")
    assert said["vllm_served_model_name"] == "/models/a/"
    assert said["vllm_hf_cache"] == "hub"
    assert said["vllm_extra_volumes"] == ["/data/log:/log", "/data/models/t.jinja:/models/t.jinja:ro"]
    assert service["secrets"] == {"vllm_hf_token": TOKEN}


COMPOSE = """
x-base: &base {image: "vllm/vllm-openai:${TAG:-v0.20.0}", restart: unless-stopped}
services:
  llm:
    <<: *base
    container_name: llm
    command: "--model ${MODEL:?missing} --seed ${SEED-3}"
    env_file: [a.env, {path: b.env, required: false}]
    environment: ["A=${A:-x}"]
    ports: ["127.0.0.1:8000:8000"]
    shm_size: 16gb
    runtime: nvidia
  web: {image: nginx, command: "%s"}
  later: {<<: *base, profiles: [later], command: --model x/y}
"""


def test_compose_file() -> None:
    """Anchors, variables with defaults, files of variables and profiles are read as Compose does: nothing differs."""
    facts = compose(
        COMPOSE % "", **{"/srv/llm/.env": "MODEL='Qwen/Qwen3-8B'\n", "/srv/llm/a.env": 'B=1 # no\nexport C="2"\n'}
    )
    found = host(["--model", "Qwen/Qwen3-8B", "--seed", "3"], env=("A=x", "B=1", "C=2"), **facts)
    service = one(found)
    assert "drift" not in service["kinds"], answer.find(found, OPTIONS)["warnings"]
    assert service["kinds"].count("not-running") == 1
    assert answer.find(found, OPTIONS)["left_alone"] == ["web"]
    # vLLM's image alone makes no service: somebody keeps it open to look around
    data = copy.deepcopy(found["containers"]["llm"])
    data["Name"] = "/looking"
    data["Config"].update(Entrypoint=["sleep"], Cmd=["600"])
    data["Config"]["Labels"] = {"com.docker.compose.service": "looking"}
    found["containers"]["looking"] = data
    assert [item["name"] for item in answer.find(found, OPTIONS)["services"]] == ["llm"]
    idle = COMPOSE % "" + "  looking: {image: 'vllm/vllm-openai:v0.21.0', entrypoint: [sleep, '600']}\n"
    found["files"]["/srv/llm/compose.yml"] = idle
    assert answer.find(found, OPTIONS)["left_alone"] == ["web", "looking"]
    found["containers"]["llm"]["Config"]["Cmd"][-1] = "4"
    assert "drift" in one(found)["kinds"]


@pytest.mark.parametrize("url", ["http://llm:8000/v1", "llm-x", "http://elsewhere/v1"])
def test_a_neighbour_by_name(url) -> None:
    """Who asks the service by its name keeps it from being taken over until somebody has looked."""
    facts = compose(COMPOSE % url, **{"/srv/llm/.env": "MODEL=Qwen/Qwen3-8B\n"})
    result = one(
        host(["--model", "Qwen/Qwen3-8B", "--seed", "3"], Networks={"stack_default": {"Aliases": ["llm"]}}, **facts)
    )
    assert result["adopt"]["without_restart"] is (not url.startswith("http://llm"))
    assert [reason for reason, _text in result["noticed"]] == (["neighbours"] if url.startswith("http://llm") else [])
    assert result["variables"]["vllm_networks"] == [{"name": "stack_default", "external": True}]


def test_a_file_that_cannot_be_read_is_named() -> None:
    """Silence would look as if the file agreed with what runs."""
    service = one(host(["Qwen/Qwen3-8B"], **compose("services: {llm: {command: ${A}}}")))
    assert "/srv/llm/compose.yml is no YAML" in service["notes"]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"image": "vllm/vllm-openai:nightly"}, "latest-tag"),
        ({"image": "vllm/vllm-openai"}, "latest-tag"),
        ({"version": "0.10.1"}, "version-too-old"),
        ({"image_facts": {"RepoDigests": []}}, "local-image"),
        ({"HostConfig": {"RestartPolicy": {"Name": "no"}}}, "no-restart-policy"),
        ({"status": "exited"}, "not-running"),
        ({"status": "restarting"}, "not-running"),
        ({"env": ("VLLM_SERVER_DEV_MODE=1",)}, "dev-mode"),
        ({"env": ("MAX_MODEL_LEN=1",)}, "without-effect"),
        ({"env": ("VLLM_API_KEY=changeme",)}, "weak-key"),
        ({"argv": ["meta-llama/Llama-3.1-8B-Instruct"]}, "gated-without-token"),
        ({"argv": ["Qwen/Qwen3-8B", "serve"]}, "stray-argument"),
        ({"argv": ["Qwen/Qwen3-8B", "--seed", "1", "--seed", "2"]}, "option-twice"),
        ({"argv": ["Qwen/Qwen3-8B", "--swap-space", "4"]}, "option-gone"),
        ({"argv": ["Qwen/Qwen3-8B", "--swap-space", "4"], "version": "0.11.0"}, "option-deprecated"),
        ({"argv": ["Qwen/Qwen3-8B", "--quantization", "awq"]}, "slow-quantization"),
        ({"argv": ["Qwen/Qwen3-8B", "--served-model-name", "gpt-4o"]}, "misleading-name"),
        ({"argv": ["Qwen/Qwen3-8B", "--trust-remote-code"]}, "trust-remote-code"),
        ({"HostConfig": {"IpcMode": "host"}}, "without-effect"),
        ({"HostConfig": {"PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "1"}]}}}, "open-without-key"),
        ({"units": {"llm.service": "ExecStart=/usr/bin/docker run --name llm x"}}, "other-supervisor"),
        ({"Config": {"User": "2000:2000"}}, "user"),
        (
            {"files": {"/srv/llm/run.sh": "docker run -it --name llm vllm/vllm-openai:v0.20.0 Qwen/Qwen3-8B"}},
            "dies-with-terminal",
        ),
        ({"env": ("HF_TOKEN=" + TOKEN,), "files": {"/srv/llm/run.sh": "docker run -d " + TOKEN}}, "token-in-clear"),
        ({"env": ("VLLM_API_KEY=" + KEY,), "files": {"/srv/llm/run.sh": "docker run -d -e K=" + KEY}}, "key-in-clear"),
    ],
)  # fmt: skip
def test_warnings(more, kind) -> None:
    """Each kind is found; a service without any of them has none."""
    more = dict(more)
    assert kind in one(host(more.pop("argv", ["Qwen/Qwen3-8B"]), **more))["kinds"]
    assert one(host(["Qwen/Qwen3-8B"]))["kinds"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"status": "exited"},
        {"version": ""},
        {"version": "0.8.5"},
        {"argv": ["Qwen/Qwen3-8B", "--swap-space", "4"]},
        {"argv": ["/models/inside"]},
        {"argv": ["Qwen/Qwen3-8B", "--api-key", "one-key-0123456789", "another-key-0123456789"]},
        {"argv": ["Qwen/Qwen3-8B", "--host", "127.0.0.1"]},
        {"HostConfig": {"Runtime": "runc"}},
        {"HostConfig": {"NetworkMode": "container:abc"}},
        {"Config": {"User": "2000"}},
    ],
)
def test_not_without_a_restart(more) -> None:
    """What clients would notice, or nobody can know, is never called harmless."""
    more = dict(more)
    result = one(host(more.pop("argv", ["Qwen/Qwen3-8B"]), **more))
    assert result["adopt"]["without_restart"] is False
    assert result["why_not"]


def test_a_moved_tag() -> None:
    """The container's image counts, not what its tag means by now."""
    found = host(["Qwen/Qwen3-8B"], image="vllm/vllm-openai:latest")
    found["images"]["sha256:1"] = dict(found["images"]["vllm/vllm-openai:latest"])
    found["images"]["vllm/vllm-openai:latest"] = {
        "Id": "sha256:2",
        "RepoDigests": ["vllm/vllm-openai@sha256:" + "b" * 64],
    }
    service = one(found)
    assert service["variables"]["vllm_image"] == DIGEST
    assert "drift" in service["kinds"]


def test_several_services_in_one_inventory() -> None:
    """Each has a name of its own, and its secrets too."""
    first, second = one(host(["a/b"], env=("HF_TOKEN=" + TOKEN,))), one(host(["c/d"], env=("VLLM_API_KEY=" + KEY,)))
    second["name"] = "other-one"
    content = yaml.safe_load(inventory.text([first, second], "gpu-1", []))
    assert [entry["vllm_name"] for entry in content["vllm_services"]] == ["llm", "other-one"]
    assert content["vllm_services"][1]["vllm_api_key"] == "{{ adopted_other_one_api_key }}"
    assert inventory.secrets([first, second]) == {"adopted_llm_hf_token": TOKEN, "adopted_other_one_api_key": KEY}


@pytest.mark.parametrize(
    "text",
    [
        "services: [a]", "services: {llm: text}", "services: {llm: {environment: text, ports: 80, networks: text}}",
        "volumes: {v: text}\nservices: {llm: {volumes: ['v:/x']}}", "networks: [a]\nservices: {llm: {networks: [a]}}",
        "services: {llm: {deploy: text, healthcheck: text, logging: text, cpus: many}}",
        "services: {llm: {deploy: {resources: {reservations: {devices: [text]}, limits: text}}}}",
        "services: {llm: &a {labels: *a}}",
    ],
)  # fmt: skip
def test_files_that_compose_would_refuse(text) -> None:
    """Somebody is at work on them, or wrote them for something else: what runs counts, and why they do not is noted."""
    service = one(host(["Qwen/Qwen3-8B"], **compose(text)))
    assert service["variables"]["vllm_model"] == "Qwen/Qwen3-8B"


def test_a_form_that_compose_does_not_take_is_noted() -> None:
    """With the file and the key."""
    service = one(host(["Qwen/Qwen3-8B"], **compose("services: {llm: {ports: 80}}")))
    assert "/srv/llm/compose.yml: ports has a form that Compose does not take, and was not read" in service["notes"]


@pytest.mark.parametrize("text", ["- a", "a: [", "text", ""])
def test_a_file_of_options_that_holds_none(text) -> None:
    """The other options are read all the same."""
    mount = {"Type": "bind", "Source": "/srv/c.yml", "Destination": "/c.yml", "RW": False}
    argv = ["Qwen/Qwen3-8B", "--config", "/c.yml", "--seed", "7"]
    service = one(host(argv, Mounts=[mount], files={"/srv/c.yml": text}))
    assert service["variables"]["vllm_extra_options"]["seed"] == 7


def test_a_build_of_ones_own() -> None:
    """It calls itself what is no release; that is refused, and the container is left alone."""
    service = one(host(["Qwen/Qwen3-8B"], version="dev"))
    assert any("vllm_version" in text for text in service["why_not"])
