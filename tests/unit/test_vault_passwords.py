# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of encrypted files is made on the controller once, however many hosts want it at a time."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.executable).parent / "ansible-playbook"

SETTINGS = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}

#: Each role that makes one: the tasks that do, the variable that names the file, and what the role encrypts with.
ROLES = {
    "config_archive": ("password", "config_archive_vault_password_file", "__config_archive_password"),
    "vllm_adopt": ("password", "vllm_adopt_vault_password_file", "__vllm_adopt_password"),
    "vllm_new_service": ("secrets", "vllm_new_service_vault_password_file", "__vllm_new_service_password"),
}


#: Each, of which `make test` takes the first: four hosts in two runs of Ansible take long.
EACH = [pytest.param(role, marks=pytest.mark.full if number else ()) for number, role in enumerate(ROLES)]


@pytest.fixture(name="passwords")
def passwords_of(tmp_path):
    """Return a function that has four hosts of one run take a password; it returns output and what each has."""

    def run(role: str, file: pathlib.Path, *arguments: str) -> tuple[str, list[str]]:
        tasks_from, variable, fact = ROLES[role]
        tasks = [
            {"ansible.builtin.include_role": {"name": "myia.vllm.%s" % role, "tasks_from": tasks_from}},
            {
                "ansible.builtin.copy": {
                    "content": "{{ %s }}" % fact,
                    "dest": "%s/{{ inventory_hostname }}.said" % tmp_path,
                    "mode": "0600",
                },
                "check_mode": False,
            },
        ]
        play = {"hosts": "all", "gather_facts": False, "vars": {variable: str(file)}, "tasks": tasks}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        done = subprocess.run(
            [PROGRAM, "-i", "a,b,c,d,", "-c", "local", "-f", "4", tmp_path / "play.yml", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, **SETTINGS},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, [path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.said"))]

    return run


@pytest.mark.parametrize("role", EACH)
def test_hosts_of_a_run_share_one(role, passwords, tmp_path) -> None:
    """What one host encrypts, the file that is kept has to open."""
    file = tmp_path / "new" / "password"
    passwords(role, file, "--check")
    assert not file.parent.exists()
    _output, said = passwords(role, file)
    kept = file.read_text(encoding="utf-8").strip()
    assert said == [kept] * 4
    assert len(kept) == 40
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("role", EACH)
def test_a_folder_that_is_there_keeps_its_mode(role, passwords, tmp_path) -> None:
    """It may be anybody's, such as a home or /etc; a password that is there is taken as it is."""
    folder = tmp_path / "there"
    folder.mkdir(mode=0o755)
    passwords(role, folder / "password")
    assert folder.stat().st_mode & 0o777 == 0o755
    (folder / "password").write_text("PLANTED-password\n", encoding="utf-8")
    assert passwords(role, folder / "password")[1] == ["PLANTED-password"] * 4
