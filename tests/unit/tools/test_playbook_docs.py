# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the playbooks say what stands in the playbooks, and in the roles that these come to."""

from __future__ import annotations

import pathlib
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import playbook_docs  # noqa: E402 - needs the path above

PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))


def plays(name: str) -> list[dict]:
    """Return the plays of one playbook."""
    return yaml.safe_load((ROOT / "playbooks" / ("%s.yml" % name)).read_text(encoding="utf-8"))


def test_every_playbook_has_a_page() -> None:
    """And the index names it with what it is for."""
    pages = playbook_docs.pages()
    assert set(pages) == {"index.md", *("%s.md" % path.stem for path in PLAYBOOKS)}
    for path in PLAYBOOKS:
        purpose = playbook_docs.head(path.read_text(encoding="utf-8"))[0]
        assert "| [%s](%s.md) | %s |" % (path.stem, path.stem, purpose) in pages["index.md"]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_page(path) -> None:
    """Purpose, changes, the spellings that there are, every play, every task."""
    page = playbook_docs.page(path)
    purpose, changes = playbook_docs.head(path.read_text(encoding="utf-8"))
    assert "# %s\n\n%s\n\n**Changes:** %s\n" % (path.stem, purpose, changes) in page
    commands = [line.split()[-1] for line in page.splitlines() if line.startswith("ansible-playbook ")]
    root = ["%s.yml" % path.stem] if (ROOT / path.name).exists() else []
    assert commands == [*root, "playbooks/%s" % path.name, "myia.vllm.%s" % path.stem]
    for play in plays(path.stem):
        assert "1. **%s**" % play["name"] in page
        for _place, task in playbook_docs.walk(playbook_docs.tasks_of(play)):
            assert "block" in task or "- %s" % task["name"] in page or ": %s" % task["name"] in page


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\n- name: x\n", "does not begin with a comment"),
        ("---\n# It looks.\n- name: x\n", "does not begin with a comment"),
        ("# Changes: nothing.\n---\n- name: x\n", "does not begin with a comment"),
    ],
)
def test_a_head_that_says_too_little(text, problem) -> None:
    """A new playbook cannot be documented without saying what it changes."""
    with pytest.raises(ValueError, match=problem):
        playbook_docs.head(text)


def test_head() -> None:
    """Lines are joined; a second comment is not taken."""
    text = "---\n# It looks\n# twice.\n# Changes: nothing on\n# hosts.\n- name: x\n  # not this\n  hosts: all\n"
    assert playbook_docs.head(text) == ("It looks twice.", "Nothing on hosts.")


def test_variables_of_plays() -> None:
    """Those in the keywords of plays, each of which is explained; a new one without an explanation is an error."""
    assert playbook_docs.play_variables(plays("deploy_medium")) == {"vllm_hosts": "medium", "vllm_serial": "100%"}
    assert playbook_docs.play_variables(plays("plan_medium")) == {"vllm_hosts": "medium"}
    assert playbook_docs.play_variables(plays("configure_awx")) == {}
    assert playbook_docs.play_variables([{"hosts": "{{ here | default('a') }}"}]) == {"here": "a"}


def test_roles_are_followed() -> None:
    """Through files, files whose names hold an expression, dependencies, and roles that other roles bring in."""
    deployed = playbook_docs.role_variables(plays("deploy_medium"))
    # vllm_service brings in two more
    assert {"vllm", "vllm_preflight", "docker_engine", "vllm_service", "vllm_health", "vllm_verify"} <= set(deployed)
    assert "vllm_health_timeout_s" in deployed["vllm_health"]
    # removing needs none of them
    removing = {"vllm", "vllm_service", "vllm_port_guard", "vllm_gateway", "vllm_monitoring"}
    assert set(playbook_docs.role_variables(plays("remove_medium"))) == removing
    # the toolkit's task file is named after its state
    toolkit = [{"ansible.builtin.import_role": {"name": "myia.vllm.nvidia_container_toolkit"}}]
    assert ("docker_engine", "configure") in playbook_docs.reached(toolkit)


def test_what_is_set_is_no_variable() -> None:
    """What a playbook or a role gives to a role is not for others to set."""
    for name in ("deploy_medium", "verify_medium"):
        report = playbook_docs.role_variables(plays(name))["vllm_report"]
        assert "vllm_report_dir" in report
        assert not {"vllm_report_run", "vllm_report_failure"} & set(report)
    assert "vllm_verify_fail" not in playbook_docs.role_variables(plays("deploy_medium"))["vllm_verify"]
    assert "vllm_verify_fail" in playbook_docs.role_variables(plays("verify_medium"))["vllm_verify"]
