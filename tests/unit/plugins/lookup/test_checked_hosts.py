# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup checked_hosts, by its full name in a template."""

from __future__ import annotations

import pytest
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.context_objects import CLIArgs


@pytest.fixture
def hosts(loader, monkeypatch):
    """Ask the lookup for the hosts of a play, in a run with options."""

    def ask(**options) -> str:
        monkeypatch.setattr(context, "CLIARGS", CLIArgs({"args": ["myia.vllm.deploy_medium"], **options}))
        text = trust_as_template("{{ lookup('myia.vllm.checked_hosts', 'a,b') }}")
        return Templar(loader=loader, variables={}).template(text)

    return ask


def test_pattern(hosts) -> None:
    """It is returned as it was given, also where other commands than ansible-playbook ask."""
    assert hosts() == "a,b"
    assert hosts(tags=["service"], skip_tags=["verify"], start_at_task=None) == "a,b"
    assert hosts(args=None) == "a,b"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tags": ["servcie"]}, "--tags servcie"),
        ({"skip_tags": ["always"]}, "--skip-tags always"),
        ({"start_at_task": "Stage the release"}, "--start-at-task Stage the release"),
    ],
)
def test_refused(hosts, options, words) -> None:
    """The option is named."""
    with pytest.raises(AnsibleError, match=words):
        hosts(**options)


def test_core_that_is_too_old(hosts, monkeypatch) -> None:
    """Ansible itself goes on after a warning, and fails somewhere in the middle."""
    hosts()
    module = lookup_loader.get("myia.vllm.checked_hosts").run.__globals__
    monkeypatch.setitem(module, "_core", "2.15.13")
    with pytest.raises(AnsibleError, match=r"This is ansible-core 2\.15\.13; myia\.vllm needs 2\.19 or later"):
        hosts()
    monkeypatch.setitem(module, "_core", "2.22.0rc1")
    assert hosts() == "a,b"
