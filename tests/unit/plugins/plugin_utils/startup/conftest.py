# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the watcher share."""

from __future__ import annotations

import pytest
from startup_lines import CATALOGUE

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch


@pytest.fixture
def watch() -> StartWatch:
    """A watch without limits."""
    return StartWatch(CATALOGUE, {}, [], 0)
