# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the engine share."""

from __future__ import annotations

import pytest


@pytest.fixture
def stopped_engine(host, untouched):
    """Stop the engine for the time of one test."""
    # systemd refuses a service that is started too often in a minute, unless its counter is reset
    host.check_output("systemctl stop docker.socket docker.service; systemctl reset-failed docker.service || true")
    host.check_output("touch /tmp/myia-mark; sleep 1.1")
    yield
    host.check_output("systemctl reset-failed docker.service; systemctl start docker.service")
