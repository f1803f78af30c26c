# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the toolkit share."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def run_role(host, play):
    """Run the role again on this host with other variables."""

    def run(*arguments: str, **variables: object):
        return play("--limit", host.backend.host, "-e", json.dumps(variables), *arguments)

    return run


@pytest.fixture
def uuids(host) -> list[str]:
    """The GPUs of the host."""
    return host.check_output("nvidia-smi --query-gpu=uuid --format=csv,noheader").split()
