# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/configure_awx.yml by the real modules of awx.awx against a STAND-IN for the API of AWX 24.6.1."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from awx_configured import EXTRA_VARS, PLANTED, PLAYBOOKS, SECRETS, Run, said_of
from awx_standin import AwxStandin
from awx_standin.notifications import render

WORKFLOW = {
    "check": (["approve"], []),
    "approve": (["deploy"], []),
    "deploy": (["verify"], ["diagnose"]),
    "verify": (["benchmark"], ["roll-back"]),
    "benchmark": ([], []),
    "roll-back": ([], []),
    "diagnose": ([], []),
    "not-released": ([], []),
}


@pytest.fixture(name="story", scope="module")
def story_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwxStandin, Run, Run]]:
    """A check of an empty AWX, and the first run."""
    folder = tmp_path_factory.mktemp("awx")
    with AwxStandin(playbooks=PLAYBOOKS) as awx:
        check = Run(awx, folder, SECRETS, "--check")
        yield awx, check, Run(awx, folder, SECRETS)


def test_check_of_an_empty_awx(story) -> None:
    """It says what a run would create, and creates nothing."""
    _awx, check, _first = story
    assert check.status == 0, check.output
    assert check.writes == []
    assert "22 job templates, 1 workflow and 4 schedules" in " ".join(check.output.split())
    assert "changed=1" in check.output


#: Playbooks about every service, and what their forms ask.
ALL_SERVICES = {
    "deploy_gateway.yml": {
        "vllm_gateway_keys",
        "vllm_gateway_tls",
        "vllm_gateway_tls_certificate",
        "vllm_gateway_tls_key",
        "vllm_gateway_name",
        "vllm_gateway_port",
        "vllm_gateway_balance",
        "vllm_gateway_hold_s",
    },
    "remove_gateway.yml": {"vllm_gateway_remove_package"},
    "deploy.yml": {"vllm_version", "vllm_image"},
    "deploy_monitoring.yml": {"vllm_version", "vllm_image"},
    "remove_monitoring.yml": {"vllm_version", "vllm_image"},
    "status_medium.yml": {"vllm_name", "vllm_status_fail"},
    "check_updates.yml": {"vllm_name", "vllm_updates_to", "vllm_updates_offline"},
}


def test_everything_is_there(story) -> None:
    """Every template with its playbook, its form, its credentials; nothing that AWX ignored or doubts."""
    awx, _check, first = story
    assert first.status == 0, first.output
    assert (awx.ignored, awx.doubts, awx.open_tokens) == ([], [], {})
    templates = {one["name"].removeprefix("vLLM | "): one for one in awx.objects("job_templates")}
    assert {name: one["playbook"] for name, one in templates.items()} == {
        "Plan": "plan_medium.yml",
        "Deploy": "deploy_medium.yml",
        "Deploy all": "deploy.yml",
        "Deploy fleet": "deploy_fleet.yml",
        "Not released": "not_released.yml",
        "Verify": "verify_medium.yml",
        "Benchmark": "benchmark_medium.yml",
        "Diagnose": "diagnose_medium.yml",
        "Roll back": "rollback_medium.yml",
        "Rotate secrets": "rotate_secrets.yml",
        "Remove": "remove_medium.yml",
        "Status": "status_medium.yml",
        "Logs": "logs_medium.yml",
        "Restart": "restart_medium.yml",
        "Stop": "stop_medium.yml",
        "Start": "start_medium.yml",
        "Check updates": "check_updates.yml",
        "Pin": "pin_medium.yml",
        "Deploy gateway": "deploy_gateway.yml",
        "Remove gateway": "remove_gateway.yml",
        "Monitor": "deploy_monitoring.yml",
        "Stop monitoring": "remove_monitoring.yml",
    }
    for one in templates.values():
        assert sorted(one["credentials"]) == ["vLLM | machine", "vLLM | secrets", "vLLM | vault"]
        assert one["labels"] == ["vllm"]
        asked = {question["variable"]: question for question in one["survey_spec"]["spec"]}
        assert {question["default"] for question in asked.values()} == {""}
        assert said_of(one) == EXTRA_VARS.get(one["playbook"], {"vllm_hosts": "medium"})
        hidden = [name for name, question in asked.items() if question["type"] == "password"]
        assert hidden == (["vllm_gateway_keys"] if one["playbook"] == "deploy_gateway.yml" else [])
        if one["playbook"] == "deploy_fleet.yml":
            # slices would be runs that exclude each other
            assert (one["job_slice_count"], one["ask_limit_on_launch"]) == (1, False)
            assert {"vllm_fleet_canary", "vllm_service_compare_percent"} <= set(asked)
        if one["playbook"] in ALL_SERVICES:
            # --limit would leave out the hosts that are made of services
            assert not one["ask_limit_on_launch"]
            assert set(asked) == ALL_SERVICES[one["playbook"]]
            continue
        assert "the inventory's 5010" in asked["vllm_port"]["question_description"]
        assert "the inventory's registry.example.org/vllm:1" in asked["vllm_image"]["question_description"]
        assert one["ask_job_type_on_launch"]
        assert not one["ask_variables_on_launch"]
    told = {name for name, one in templates.items() if one["notification_templates_error"]}
    assert told == {
        "Deploy", "Deploy all", "Deploy fleet", "Verify", "Benchmark", "Roll back", "Not released", "Rotate secrets",
        "Status", "Restart", "Stop", "Start", "Check updates", "Monitor", "Stop monitoring",
        "Deploy gateway", "Remove gateway",
    }  # fmt: skip
    (group,) = awx.objects("groups")
    assert (group["name"], group["hosts"]) == ("medium", ["gpu01"])
    schedules = {one["name"]: one for one in awx.objects("schedules")}
    assert sorted(schedules) == ["vLLM | Benchmark", "vLLM | Check updates", "vLLM | Status", "vLLM | Verify"]
    assert schedules["vLLM | Status"]["extra_data"] == {"vllm_status_fail": "true"}
    assert {(one["enabled"], one["job_type"], one["limit"]) for one in schedules.values()} == {(True, "run", "")}


def test_workflow(story) -> None:
    """check -> approval -> deploy -> verify -> benchmark, with what follows a failure."""
    awx, _check, _first = story
    nodes = {one["identifier"]: one for one in awx.objects("workflow_job_template_nodes")}
    assert {name: (one["success_nodes"], one["failure_nodes"]) for name, one in nodes.items()} == WORKFLOW
    assert (nodes["check"]["job_type"], nodes["check"]["diff_mode"]) == ("check", True)
    assert nodes["deploy"]["job_type"] is None
    always = {name: one["always_nodes"] for name, one in nodes.items() if one["always_nodes"]}
    assert always == {"diagnose": ["not-released"], "roll-back": ["not-released"]}
    (approval,) = awx.objects("workflow_approval_templates")
    assert (approval["name"], approval["timeout"]) == ("vLLM | Deploy it?", 86400)
    assert nodes["approve"]["unified_job_template"] == approval["id"]


def test_secrets_are_in_credentials_alone(story) -> None:
    """Not in the output, nor in any other object of AWX."""
    awx, check, first = story
    credentials = json.dumps(awx.objects("credentials"))
    assert [secret for secret in PLANTED if secret not in credentials] == []
    texts = {"output": first.output, "check": check.output}
    texts |= {path: json.dumps(body) for _method, path, body in awx.writes if "/credentials/" not in path}
    assert [(where, secret) for where, text in texts.items() for secret in PLANTED if secret in text] == []
    assert len(texts) > 20
    (kind,) = awx.objects("credential_types")
    assert kind["injectors"]["extra_vars"] == {"vllm_hf_token": "{{ hf_token }}", "vllm_api_key": "{{ api_key }}"}
    assert all(field["secret"] for field in kind["inputs"]["fields"])


def test_drift(story, tmp_path) -> None:
    """A check shows what somebody changed, and nothing else; a run without the secrets mends it, and keeps them."""
    awx, _check, _first = story
    templates = {one["name"].removeprefix("vLLM | "): one for one in awx.objects("job_templates")}
    plan, deploy, diagnose, remove = (templates[name] for name in ("Plan", "Deploy", "Diagnose", "Remove"))
    schedules = {one["name"].removeprefix("vLLM | "): one["id"] for one in awx.objects("schedules")}
    verify, benchmark = schedules["Verify"], schedules["Benchmark"]
    (group,) = awx.objects("groups")
    survey = {"name": "", "description": "", "spec": plan["survey_spec"]["spec"][:3]}
    for method, path, body in (
        ("PATCH", "job_templates/%d/" % deploy["id"], {"job_slice_count": 4}),
        ("PATCH", "job_templates/%d/" % diagnose["id"], {"limit": "nonehost"}),
        ("PATCH", "job_templates/%d/" % remove["id"], {"extra_vars": "vllm_port: 1"}),
        ("PATCH", "schedules/%d/" % benchmark, {"enabled": False}),
        ("POST", "job_templates/%d/survey_spec/" % plan["id"], survey),
        ("DELETE", "schedules/%d/" % verify, None),
        ("POST", "hosts/", {"name": "gpu02", "inventory": group["inventory"]}),
    ):
        status, answer = awx.answer(method, "/api/v2/" + path, body, basic=False)
        assert status < 300, answer
    status, answer = awx.answer("POST", "/api/v2/groups/%d/hosts/" % group["id"], {"id": answer["id"]}, basic=False)
    assert status < 300, answer
    (workflow,) = awx.objects("workflow_job_templates")
    status, answer = awx.answer(
        "PATCH", "/api/v2/workflow_job_templates/%d/" % workflow["id"], {"limit": "nonehost"}, basic=False
    )
    assert status < 300, answer
    wanted = ["vLLM | %s" % name for name in ("Plan", "Deploy", "Diagnose", "Remove", "Release", "Verify", "Benchmark")]

    check = Run(awx, tmp_path, {}, "--check")
    assert check.status == 0, check.output
    assert check.writes == []
    assert check.changed == wanted

    run = Run(awx, tmp_path, {})
    assert run.status == 0, run.output
    assert run.changed == wanted
    updates = [path for _method, path, _body in run.writes if path.endswith("/update/")]
    assert len(updates) == 1, "the project gets its newest revision"
    templates = awx.objects("job_templates")
    assert all(len(one["credentials"]) == 3 for one in templates)
    assert {one["job_slice_count"] for one in templates} == {1}
    assert {one["limit"] for one in templates} == {""}
    assert [one["name"] for one in templates
            if said_of(one) != EXTRA_VARS.get(one["playbook"], {"vllm_hosts": "medium"})] == []  # fmt: skip
    assert {one["enabled"] for one in awx.objects("schedules")} == {True}
    again = Run(awx, tmp_path, {})
    assert (again.status, again.changed) == (0, []), again.output
    assert "changed=0" in again.output
    assert awx.objects("groups")[0]["hosts"] == ["gpu01", "gpu02"], "a host that was added in AWX stays"
    assert [secret for secret in PLANTED if secret not in json.dumps(awx.objects("credentials"))] == []


REPORT = {"verdict": "would_change", "release": "20260101T000000Z-1a2b", "service": "medium", "url": "file:///r/index.html",
          "summary": "A run would deploy a new release."}  # fmt: skip
NOTIFIED = [
    ({"job_type": "check", "artifacts": {"vllm_reports": {"gpu01": REPORT}}},
     ["Check of vLLM | Deploy #7: successful", "would_change", REPORT["release"], REPORT["url"], "https://awx."]),
    ({"job_type": "run", "artifacts": {"vllm_reports": {"gpu01": {**REPORT, "verdict": "deployed"}}}},
     ["vLLM | Deploy #7: successful", "gpu01, medium: deployed, release " + REPORT["release"]]),
    # a job that ended before there was a report, and a workflow
    ({"job_type": "run", "artifacts": {}}, ["vLLM | Deploy #7: successful (https://awx."]),
    ({}, ["vLLM | Deploy #7: successful (https://awx."]),
]  # fmt: skip


@pytest.mark.parametrize(("job", "words"), NOTIFIED)
def test_notifications_say_what_it_was(job, words, story) -> None:
    """Check or not, release, verdict, and where the report is; a webhook gets the same as JSON."""
    awx, _check, _first = story
    (template,) = awx.objects("notification_templates")
    job = {"id": 7, "name": "vLLM | Deploy", "status": "successful", **job}
    for event in ("success", "error"):
        said = render(template["messages"][event]["message"], job)
        assert [word for word in words if word not in said] == [], said
        assert said.startswith("Check of ") is (job.get("job_type") == "check")
        body = json.loads(render(template["messages"][event]["body"], job))
        assert body["job_type"] == job.get("job_type", "")
        assert body["reports"] == job.get("artifacts", {}).get("vllm_reports", {})
