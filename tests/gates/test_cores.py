# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection on each supported ansible-core but the newest, on which all other tests run."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sysconfig

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sysconfig.get_path("scripts"))

#: Unit tests of what Ansible loads on the controller, and of what imports from it. The rest is plain Python, to which the
#: version of ansible-core is all the same; it would take two and a half minutes for each.
UNITS = (
    "action",
    "filter",
    "lookup",
    "module_utils/test_model_source.py",
    "plugin_utils/test_patient.py",
    "plugin_utils/test_preflight_question.py",
    "plugin_utils/test_role_variables.py",
)

#: Modules whose tests are quick and between them use what AnsibleModule offers: arguments, check mode, diff, commands, files.
MODULES = ("capacity_info", "docker_daemon_config", "gpu_info", "openpgp_key", "text_file")


@pytest.fixture
def older(core):
    """One of the versions that nothing else tests."""
    if core.own:
        pytest.skip("the unit tests have run on this one")
    return core


def test_units(older) -> None:
    """The unit tests pass."""
    paths = [*UNITS, *("modules/test_%s.py" % name for name in MODULES)]
    done = subprocess.run(
        [older.bin / "pytest", "-q", "-p", "no:cacheprovider", *("tests/unit/plugins/" + path for path in paths)],
        cwd=ROOT,
        env=older.environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed.group(1)) > 300, done.stdout
