# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` leaves to `make test-full` of lint, units, integration and gates."""

from __future__ import annotations

import core_tests
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark of what takes long."""
    core_tests.register(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With MYIA_TESTS=core, leave that out."""
    core_tests.leave_out(config, items, core_tests.without_full)
