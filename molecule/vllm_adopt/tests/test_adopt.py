# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that were set up by hand, taken over while they serve; GPUs and vLLM are stand-ins."""

from __future__ import annotations

import json

import pytest

TOKEN, KEY = "hf_PLANTEDtokenofmedium01", "sk-PLANTED-key-of-medium-01"

#: The fragment from which this collection comes, as it was written by hand, with its .env.
MEDIUM = {
    "/srv/llm/docker-compose-medium-qwen3.yml": """
services:
  vllm-medium-qwen3:
    image: vllm/vllm-openai:latest
    container_name: myia-vllm-medium-qwen3
    runtime: nvidia
    environment:
      - NVIDIA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES_MEDIUM:-0,1}
      - HF_TOKEN=${HUGGING_FACE_HUB_TOKEN}
      - VLLM_API_KEY=${VLLM_API_KEY_MEDIUM}
      - VLLM_ALLOW_LONG_MAX_MODEL_LEN=1
    ports:
      - "${VLLM_PORT_MEDIUM:-5002}:${VLLM_PORT_MEDIUM:-5002}"
    volumes:
      - ~/.cache/huggingface:/root/.cache/huggingface
    shm_size: "16gb"
    command: >
      --model ${VLLM_MODEL_MEDIUM}
      --quantization awq_marlin --dtype half --kv-cache-dtype fp8
      --max-model-len 131072
      --gpu-memory-utilization ${GPU_MEMORY_UTILIZATION_MEDIUM:-0.95}
      --tensor-parallel-size 2
      --enable-auto-tool-choice --tool-call-parser hermes
      --hf-overrides '{"rope_parameters":{"rope_type":"yarn","rope_theta":1000000,"factor":4.0,
      "original_max_position_embeddings":32768}}'
      --host 0.0.0.0 --port ${VLLM_PORT_MEDIUM:-5002}
    healthcheck:
      test: ["CMD", "python3", "-c", "import urllib.request as r; r.urlopen('http://localhost:5002/health')"]
      interval: 60s
      retries: 3
      start_period: 900s
    restart: unless-stopped
""",
    "/srv/llm/.env": """
CUDA_VISIBLE_DEVICES_MEDIUM=0,1
VLLM_MODEL_MEDIUM=Qwen/Qwen3-32B-AWQ
HUGGING_FACE_HUB_TOKEN=%s
VLLM_API_KEY_MEDIUM='%s'
GPU_MEMORY_UTILIZATION_MEDIUM=0.95
""" % (TOKEN, KEY),
}  # fmt: skip
UP = "cd /srv/llm && docker compose -f docker-compose-medium-qwen3.yml up -d 2>&1"
NAME = "myia-vllm-medium-qwen3"


def test_medium(host, hand_made, state, adopt, deploy) -> None:
    """Taken over with no restart; the next deployment changes nothing; a change that fails brings it back."""
    hand_made(MEDIUM, UP, "http://127.0.0.1:5002", KEY)
    before = state(NAME)

    looked = adopt("--check")
    assert looked.status == 0, looked.output
    assert not adopt.folder.exists()
    assert not host.file("/opt/vllm").exists

    run = adopt("-vvv", "--diff")
    assert run.status == 0, run.output
    assert "PLANTED" not in run.output
    assert "warning (latest-tag)" in run.output
    said = adopt.said()
    assert said["vllm_model"] == "Qwen/Qwen3-32B-AWQ"
    assert said["vllm_gpu_devices"] == ["0", "1"]
    assert said["vllm_quantization"] == "awq_marlin"
    assert "PLANTED" not in json.dumps(said)
    vault = (adopt.folder / "group_vars/vllm/vault.yml").read_text(encoding="utf-8")
    assert vault.startswith("$ANSIBLE_VAULT;1.2;AES256;adopt-trixie")
    assert state(NAME) == before

    run = deploy()
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0, run.output
    assert "PLANTED" not in run.output
    assert state(NAME) == before

    # the way back of the first real change is the container that was set aside
    broken = deploy(vllm_max_num_seqs=7, vllm_extra_env={"REPLAY_THEN": "exit 3"}, vllm_service_retries=0)
    assert broken.status != 0
    assert state(NAME).split()[0] == before.split()[0]
    assert host.run("curl --silent --fail http://127.0.0.1:5002/health").rc == 0

    changed = deploy(vllm_max_num_seqs=8)
    assert changed.status == 0, changed.output
    assert "which was taken over, is stopped and set aside" in changed.output
    assert state(NAME).split()[0] != before.split()[0]
    assert host.check_output("docker inspect -f '{{.State.Status}}' %s-handmade" % NAME) == "exited"


# ----------------------------------------------------------------------------------------- further kinds of services

RUN = (
    "docker run -d --name plain --gpus all --ipc host -v /srv/llm/hf:/root/.cache/huggingface -p 127.0.0.1:9100:8000 "
    "vllm/vllm-openai:v0.32.0 --model Qwen/Qwen3-8B --tensor-parallel-size=2 --served-model-name plain "
    "--override-generation-config '{\"max_new_tokens\": 64}' --no-enable-prefix-caching"
)

UNIT = """
[Unit]
After=docker.service
[Service]
EnvironmentFile=/srv/llm/unit.env
ExecStartPre=-/usr/bin/docker rm -f unit-llm
ExecStart=/usr/bin/docker run --rm --name unit-llm --gpus device=1 --shm-size 1g --env-file /srv/llm/container.env \\
  -p 127.0.0.1:9200:8000 vllm/vllm-openai:v0.32.0 ${LLM_MODEL} --max-model-len 4096
ExecStop=/usr/bin/docker stop unit-llm
Restart=always
[Install]
WantedBy=multi-user.target
"""

LOCAL = """
x-common: &common
  image: vllm/vllm-openai:v0.32.0
  restart: "no"
services:
  local:
    <<: *common
    ports: [{target: 8000, published: "9300", host_ip: 127.0.0.1}]
    volumes: ["./models:/models"]
    entrypoint: ["/bin/sh", "-c"]
    command: ["exec vllm serve /models/tiny --max-model-len $$LEN"]
    environment: {LEN: "2048", WANDB_API_KEY: PLANTED-other-secret}
    mem_limit: 2g
    ulimits: {nofile: 4096}
    logging: {driver: json-file, options: {max-size: 1m}}
    deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ["1"], capabilities: [gpu]}]}}}
"""

HOST_NETWORK = (
    "docker run -d --restart always --name hosted --network host --gpus 1 --user 0 vllm/vllm-openai:v0.32.0 "
    "Qwen/Qwen3-4B --host 127.0.0.1 --port 9400 --api-key %s" % KEY
)

CASES = {
    "docker run": ({}, RUN, "http://127.0.0.1:9100", "", "plain", {"vllm_container_port": 8000, "vllm_ipc": "host"}),
    "unit": (
        {
            "/etc/systemd/system/llm.service": UNIT,
            "/srv/llm/unit.env": "LLM_MODEL=Qwen/Qwen3-4B\n",
            "/srv/llm/container.env": "VLLM_API_KEY=%s\n" % KEY,
        },
        "systemctl daemon-reload && systemctl start llm",
        "http://127.0.0.1:9200",
        KEY,
        "unit-llm",
        {"vllm_gpu_devices": ["1"], "vllm_restart_policy": "no"},
    ),
    "local model": (
        {"/srv/llm/compose.yaml": LOCAL, "/srv/llm/models/tiny/config.json": "{}"},
        "cd /srv/llm && docker compose up -d 2>&1",
        "http://127.0.0.1:9300",
        "",
        "llm-local-1",
        {"vllm_model": "/srv/llm/models/tiny", "vllm_model_container_path": "/models/tiny", "vllm_max_model_len": 2048},
    ),
    "host network": ({}, HOST_NETWORK, "http://127.0.0.1:9400", KEY, "hosted", {"vllm_network_mode": "host"}),
}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_kinds(hand_made, state, adopt, deploy, case) -> None:
    """Each is described as it is, taken over with no restart, and left alone by the next deployment."""
    files, command, url, key, name, expected = CASES[case]
    hand_made(files, command, url, key)
    before = state(name)
    run = adopt()
    assert run.status == 0, run.output
    assert "PLANTED" not in run.output
    said = adopt.said()
    assert {key: said[key] for key in expected} == expected
    assert "PLANTED" not in json.dumps(said)
    run = deploy()
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0, run.output
    assert state(name) == before


TWO = (
    """
services:
  chat:
    image: vllm/vllm-openai:latest
    container_name: chat-llm
    restart: unless-stopped
    ports: ["127.0.0.1:9501:9501"]
    environment: &env {HF_TOKEN: "%s"}
    command: --model Qwen/Qwen3-8B --served-model-name chat --port 9501 --gpu-memory-utilization 0.6
    deploy: &gpu {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}
  embed:
    image: vllm/vllm-openai:latest
    restart: unless-stopped
    ports: ["127.0.0.1:9502:9502"]
    environment: *env
    command: BAAI/bge-m3 --served-model-name embed --port 9502 --runner pooling --gpu-memory-utilization 0.2
    deploy: *gpu
  webui:
    image: vllm/vllm-openai:latest
    entrypoint: [sleep, "600"]
    environment: {OPENAI_API_BASE_URL: "http://chat:9501/v1"}
"""
    % TOKEN
)


@pytest.mark.full
def test_two_services_and_a_neighbour(hand_made, state, adopt, deploy) -> None:
    """One inventory for both; what a neighbour needs by its name is only taken over when somebody has looked at it."""
    hand_made({"/srv/second/compose.yml": TWO}, "cd /srv/second && docker compose up -d 2>&1", "http://127.0.0.1:9501")
    before = state("chat-llm")
    run = adopt(vllm_adopt_accept=["neighbours"])
    assert run.status == 0, run.output
    assert "left alone: webui" in run.output, run.output
    assert "warning (shared-gpu)" in run.output
    assert "warning (token-in-clear)" in run.output
    services = adopt.said()["vllm_services"]
    assert [service["vllm_name"] for service in services] == ["chat", "embed"]
    assert services[0]["vllm_networks"] == [{"name": "second_default", "external": True, "aliases": ["chat"]}]
    for name in ("chat", "embed"):
        run = deploy(vllm_name=name)
        assert run.status == 0, run.output
        assert run.recap["changed"] == 0, run.output
    assert state("chat-llm") == before


@pytest.mark.full
def test_a_neighbour_that_nobody_looked_at(host, hand_made, adopt) -> None:
    """Then the service is described, and no release is staged."""
    hand_made({"/srv/second/compose.yml": TWO}, "cd /srv/second && docker compose up -d 2>&1", "http://127.0.0.1:9501")
    run = adopt(vllm_adopt_containers=["chat"])
    assert run.status == 0, run.output
    assert "is described, not taken over" in run.flat
    assert (adopt.folder / "hosts.yml").exists()
    assert not host.file("/opt/vllm/chat").exists


@pytest.mark.full
def test_nothing_to_take_over(adopt) -> None:
    """That is said, and nothing is written."""
    run = adopt()
    assert run.status != 0
    assert "Found nothing to take over" in run.flat
    assert not adopt.folder.exists()
