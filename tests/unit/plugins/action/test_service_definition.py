# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_definition, with Ansible's own templates, variables and vault."""

from __future__ import annotations

import json

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import trust_as_template

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options


@pytest.fixture
def run(action):
    """Run the plugin on a host with variables."""

    def call(**variables) -> dict:
        return action("service_definition", variables=variables).run(task_vars=variables)

    return call


@pytest.fixture(autouse=True)
def secrets(monkeypatch, loader) -> list:
    """The vault passwords that the operator gave: none, until a test adds one."""
    given: list = []
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(given))
    loader.set_vault_secrets(given)
    return given


def vaulted(loader, name: str, value: str) -> object:
    """A variable encrypted by a password that nobody gives."""
    text = VaultLib([("medium", VaultSecret(b"pw"))]).encrypt(value, vault_id="medium").decode()
    source = "%s: !vault |\n%s" % (name, "".join("  %s\n" % line for line in text.splitlines()))
    return loader.load(source)[name]


def test_defaults(run) -> None:
    """Without any variable: the medium service."""
    result = run()
    assert "failed" not in result
    assert (result["name"], result["port"], result["changed"]) == ("medium", 5002, False)
    assert result["warnings"] == []


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned, apart from options of vllm serve under the names of their variables."""
    returned, documented = set(run()) - {"changed", "warnings"}, set(documentation("service_definition", "RETURN"))
    assert documented <= returned
    assert returned - documented <= {option.variable.removeprefix("vllm_") for option in serve_options.SERVE_OPTIONS}


def test_templates_are_resolved(run) -> None:
    """Variables may refer to others."""
    result = run(vllm_port=trust_as_template("{{ my_base + 2 }}"), my_base=5000)
    assert result["port"] == 5002


def test_all_problems_in_one_failure(run, planted) -> None:
    """A list of every problem, and no secret."""
    result = run(vllm_port="abc", vllm_prot=1, vllm_shm_size=trust_as_template("{{ nowhere }}"), **planted)
    assert result["failed"] is True
    assert result["msg"].startswith("3 problems in the definition of the service; nothing was changed.\n- ")
    for words in ("- vllm_port: 'abc'", "- vllm_prot: ", "Did you mean vllm_port?", "- vllm_shm_size: ", "nowhere"):
        assert words in result["msg"]
    assert "PLANTED" not in json.dumps(result, default=str)


def test_one_problem(run) -> None:
    """The singular."""
    assert run(vllm_port=0)["msg"].startswith("1 problem in ")


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("vllm_zzz", True),
        ("docker_engine_zzz", True),
        ("nvidia_container_toolkit_zzz", True),
        ("vllm_hosts", False),
        ("vllm_reports", False),
        ("vllm_definition", False),
        ("vllm_health_timeout_s", False),
        ("docker_engine_result", False),
        ("vllmzzz", False),
        ("my_vllm_zzz", False),
    ],
)
def test_unknown_names(name, refused, run) -> None:
    """Only names with a prefix of the collection that nobody defines are refused."""
    assert bool(run(**{name: 1}).get("failed")) is refused


def test_own_variables(run) -> None:
    """A name that the user declares is no misspelling."""
    assert "failed" not in run(vllm_mine=1, vllm_user_variables=["vllm_mine"])


@pytest.mark.parametrize("name", ["vllm_api_key", "vllm_hf_token", "vllm_port", "vllm_hf_overrides"])
def test_closed_vault(name, run, loader) -> None:
    """One problem with the fix, and nothing about the value."""
    result = run(**{name: vaulted(loader, name, "PLANTED")})
    assert result["failed"] is True
    assert result["msg"].startswith("1 problem in "), result["msg"]
    assert "- %s: is encrypted by Ansible Vault" % name in result["msg"]
    assert "--vault-id" in result["msg"]


def test_closed_vault_beside_other_problems(run, loader) -> None:
    """A gated model whose token cannot be read has one problem, not a missing token too."""
    token = vaulted(loader, "vllm_hf_token", "PLANTED")
    result = run(vllm_hf_token=token, vllm_model_gated=True, vllm_port=0)
    assert result["msg"].startswith("2 problems in ")
    assert "vllm_port: 0" in result["msg"]


def test_wrong_password(run, loader, secrets) -> None:
    """The same words when the password is another one."""
    secrets.append(("medium", VaultSecret(b"wrong")))
    assert "- vllm_api_key: is encrypted" in run(vllm_api_key=vaulted(loader, "vllm_api_key", "PLANTED"))["msg"]


def test_open_vault(run, loader, secrets) -> None:
    """With the password the value counts, and is not in the result."""
    secrets.append(("medium", VaultSecret(b"pw")))
    result = run(vllm_api_key=vaulted(loader, "vllm_api_key", "PLANTED"))
    assert result.get("failed") is None, result["msg"]
    assert result["api_key_required"] is True
    assert "PLANTED" not in json.dumps(result, default=str)


def test_vaulted_item(run, loader, secrets) -> None:
    """A value inside of a dictionary may be encrypted alone; without its password the variable has none."""
    source = {"REGION": vaulted(loader, "x", "PLANTED")}
    assert "- vllm_extra_env: is encrypted by Ansible Vault" in run(vllm_extra_env=source)["msg"]
    secrets.append(("medium", VaultSecret(b"pw")))
    result = run(vllm_extra_env={"REGION": vaulted(loader, "x", "PLANTED")})
    assert result.get("failed") is None, result["msg"]
    assert "PLANTED" not in json.dumps(result, default=str)


def test_broken_template_of_a_secret(run) -> None:
    """The error's own text could hold the value; it is not shown."""
    result = run(vllm_api_key=trust_as_template("{{ 'PLANTED' | no_such_filter }}"))
    assert result["failed"] is True
    assert "vllm_api_key: its value cannot be evaluated" in result["msg"]
    assert "PLANTED" not in result["msg"]


def test_warnings_are_handed_on(run) -> None:
    """Publishing without a key is said."""
    assert "vllm_publish_address" in run(vllm_publish_address="0.0.0.0")["warnings"][0]


ENTRY = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own failure"]}


def test_own_failures(run) -> None:
    """Entries that can work are accepted."""
    assert run(vllm_extra_failures=[ENTRY]).get("failed") is None


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{**ENTRY, "class": "odd"}], "vllm_extra_failures, entry 1 (own): class is 'odd'; expected one of "),
        ([{**ENTRY, "patterns": ["("]}], "vllm_extra_failures, entry 1 (own): patterns holds '(', which is no regular"),
        ([ENTRY, ENTRY], "vllm_extra_failures, entry 2 (own): the id stands twice"),
        (["x"], "vllm_extra_failures, entry 1 is str"),
    ],
    ids=["class", "pattern", "twice", "text"],
)
def test_own_failures_that_cannot_work(entries, words, run) -> None:
    """Refused before anything is changed, with all other problems."""
    result = run(vllm_extra_failures=entries, vllm_port=0)
    assert result["failed"] is True
    assert "- " + words in result["msg"]
    assert "- vllm_port: 0" in result["msg"]


def test_own_failures_that_cannot_be_read(run) -> None:
    """One problem of one variable, and no crash."""
    result = run(vllm_extra_failures=trust_as_template("{{ nowhere }}"))
    assert result["msg"].startswith("1 problem in ")
    assert "- vllm_extra_failures: its value cannot be evaluated" in result["msg"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"vllm_verify_extra_checks": [{"id": "a", "kind": "chta"}]}, "vllm_verify_extra_checks, entry 1 (a): kind is"),
        ({"vllm_verify_skip": "nothing"}, "vllm_verify_skip: there is no check nothing"),
        ({"vllm_verify_extra_checks": {"id": "a"}}, "vllm_verify_extra_checks and vllm_verify_skip must be lists"),
    ],
)
def test_checks_that_cannot_be_made(run, variables: dict, said: str) -> None:
    """They are used at the end of a deployment, and refused at its beginning, beside what else is wrong."""
    result = run(vllm_port=70000, **variables)
    assert result["failed"] is True
    assert said in result["msg"]
    assert "vllm_port: 70000" in result["msg"]


def test_checks_of_ones_own(run) -> None:
    """A changed one, a new one and skipped ones, as a list or as a text of ``-e``."""
    own = {"id": "own", "kind": "chat", "prompt": "Hi", "expect": {"matches": "."}}
    for skip in (["latency"], "latency,long-context"):
        result = run(vllm_verify_extra_checks=[{"id": "chat", "must": False}, own], vllm_verify_skip=skip)
        assert "failed" not in result, result["msg"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("vllm_service_verify", "nope", "'nope' is not true or false"),
        ("vllm_service_pull", "sometimes", "choose one of"),
        ("vllm_health_timeout_s", "soon", "is not a"),
        ("vllm_preflight_min_free_gib", [], "is not a number"),
        ("docker_engine_install", "perhaps", "is not true or false"),
        ("vllm_service_keep_releases", 0, "0 is out of range. Use 1 to 10000."),
        ("vllm_service_keep_releases", "-1", "-1 is out of range. Use 1 to 10000."),
        ("vllm_service_keep_failed_releases", 0, "0 is out of range. Use 1 to 10000."),
        ("vllm_health_timeout_s", -5, "-5 is out of range. Use 0 to 31622400."),
        ("vllm_health_poll_s", 0, "0.0 is out of range. Use 0.1 to 600."),
        ("vllm_preflight_min_free_gib", "nan", "nan is out of range"),
        ("nvidia_container_toolkit_state", "there", "choose one of"),
    ],
)
def test_arguments_of_later_roles(variable, value, words, run) -> None:
    """They are refused before anything is changed, not by the role that would read them then."""
    result = run(**{variable: value})
    assert result["failed"]
    assert result["msg"].startswith("1 problem in the definition")
    assert "- %s: " % variable in result["msg"]
    assert words in result["msg"]


def test_good_arguments_of_later_roles(run) -> None:
    """As surveys and -e give them; one that is not known yet is left to its role."""
    given = {
        "vllm_service_verify": "yes",
        "vllm_health_timeout_s": "600",
        "docker_engine_repository_key": None,
        "vllm_report_dir": trust_as_template("{{ not_known_yet }}"),
        "vllm_awx_hosts": "no dictionary",
    }
    assert "failed" not in run(**given)


def test_internal_variables_of_other_roles(run) -> None:
    """A play that names several roles has the variables of all of them, when the first one is at it."""
    assert "failed" not in run(__docker_engine_source="distribution", __vllm_service_plan={})


@pytest.mark.parametrize("name", ["vlm_port", "VLLM_PORT", "vllm-port"])
def test_nearly_a_variable_of_ours(run, name) -> None:
    """It would be ignored without a word; a role's own default beside it says nothing, an operator's value does."""
    result = run(**{name: 5003, "vllm_port": None})
    assert result["failed"]
    assert "- %s: no variable" % name in result["msg"]
    assert "Did you mean vllm_port?" in result["msg"]
    assert not run(**{name: 5003, "vllm_port": 5003}).get("failed")
    assert not run(**{name: 5003, "vllm_user_variables": [name]}).get("failed")


@pytest.mark.parametrize("value", [None, ""])
def test_emptied_arguments_of_later_roles(value, run) -> None:
    """Their roles would take them as they are, after the host was changed; what forms ask for is not said then."""
    result = run(docker_engine_source=value, vllm_benchmark_profile=value, vllm_service_remove_volumes=value)
    assert result["msg"].splitlines()[1:] == [
        '- docker_engine_source: it is empty. Leave it out, which means "auto", or give it a value.'
    ]
