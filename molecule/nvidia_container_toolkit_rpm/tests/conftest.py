# SPDX-License-Identifier: GPL-3.0-or-later
"""The two hosts of the scenario, for tests that run a play on both at a time."""

from __future__ import annotations

import os
import pathlib

import pytest
import testinfra


@pytest.fixture(scope="session")
def hosts() -> dict:
    """Both hosts, by name; reached by the docker client, which is ten times as fast as an Ansible task a command."""
    scenario = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]).name
    names = ("toolkit-el9", "toolkit-leap15")
    return {name: testinfra.get_host("docker://myia-%s-%s" % (scenario, name)) for name in names}
