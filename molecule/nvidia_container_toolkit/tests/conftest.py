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


@pytest.fixture(scope="module", autouse=True)
def small_sources(host) -> None:
    """Put an empty repository in place of Debian's, which converge still had beside the toolkit's.

    No test needs a package of Debian's, and reading its lists takes longer than all the rest of an installation.
    """
    host.check_output(
        "mkdir -p /srv/other-source && : > /srv/other-source/Packages && "
        "echo 'deb [trusted=yes] file:/srv/other-source ./' > /etc/apt/sources.list.d/0000sources.list && "
        "apt-get update --quiet 2>&1"
    )
