# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/configure_awx.yml by the real modules of awx.awx against a STAND-IN for the API of AWX 24.6.1."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from awx_standin import AwxStandin
from awx_standin.notifications import render

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OTHERS = (
    "check_updates.yml",
    "deploy.yml",
    "deploy_fleet.yml",
    "deploy_gateway.yml",
    "deploy_monitoring.yml",
    "not_released.yml",
    "remove_gateway.yml",
    "remove_monitoring.yml",
    "rotate_secrets.yml",
)
PLAYBOOKS = sorted([*(path.name for path in ROOT.glob("*_medium.yml")), *OTHERS])

#: What must be in credentials alone.
SECRETS = {
    "vllm_awx_ssh_private_key": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nUExBTlRFRGtleQ==\n-----END OPENSSH PRIVATE KEY-----\n"
    ),
    "vllm_awx_become_password": "PLANTED-become-1",
    "vllm_awx_vault_password": "PLANTED-vault-2",
    "vllm_awx_hf_token": "hf_PLANTEDtoken3",
    "vllm_awx_api_key": "PLANTED-key-4",
}
PLANTED = ("UExBTlRFRGtleQ", "PLANTED-become-1", "PLANTED-vault-2", "hf_PLANTEDtoken3", "PLANTED-key-4")

SETTINGS = {
    "vllm_awx_execution_environment": "registry.example.org/vllm-ee:1",
    "vllm_awx_hosts": {"gpu01": {"ansible_host": "192.0.2.10"}},
    "vllm_awx_variables": {"vllm_port": 5010, "vllm_image": "registry.example.org/vllm:1"},
    "vllm_awx_ssh_user": "deployer-of-models",
    "vllm_awx_notification": {
        "notification_type": "webhook",
        "notification_configuration": {"url": "https://hooks.example.org/vllm"},
    },
}

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


class Run:
    """One run of the playbook."""

    def __init__(self, awx: AwxStandin, folder: pathlib.Path, variables: dict[str, Any], *words: str) -> None:
        """Run it with the settings and more variables, which are a file as an operator's are."""
        (folder / "settings.json").write_text(json.dumps({**SETTINGS, **variables}), encoding="utf-8")
        start = len(awx.writes)
        program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
        done = subprocess.run(
            [program, "playbooks/configure_awx.yml", "-e", "@%s" % (folder / "settings.json"), *words],
            cwd=ROOT,
            env={**os.environ, **awx.environment, "no_proxy": "127.0.0.1", "ANSIBLE_FORCE_COLOR": "0",
                 "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        self.status, self.output = done.returncode, done.stdout
        self.writes = awx.writes[start:]

    @property
    def changed(self) -> list[str]:
        """The items of loops that changed something."""
        marker = "changed: [localhost] => (item="
        return [line.removeprefix(marker)[:-1] for line in self.output.splitlines() if line.startswith(marker)]


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


#: What a template says for each of its jobs, by playbook; the others say the group of the hosts.
EXTRA_VARS = {"deploy_gateway.yml": {"vllm_gateway_service_hosts": "medium"}, "remove_gateway.yml": {}}
#: Whose work needs all hosts at once.
ONE_JOB = (
    "deploy_fleet.yml",
    "deploy_gateway.yml",
    "remove_gateway.yml",
    "deploy_monitoring.yml",
    "remove_monitoring.yml",
)


def said_of(template: dict) -> dict:
    """The extra variables of a template."""
    return json.loads(template["extra_vars"] or "{}")


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


SEVERAL = {
    "vllm_awx_group": "vllm",
    "vllm_awx_hosts": {
        "gpu01": {"ansible_host": "192.0.2.10"},
        "gpu02": {"vllm_services": [{"vllm_name": "embed", "vllm_port": 5010}]},
    },
    "vllm_awx_variables": {"vllm_services": [{"vllm_name": "chat"}, {"vllm_name": "rank"}]},
}


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
