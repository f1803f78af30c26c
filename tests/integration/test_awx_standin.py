# SPDX-License-Identifier: GPL-3.0-or-later
"""The real modules of awx.awx against the stand-in of AWX's API: it answers as they need and refuses as AWX does."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml
from awx_modules import argument_errors, module_options
from awx_standin import FIELDS, LINKS, UNIFIED, AwxStandin, Refused
from awx_standin.schedules import check_rrule
from awx_standin.surveys import check_survey

QUESTION = {"question_name": "Q", "variable": "vllm_q", "type": "text", "required": False}
ORGANIZATION = {"organization": "Platform"}
TEMPLATE = {**ORGANIZATION, "inventory": "GPU hosts", "project": "vLLM"}
TYPE = {
    "name": "Token",
    "kind": "cloud",
    "inputs": {
        "fields": [{"id": "token", "type": "string", "label": "Token", "secret": True}],
        "required": ["token"],
    },
    "injectors": {"env": {"HF_TOKEN": "{{ token }}"}},
}
DEPLOY = {
    "name": "Deploy",
    **TEMPLATE,
    "playbook": "deploy_medium.yml",
    "execution_environment": "vLLM EE",
    "credentials": ["Hosts", "Vault prod", "Hub"],
    "labels": ["vllm"],
    "notification_templates_error": ["Hook"],
    "ask_limit_on_launch": True,
    "ask_job_type_on_launch": True,
    "job_slice_count": 1,
    "extra_vars": {"vllm_a": 1},
    "survey_enabled": True,
    "survey_spec": {
        "name": "",
        "description": "",
        "spec": [
            {**QUESTION, "variable": "vllm_port", "type": "integer", "min": 1, "max": 65535, "default": 5002},
            {**QUESTION, "variable": "vllm_state", "type": "multiplechoice", "choices": ["a", "b"], "default": "a"},
            {**QUESTION, "variable": "vllm_text", "default": ""},
        ],
    },
}
WORKFLOW = {"name": "Flow", **ORGANIZATION, "labels": ["vllm"], "notification_templates_approvals": ["Hook"]}
NODES = [
    {
        "identifier": "check",
        "unified_job_template": {"name": "Deploy", "type": "job_template", "organization": {"name": "Platform"}},
        "job_type": "check",
        "related": {"success_nodes": [{"identifier": "approve"}]},
    },
    {
        "identifier": "deploy",
        "unified_job_template": {"name": "Deploy", "type": "job_template", "organization": {"name": "Platform"}},
        "related": {"failure_nodes": [{"identifier": "undo"}]},
    },
    {
        "identifier": "undo",
        "unified_job_template": {"name": "Deploy", "type": "job_template", "organization": {"name": "Platform"}},
        "extra_data": {"vllm_port": 1},
    },
]
APPROVAL = {"name": "Go on?", "description": "Read the plan", "timeout": 3600}
NODE = {"workflow_job_template": "Flow", **ORGANIZATION}
HOOK = {
    "name": "Hook",
    **ORGANIZATION,
    "notification_type": "webhook",
    "notification_configuration": {
        "url": "https://hook.example.com/",
        "headers": {},
        "http_method": "POST",
        "disable_ssl_verification": False,
        "username": "",
        "password": "",
    },
}
SCHEDULE = {
    "name": "Nightly",
    "unified_job_template": "Deploy",
    **ORGANIZATION,
    "rrule": "DTSTART;TZID=Europe/Berlin:20260101T030000 RRULE:FREQ=DAILY;INTERVAL=1",
    "extra_data": {"vllm_port": 5003},
    "limit": "a",
}
# Every kind in the order that references need. Approval nodes by the module for one node, since the one for a whole
# workflow changes them in every run (test_inline_approval_always_changes).
EVERY_KIND: list[tuple[str, dict[str, Any]]] = [
    ("organization", {"name": "Platform", "galaxy_credentials": ["Ansible Galaxy"]}),
    ("execution_environment", {"name": "vLLM EE", "image": "registry.example.com/ee:1", "pull": "missing"}),
    ("credential_type", TYPE),
    (
        "credential",
        {"name": "Hub", **ORGANIZATION, "credential_type": "Token", "inputs": {"token": "hf-secret"}},
    ),
    ("credential", {"name": "Hosts", **ORGANIZATION, "credential_type": "Machine", "inputs": {"username": "deploy"}}),
    (
        "credential",
        {
            "name": "Vault prod",
            **ORGANIZATION,
            "credential_type": "Vault",
            "inputs": {"vault_id": "prod", "vault_password": "vault-secret"},
        },
    ),
    ("notification_template", HOOK),
    ("label", {"name": "vllm", **ORGANIZATION}),
    (
        "project",
        {
            "name": "vLLM",
            **ORGANIZATION,
            "scm_type": "git",
            "scm_url": "https://git.example.com/vllm.git",
            "update_project": "{{ not ansible_check_mode }}",
            "interval": 0.1,
        },
    ),
    ("inventory", {"name": "GPU hosts", **ORGANIZATION, "kind": "", "variables": {"a": 1}}),
    ("host", {"name": "gpu1", "inventory": "GPU hosts", "variables": {"ansible_host": "192.0.2.1"}}),
    ("group", {"name": "medium", "inventory": "GPU hosts", "hosts": ["gpu1"]}),
    ("job_template", DEPLOY),
    ("workflow_job_template", {**WORKFLOW, "workflow_nodes": [{**node, "related": {}} for node in NODES]}),
    ("workflow_job_template_node", {**NODE, "identifier": "approve", "approval_node": APPROVAL}),
    ("workflow_job_template_node", {**NODE, "identifier": "approve", "success_nodes": ["deploy"]}),
    ("workflow_job_template", {**WORKFLOW, "workflow_nodes": NODES}),
    ("schedule", SCHEDULE),
]


def unsafe(value: Any) -> str:
    """YAML in which texts with Jinja are marked !unsafe, but for conditions of this file's own."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
        tag = "!unsafe" if "{{" in data and "ansible_check_mode" not in data else "tag:yaml.org,2002:str"
        return dumper.represent_scalar(tag, data, style='"')

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False)


def play(
    awx: AwxStandin, folder: pathlib.Path, tasks: list[tuple[str, dict[str, Any]]], *words: str, ignore: bool = False
) -> list[dict[str, Any]]:
    """Run awx.awx modules one after the other by ansible-playbook; the results, in order."""
    listed = [
        {"name": name, "awx.awx." + name: {**arguments, **({"update_secrets": False} if name == "credential" else {})}}
        for name, arguments in tasks
    ]
    book = [{"hosts": "localhost", "gather_facts": False, "ignore_errors": ignore, "tasks": listed}]
    (folder / "play.yml").write_text(unsafe(book), encoding="utf-8")
    (folder / "ansible.cfg").touch()
    program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [program, "-i", "localhost,", "-c", "local", "play.yml", *words],
        cwd=folder,
        env={
            **os.environ,
            **awx.environment,
            "no_proxy": "127.0.0.1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    run = json.loads(done.stdout[done.stdout.index("{") :])
    results = [task["hosts"]["localhost"] for task in run["plays"][0]["tasks"]]
    if not ignore:
        assert done.returncode == 0, json.dumps([result for result in results if result.get("failed")], indent=1)
    return results


def changed(results: list[dict[str, Any]]) -> list[int]:
    """The numbers of the tasks that changed something."""
    return [number for number, result in enumerate(results) if result["changed"]]


@pytest.fixture(name="filled", scope="module")
def filled_(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A stand-in in which the modules created one object of every kind; and what they said."""
    with AwxStandin(playbooks=["deploy_medium.yml"]) as awx:
        yield awx, play(awx, tmp_path_factory.mktemp("create"), EVERY_KIND)


def names(awx: AwxStandin, kind: str) -> list[str]:
    """The names of all objects of a kind."""
    return [one["name"] for one in awx.objects(kind)]


def test_every_kind_is_created(filled) -> None:
    """Everything arrives, linked, with nothing lost and no token left."""
    awx, results = filled
    assert changed(results) == list(range(len(EVERY_KIND)))
    assert awx.ignored == []
    assert awx.doubts == []
    assert awx.open_tokens == {}
    (deploy,) = awx.objects("job_templates")
    assert sorted(deploy["credentials"]) == ["Hosts", "Hub", "Vault prod"]
    assert (deploy["labels"], deploy["notification_templates_error"]) == (["vllm"], ["Hook"])
    assert [q["variable"] for q in deploy["survey_spec"]["spec"]] == ["vllm_port", "vllm_state", "vllm_text"]
    assert {one["name"]: one["inputs"] for one in awx.objects("credentials")}["Hub"] == {"token": "hf-secret"}
    (hub,) = awx.answer("GET", "/api/v2/credentials/?name=Hub", None, basic=False)[1]["results"]
    assert hub["inputs"] == {"token": "$encrypted$"}
    assert awx.objects("groups")[0]["hosts"] == ["gpu1"]
    nodes = {one["identifier"]: one for one in awx.objects("workflow_job_template_nodes")}
    assert nodes["check"]["success_nodes"] == ["approve"]
    assert nodes["approve"]["success_nodes"] == ["deploy"]
    assert nodes["deploy"]["failure_nodes"] == ["undo"]
    assert nodes["check"]["job_type"] == "check"
    (approval,) = awx.objects("workflow_approval_templates")
    assert (approval["name"], approval["timeout"]) == ("Go on?", 3600)
    assert nodes["approve"]["unified_job_template"] == approval["id"]
    assert names(awx, "schedules") == ["Nightly"]
    assert sorted(names(awx, "organizations")) == ["Default", "Platform"]


def drifted(arguments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Arguments that differ from what is there."""
    return {**copy.deepcopy(arguments), **changes}


GATE = {"identifier": "gate", "unified_job_template": {"type": "workflow_approval", "name": "Gate", "timeout": 60}}
GATED = ("workflow_job_template", {"name": "Gated", **ORGANIZATION, "workflow_nodes": [GATE]})
WRONG_SURVEY = {"name": "", "description": "", "spec": [{**QUESTION, "type": "integer", "default": "5002"}]}
# (module, its arguments, what AWX says)
REFUSED_TASKS: list[tuple[str, dict[str, Any], str]] = [
    ("job_template", drifted(DEPLOY, name="X", playbook="other.yml"), "Playbook not found for project."),
    (
        "job_template",
        drifted(DEPLOY, survey_spec=WRONG_SURVEY),
        "Default value 5002 in survey question 0 expected to be integer.",
    ),
    (
        "credential",
        {"name": "X", **ORGANIZATION, "credential_type": "Machine", "inputs": {"user": "deploy"}},
        "Additional properties are not allowed ('user' was unexpected)",
    ),
    ("schedule", drifted(SCHEDULE, name="X", rrule="RRULE:FREQ=DAILY;INTERVAL=1"), "Valid DTSTART required in rrule."),
    ("workflow_job_template_node", {**NODE, "identifier": "deploy", "success_nodes": ["check"]}, "Cycle detected."),
]


def test_second_run_and_refusals(filled, tmp_path) -> None:
    """A project is updated and unchanged; an inline approval node always changes; wrong objects get AWX's words.

    awx.awx 24.6.1 compares fields of an approval node of `workflow_nodes` that AWX does not show.
    """
    awx, _results = filled
    project = next(task for task in EVERY_KIND if task[0] == "project")
    start = len(awx.writes)
    tasks = [project, GATED, GATED, *((name, arguments) for name, arguments, _said in REFUSED_TASKS)]
    results = play(awx, tmp_path, tasks, ignore=True)
    assert awx.writes[start][1].endswith("/update/")
    assert changed(results[:3]) == [1, 2]
    for (name, _arguments, said), result in zip(REFUSED_TASKS, results[3:], strict=True):
        assert result.get("failed"), (name, said, result)
        assert said in result["msg"], result["msg"]


# (path, what is sent, names instead of ids; what AWX answers)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("organizations", {}, "{'name': ['This field is required.']}"),
    ("organizations", {"name": "Default"}, "Organization with this Name already exists."),
    ("organizations", {"name": "X", "max_hosts": "many"}, "A valid integer is required."),
    ("inventories", {"name": "X"}, "{'organization': ['This field is required.']}"),
    ("inventories", {"name": "X", "organization": 999}, 'Invalid pk "999" - object does not exist.'),
    ("inventories", {"name": "X", **ORGANIZATION, "variables": "- a"}, "is not a dictionary"),
    ("inventories", {"name": "X", **ORGANIZATION, "kind": "clever"}, '"clever" is not a valid choice.'),
    ("hosts", {"name": "X", "inventory": "GPU hosts", "enabled": "perhaps"}, "Must be a valid boolean."),
    ("projects", {"name": "X", "scm_type": "cvs"}, '"cvs" is not a valid choice.'),
    ("projects", {"name": "X", "scm_type": "git"}, "SCM URL is required."),
    ("projects", {"name": "X", "scm_clean": True}, "Update options must be set to false for manual projects."),
    (
        "execution_environments",
        {"name": "X", "image": "i", "credential": "Hosts"},
        "Only Container Registry credentials can be associated with an Execution Environment",
    ),
    ("credentials", {"name": "X", "credential_type": "Machine"}, "Missing 'user', 'team', or 'organization'."),
    (
        "credentials",
        {"name": "X", **ORGANIZATION, "credential_type": "Machine", "inputs": {"ssh_key_data": "no key"}},
        "Invalid certificate or key: no key...",
    ),
    ("credential_types", {"name": "X", "kind": "ssh"}, "Must be 'cloud' or 'net', not ssh"),
    (
        "credential_types",
        {**TYPE, "name": "X", "inputs": {"fields": [{"id": "a-b", "label": "A"}]}},
        "a-b is an invalid variable name",
    ),
    (
        "credential_types",
        {**TYPE, "name": "X", "inputs": {"fields": [{"id": "a", "label": "A", "type": "boolean", "secret": True}]}},
        "secret not allowed for boolean type (a)",
    ),
    (
        "credential_types",
        {**TYPE, "name": "X", "injectors": {"environment": {}}},
        "Additional properties are not allowed ('environment' was unexpected)",
    ),
    (
        "credential_types",
        {**TYPE, "name": "X", "injectors": {"env": {"ANSIBLE_X": "{{ token }}"}}},
        "Environment variable ANSIBLE_X may affect Ansible configuration",
    ),
    (
        "credential_types",
        {**TYPE, "name": "X", "injectors": {"env": {"PATH": "{{ token }}"}}},
        "Environment variable PATH is not allowed to be used in credentials.",
    ),
    (
        "credential_types",
        {**TYPE, "name": "X", "injectors": {"extra_vars": {"x": "{{ tokem }}"}}},
        "x uses an undefined field ('tokem' is undefined)",
    ),
    ("job_templates", {"name": "X", "playbook": "deploy_medium.yml"}, "must have a project assigned."),
    (
        "job_templates",
        {"name": "X", "project": "vLLM", "playbook": "deploy_medium.yml"},
        "You must either set a default value or ask to prompt on launch.",
    ),
    (
        "job_templates",
        {"name": "X", "project": "vLLM", "inventory": "GPU hosts", "playbook": "deploy_medium.yml", "scm_branch": "b"},
        "Project does not allow overriding branch.",
    ),
    ("job_templates/Deploy/credentials", {"id": "Hosts too"}, "Cannot assign multiple Machine credentials."),
    ("job_templates/Deploy/credentials", {"id": "Ansible Galaxy"}, "Cannot assign a Credential of kind `galaxy`."),
    (
        "organizations/Platform/galaxy_credentials",
        {"id": "Hosts"},
        "Credential must be a Galaxy credential, not Machine.",
    ),
    (
        "notification_templates",
        {"name": "X", **ORGANIZATION, "notification_type": "webhook", "notification_configuration": {"url": "u"}},
        "Missing required fields for Notification Configuration: ['headers'].",
    ),
    ("notification_templates", {**HOOK, "name": "X", "messages": {"sucess": {}}}, "Event 'sucess' invalid"),
    (
        "schedules",
        {"name": "X", "unified_job_template": "Deploy", "rrule": "DTSTART:20260101T030000Z RRULE:FREQ=DAILY"},
        "INTERVAL required in rrule: RULE:FREQ=DAILY",
    ),
    (
        "schedules",
        {**SCHEDULE, "name": "X", "rrule": "DTSTART;TZID=Mars/Base:20260101T030000 RRULE:FREQ=DAILY;INTERVAL=1"},
        "rrule parsing failed validation: A valid TZID must be provided",
    ),
    ("schedules", {**SCHEDULE, "name": "X", "extra_data": {"o": 1}}, "Variables o are not allowed on launch."),
    ("schedules", {**SCHEDULE, "name": "X", "extra_data": {"vllm_port": 0}}, "is too small (must be at least 1)."),
    ("schedules", {**SCHEDULE, "name": "X", "verbosity": 1}, "Field is not configured to prompt on launch."),
    ("schedules/Nightly/credentials", {"id": "Hosts too"}, "not configured to accept credentials on launch."),
    ("workflow_job_template_nodes/check/always_nodes", {"id": "approve"}, "Relationship not allowed."),
]


def test_refusals_are_those_of_awx(filled) -> None:
    """Each wrong object and link is refused with AWX's words."""
    awx, _results = filled

    def number(kind: str, name: Any) -> Any:
        every = UNIFIED if kind == "unified_job_templates" else (kind,)
        stored = [one for some in every for one in awx._objects[some].values()]
        return next((one["id"] for one in stored if name in (one.get("name"), one.get("identifier"))), name)

    other = {"name": "Hosts too", **ORGANIZATION, "credential_type": "Machine", "inputs": {"username": "deploy"}}
    for path, sent, said in [("credentials", other, ""), *REFUSED]:
        kind, *rest = path.split("/")
        fields = {**FIELDS[kind], "id": ("ref", None, LINKS[kind][rest[1]] if rest else "")}
        body = {
            name: number(fields[name][2], value) if name in fields and fields[name][0] == "ref" else value
            for name, value in sent.items()
        }
        url = "/".join([kind, *(str(number(kind, word)) for word in rest[:1]), *rest[1:]])
        status, answer = awx.answer("POST", "/api/v2/%s/" % url, copy.deepcopy(body), basic=False)
        assert status == (400 if said else 201), (path, sent, answer)
        assert said in str(answer), (path, sent, answer)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, ""),
        ({"type": "bool"}, "'bool' in survey question 0 is not one of 'text, textarea, password,"),
        ({"required": "yes"}, "'required' in survey question 0 expected to be boolean."),
        ({"variable": None}, "'variable' in survey question 0 expected to be string."),
        ({"type": "integer", "default": "1"}, "Default value 1 in survey question 0 expected to be integer."),
        ({"type": "float", "default": 1, "min": 0.5}, "The min limit in survey question 0 expected to be integer."),
        ({"type": "multiselect"}, "Survey question 0 of type multiselect must specify choices."),
        ({"type": "multiplechoice", "choices": ["a"], "default": "b"}, "Default choice must be answered from"),
        ({"type": "multiplechoice", "choices": "a\nb", "default": "a\nb"}, "can only have one default value."),
        ({"default": "$encrypted$"}, "$encrypted$ is a reserved keyword for password question defaults"),
        ({"type": "password", "default": "$encrypted$"}, "may not be used for new default in position 0."),
    ],
)
def test_surveys_are_checked(question: dict[str, Any], said: str) -> None:
    """A question is refused in AWX's words; a good one passes."""
    spec = {"name": "", "description": "", "spec": [{**QUESTION, **question}]}
    if not said:
        check_survey(spec, {})
        return
    with pytest.raises(Refused) as refused:
        check_survey(spec, {})
    assert said in refused.value.body["error"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"description": "", "spec": []}, "Field 'name' is missing from survey spec."),
        ({"name": "", "description": "", "spec": []}, "'spec' doesn't contain any items."),
        ({"name": "", "description": "", "spec": {}}, "Expected list of items for field 'spec', received dict type."),
        ({"name": "", "description": "", "spec": [QUESTION, QUESTION]}, "'variable' 'vllm_q' duplicated in survey"),
    ],
)
def test_survey_frames_are_checked(spec: dict[str, Any], said: str) -> None:
    """So is what is around the questions."""
    with pytest.raises(Refused) as refused:
        check_survey(copy.deepcopy(spec), {})
    assert said in refused.value.body["error"]


def test_naive_until_becomes_utc() -> None:
    """AWX rewrites an UNTIL without Z, so that awx.awx finds it changed in every run."""
    rule = "DTSTART;TZID=Europe/Berlin:20260101T030000 RRULE:FREQ=DAILY;INTERVAL=1;UNTIL=20260301T030000"
    assert check_rrule(rule) == rule.replace("UNTIL=20260301T030000", "UNTIL=20260301T020000Z")
    assert check_rrule(check_rrule(rule)) == check_rrule(rule)


def test_what_is_lost_is_recorded() -> None:
    """Fields that AWX does not know, and defaults that it never uses, are in `ignored`."""
    awx = AwxStandin()
    organization = awx.objects("organizations")[0]["id"]

    def post(path: str, **body: Any) -> dict[str, Any]:
        status, answer = awx.answer("POST", "/api/v2/%s/" % path, body, basic=False)
        assert status in (200, 201), answer
        return answer or {}

    project = post("projects", name="P", organization=organization, scm_type="git", scm_url="x", colour="red")
    template = post("job_templates", name="J", project=project["id"], playbook="p.yml", ask_inventory_on_launch=True)
    questions = [
        {**QUESTION, "type": "integer", "max": 10, "default": 11},
        {
            **QUESTION,
            "variable": "part",
            "type": "multiplechoice",
            "choices": "abc\ndef",
            "default": "ab",
            "defualt": 1,
        },
    ]
    post("job_templates/%d/survey_spec" % template["id"], name="", description="", spec=questions)
    assert awx.ignored == [
        ("projects", "colour"),
        ("survey_spec", "defualt"),
        ("survey_spec", "default of vllm_q"),
        ("survey_spec", "default of part"),
    ]
    assert awx.doubts == ["job_template J has a survey that is not enabled"]


def test_lists_come_in_pages() -> None:
    """A list tells how many there are and where the rest is; a filter on a field that is not there is refused."""
    awx = AwxStandin()
    organization = awx.objects("organizations")[0]["id"]
    for number in range(30):
        awx.answer("POST", "/api/v2/labels/", {"name": "l%d" % number, "organization": organization}, basic=False)
    _status, page = awx.answer("GET", "/api/v2/labels/?organization=%d" % organization, None, basic=False)
    assert (page["count"], len(page["results"])) == (30, 25)
    _status, rest = awx.answer("GET", page["next"], None, basic=False)
    assert (len(rest["results"]), rest["next"]) == (5, None)
    _status, one = awx.answer("GET", "/api/v2/labels/?or__id=7&or__name=l7", None, basic=False)
    assert [label["name"] for label in one["results"]] == ["l7"]
    assert awx.answer("GET", "/api/v2/labels/?colour=red", None, basic=False)[0] == 400
    twice = {"name": "l7", "organization": organization}
    assert awx.answer("POST", "/api/v2/labels/", twice, basic=False)[0] == 400


@pytest.mark.parametrize(
    ("module", "arguments", "found"),
    [
        ("job_template", {**DEPLOY}, []),
        ("workflow_job_template", {**WORKFLOW, "workflow_nodes": NODES}, []),
        ("job_template", {"name": "x", "vebosity": 1}, ["vebosity is no option, there are "]),
        ("job_template", {"verbosity": 9}, ["name is missing", "verbosity: 9 is not one of 0, 1, 2, 3, 4, 5"]),
        ("workflow_job_template", {"name": "x", "schema": [{}]}, ["schema[0].identifier is missing"]),
        (
            "workflow_job_template",
            {"name": "x", "workflow_nodes": [{"identifier": "a", "related": {"sucess_nodes": []}}]},
            ["workflow_nodes[0].related.sucess_nodes is no option"],
        ),
        ("host", {"name": "x", "inventory": "y", "enabled": 1}, ["enabled: 1 is no bool"]),
    ],
)
def test_arguments_against_the_documentation(module: str, arguments: dict[str, Any], found: list[str]) -> None:
    """Misspelt and ill-typed arguments are found, in nodes too, where the module itself would not look."""
    errors = argument_errors(module_options(module), arguments)
    assert len(errors) == len(found), errors
    for error, start in zip(errors, found, strict=True):
        assert error.startswith(start)
