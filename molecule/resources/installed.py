# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that tests need and `make test` installs (tools/bootstrap).

Without one a test fails, so that a step that the installation has lost is seen. Only a run of the units alone (`make
unit`, which sets MYIA_UNIT_ONLY) may do without, and skips.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from typing import NoReturn

import pytest

_UNIT_ONLY = bool(os.environ.get("MYIA_UNIT_ONLY"))


def missing(text: str) -> NoReturn:
    """End a test that lacks something: say what, and how to get it."""
    # `make test` installs it, so only a run of the units alone may do without
    if _UNIT_ONLY:
        pytest.skip("%s (MYIA_UNIT_ONLY is set)" % text)
    pytest.fail(text)


def needs(*programs: str | pathlib.Path) -> pytest.MarkDecorator:
    """Mark tests that need programs, by name or path."""
    # skipped in a run of the units alone; elsewhere they run, and fail
    lacking = [str(program) for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(_UNIT_ONLY and bool(lacking), reason="%s: not installed" % ", ".join(lacking))
