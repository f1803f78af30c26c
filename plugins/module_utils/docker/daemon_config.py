# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge keys into Docker's ``daemon.json`` and take them out again. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile

from ansible_collections.myia.vllm.plugins.module_utils.common import files

#: Where dockerd looks without --config-file.
DEFAULT_PATH = "/etc/docker/daemon.json"

#: Ending of the file beside ``daemon.json`` that remembers what stood there before the first change.
RECORD = ".myia-vllm"


class DaemonConfigError(ValueError):
    """The file cannot be merged into. The text names the position and what to do."""


def parse(text: str) -> dict:
    """Return the configuration in ``text``; an empty dictionary for a file that is not there ("" is not that).

    Raises:
        DaemonConfigError: for anything dockerd itself would not read as one JSON object.
    """
    if text.startswith("\ufeff"):
        raise DaemonConfigError(
            "line 1, column 1: it begins with a byte order mark (BOM); save it as UTF-8 without one"
        )
    if not text.strip():
        raise DaemonConfigError("line 1, column 1: it is empty; write {} into it, or delete it")
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1].strip()
        hint = " (JSON knows no comments)" if line.startswith(("//", "#", "/*")) else ""
        raise DaemonConfigError("line %d, column %d: %s%s" % (error.lineno, error.colno, error.msg, hint)) from None
    if not isinstance(data, dict):
        raise DaemonConfigError(
            "line 1, column 1: it holds %s where Docker expects an object ({...})" % json.dumps(data)[:40]
        )
    for key in ("runtimes", "features"):
        # dockerd reads null as no object at all
        if not isinstance(data.get(key), (dict, type(None))):
            raise DaemonConfigError(
                "%s: its key %s is no object; Docker would not start with it" % (_at(text, key), key)
            )
    return data


def _at(text: str, key: str) -> str:
    """Say where ``key`` stands first in ``text``."""
    before = text[: max(text.find('"%s"' % key), 0)]
    return "line %d, column %d" % (before.count("\n") + 1, len(before) - before.rfind("\n"))


def _unique(pairs: list[tuple[str, object]]) -> dict:
    """Refuse a key that stands twice: merging would silently drop one of the two."""
    result: dict = {}
    for key, value in pairs:
        if key in result:
            raise DaemonConfigError("the key %r stands there twice" % key)
        result[key] = value
    return result


def merge(current: dict, wanted: dict) -> dict:
    """Return ``current`` with ``wanted`` merged in: objects key by key at every depth, anything else replaced."""
    result = copy.deepcopy(current)
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def remove(current: dict, wanted: dict, original: dict | None = None) -> dict:
    """Return ``current`` without the keys that ``wanted`` names; an object left empty by that goes too.

    Args:
        current: the configuration.
        wanted: the keys; values do not matter.
        original: the configuration before any change. A key that it has gets that value back.
    """
    original = original or {}
    result = copy.deepcopy(current)
    for key, value in wanted.items():
        before = original.get(key)
        deeper = isinstance(value, dict) and value
        if deeper and isinstance(result.get(key), dict) and (key not in original or isinstance(before, dict)):
            rest = remove(result[key], value, before)
            if rest or key in original:
                result[key] = rest
            else:
                del result[key]
        elif key in original:
            result[key] = copy.deepcopy(before)
        else:
            result.pop(key, None)
    return result


def common(wanted: dict, there: dict) -> dict:
    """Return the part of ``wanted`` whose keys ``there`` has too."""
    result = {}
    for key, value in wanted.items():
        if key not in there:
            continue
        if isinstance(value, dict) and value and isinstance(there[key], dict):
            deeper = common(value, there[key])
            if deeper:
                result[key] = deeper
        else:
            result[key] = value
    return result


def render(data: dict) -> str:
    """Return the text of the file: four spaces, keys in the order they had, a final newline."""
    return json.dumps(data, indent=4, ensure_ascii=False) + "\n"


#: Top-level keys that a running dockerd takes over on SIGHUP (measured on 20.10 and 26.1 for runtimes,
#: default-runtime and live-restore; the others by Docker's documentation, "Configuration reload behavior").
_RELOADABLE = frozenset((
    "authorization-plugins",
    "debug",
    "default-runtime",
    "default-shm-size",
    "insecure-registries",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "features",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
))  # fmt: skip


def changed_keys(before: dict, after: dict) -> list[str]:
    """Return the top-level keys whose values differ, sorted."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def action_for(before: dict, after: dict) -> dict[str, str]:
    """Return, for each top-level key whose value differs, ``reload`` or ``restart``: what a running dockerd needs."""
    return {key: _action(key, before, after) for key in changed_keys(before, after)}


def _action(key: str, before: dict, after: dict) -> str:
    if key not in _RELOADABLE:
        return "restart"
    # CDI devices are set up when the daemon starts (moby RegisterGPUDeviceDrivers).
    if key == "features" and _cdi(before) != _cdi(after):
        return "restart"
    # A SIGHUP adds a runtime and changes one, but never takes one away (measured on 20.10 and 26.1).
    if key == "runtimes" and set(before.get(key) or {}) - set(after.get(key) or {}):
        return "restart"
    return "reload"


def action_needed(actions: dict[str, str]) -> str:
    """Return the strongest of :func:`action_for`'s values, ``none`` without any."""
    return "restart" if "restart" in actions.values() else "reload" if actions else "none"


def _cdi(config: dict) -> object:
    return (config.get("features") or {}).get("cdi")


class DaemonConfig:
    """One ``daemon.json`` on disk, with the record of what stood there before the first change.

    Attributes:
        path: the file itself, links resolved.
        text: its content, "" when it is not there.
        data: its parsed content.
        record: ``{original, config, pending}``: the text before the first change (None: no file), the keys put in
            since then, and what a running engine still needs: ``{keys, engine}``, or None; with that also ``previous``:
            ``{text, config}`` as they were when the engine was told last.
    """

    def __init__(self, path: str) -> None:
        """Read the file and its record.

        Raises:
            DaemonConfigError: when either cannot be read; the text names the file.
        """
        self.path = os.path.realpath(path)
        self.exists = os.path.exists(self.path)
        self.text = _read(self.path) if self.exists else ""
        try:
            self.data = parse(self.text) if self.exists else {}
        except DaemonConfigError as error:
            raise DaemonConfigError("%s cannot be merged into: %s." % (self.path, error)) from None
        self.record_path = self.path + RECORD
        self.record: dict = {}
        if os.path.exists(self.record_path):
            try:
                self.record = json.loads(_read(self.record_path))
            except ValueError:
                raise DaemonConfigError(
                    "%s, which says what stood in daemon.json before, is damaged; move it away." % self.record_path
                ) from None

    def wanted(self, config: dict, state: str) -> dict:
        """Return what the file shall hold for ``state`` present or absent of the keys in ``config``."""
        if state == "present":
            return merge(self.data, config)
        return remove(self.data, config, self._original() if self._recorded(config) else None)

    def text_for(self, after: dict, config: dict, state: str) -> str | None:
        """Return the text to write for ``after``; None when the file shall go, as it was not there before."""
        if after == self.data:
            return self.text
        if state == "absent" and self._recorded(config) and after == self._original():
            return self.record["original"]
        return render(after)

    def pending(self, engine: str) -> dict[str, str]:
        """Return what the engine of that :func:`engine_identity` has not taken over yet, as :func:`action_for` does."""
        entry = self.record.get("pending")
        return dict(entry["keys"]) if entry and engine and entry["engine"] == engine else {}

    def write(self, after: dict, text: str | None, config: dict, state: str, pending: dict, engine: str, move) -> None:
        """Write the record, then the file.

        Args:
            after: the new configuration.
            text: its text, or None to remove the file.
            config: the keys that this is about.
            state: ``present`` or ``absent``.
            pending: what the running engine needs from now on, as :func:`action_for` returns it.
            engine: its :func:`engine_identity`.
            move: function of (temporary path, path) that replaces atomically and keeps mode and owner.

        The record comes first: a run that dies in between leaves a note of a change that did not happen, which costs
        one needless reload; the other way round a change would be forgotten.
        """
        # without a key of ours what stands there now is the state of before
        record = (
            dict(self.record)
            if self.record.get("config")
            else {"original": self.text if self.exists else None, "config": {}}
        )
        put = record["config"]
        # what to go back to when the engine does not start, until it was told
        record.setdefault("previous", {"text": self.text if self.exists else None, "config": put})
        record["config"] = merge(put, config) if state == "present" else remove(put, config)
        record["pending"] = {"keys": pending, "engine": engine} if pending and engine else None
        if not record["pending"]:
            del record["previous"]
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        self._write_record(record)
        if text is None:
            os.unlink(self.path)
        elif text != self.text or not self.exists:
            move(temporary_file(text), self.path)
        if not record["config"] and not record["pending"]:
            os.unlink(self.record_path)
        self.record, self.text, self.data, self.exists = record, text or "", after, text is not None

    def applied(self) -> None:
        """Note that the engine has taken everything over."""
        if self.record.get("pending"):
            self._settle()

    def take_back(self, move) -> bool:
        """Put back what stood there before the changes that the engine was not told; False when nobody knows."""
        previous = self.record.get("previous")
        if previous is None:
            return False
        if previous["text"] is None:
            os.unlink(self.path)
        else:
            move(temporary_file(previous["text"]), self.path)
        self.exists = previous["text"] is not None
        self.record["config"] = previous["config"]
        self._settle()
        return True

    def _settle(self) -> None:
        """Forget what the engine was to be told."""
        self.record["pending"] = None
        self.record.pop("previous", None)
        if self.record["config"]:
            self._write_record(self.record)
        else:
            os.unlink(self.record_path)

    def _write_record(self, record: dict) -> None:
        about = (
            "What stood in daemon.json before the Ansible collection myia.vllm changed it; removing its roles needs it."
        )
        text = json.dumps({"about": about, **record}, indent=1) + "\n"
        # the original may be for root's eyes only
        mode = os.stat(self.path).st_mode & 0o777 if self.exists else 0o644
        files.write_atomically(self.record_path, text, mode)

    def _original(self) -> dict:
        text = self.record["original"]
        return {} if text is None else parse(text)

    def _recorded(self, config: dict) -> bool:
        """Tell whether any of the keys in ``config`` was put in by this collection."""
        return bool(self.record) and remove(self.record["config"], config) != self.record["config"]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
        return handle.read()


def temporary_file(text: str) -> str:
    """Write ``text`` into a new file of mode 0644 where temporary files go; return its path."""
    handle, path = tempfile.mkstemp(prefix=".daemon-", suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        stream.write(text)
    os.chmod(path, 0o644)
    return path


def engine_identity() -> str:
    """Return what tells the dockerd that runs now from one started later (process id and start); "" when none runs."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if files.read_text("/proc/%s/comm" % pid).strip() == "dockerd":
            # proc(5): the start is field 22; the 2nd, in parentheses, may hold spaces
            fields = files.read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()
            if len(fields) > 19:  # else it ended meanwhile
                return "%s:%s" % (pid, fields[19])
    return ""
