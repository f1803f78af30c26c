# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a page of each playbook from the playbook: the comment at its head, its plays, and the variables it takes.

Part of ``make docs`` (tools/docs_site.py). The comment says what the playbook is for, and after ``Changes:`` what it
changes. Variables are those of its plays (``vllm_hosts``), and those of every role that it comes to.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import role_docs
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMESPACE = "myia.vllm."

#: What stands in the plays themselves.
PLAY_VARIABLES = {
    "vllm_hosts": "The hosts to work on: a group, names or a pattern of the inventory.",
    "vllm_gateway_service_hosts": "The hosts whose services the gateway offers: a group or a host of the inventory.",
    "vllm_gateway_group": "The hosts that are gateways: a group or a host of the inventory.",
    "vllm_monitoring_group": "The hosts that monitor: a group or a host of the inventory.",
    "vllm_serial": "How many hosts at a time, as a number or a share such as `25%`. When all of them fail, the others "
    "stay as they are.",
}


def head(text: str) -> tuple[str, str]:
    """Return what a playbook is for and what it changes, from the comment at its head."""
    match = re.match(r"---\n((?:# .*\n)+)", text)
    purpose, mark, changes = " ".join(re.findall(r"^# (.*)$", match[1] if match else "", re.MULTILINE)).partition(
        " Changes: "
    )
    if not mark:
        raise ValueError("the playbook does not begin with a comment that says what it is for, and what it changes")
    return purpose, changes[0].upper() + changes[1:]


def walk(tasks: list[dict] | None, place: str = "") -> Iterator[tuple[str, dict]]:
    """Yield every task, those within blocks too, with the part of a block (rescue, always) in which it stands."""
    for task in tasks or []:
        yield place, task
        for part in ("block", "rescue", "always"):
            yield from walk(task.get(part), place if part == "block" else part)


def role_of(task: dict) -> tuple[str, str] | None:
    """Return the role that a task brings in, and the entry point; None for another task."""
    for word in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
        if word in task:
            return task[word]["name"].removeprefix(NAMESPACE), task[word].get("tasks_from", "main")
    return None


def reached(tasks: list[dict], seen: dict | None = None, folder: pathlib.Path | None = None) -> dict:
    """Return every (role, entry point) that tasks come to, in this order, each with the variables it is given.

    Names of task files may hold an expression: then each file that it can mean counts.
    """
    seen = {} if seen is None else seen
    for _place, task in walk(tasks):
        role = role_of(task)
        if role:
            again = role in seen
            seen.setdefault(role, set()).update(task.get("vars") or {})
            if not again:
                _reach_role(*role, seen)
        for word in ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks"):
            if word in task and folder:
                named = task[word]["file"] if isinstance(task[word], dict) else task[word]
                for path in sorted(folder.glob(re.sub(r"\{\{.*?\}\}", "*", named))):
                    _reach_file(path, seen)
    return seen


def _reach_role(role: str, entry: str, seen: dict) -> None:
    meta = yaml.safe_load((ROOT / "roles" / role / "meta" / "main.yml").read_text(encoding="utf-8"))
    for needed in meta.get("dependencies") or []:
        name = (needed if isinstance(needed, str) else needed["role"]).removeprefix(NAMESPACE)
        seen.setdefault((name, "main"), set())
    _reach_file(ROOT / "roles" / role / "tasks" / ("%s.yml" % entry), seen)


def _reach_file(path: pathlib.Path, seen: dict) -> None:
    if path not in seen:
        seen[path] = set()
        reached(yaml.safe_load(path.read_text(encoding="utf-8")) or [], seen, path.parent)


def tasks_of(play: dict) -> list[dict]:
    """Return the tasks of a play in the order in which they run."""
    return [task for part in ("pre_tasks", "tasks", "post_tasks") for task in play.get(part) or []]


def play_variables(plays: list[dict]) -> dict[str, str]:
    """Return the variables that stand in the plays' own keywords, with their defaults."""
    text = " ".join(str(play.get(keyword, "")) for play in plays for keyword in ("hosts", "serial"))
    found = dict(re.findall(r"(\w+) \| default\('(.*?)'(?:, true)?\)", text))
    # the lookup reads it itself
    return {**found, **({"vllm_serial": "100%"} if "service_batches" in text else {})}


def role_variables(plays: list[dict]) -> dict[str, dict]:
    """Return the options of every role that the plays can come to, by role, without those that they set themselves."""
    found: dict[str, dict] = {}
    tasks = [task for play in plays for task in tasks_of(play)]
    facts = {name for _place, task in walk(tasks) for name in task.get("ansible.builtin.set_fact") or {}}
    for key, given in reached(tasks).items():
        if isinstance(key, tuple):
            options = (role_docs.specs(key[0]).get(key[1]) or {}).get("options") or {}
            own = {name: option for name, option in options.items() if name not in given | facts}
            found.setdefault(key[0], {}).update(own)
    return found


def _step(place: str, task: dict) -> str:
    before = {"rescue": "When something failed: ", "always": "In any case: "}.get(place, "")
    role = role_of(task)
    if role:
        entry = "" if role[1] == "main" else ", entry point `%s`" % role[1]
        return "   - %s%s (role [%s](../roles/%s/README.md)%s)" % (before, task["name"], role[0], role[0], entry)
    modules = [key.removeprefix(NAMESPACE) for key in task if key.startswith(NAMESPACE)]
    after = "".join(" (module [%s](../reference/%s_module.rst))" % (name, name) for name in modules)
    return "   - %s%s%s" % (before, task["name"], after)


def _commands(name: str, plays: list[dict]) -> str:
    on_hosts = any(play.get("connection") != "local" for play in plays)
    inventory = " -i inventories/medium --vault-id medium@prompt" if on_hosts else ""
    root = (ROOT / ("%s.yml" % name)).exists()
    rows = ["ansible-playbook%s %s.yml" % (inventory, name)] if root else []
    rows.append("ansible-playbook%s playbooks/%s.yml" % (inventory, name))
    either = ", either of them" if root else ""
    clone = "In a clone of the repository%s:\n\n```sh\n%s\n```\n" % (either, "\n".join(rows))
    installed = "ansible-playbook%s %s%s" % (inventory.replace("inventories/medium", "INVENTORY"), NAMESPACE, name)
    return "%s\nWhere the collection is installed:\n\n```sh\n%s\n```\n" % (clone, installed)


def _knob(role: str, name: str, option: dict) -> str:
    link = "[`%s`](../roles/%s/README.md#%s)" % (name, role, name)
    return "- %s: %s" % (link, role_docs.first_sentence(option["description"]))


def page(path: pathlib.Path) -> str:
    """Return the page of a playbook."""
    text = path.read_text(encoding="utf-8")
    plays = yaml.safe_load(text)
    purpose, changes = head(text)
    parts = ["# %s\n" % path.stem, "%s\n" % purpose, "**Changes:** %s\n" % changes]
    parts += ["## Run it\n", _commands(path.stem, plays), "## What it does\n"]
    for play in plays:
        where = "the controller" if play.get("connection") == "local" else "the hosts"
        parts.append("1. **%s**, on %s" % (play["name"], where))
        parts += [_step(place, task) for place, task in walk(tasks_of(play)) if "block" not in task]
    parts.append("\n## Variables\n")
    own, roles = play_variables(plays), role_variables(plays)
    if own:
        parts += ["| variable | default | what it is |", "|---|---|---|"]
        parts += ["| `%s` | `%s` | %s |" % (name, default, PLAY_VARIABLES[name]) for name, default in own.items()]
        parts.append("")
    if "vllm" in roles:
        parts.append("All variables of the service, `vllm_*`: role [vllm](../roles/vllm/README.md).\n")
    knobs = {role: options for role, options in roles.items() if options and role != "vllm"}
    if knobs:
        parts.append("The knobs of the roles that it can come to:\n")
    for role, options in knobs.items():
        parts.append("### Role %s\n" % role)
        parts += [_knob(role, name, option) for name, option in options.items()]
        parts.append("")
    return "\n".join(parts)


def index(paths: list[pathlib.Path]) -> str:
    """Return the page that lists the playbooks."""
    purposes = {path.stem: head(path.read_text(encoding="utf-8"))[0] for path in paths}
    rows = "".join("| [%s](%s.md) | %s |\n" % (name, name, purpose) for name, purpose in purposes.items())
    table = "| playbook | what it does |\n|---|---|\n%s" % rows
    return "# Playbooks\n\n%s\n```{toctree}\n:hidden:\n\n%s\n```\n" % (table, "\n".join(purposes))


def pages() -> dict[str, str]:
    """Return every page by its file's name."""
    paths = sorted((ROOT / "playbooks").glob("*.yml"))
    return {"index.md": index(paths), **{"%s.md" % path.stem: page(path) for path in paths}}
