# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the options of ``ansible-playbook`` that choose tasks, before a playbook of this collection begins.

Ansible itself ends with success when no task has a tag that was asked for, and in the middle of a play when the tasks
that were left out had made what others need.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
COLLECTION = "myia.vllm."

#: Tags whose tasks leave behind what those of another tag need.
_NEEDS = {"toolkit": ("engine",), "config": ("engine",), "service": ("engine", "config")}


#: Tags that Molecule skips in its runs, for tasks that a test leaves out (molecule/provisioner/ansible.py).
_OF_MOLECULE = ("molecule-notest", "notest", "molecule-idempotence-notest")


def problem(playbooks: Iterable[str], run: Iterable[str], skip: Iterable[str], start_at: str | None) -> str:
    """Return why a run would not do what its options seem to say; empty when it would.

    Playbooks of other people are not judged: their tags are their business, though they may import ours.

    Args:
        playbooks: files, or names such as ``myia.vllm.deploy_medium``, as given to ``ansible-playbook``.
        run: the tags to run; ``all`` without ``--tags``.
        skip: the tags to skip.
        start_at: name of the task to start at; None for the first.
    """
    tasks: list[list[str]] = []
    for name in playbooks:
        found = _tags_of_tasks(_file(name))
        if found is None:
            return ""
        tasks += found
    skip = [tag for tag in skip if tag not in _OF_MOLECULE]
    text = next(_problems(tasks, list(run), skip, start_at), "")
    return text and text + " Nothing was changed."


def _problems(tasks: list[list[str]], run: list[str], skip: list[str], start_at: str | None) -> Iterator[str]:
    known = [tag for tag in dict.fromkeys(tag for tags in tasks for tag in tags) if tag not in ("always", "never")]
    optional = [tag for tag in known if not any(tag in tags and "always" in tags for tags in tasks)]
    has = "The tags are %s." % ", ".join(known) if known else "The playbook has no tags."
    if start_at is not None:
        yield (
            "--start-at-task %s: this skips the tasks that define the service, which all others need. Start at the "
            "beginning%s" % (start_at, ", or use --tags. " + has if known else ".")
        )
    for tag in run:
        if tag not in (*known, "all"):
            yield "--tags %s: there is no such tag. %s" % (tag, has)
    for tag in skip:
        if tag not in optional:
            yield "--skip-tags %s: what can be skipped is %s." % (tag, ", ".join(optional) or "nothing")
    chosen = [tag for tag in known if (tag in run or "all" in run) and tag not in skip]
    if skip and not chosen:
        yield "--skip-tags %s: this leaves nothing to do." % ",".join(skip)
    for tag in chosen:
        for needed in _NEEDS.get(tag, ()):
            if needed in skip:
                yield "--skip-tags %s: the tag %s cannot do without it; skip both." % (needed, tag)


def _file(name: str) -> pathlib.Path:
    """Return the file of a playbook that was given as a path, or by its name in this collection."""
    if name.startswith(COLLECTION):
        return ROOT / "playbooks" / (name[len(COLLECTION) :] + ".yml")
    return pathlib.Path(name).resolve()


def _tags_of_tasks(path: pathlib.Path) -> list[list[str]] | None:
    """Return the tags of each task that has some; None for a playbook that is more than an import of ours."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    found = [_listed(node["tags"]) for node in _nodes(entries) if "tags" in node]
    ours = path.parent == ROOT / "playbooks"
    for entry in entries if isinstance(entries, list) else [{}]:
        name = str(entry.get("ansible.builtin.import_playbook") or entry.get("import_playbook") or "")
        if ours and not name:
            continue
        # a relative path is beside the file that imports it
        inner = (
            _tags_of_tasks(_file(name if name.startswith(COLLECTION) else str(path.parent / name))) if name else None
        )
        if inner is None:
            return None
        found += inner
    return found


def _listed(tags: list | str) -> list[str]:
    return tags.split(",") if isinstance(tags, str) else [str(tag) for tag in tags]


def _nodes(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(inner)
