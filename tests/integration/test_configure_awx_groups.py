# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/configure_awx.yml for more than one service of one group: a STAND-IN for AWX as in test_configure_awx."""

from __future__ import annotations

import json

import pytest
from awx_configured import EXTRA_VARS, ONE_JOB, PLAYBOOKS, Run, said_of
from awx_standin import AwxStandin

SEVERAL = {
    "vllm_awx_group": "vllm",
    "vllm_awx_hosts": {
        "gpu01": {"ansible_host": "192.0.2.10"},
        "gpu02": {"vllm_services": [{"vllm_name": "embed", "vllm_port": 5010}]},
    },
    "vllm_awx_variables": {"vllm_services": [{"vllm_name": "chat"}, {"vllm_name": "rank"}]},
}


@pytest.mark.full
def test_several_services(tmp_path) -> None:
    """Their group, a schedule for each on the hosts that have it, and forms that ask which is meant; twice the same."""
    with AwxStandin(playbooks=PLAYBOOKS) as awx:
        run = Run(awx, tmp_path, SEVERAL)
        assert run.status == 0, run.output
        assert (awx.ignored, awx.doubts) == ([], [])
        (group,) = awx.objects("groups")
        assert (group["name"], sorted(group["hosts"])) == ("vllm", ["gpu01", "gpu02"])
        schedules = {one["name"]: (one["extra_data"], one["limit"]) for one in awx.objects("schedules")}
        assert schedules == {
            "vLLM | %s %s" % (verb, name): ({"vllm_name": name}, host)
            for verb in ("Verify", "Benchmark")
            for name, host in (("chat", "gpu01"), ("rank", "gpu01"), ("embed", "gpu02"))
        } | {
            # these look at every service themselves
            "vLLM | Status": ({"vllm_status_fail": "true"}, ""),
            "vLLM | Check updates": ({}, ""),
        }
        templates = awx.objects("job_templates")
        assert {one["extra_vars"] for one in templates if one["playbook"] not in EXTRA_VARS} == {
            '{"vllm_hosts": "vllm"}'
        }
        (gateway,) = [one for one in templates if one["playbook"] == "deploy_gateway.yml"]
        assert said_of(gateway) == {"vllm_gateway_service_hosts": "vllm"}
        asked = {one["name"]: [item["variable"] for item in one["survey_spec"]["spec"]] for one in templates}
        # about all services at once
        together = ["vLLM | Deploy all", "vLLM | Deploy gateway", "vLLM | Remove gateway", "vLLM | Monitor",
                    "vLLM | Stop monitoring"]  # fmt: skip
        assert [name for name, variables in asked.items() if "vllm_name" not in variables] == together
        again = Run(awx, tmp_path, SEVERAL)
        assert (again.status, again.changed) == (0, []), again.output


HASH = "5f2c" * 16
WITH_GATEWAY = {
    "vllm_awx_gateway_hosts": {"gw1": {"ansible_host": "192.0.2.5"}, "gpu01": {}},
    "vllm_awx_gateway_variables": {"vllm_gateway_keys": [{"name": "alice", "sha256": HASH}], "vllm_gateway_port": 8443},
    "vllm_awx_monitoring_hosts": {"gw1": None},
}


@pytest.mark.full
def test_gateway_and_monitoring(tmp_path) -> None:
    """Their groups, a host of two among them, with what the form tells of their settings; twice the same."""
    with AwxStandin(playbooks=PLAYBOOKS) as awx:
        run = Run(awx, tmp_path, WITH_GATEWAY)
        assert run.status == 0, run.output
        assert (awx.ignored, awx.doubts) == ([], [])
        groups = {one["name"]: sorted(one["hosts"]) for one in awx.objects("groups")}
        assert groups == {"medium": ["gpu01"], "gateway": ["gpu01", "gw1"], "monitoring": ["gw1"]}
        hosts = {one["name"]: json.loads(one["variables"] or "{}") for one in awx.objects("hosts")}
        assert hosts == {"gpu01": {"ansible_host": "192.0.2.10"}, "gw1": {"ansible_host": "192.0.2.5"}}
        (gateway,) = [one for one in awx.objects("job_templates") if one["playbook"] == "deploy_gateway.yml"]
        asked = {question["variable"]: question["question_description"] for question in gateway["survey_spec"]["spec"]}
        assert "the inventory's 8443" in asked["vllm_gateway_port"]
        again = Run(awx, tmp_path, WITH_GATEWAY)
        assert (again.status, again.changed) == (0, []), again.output


def test_one_job_where_all_hosts_are_needed(tmp_path) -> None:
    """AWX gives a slice an inventory of its own hosts only."""
    with AwxStandin(playbooks=PLAYBOOKS) as awx:
        run = Run(awx, tmp_path, {"vllm_awx_slices": 3})
        assert run.status == 0, run.output
        slices = {one["playbook"]: one["job_slice_count"] for one in awx.objects("job_templates")}
        assert {name for name, count in slices.items() if count == 1} == set(ONE_JOB)
        assert set(slices.values()) == {1, 3}
