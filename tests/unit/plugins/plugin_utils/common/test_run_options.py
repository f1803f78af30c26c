# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options of ansible-playbook make sense for the playbooks of this collection."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_options

DEPLOY = "myia.vllm.deploy_medium"
TAGS = ["preflight", "engine", "toolkit", "config", "service", "verify", "benchmark", "report"]


def problem(*playbooks: object, run: str = "all", skip: str = "", start_at: str | None = None) -> str:
    """What is said of a run; tags are separated by commas."""
    return run_options.problem(
        [str(name) for name in playbooks], run.split(","), skip.split(",") if skip else (), start_at
    )


@pytest.mark.parametrize("tag", ["all", *TAGS, "config,service", "all,preflight"])
def test_known_tags(tag) -> None:
    """Each tag of the deployment is one."""
    assert problem(DEPLOY, run=tag) == ""


@pytest.mark.parametrize("tags", ["servcie", "preflight,servcie", "always", "never", "tagged", "untagged", "define"])
def test_unknown_tags(tags) -> None:
    """The message names the tag and those that there are, in the order of the deployment."""
    found = problem(DEPLOY, run=tags)
    assert found.startswith("--tags %s: there is no such tag." % tags.split(",")[-1])
    assert ", ".join(TAGS) in found


@pytest.mark.parametrize(
    ("skip", "named"),
    [
        ("define", "--skip-tags define: what can be skipped is preflight, engine, "),
        ("always", "--skip-tags always: "),
        ("all", "--skip-tags all: "),
        ("report", "--skip-tags report: "),
        ("config", "--skip-tags config: the tag service cannot do without it"),
        ("engine", "--skip-tags engine: the tag toolkit cannot do without it"),
        ("engine,toolkit,config", "--skip-tags engine: the tag service cannot do without it"),
    ],
)
def test_what_cannot_be_skipped(skip, named) -> None:
    """What all or others need stays."""
    assert problem(DEPLOY, skip=skip).startswith(named)


@pytest.mark.parametrize("skip", ["preflight", "benchmark,verify", "config,service", "engine,toolkit,config,service"])
def test_what_can_be_skipped(skip) -> None:
    """A part that no other one of this run needs."""
    assert problem(DEPLOY, skip=skip) == ""


def test_only_what_runs_has_needs() -> None:
    """A tag that was not asked for needs nothing; one that was and is skipped leaves nothing."""
    assert problem(DEPLOY, run="verify", skip="engine,config") == ""
    assert problem(DEPLOY, run="service", skip="config").startswith("--skip-tags config: the tag service")
    assert problem(DEPLOY, run="service,verify", skip="service,verify").endswith(
        "leaves nothing to do. Nothing was changed."
    )


def test_start_at_task() -> None:
    """It is refused, whichever task it names, and tags are offered where there are some."""
    found = problem(DEPLOY, start_at="Stage the release")
    assert found.startswith("--start-at-task Stage the release: this skips the tasks that define the service")
    assert "use --tags. The tags are preflight, " in found
    assert "--tags" not in problem("myia.vllm.configure_awx", start_at="x")


@pytest.mark.parametrize("path", sorted(run_options.ROOT.glob("playbooks/*.yml")), ids=lambda path: path.stem)
def test_every_playbook_by_each_name(path) -> None:
    """By its name, by its file, and by the file in the root that imports it; a run without options is well."""
    for name in (run_options.COLLECTION + path.stem, path, run_options.ROOT / path.name):
        if str(name).startswith(run_options.COLLECTION) or name.exists():
            assert problem(name) == ""
            assert problem(name, run="servcie") != ""


def test_playbooks_of_other_people(tmp_path) -> None:
    """Their tags are their business, unless all that they do is to import ours."""
    site = tmp_path / "site.yml"
    site.write_text("- hosts: all\n  tags: network\n- ansible.builtin.import_playbook: myia.vllm.deploy_medium\n")
    assert problem(site, run="network") == problem(site, start_at="x") == problem(tmp_path / "none.yml", run="x") == ""
    site.write_text("- {x: !vault 1}\n")
    assert problem(site, run="network") == ""
    site.write_text("- import_playbook: myia.vllm.verify_medium\n  tags: llm,mine\n")
    assert problem(site, run="mine") == ""
    assert "The tags are llm, mine, verify, report." in problem(site, run="yours")
    outer = tmp_path / "outer.yml"
    outer.write_text("- import_playbook: site.yml\n")
    assert problem(outer, run="yours") != ""
    assert problem(outer, DEPLOY, run="engine") == ""


def test_molecule_may_run_ours() -> None:
    """It skips tags of its own in its runs, also of playbooks that have no tags to skip."""
    for name in ("deploy_medium", "plan_medium"):
        assert problem("myia.vllm." + name, skip="molecule-notest,notest,molecule-idempotence-notest") == ""
    assert "--skip-tags define" in problem("myia.vllm.deploy_medium", skip="molecule-notest,define")
