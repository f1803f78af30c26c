# SPDX-License-Identifier: GPL-3.0-or-later
"""Write variables into a file of the inventory, on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import pathlib
import re
import shutil

import yaml

#: What stands in place of a path for a file of the host beside its inventory.
INVENTORY = "inventory"

_HEAD = "---\n# Written by the Ansible collection myia.vllm (%s). A run of it changes its own variables only.\n"


def place(where: str, host: str, sources: list[str], several: bool, job: bool) -> tuple[str, str]:
    """Return (path of the file, why there is none).

    Args:
        where: a path; `INVENTORY` for ``host_vars/<host>/vllm_versions.yml`` beside the inventory.
        host: name of the host in the inventory.
        sources: files and folders of the inventory.
        several: whether the host lists its services in ``vllm_services``, where variables stand in entries.
        job: whether this is a job of AWX, whose files are gone with it.
    """
    folders = [path if path.is_dir() else path.parent for path in map(pathlib.Path, sources) if path.exists()]
    reason = ""
    if several:
        reason = "the variables belong into the service's entry of vllm_services"
    elif job:
        reason = "a job of AWX keeps no file; set them in vllm_awx_variables"
    elif where == INVENTORY and not folders:
        reason = "the inventory is no file"
    if reason or where != INVENTORY:
        return ("", reason) if reason else (str(pathlib.Path(where).expanduser().absolute()), "")
    folder = folders[0].absolute() / "host_vars"
    for suffix in ("", ".yml", ".yaml", ".json"):
        taken = folder / (host + suffix)
        # Ansible reads the folder of a host instead of its file, not beside it
        if taken.is_file():
            return "", "%s is there, and Ansible would not read it any more beside a folder; set them in it" % taken
    return str(folder / host / "vllm_versions.yml"), ""


def changed(path: str, variables: dict, why: str) -> tuple[str, str]:
    """Return the text of a file (before, after) that gets variables; what else stands in it stays.

    Args:
        path: of the file, which need not be there.
        variables: the value of each.
        why: the playbook that writes it.

    Raises:
        ValueError: the file is there and holds no plain variables.
    """
    file = pathlib.Path(path)
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        found = yaml.safe_load(before) if before else {}
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("%s holds no plain variables; name another file, or none." % path)
    lines = before.splitlines(keepends=True) or [_HEAD % why]
    for name, value in variables.items():
        line = yaml.safe_dump({name: str(value)}, width=1000, default_style=None)
        at = [number for number, text in enumerate(lines) if text.startswith("%s:" % name)]
        if at and not _is_one_line(lines, at[0]):
            raise ValueError("%s: %s is more than a line there; change it by hand." % (path, name))
        if at:
            lines[at[0]] = line
        else:
            lines.append(line if not lines or lines[-1].endswith("\n") else "\n" + line)
    after = "".join(lines)
    if not _says(after, variables):
        raise ValueError("%s: a line would not say it there; set %s by hand." % (path, ", ".join(variables)))
    return before, after


def _says(text: str, variables: dict) -> bool:
    """Tell whether a text is YAML in which each variable has its value, once."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    once = all(len(re.findall(r"^%s:" % re.escape(name), text, re.MULTILINE)) == 1 for name in variables)
    return once and isinstance(found, dict) and all(found.get(name) == str(value) for name, value in variables.items())


def _is_one_line(lines: list[str], number: int) -> bool:
    rest = lines[number + 1 : number + 2]
    return not rest or not rest[0].startswith((" ", "\t", "-")) or not rest[0].strip()


def write(path: str, text: str) -> None:
    """Write the file, and the folders it lies in; who may read it stays as it is.

    Raises:
        OSError: it cannot be written.
    """
    # what a link leads to gets the variables, and the link stays
    file = pathlib.Path(path).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.touch()
    if file.exists():
        shutil.copymode(file, temporary)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
