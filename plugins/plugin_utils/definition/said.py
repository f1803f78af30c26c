# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator said: whether a value says anything, and texts of AWX's forms as they were typed.

AWX hands the answers of a form to Ansible in a file, each text with the tag ``!unsafe``. ansible-core resolves such a
text anew, as if it stood in the file without quotes (``construct_yaml_unsafe`` of 2.19 to 2.22): an empty answer is
null then, ``yes`` true, and ``0123456`` the number 42798. The file is read once more here, with its texts as they are.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import copy
import pathlib

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv

#: Stands for what only Ansible can read, as an encrypted value.
_FOREIGN = object()


def is_said(value: object) -> bool:
    """Tell whether a value says anything: null and what is empty do not."""
    return value is not None and value not in ("", [], {})


class _Text(str):
    """A text that was marked as one."""

    __slots__ = ()


class _Written(yaml.SafeLoader):
    """Leaves what is marked ``!unsafe`` the text it is."""


class _Resolved(yaml.SafeLoader):
    """Reads what is marked ``!unsafe`` as ansible-core does."""


def _children(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


def _written(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    return _Text(node.value) if isinstance(node, yaml.ScalarNode) else _children(loader, node)


def _resolved(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if not isinstance(node, yaml.ScalarNode):
        return _children(loader, node)
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, node.value, node.start_mark, node.end_mark), deep=True)


_Written.add_constructor("!unsafe", _written)
_Resolved.add_constructor("!unsafe", _resolved)
for _loader in (_Written, _Resolved):
    _loader.add_constructor(None, lambda loader, node: _FOREIGN)


def texts() -> dict[str, tuple[object, object]]:
    """Return by variable what a file of extra variables says of it, as it was written and as Ansible reads it.

    Only variables with a text that is marked ``!unsafe``; what a later ``-e`` says again is left out.
    """
    found: dict[str, tuple[object, object]] = {}
    for given in context.CLIARGS.get("extra_vars") or ():
        text = given.decode() if isinstance(given, bytes) else str(given)
        if not text.startswith("@"):
            for name in _names(text):
                found.pop(name, None)
            continue
        written, resolved = _read(text[1:])
        for name, value in written.items():
            found.pop(str(name), None)
            if _marked(value) and not _foreign(value):
                found[str(name)] = (_plain(value), resolved.get(name))
    return found


def as_written(name: str, value: object, written: dict[str, tuple[object, object]]) -> tuple[bool, object]:
    """Return whether a variable's value is what a form said, and that as it was typed.

    Args:
        name: the variable.
        value: its value as Ansible has it; another one than the form's comes from elsewhere.
        written: of `texts`.
    """
    if name not in written:
        return False, value
    text, resolved = written[name]
    # 1 is equal to true
    same = any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in (resolved, text))
    return (True, text) if same else (False, value)


def below_extra(task_vars: dict) -> dict:
    """Return the variables of a host as they were without the extra variables that say nothing.

    An empty answer of a form wins over the inventory like any extra variable, and would hide what it says.

    Args:
        task_vars: the variables of the host.

    Returns:
        Variable -> value, not templated, of those extra variables only. Empty where Ansible shows no inventory.
    """
    hostvars = task_vars.get("hostvars")
    # Ansible hands neither to anybody
    manager, inventory = getattr(hostvars, "_variable_manager", None), getattr(hostvars, "_inventory", None)
    empty = [name for name, value in getattr(manager, "_extra_vars", {}).items() if _is_empty(value)]
    host = inventory.get_host(task_vars.get("inventory_hostname")) if inventory and empty else None
    if host is None:
        return {}
    bare = copy.copy(manager)
    bare._extra_vars = {}
    found = bare.get_vars(host=host, include_hostvars=False)
    return {name: found[name] for name in empty if name in found}


def _is_empty(value: object) -> bool:
    """Tell whether an extra variable says nothing."""
    try:
        return value is None or value == ""
    except AnsibleError:
        # encrypted, and no password opens it: whoever reads it says so, with its name
        return False


def _names(text: str) -> list[str]:
    """Return the variables of ``-e`` that names no file."""
    data = DataLoader().load(text) if text[:1] in ("[", "{") else parse_kv(text)
    return [str(name) for name in data] if isinstance(data, dict) else []


def _read(name: str) -> tuple[dict, dict]:
    """Return a file of extra variables, as it was written and as Ansible reads it; nothing where only Ansible can."""
    try:
        text = pathlib.Path(name).expanduser().read_text(encoding="utf-8")
        both = [yaml.load(text, Loader=loader) for loader in (_Written, _Resolved)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError):
        return {}, {}
    written, resolved = both
    if not isinstance(written, dict) or not isinstance(resolved, dict):
        return {}, {}
    # a name may be marked too, and may be resolved to something else
    return {str(key): value for key, value in written.items()}, {
        str(key): value for key, value in zip(written, resolved.values(), strict=True)
    }


def _marked(value: object) -> bool:
    return any(isinstance(item, _Text) for item in _leaves(value))


def _foreign(value: object) -> bool:
    return any(item is _FOREIGN for item in _leaves(value))


def _leaves(value: object) -> list:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, _Text) else value
