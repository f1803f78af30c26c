# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator gets for bad input.

deploy_medium.yml ends with a message that names the variable and the fix, with a non-zero exit status, before the host
is touched.
"""

from __future__ import annotations

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
DEPLOY = str(ROOT / "deploy_medium.yml")

#: extra variables, what the message must contain
BAD = {
    "port that is none": ({"vllm_port": "http"}, ["vllm_port", "whole number"]),
    "port out of range": ({"vllm_port": 70000}, ["vllm_port: 70000 is not a TCP port", "5002"]),
    "gpu list with a hole": ({"vllm_gpu_devices": "0,,1"}, ["vllm_gpu_devices", "empty entry"]),
    "gpu twice": ({"vllm_gpu_devices": [0, 0]}, ["vllm_gpu_devices", "twice"]),
    "gpu that is not there": (
        {"vllm_gpu_devices": [0, 9]},
        ["gpu_devices: found 0 (", "needed GPU 9", "vllm_gpu_devices"],
    ),
    "more TP than GPUs": ({"vllm_tensor_parallel_size": 4}, ["vllm_tensor_parallel_size: 4", "2 GPUs", "agree"]),
    "utilization 0": ({"vllm_gpu_memory_utilization": 0}, ["vllm_gpu_memory_utilization", "(0, 1]"]),
    "utilization 90": ({"vllm_gpu_memory_utilization": 90}, ["vllm_gpu_memory_utilization", "0.90 for 90 %"]),
    "accelerator": ({"vllm_accelerator": "nvida"}, ["vllm_accelerator", "Did you mean nvidia?"]),
    "gated without token": ({"vllm_model_gated": True}, ["vllm_hf_token: is empty", "vault file"]),
    "misspelt variable": ({"vllm_prot": 1}, ["vllm_prot", "Did you mean vllm_port?"]),
    "misspelt role variable": ({"vllm_health_timeout": 1}, ["Did you mean vllm_health_timeout_s?"]),
    "option that has a variable": (
        {"vllm_extra_options": {"--max_model_len": 1}},
        ["vllm_extra_options", "set vllm_max_model_len"],
    ),
    "option that this vLLM does not take": (
        {"vllm_extra_options": {"swap_space": 4}},
        ["vllm_extra_options", "swap-space is not taken by vLLM 0.32.0", "0.18.0 removed it"],
    ),
    "environment that has a variable": ({"vllm_extra_env": {"HF_TOKEN": "x"}}, ["vllm_extra_env", "set vllm_hf_token"]),
    "shm twice": ({"vllm_ipc": "host"}, ["vllm_shm_size", "vllm_ipc"]),
    "line break in a secret": ({"vllm_api_key": "sk-PLANTED\nx"}, ["vllm_api_key", "line break"]),
    "no such group": ({"vllm_hosts": "big"}, ["no host in 'big'", "vllm_hosts"]),
    "port that is taken": ({"vllm_port": 8999}, ["port 8999 in use by", "vllm_port"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(play, untouched, case: str) -> None:
    """The message names the variable and the fix, nothing is touched, the exit status is not zero."""
    variables, expected = BAD[case]
    run = play("-e", json.dumps(variables), playbook=DEPLOY)
    assert run.status != 0, run.output
    for text in expected:
        assert text in run.flat, "%r is not in:\n%s" % (text, run.output)
    assert run.recap.get("changed", 0) == 0
    assert "PLANTED" not in run.output
    assert untouched() == []


@pytest.mark.full
@pytest.mark.parametrize(
    "devices", ['{"vllm_gpu_devices": [0, 1]}', "vllm_gpu_devices=0,1", '{"vllm_gpu_devices": ["0", "1"]}']
)
def test_gpu_lists_that_mean_the_same(play, inventory, devices: str) -> None:
    """Three ways to write the same two GPUs are all taken."""
    run = play("-e", devices, roles=["myia.vllm.vllm_preflight"])
    assert run.status == 0, run.output


@pytest.mark.full
def test_unsupported_system(play, unsupported_system, untouched) -> None:
    """An operating system nobody tested is refused before anything is installed."""
    run = play(playbook=DEPLOY)
    assert untouched() == []
    assert run.status != 0
    assert "operating_system: found Plan 9" in run.flat


def test_unreachable_host(tmp_path, play) -> None:
    """A host that does not answer: the inventory's variables are named."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "medium: {hosts: {gone: {ansible_host: 127.0.0.1, ansible_port: 9, ansible_user: nobody}}}\n", encoding="utf-8"
    )
    run = play("-i", str(inventory), "--limit", "gone", playbook=DEPLOY)
    assert run.status != 0
    assert "gone cannot be reached as 127.0.0.1" in run.flat
    assert "ansible_host, ansible_user" in run.flat


@pytest.mark.parametrize("given", ["missing", "wrong"])
def test_vault_password(tmp_path, play, given: str) -> None:
    """Without the right vault password: the file and the option are named; the host is not contacted."""
    password = tmp_path / "password"
    password.write_text("not this one\n", encoding="utf-8")
    run = play(
        "-i", str(ROOT / "inventories/medium"), playbook=DEPLOY,
        env={"ANSIBLE_VAULT_IDENTITY_LIST": None if given == "missing" else "medium@%s" % password},
    )  # fmt: skip
    assert run.status != 0
    assert "vault.yml" in run.flat
    assert "--vault-id medium@prompt" in run.flat
    assert ("no vault password was given" if given == "missing" else "no given vault password opens it") in run.flat
    assert "Define the service" not in run.output


def test_inline_vault_without_password(tmp_path, play) -> None:
    """The same for a single encrypted value: the variable is named."""
    encrypted = (ROOT / "inventories/medium/group_vars/medium/vault.yml").read_text(encoding="utf-8")
    variables = tmp_path / "token.yml"
    variables.write_text(
        "vllm_hf_token: !vault |\n" + "".join("  %s\n" % line for line in encrypted.splitlines()), encoding="utf-8"
    )
    run = play("-e", "@%s" % variables, playbook=DEPLOY, env={"ANSIBLE_VAULT_IDENTITY_LIST": None})
    assert run.status != 0
    assert "vllm_hf_token: is encrypted by Ansible Vault" in run.flat


def test_check_mode_on_a_bare_host(host, play, untouched) -> None:
    """Before the very first deployment --check goes through the whole playbook, predicts and changes nothing."""
    assert not host.exists("docker")
    variables = {
        "docker_engine_extra_apt_source": {"suite": "trixie", "packages": ["docker-compose"]},
        "nvidia_container_toolkit_repository_url": "http://127.0.0.1:8999",
        "nvidia_container_toolkit_key": "http://127.0.0.1:8999/gpgkey",
        "nvidia_container_toolkit_key_fingerprint": host.file("/srv/standin-repo/fingerprint").content_string.strip(),
    }
    run = play("--check", "--diff", "-e", json.dumps(variables), playbook=DEPLOY)
    assert run.status == 0, run.output
    assert run.recap["changed"] > 0
    for predicted in ("docker-compose", "nvidia-container-toolkit", "compose.yml: new"):
        assert predicted in run.flat
    assert untouched() == []
