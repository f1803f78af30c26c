# SPDX-License-Identifier: GPL-3.0-or-later
"""From questions to an inventory that deploys: playbooks/new_service.yml. GPUs, hub and registry are STAND-INS."""

from __future__ import annotations

import json
import pathlib
import stat
import subprocess
import sys

import pytest
import yaml

testinfra_hosts = ["ansible://preflight-trixie"]

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PLAYBOOK = str(ROOT / "playbooks" / "new_service.yml")
TOKEN = "hf_PLANTEDtoken0123456789"
ANSWERS = {
    "vllm_model": "Qwen/Qwen2.5-32B-Instruct-AWQ",
    "vllm_new_service_host": "preflight-trixie",
    "vllm_new_service_context_tokens": "131072",
    "vllm_name": "assistant",
}


@pytest.fixture
def ask(play, tmp_path):
    """Answer the questions, in a folder of the test's own."""

    def run(*more: str, **answers):
        said = {
            **ANSWERS,
            "vllm_new_service_folder": str(tmp_path / "inventories"),
            "vllm_new_service_vault_password_file": str(tmp_path / "secret" / "password"),
            **answers,
        }
        return play(*more, "-e", json.dumps(said), playbook=PLAYBOOK)

    return run


def test_new_service(ask, play, tmp_path, untouched) -> None:
    """The folder has host, values that fit and encrypted secrets; deployed in check mode, it is what was planned."""
    folder, password = tmp_path / "inventories" / "assistant", tmp_path / "secret" / "password"
    tried = ask("--check")
    assert tried.status == 0, tried.output
    assert list(tmp_path.iterdir()) == []

    run = ask()
    assert run.status == 0, run.output
    assert "131072 tokens a sequence" in run.flat
    assert untouched() == []
    assert yaml.safe_load((folder / "hosts.yml").read_text()) == {
        "all": {"children": {"vllm": {"hosts": {"preflight-trixie": {}}}}}
    }
    text = (folder / "group_vars" / "vllm" / "main.yml").read_text()
    values = yaml.safe_load(text)
    assert values["vllm_model"] == ANSWERS["vllm_model"]
    assert values["vllm_kv_cache_dtype"] == "fp8"
    assert values["vllm_max_model_len"] == 131072
    assert "# What else fits" in text
    # secrets: encrypted, with a password that only its owner reads, and nowhere else
    vault = folder / "group_vars" / "vllm" / "vault.yml"
    assert vault.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;assistant\n")
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    opened = subprocess.run(
        [str(pathlib.Path(sys.executable).parent / "ansible-vault"), "view", "--vault-id",
         "assistant@%s" % password, str(vault)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    secrets = yaml.safe_load(opened)
    assert secrets["vllm_hf_token"] == TOKEN
    assert len(secrets["vllm_api_key"]) == 40
    for secret in (secrets["vllm_api_key"], TOKEN, password.read_text().strip()):
        assert secret not in run.output
        assert secret not in text

    plan = play(
        "-i", str(folder), "--vault-id", "assistant@%s" % password, "-e", "vllm_hosts=vllm",
        playbook=str(ROOT / "plan_medium.yml"),
    )  # fmt: skip
    assert plan.status == 0, plan.output
    assert "Plan of the vLLM service assistant on preflight-trixie" in plan.output
    assert "fits: YES" in plan.output
    assert "A deployment would go on from here." in plan.output

    again = ask()
    assert again.status != 0
    assert "%s is there already" % folder in again.flat
    assert (folder / "group_vars" / "vllm" / "main.yml").read_text() == text


def test_answers_that_are_refused(ask, tmp_path) -> None:
    """All that is wrong with the answers is told at once, and nothing is written."""
    run = ask(vllm_new_service_users="many", vllm_model="", vllm_new_service_context_tokens="long")
    assert run.status != 0
    for words in ("vllm_model is not set", "vllm_new_service_users is 'many'", "context_tokens is 'long'"):
        assert words in run.flat
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_host_without_gpus(ask, host, tmp_path) -> None:
    """A host that cannot serve the model is told so, and nothing is written."""
    text = json.dumps({"check_nodes": True, "gpus": [{"memory_total": 8188}]})
    host.check_output("cp /etc/myia-standin/gpus.json /tmp/gpus; echo '%s' > /etc/myia-standin/gpus.json" % text)
    try:
        run = ask()
    finally:
        host.check_output("cat /tmp/gpus > /etc/myia-standin/gpus.json")
    assert run.status != 0
    assert "does not fit into what is free" in run.flat
    assert list(tmp_path.iterdir()) == []
