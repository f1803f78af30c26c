# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks/configure_awx.yml refuses: a STAND-IN for AWX as in test_configure_awx."""

from __future__ import annotations

import pytest
from awx_configured import PLANTED, PLAYBOOKS, SECRETS, Run
from awx_standin import AwxStandin


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"vllm_awx_machine_credential": "mine", **SECRETS}, "Leave one of them empty"),
        ({"vllm_awx_variables": {"vllm_api_key": PLANTED[4]}}, "Set vllm_awx_hf_token and vllm_awx_api_key instead"),
        ({"vllm_awx_hosts": {"a": None, "b": {"vllm_hf_token": PLANTED[3]}}}, "has vllm_hf_token or vllm_api_key"),
        (
            {"vllm_awx_variables": {"vllm_services": [{"vllm_name": "a"}, {"vllm_api_key": PLANTED[4]}]}},
            "has vllm_hf_token or vllm_api_key",
        ),
        (
            {"vllm_awx_gateway_variables": {"vllm_gateway_keys": [{"name": "a", "key": PLANTED[4]}]}},
            "vllm_gateway_keys has a key in clear",
        ),
        ({"vllm_awx_monitoring_hosts": {"m": {"vllm_monitoring_password": PLANTED[4]}}}, "monitoring/vault.yml"),
        ({"vllm_awx_slices": 2, "vllm_awx_gateway_hosts": {"gw1": {}}}, "no gateway to take its host out of"),
        ({"vllm_awx_hosts": ["a"]}, "vllm_awx_hosts"),
        ({"vllm_awx_url": "http://127.0.0.1:9"}, "Connection refused"),
        ({"vllm_awx_approval_timeout_s": "soon"}, "vllm_awx_approval_timeout_s"),
    ],
    ids=[
        "two machine credentials", "key for all", "token of a host", "key of a service", "key of a client",
        "password of monitoring", "slices before a gateway", "no dictionary",
        "no AWX", "no number",
    ],
)  # fmt: skip
def test_refused(variables, said, tmp_path) -> None:
    """Before anything is written, with the reason."""
    with AwxStandin(playbooks=PLAYBOOKS) as awx:
        run = Run(awx, tmp_path, variables)
        assert run.status != 0
        assert said in " ".join(run.output.split())
        assert awx.writes == []
        assert [secret for secret in PLANTED if secret in run.output] == []
