# SPDX-License-Identifier: GPL-3.0-or-later
"""The template Deploy gateway as a job of AWX: who says the keys, and where they do not turn up. Refusals only."""

from __future__ import annotations

import json

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import HERE, PLANTED, VAULT_PASSWORD

#: A key in clear, with a field that there is not, so that the plan refuses it before anything is installed.
KEYS = [{"name": "alice", "key": PLANTED["vllm_api_key"], "modles": ["tiny-qwen3"]}]


@pytest.mark.parametrize("said", ["form", "vault"])
def test_keys(said, make_job, service, find_leaks) -> None:
    """Those of the form, typed as a password; where it is left empty, those of the vaulted file. Nobody sees one."""
    job = make_job(
        {"medium": {"box1": {**HERE, **service}}, "gateway": {"box1": HERE}},
        playbook="deploy_gateway.yml",
        # as awx/job_templates.yml
        extra_vars={"vllm_gateway_service_hosts": "medium"},
        survey={
            "vllm_gateway_keys": json.dumps(KEYS) if said == "form" else "",
            "vllm_gateway_tls": "",
            "vllm_gateway_port": 8443,
            "vllm_gateway_hold_s": 60,
        },
        vault_passwords={"prod": VAULT_PASSWORD} if said == "vault" else {},
        check=True,
        become=True,
    )
    if said == "vault":
        text = json.dumps({"vllm_gateway_keys": KEYS}).encode()
        path = job.project / "playbooks" / "group_vars" / "gateway" / "vault.yml"
        path.parent.mkdir(parents=True)
        path.write_bytes(VaultLib().encrypt(text, secret=VaultSecret(VAULT_PASSWORD.encode()), vault_id="prod"))
    result = job.run()
    assert (result.status, result.rc) == ("failed", 2), result.stdout
    assert "1 problem in the definition of the gateway; nothing was changed" in result.flat, result.stdout
    assert "vllm_gateway_keys, alice: there is no field modles" in result.flat
    assert find_leaks(job.artifact_dir) == []
    assert find_leaks(job.home) == []
    # where it has to be, so that the search is known to find something
    assert find_leaks(job.private_data_dir / "env") == (["extravars"] if said == "form" else ["passwords"])
