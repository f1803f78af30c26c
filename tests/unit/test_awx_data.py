# SPDX-License-Identifier: GPL-3.0-or-later
"""The data in awx/ against the real modules of awx.awx, the tasks that apply it, and what the roles document."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from awx_modules import argument_errors, module_options
from awx_standin.surveys import check_survey

from ansible_collections.myia.vllm.plugins.action.service_definition import BY_LOOKUP
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS, TYPED_HIDDEN

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "awx").glob("*.yml"))

#: Variable of infra.aap_configuration -> module of awx.awx.
KINDS = {
    "aap_organizations": "organization",
    "controller_execution_environments": "execution_environment",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_hosts": "host",
    "controller_groups": "group",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_notifications": "notification_template",
    "controller_labels": "label",
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_schedules": "schedule",
}

SETTINGS = {
    "vllm_awx_execution_environment": "registry.example.org/ee:1",
    "vllm_awx_hosts": {"gpu01": {"ansible_host": "192.0.2.10"}},
    "vllm_awx_gateway_hosts": {"gw1": {"ansible_host": "192.0.2.5"}, "gpu01": None},
    "vllm_awx_monitoring_hosts": {"gw1": {"vllm_monitoring_gpu_port": 9400}},
    "vllm_awx_ssh_private_key": "key",
    "vllm_awx_vault_password": "password",
    "vllm_awx_api_key": "key",
    "vllm_awx_notification": {"notification_type": "webhook", "notification_configuration": {"url": "https://x"}},
}


def load(path: pathlib.Path) -> dict:
    """Parse a YAML file as Ansible does, with what is trusted as a template."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) or {}


@pytest.fixture(name="data", scope="module", params=[{}, SETTINGS], ids=["defaults", "everything"])
def data_(request) -> dict:
    """The lists of awx/, rendered with the role's defaults and some settings."""
    variables = {"omit": "(omitted)", "ansible_check_mode": False}
    for path in (*FILES, ROOT / "roles" / "vllm_awx" / "defaults" / "main.yml"):
        variables |= load(path)
    variables |= request.param
    templar = Templar(loader=DataLoader(), variables=variables)
    return {name: templar.template(variables[name]) for name in KINDS}


def test_every_list_has_a_module() -> None:
    """Nothing in awx/ is left out by the role or by these tests."""
    lists = {name for path in FILES for name in load(path) if name.startswith(("controller_", "aap_"))}
    assert lists == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_modules_take_it(name, data) -> None:
    """Every key and value, those of nodes and questions too, is one that the real module documents."""
    options = module_options(KINDS[name])
    assert [error for item in data[name] for error in argument_errors(options, item)] == []
    assert data[name] or name in {
        "controller_execution_environments", "controller_hosts", "controller_credentials", "controller_notifications",
    }  # fmt: skip


def applied(module: str) -> set[str]:
    """The arguments that the role's tasks give to a module."""
    found: set[str] = set()
    for path in (ROOT / "roles" / "vllm_awx" / "tasks").glob("*.yml"):
        for task in yaml.safe_load(path.read_text(encoding="utf-8")):
            found |= set(task.get("awx.awx." + module) or ())
    return found


@pytest.mark.parametrize("name", sorted(KINDS))
def test_tasks_apply_every_key(name, data) -> None:
    """A key that somebody adds to the data reaches AWX; the steps of a workflow have tasks of their own."""
    keys = {key for item in data[name] for key in item} - {"workflow_nodes"}
    assert sorted(keys - applied(KINDS[name])) == []


def test_steps_name_what_follows_them(data) -> None:
    """The role makes them from the last to the first, and applies each key that one has."""
    keys = {"identifier", "unified_job_template", "related", "job_type", "diff_mode"}
    templates = {item["name"] for item in data["controller_templates"]}
    for workflow in data["controller_workflows"]:
        order = [node["identifier"] for node in workflow["workflow_nodes"]]
        assert len(set(order)) == len(order)
        for index, node in enumerate(workflow["workflow_nodes"]):
            assert set(node) <= keys
            related = node.get("related", {})
            assert set(related) <= {"success_nodes", "failure_nodes", "always_nodes"}
            after = [link["identifier"] for links in related.values() for link in links]
            assert set(after) <= set(order[index + 1 :])
            about = node["unified_job_template"]
            assert about["type"] == "workflow_approval" or about["name"] in templates


def test_a_host_of_two_groups(data) -> None:
    """It is one host, with what each group says of it; groups without hosts are left to AWX."""
    groups = {item["name"]: item["hosts"] for item in data["controller_groups"]}
    hosts = {item["name"]: item["variables"] for item in data["controller_hosts"]}
    if not data["controller_hosts"]:
        assert groups == {"medium": []}
        return
    assert groups == {"medium": ["gpu01"], "gateway": ["gw1", "gpu01"], "monitoring": ["gw1"]}
    assert hosts == {
        "gpu01": {"ansible_host": "192.0.2.10"},
        "gw1": {"ansible_host": "192.0.2.5", "vllm_monitoring_gpu_port": 9400},
    }
    assert len(data["controller_hosts"]) == 2


def test_playbooks_exist(data) -> None:
    """Each template runs a playbook of the root, and each verb has one."""
    named = {item["playbook"] for item in data["controller_templates"]}
    one = {path.name for path in ROOT.glob("*_medium.yml")} - {"watch_medium.yml", "adopt_medium.yml"}
    others = {"deploy.yml", "deploy_fleet.yml", "not_released.yml", "rotate_secrets.yml", "check_updates.yml"} | {
        "deploy_gateway.yml",
        "deploy_monitoring.yml",
        "remove_gateway.yml",
        "remove_monitoring.yml",
    }
    assert named == one | others


def test_surveys(data) -> None:
    """AWX takes them; each question is about a documented variable, none about a secret."""
    options = role_variables.all_options()
    for item in (*data["controller_templates"], *data["controller_workflows"]):
        check_survey(item["survey_spec"], {})
        for question in item["survey_spec"]["spec"]:
            assert question["variable"] in options
            assert question["variable"] not in SECRETS
            assert (question["type"] == "password") is (question["variable"] in TYPED_HIDDEN)


def test_empty_answers_say_nothing(data) -> None:
    """AWX may send an empty text for what nobody answered: the role has to read it so. Numbers are never empty."""
    own = role_variables.role_options("vllm")
    asked = {
        question["variable"]
        for item in data["controller_templates"]
        for question in item["survey_spec"]["spec"]
        if question["type"] not in ("integer", "float")
    }
    assert "vllm_gateway_tls" in asked
    assert sorted(asked - set(own) - set(BY_LOOKUP)) == []


def test_every_step_of_a_workflow_gets_its_answers(data) -> None:
    """AWX drops what a template does not ask for, and then a step would mean another service."""
    (workflow,) = data["controller_workflows"]
    asked = {question["variable"] for question in workflow["survey_spec"]["spec"]}
    steps = {node["unified_job_template"]["name"] for node in workflow["workflow_nodes"]}
    for item in data["controller_templates"]:
        if item["name"] not in steps:
            continue
        assert asked <= {question["variable"] for question in item["survey_spec"]["spec"]}, item["name"]


def test_a_workflow_is_green_only_when_its_release_serves(data) -> None:
    """AWX takes a failed step with another behind it for handled: each such way ends in a step that always fails."""
    (workflow,) = data["controller_workflows"]
    nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
    handled = [
        link["identifier"] for node in nodes.values() for link in node.get("related", {}).get("failure_nodes", [])
    ]
    assert sorted(handled) == ["diagnose", "roll-back"]
    for name in handled:
        related = nodes[name]["related"]
        assert related == {"always_nodes": [{"identifier": "not-released"}]}
    last = nodes["not-released"]
    assert last["unified_job_template"]["name"] == "vLLM | Not released"
    assert "related" not in last


def test_injectors(data) -> None:
    """The credential sets exactly the variables that are secrets, each from a field that is one."""
    (kind,) = data["controller_credential_types"]
    assert set(kind["injectors"]["extra_vars"]) == set(SECRETS)
    fields = {field["id"]: field for field in kind["inputs"]["fields"]}
    assert all(field["secret"] for field in fields.values())
    assert {text.strip("{} ") for text in kind["injectors"]["extra_vars"].values()} == set(fields)


def test_secrets_that_the_role_refuses_in_an_inventory() -> None:
    """They are those of the service."""
    variables = load(ROOT / "roles" / "vllm_awx" / "vars" / "main.yml")
    assert variables["__vllm_awx_secret_names"] == list(SECRETS)


def test_collections_for_the_project_are_those_of_galaxy_yml() -> None:
    """AWX downloads collections/requirements.yml where no execution environment has the collections."""
    wanted = yaml.safe_load((ROOT / "collections" / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert {item["name"]: item["version"] for item in wanted} == galaxy["dependencies"]


def examples(page: str) -> list[dict]:
    """Return the tasks in the YAML of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block.partition("```")[0]) for block in text.split("```yaml\n")[1:]]
    tasks = []
    for block in blocks:
        for item in block if isinstance(block, list) else []:
            tasks += item.get("tasks", [item])
    return tasks


def test_rights_of_the_page(data) -> None:
    """The modules take the example, and what it names is there."""
    known = {item["name"] for name in ("controller_templates", "controller_workflows") for item in data[name]}
    found = 0
    for task in examples("awx.md"):
        for name, args in task.items():
            if name.startswith("awx.awx."):
                found += 1
                assert argument_errors(module_options(name.rpartition(".")[2]), args) == [], task["name"]
                assert set(args.get("job_templates", []) + args.get("workflows", [])) <= known
    assert found == 4


def test_the_page_counts_the_templates(data) -> None:
    """And has a row for each."""
    text = (ROOT / "docs" / "awx.md").read_text(encoding="utf-8")
    numbers = {20: "twenty", 21: "twenty-one", 22: "twenty-two", 23: "twenty-three", 24: "twenty-four"}
    names = [item["name"].removeprefix("vLLM | ") for item in data["controller_templates"]]
    assert "There are %s job templates" % numbers[len(names)] in text
    rows = [
        cell.strip() for line in text.splitlines() if line.startswith("   | ") for cell in line.split("|")[1].split(",")
    ]
    assert [name for name in names if name not in rows] == []
