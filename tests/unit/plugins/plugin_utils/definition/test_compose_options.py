# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the container beside vLLM's options: what is refused, and what is told."""

from __future__ import annotations

import pytest

NETWORK = [{"name": "ai", "external": True, "aliases": ["vllm"]}]

BAD = [
    ({"vllm_user": "a b"}, "vllm_user", "2000:2000"),
    ({"vllm_memory_limit": "lots"}, "vllm_memory_limit", "64g"),
    ({"vllm_memory_limit": "64"}, "vllm_memory_limit", "is 64 bytes to Docker"),
    ({"vllm_memory_limit": 64}, "vllm_memory_limit", "Give a unit, for example 64g"),
    ({"vllm_memory_limit": "1023m"}, "vllm_memory_limit", "less than 1 GiB"),
    ({"vllm_shm_size": "16"}, "vllm_shm_size", "is 16 bytes to Docker"),
    ({"vllm_cpu_limit": 0}, "vllm_cpu_limit", "0.01 to 4096"),
    ({"vllm_cpu_limit": "nan"}, "vllm_cpu_limit", "0.01 to 4096"),
    ({"vllm_ulimits": {"memlock": "unlimited"}}, "vllm_ulimits", "-1 for none"),
    ({"vllm_ulimits": {"nofile": {"soft": 1}}}, "vllm_ulimits", "soft: 1024"),
    ({"vllm_ulimits": {"nofile": True}}, "vllm_ulimits", "whole number"),
    ({"vllm_labels": {"a": ["b"]}}, "vllm_labels", "no plain value"),
    ({"vllm_labels": {"a": "x\ny"}}, "vllm_labels", "cannot be used"),
    ({"vllm_labels": {"com.docker.compose.project": "x"}}, "vllm_labels", "belongs to Docker Compose"),
    ({"vllm_labels": {"myia.vllm.files": "x"}}, "vllm_labels", "belongs to this collection"),
    ({"vllm_log_driver": "none"}, "vllm_log_driver", "local"),
    ({"vllm_log_driver": "a b"}, "vllm_log_driver", "no log driver"),
    ({"vllm_log_options": {"cache-disabled": True}}, "vllm_log_options", "docker logs"),
    ({"vllm_extra_hosts": {"hub": "there"}}, "vllm_extra_hosts", "host-gateway"),
    ({"vllm_extra_hosts": {"a b": "10.0.0.1"}}, "vllm_extra_hosts", "host-gateway"),
    ({"vllm_secret_files": {"token": "./token"}}, "vllm_secret_files", "/run/secrets/token"),
    ({"vllm_secret_files": {"a/b": "/srv/token"}}, "vllm_secret_files", "absolute path"),
    ({"vllm_networks": [{"external": True}]}, "vllm_networks", "Give its name"),
    ({"vllm_networks": [{"name": "ai", "alias": "x"}]}, "vllm_networks", "alias is unknown"),
    ({"vllm_networks": ["host"]}, "vllm_networks", "vllm_network_mode: host"),
    ({"vllm_networks": ["ai", "ai"]}, "vllm_networks", "twice"),
    ({"vllm_networks": [{"name": "ai", "external": "yes"}]}, "vllm_networks", "true or false"),
    ({"vllm_networks": [{"name": "ai", "aliases": "x"}]}, "vllm_networks", "no list of host names"),
    ({"vllm_networks": [{"name": "ai", "internal": True}]}, "vllm_networks", "vllm_publish: false"),
    ({"vllm_networks": NETWORK, "vllm_network_mode": "host"}, "vllm_networks", "in no other"),
    ({"vllm_container_port": 0}, "vllm_container_port", "1 to 65535"),
    ({"vllm_container_port": 8000, "vllm_network_mode": "host"}, "vllm_container_port", "one port"),
    ({"vllm_publish": False, "vllm_publish_address": "10.0.0.1"}, "vllm_publish_address", "no effect"),
    ({"vllm_publish": False, "vllm_network_mode": "host"}, "vllm_publish", "nothing is published"),
    ({"vllm_network_mode": "host", "vllm_publish_address": "10.0.0.1"}, "vllm_publish_address", "127.0.0.1 or 0.0.0.0"),
    ({"vllm_network_mode": "none"}, "vllm_network_mode", "bridge, host"),
    ({"vllm_model_container_path": "/models/x"}, "vllm_model_container_path", "no folder on the host"),
    ({"vllm_model": "/m", "vllm_model_container_path": "models"}, "vllm_model_container_path", "absolute path"),
    ({"vllm_model": "/m", "vllm_model_container_path": "/root"}, "vllm_model_container_path", "would hide"),
    ({"vllm_compose_override": {"image": "x"}}, "vllm_compose_override", "set vllm_image"),
    ({"vllm_compose_override": {"gpus": "all"}}, "vllm_compose_override", "set vllm_gpu_devices"),
    ({"vllm_compose_override": {"restart": "always"}}, "vllm_compose_override", "set vllm_restart_policy"),
    ({"vllm_compose_override": {"deploy": {}}}, "vllm_compose_override", "vllm_memory_limit"),
    ({"vllm_compose_override": {"services": {}}}, "vllm_compose_override", "keys of the service"),
    ({"vllm_compose_override": {"a b": 1}}, "vllm_compose_override", "no key"),
    ({"vllm_compose_override": {"dns": None}}, "vllm_compose_override", "no value"),
    ({"vllm_compose_override": {"devices": ["/dev/nvidia0"]}}, "vllm_compose_override", "may name no GPU"),
    ({"vllm_compose_override": {"devices": ["/dev:/dev"]}}, "vllm_compose_override", "may name no GPU"),
    ({"vllm_compose_override": {"pid": "container:x"}}, "vllm_compose_override", "another container"),
    ({"vllm_compose_override": {"provider": {"type": "x"}}}, "vllm_compose_override", "in place of the container"),
    ({"vllm_compose_override": {"use_api_socket": True}}, "vllm_compose_override", "hands Docker"),
    ({"vllm_compose_override": {"models": ["x"]}}, "vllm_compose_override", "of its own"),
    ({"vllm_compose_override": {"develop": {}}}, "vllm_compose_override", "watch"),
    ({"vllm_compose_override": {"stop_signal": "SIGKILL"}}, "vllm_compose_override", "SIGTERM"),
    ({"vllm_compose_override": {"stop_signal": 9}}, "vllm_compose_override", "SIGTERM"),
    ({"vllm_compose_override": {"device_cgroup_rules": ["c 195:* rwm"]}}, "vllm_compose_override", "found c 195:*"),
    ({"vllm_compose_override": {"device_cgroup_rules": ["a *:* rwm"]}}, "vllm_compose_override", "may allow no GPU"),
    ({"vllm_compose_override": {"device_cgroup_rules": ["c *:* r"]}}, "vllm_compose_override", "may allow no GPU"),
    ({"vllm_compose_override": {"device_cgroup_rules": "all"}}, "vllm_compose_override", "c 231:* rwm"),
    ({"vllm_compose_override": {"tmpfs": "/root/.cache/vllm"}}, "vllm_compose_override", "hide vLLM's compile cache"),
    (
        {"vllm_compose_override": {"tmpfs": ["/tmp", "/root/.cache/huggingface/hub:size=1g"]}},
        "vllm_compose_override",
        "hide the downloaded models",
    ),
    (
        {"vllm_model": "/data/qwen", "vllm_compose_override": {"tmpfs": "/data/qwen/"}},
        "vllm_compose_override",
        "hide the model",
    ),
    (
        {
            "vllm_model": "/data/qwen",
            "vllm_model_container_path": "/models/q",
            "vllm_compose_override": {"tmpfs": "/models/q/x"},
        },
        "vllm_compose_override",
        "hide the model",
    ),
    (
        {"vllm_extra_volumes": ["/srv/t:/templates"], "vllm_compose_override": {"tmpfs": "/templates"}},
        "vllm_compose_override",
        "hide another mount",
    ),
    ({"vllm_compose_override": {"tmpfs": "/usr/local/lib"}}, "vllm_compose_override", "what the image needs"),
    ({"vllm_compose_override": {"tmpfs": "/"}}, "vllm_compose_override", "what the image needs"),
    ({"vllm_compose_override": {"tmpfs": "/dev/shm:size=1g"}}, "vllm_compose_override", "vllm_shm_size"),
    ({"vllm_compose_override": {"tmpfs": "cache"}}, "vllm_compose_override", "no absolute path"),
    *[
        ({"vllm_model": "/m", "vllm_model_container_path": place}, "vllm_model_container_path", "belongs to the image")
        for place in ("/usr", "/etc", "/usr/local/lib", "/lib64", "/opt", "/tmp", "/var/lib", "/vllm-workspace")
    ],
    ({"vllm_model": "/opt"}, "vllm_model", "belongs to the image"),
    ({"vllm_extra_volumes": ["/srv/usr:/usr"]}, "vllm_extra_volumes", "what the image needs"),
]

#: What an expert may write.
GOOD = [
    {"vllm_memory_limit": "1g"},
    {"vllm_memory_limit": str(64 * 1024**3)},
    {"vllm_shm_size": "64m"},
    {"vllm_compose_override": {"stop_signal": "SIGINT"}},
    {"vllm_compose_override": {"stop_signal": "TERM"}},
    {"vllm_compose_override": {"device_cgroup_rules": ["c 231:* rwm"], "devices": ["/dev/infiniband"]}},
    {"vllm_compose_override": {"read_only": True, "tmpfs": ["/tmp:exec", "/root", "/run", "/var/run"]}},
    {"vllm_model": "/data/qwen", "vllm_compose_override": {"tmpfs": "/data"}},
    {"vllm_model": "/opt/models/qwen", "vllm_extra_volumes": ["/opt/models:/opt/models:ro"]},
    {"vllm_model": "/m", "vllm_model_container_path": "/opt/models"},
    {"vllm_model": "/usr/m", "vllm_model_container_path": "/models"},
    {"vllm_extra_volumes": ["/etc/localtime:/etc/localtime:ro", "/srv/ca:/usr/local/share/ca-certificates"]},
]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_taken(changes, define) -> None:
    """Nothing is said of it."""
    assert define(**changes)[1] == []


@pytest.mark.parametrize(("changes", "variable", "words"), BAD, ids=[str(case[0])[:60] for case in BAD])
def test_refused(changes, variable, words, define) -> None:
    """Each with its variable and what to set instead, once."""
    _found, problems, _warnings = define(**changes)
    assert [item["variable"] for item in problems] == [variable]
    assert words in problems[0]["message"]


@pytest.mark.parametrize(
    ("changes", "base_url", "inside", "host"),
    [
        ({}, "http://127.0.0.1:5002", 5002, "0.0.0.0"),
        ({"vllm_container_port": 8000}, "http://127.0.0.1:5002", 8000, "0.0.0.0"),
        ({"vllm_publish": False, "vllm_container_name": "llm"}, "http://llm:5002", 5002, "0.0.0.0"),
        ({"vllm_network_mode": "host"}, "http://127.0.0.1:5002", 5002, "127.0.0.1"),
        (
            {"vllm_network_mode": "host", "vllm_publish_address": "localhost"},
            "http://127.0.0.1:5002",
            5002,
            "127.0.0.1",
        ),
        ({"vllm_network_mode": "host", "vllm_publish_address": "0.0.0.0"}, "http://127.0.0.1:5002", 5002, "0.0.0.0"),
        ({"vllm_network_mode": "host", "vllm_api_key": "k"}, "http://127.0.0.1:5002", 5002, "0.0.0.0"),
    ],
)
def test_where_it_answers(changes, base_url, inside, host, define, env_of) -> None:
    """The host's port for clients, the container's for vLLM; the host's network opens no more than was asked."""
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert (found["base_url"], found["port"], found["container_port"]) == (base_url, 5002, inside)
    lines = env_of(**changes)
    assert lines["VLLM_PORT_MEDIUM"] == str(inside)
    assert host in lines.values()


def test_dev_mode(define, env_of) -> None:
    """The operator has to say by a variable of its own that the endpoints without a key are meant."""
    found, problems, warnings = define(vllm_dev_mode=True)
    assert problems == []
    assert found["environment"]["VLLM_SERVER_DEV_MODE"] == "VLLM_SERVER_DEV_MODE"
    assert env_of(vllm_dev_mode=True)["VLLM_SERVER_DEV_MODE"] == "1"
    assert [text for text in warnings if text.startswith("vllm_dev_mode: whoever reaches http://127.0.0.1:5002")]
    assert "VLLM_SERVER_DEV_MODE" not in define()[0]["environment"]


def test_model_folder(define, env_of) -> None:
    """The host's folder is what is read here, the container's what vLLM gets and serves."""
    changes = {"vllm_model": "/data/qwen", "vllm_model_container_path": "/models/qwen", "vllm_gpu_devices": [0]}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert (found["model"], found["served_model_name"]) == ("/data/qwen", "/models/qwen")
    assert "/data/qwen:/models/qwen:ro" in found["volumes"]
    assert env_of(**changes)["VLLM_MODEL_MEDIUM"] == "/models/qwen"


@pytest.mark.parametrize("user", ["", "0", "root", "0:0"])
def test_root(user, define) -> None:
    """Root keeps its caches where the images have them."""
    found, _problems, warnings = define(vllm_user=user)
    assert found["volumes"][0] == "vllm-hf-cache:/root/.cache/huggingface"
    assert "HOME" not in found["environment"]
    assert not [text for text in warnings if text.startswith("vllm_user")]


def test_user(define, env_of) -> None:
    """Nobody but root may enter /root; what the operator says of the environment stays."""
    changes = {"vllm_user": "2000:2000", "vllm_hf_cache": "/srv/hf", "vllm_extra_env": {"HOME": "/data/home"}}
    changes["vllm_extra_volumes"] = ["/data:/data"]
    found, problems, warnings = define(**changes)
    assert problems == []
    assert found["volumes"][:2] == ["/srv/hf:/var/cache/huggingface", "vllm-compile-cache:/var/cache/vllm"]
    lines = env_of(**changes)
    assert lines["EXTRA_ENV_HOME"] == "/data/home"
    assert lines["EXTRA_ENV_HF_HOME"] == "/var/cache/huggingface"
    assert lines["EXTRA_ENV_VLLM_CACHE_ROOT"] == "/var/cache/vllm"
    assert {"HOME", "HF_HOME"} <= set(found["prefetch"]["environment"])
    assert [text for text in warnings if text.startswith("vllm_user") and "vllm_compile_cache" in text]


def test_adapter_of_a_user(define) -> None:
    """An adapter of a commit is looked for where that user's cache is."""
    adapter = {"name": "sql", "source": "org/sql", "revision": "a" * 40}
    found, problems, _warnings = define(vllm_user="2000", vllm_hf_cache="/srv/hf", vllm_lora_adapters=[adapter])
    assert problems == []
    assert found["lora_adapters"][0]["path"].startswith("/var/cache/huggingface/hub/models--org--sql/")
