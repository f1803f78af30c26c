# SPDX-License-Identifier: GPL-3.0-or-later
"""How many machines a play works on at a time, by what the run says and whether there is a gateway."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader


def sizes(variables: dict, **options) -> list:
    """Ask the lookup."""
    return lookup_loader.get("myia.vllm.service_batches").run(["vllm"], variables=variables, **options)


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({}, {}, ["100%"]),
        ({"groups": {"gateway": ["g"]}}, {}, ["100%"]),
        ({"groups": {"gateway": ["g"]}}, {"one_by_one_before": "gateway"}, [1]),
        ({"groups": {"gateway": []}}, {"one_by_one_before": "gateway"}, ["100%"]),
        ({"groups": {}}, {"one_by_one_before": "gateway"}, ["100%"]),
        ({"groups": {"gateway": ["g"]}, "vllm_serial": "50%"}, {"one_by_one_before": "gateway"}, ["50%"]),
    ],
)
def test_sizes(variables, options, expected) -> None:
    """What the run says comes first; behind a gateway it is one after the other where the playbook wants that."""
    assert sizes(variables, **options) == expected


def test_a_serial_that_is_none() -> None:
    """Refused with the variable."""
    with pytest.raises(AnsibleError, match="vllm_serial is 'abc'"):
        sizes({"vllm_serial": "abc"})
