# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection on each supported ansible-core but the one in .venv, on which all other tests run."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: Where the package `ansible` has put the collections that this one depends on; they are no part of ansible-core.
DEPENDENCIES = sysconfig.get_path("purelib")

#: Unit tests of what Ansible loads on the controller, and of what imports from it. The rest is plain Python, to which
#: the version of ansible-core is all the same; it would take two and a half minutes for each.
UNITS = (
    "action",
    "callback",
    "filter",
    "lookup",
    "module_utils/hub/test_model_source.py",
    "plugin_utils/common/test_retry.py",
    "plugin_utils/preflight/test_arguments.py",
    "plugin_utils/definition/test_role_variables.py",
)

#: Modules whose tests are quick, and use between them what AnsibleModule offers: arguments, check mode, diff, commands,
#: files. That every module can be imported is seen by test_sanity.py.
MODULES = ("capacity_info", "docker_daemon_config", "gpu_info", "openpgp_key", "text_file_info")


@pytest.fixture
def other(core):
    """One of the versions that nothing else tests."""
    if core.own:
        # .venv has this one, and `make test` runs every unit test there
        pytest.skip("the unit tests have run on this one")
    return core


def test_units(other) -> None:
    """The unit tests pass."""
    paths = [*UNITS, *("modules/test_%s.py" % name for name in MODULES)]
    done = subprocess.run(
        other.command("pytest", "-q", "-p", "no:cacheprovider", *("tests/unit/plugins/" + path for path in paths)),
        cwd=ROOT,
        env=other.environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed.group(1)) > 300, done.stdout


def ansible(core, installed: pathlib.Path, program: str, *argv: str | os.PathLike) -> str:
    """Run a program of that version on the installed collection; return what it says."""
    done = subprocess.run(
        core.command(program, *argv),
        cwd=installed,
        env=core.environment(ANSIBLE_COLLECTIONS_PATH="%s:%s" % (installed, DEPENDENCIES), ANSIBLE_HOME=str(installed)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_playbooks(core, installed) -> None:
    """Each playbook can be read, by its name, from where Galaxy's client installs it."""
    root = installed / "ansible_collections" / "myia" / "vllm"
    names = ["myia.vllm." + path.stem for path in sorted((root / "playbooks").glob("*.yml"))]
    assert "myia.vllm.deploy_medium" in names
    ansible(core, installed, "ansible-playbook", "--syntax-check", "-i", root / "inventories" / "demo", *names)


def test_definition(core, installed) -> None:
    """A role of it runs, with the inventory that comes with it; what it returns has resolved all variables."""
    root = installed / "ansible_collections" / "myia" / "vllm"
    playbook = installed / "define.yml"
    playbook.write_text(
        """
- hosts: medium
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: myia.vllm.vllm
        tasks_from: define
    - ansible.builtin.debug:
        msg: "{{ vllm_definition.name }} at {{ vllm_definition.base_url }}"
""",
        encoding="utf-8",
    )
    said = ansible(core, installed, "ansible-playbook", "-i", root / "inventories" / "demo", playbook)
    assert "medium at http://127.0.0.1:5002" in said
