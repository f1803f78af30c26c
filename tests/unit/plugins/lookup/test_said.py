# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup said: a role's variable in its type, or the documented default."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template


@pytest.fixture(name="lookup")
def lookup_(loader):
    """Ask for a variable of a host."""

    def ask(name: str, **variables: object) -> object:
        templar = Templar(loader=loader, variables=variables)
        (found,) = lookup_loader.get("myia.vllm.said", loader=loader, templar=templar).run([name], variables)
        return found

    return ask


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("vllm_service_rollback_to", None, ""),
        ("vllm_benchmark_profile", "", "latency"),
        ("vllm_benchmark_profile", "load", "load"),
        ("vllm_benchmark_profile", trust_as_template("{{ 'swe' ~ 'ep' }}"), "sweep"),
        ("vllm_service_remove_volumes", "", False),
        ("vllm_service_remove_volumes", "true", True),
        ("vllm_health_timeout_s", "60", 60),
    ],
)
def test_values(name, value, found, lookup) -> None:
    """As said, or the default."""
    assert lookup(name, **{name: value}) == found


def test_not_set(lookup) -> None:
    """The default."""
    assert lookup("vllm_health_timeout_s") == 3600


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("vllm_nothing", "", "vllm_nothing: no role of this collection has this variable"),
        ("vllm_health_timeout_s", "soon", "vllm_health_timeout_s: 'soon' is not a whole number"),
        ("vllm_benchmark_profile", True, "need quotes"),
        ("vllm_report_dir", trust_as_template("{{ nowhere }}"), "vllm_report_dir: its value cannot be evaluated"),
    ],
)
def test_refused(name, value, words, lookup) -> None:
    """With the variable and what is wrong."""
    with pytest.raises(AnsibleLookupError, match=words):
        lookup(name, **{name: value})
