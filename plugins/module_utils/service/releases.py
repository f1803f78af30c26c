# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of a service on a host. Python standard library only; runs on target hosts.

Layout of a service's folder (mode 0750, root)::

    releases/<UTC time>-<content hash>/{compose.yml,.env,release.json}     .env is 0600; a failed one has none
    releases/<...>/secrets/<name>                      values of .env that the container gets as files
    current -> releases/<...>

What else lies in ``releases/`` is not ours: it is named (:meth:`Service.strange`) and left alone.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files

COMPOSE, ENV, DESCRIPTION = "compose.yml", ".env", "release.json"

#: Folder of values of ``.env`` that the container reads as files. Only root enters it; a file that is mounted
#: from it is readable by any user in the container.
SECRETS, _SECRETS_MODE, _SECRET_MODE = "secrets", 0o700, 0o444

#: The log of a release's last start that failed.
FAILED_LOG = "failed-start.log"

#: Failed starts remembered of a release.
FAILURES_KEPT = 5

NAME = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{12}$")
_MODES = {COMPOSE: 0o640, ENV: 0o600, DESCRIPTION: 0o640, FAILED_LOG: 0o640}

#: Beginning of the names of staging folders, and after how many seconds one is the leftover of a run that died.
_STAGING, STAGING_S = ".staging", 600

#: Rounds of PBKDF2. The hash stands in folder names and logs; it covers secrets, so guessing must be slow.
_ROUNDS = 50_000


def content_hash(compose: str, env: str) -> str:
    """Return 12 hexadecimal digits for the content of a release (48 bits: distinct among the few kept)."""
    digest = hashlib.pbkdf2_hmac("sha256", env.encode(), compose.encode(), _ROUNDS)
    return digest.hex()[:12]


def files_hash(paths: list[str], secrets: dict[str, str] | None = None) -> str:
    """Return 12 hexadecimal digits for what files hold that a container reads when it starts.

    Args:
        paths: files of the host.
        secrets: by name, what files of the release hold.

    Raises:
        OSError: one cannot be read; it names the file.
    """
    texts = []
    for path in sorted(paths):
        with open(path, "rb") as handle:
            texts.append(b"%s\0%s" % (path.encode(), hashlib.sha256(handle.read()).digest()))
    for name, value in sorted((secrets or {}).items()):
        texts.append(b"%s\0%s" % (name.encode(), hashlib.sha256(value.encode()).digest()))
    # it stands in a label of the container, and may cover a password
    return hashlib.pbkdf2_hmac("sha256", b"".join(texts), b"files", _ROUNDS).hex()[:12]


def new_name(digest: str, now: float | None = None) -> str:
    """Return the name of a release made at ``now`` (seconds since the epoch; default: this moment), UTC."""
    return "%s-%s" % (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), digest)


def describe(about: dict) -> str:
    """Return the text of ``release.json``."""
    return json.dumps(about, indent=2, sort_keys=True) + "\n"


def same_failures(failures: list[dict]) -> int:
    """Return how many of the last failed starts were the same one, which the configuration will bring about again.

    A failure of the host or of the net may have been mended since; they never count.
    """
    count = 0
    for failure in reversed(failures):
        last = failures[-1]
        if failure.get("id") != last.get("id") or failure.get("class") != "configuration" or not failure.get("certain"):
            break
        count += 1
    return count


def _has_mode(path: str, mode: int) -> bool:
    """Tell whether something is there, and is this user's with exactly this mode."""
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return stat.st_mode & 0o777 == mode and stat.st_uid == os.geteuid()


class Service:
    """The folder of one service."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.releases = os.path.join(path, "releases")
        self.link = os.path.join(path, "current")

    def current(self) -> str:
        """Return the name of the release that ``current`` points to; empty without one."""
        try:
            name = os.path.basename(os.readlink(self.link))
        except OSError:
            return ""
        return name if NAME.match(name) and _is_folder(self.folder(name)) else ""

    def folder(self, name: str) -> str:
        """Return the folder of release ``name``."""
        return os.path.join(self.releases, name)

    def names(self) -> list[str]:
        """Return the names of all complete releases, oldest first.

        The one that ``current`` points to is one of them even when its ``release.json`` is damaged: it may serve.
        """
        current = self.current()
        return sorted(name for name in self._entries() if name == current or self._is_release(name))

    def strange(self) -> list[str]:
        """Return the names of what lies in ``releases/`` and is neither a release nor a staging folder."""
        known = self.names()
        return sorted(name for name in self._entries() if name not in known and not name.startswith(_STAGING))

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.releases)
        except OSError:
            return []

    def _is_release(self, name: str) -> bool:
        return bool(NAME.match(name) and _is_folder(self.folder(name)) and self.description(name))

    def read(self, name: str, part: str) -> str:
        """Return the text of one file of a release; empty when it is not there."""
        return files.read_text(os.path.join(self.folder(name), part), newline="")

    def description(self, name: str) -> dict:
        """Return ``release.json`` of a release; empty when it is missing or damaged."""
        return files.read_json(os.path.join(self.folder(name), DESCRIPTION))

    def find(self, compose: str, env: str) -> str:
        """Return the release with exactly this content, the current one first, then the newest; or an empty text.

        A release that failed has no ``.env`` any more and is known by its hash.
        """
        digest = ""
        for name in [self.current(), *reversed(self.names())]:
            if not name or self.read(name, COMPOSE) != compose:
                continue
            if self.has_env(name):
                if self.read(name, ENV) == env:
                    return name
                continue
            digest = digest or content_hash(compose, env)
            if self.description(name).get("content_hash") == digest:
                return name
        return ""

    def has_env(self, name: str) -> bool:
        """Tell whether release ``name`` has its ``.env``, without which it cannot be started."""
        return bool(name) and os.path.isfile(os.path.join(self.folder(name), ENV))

    def free_name(self, digest: str) -> str:
        """Return a new release's name that nothing has yet."""
        at_s = time.time()
        while os.path.lexists(self.folder(new_name(digest, at_s))):
            at_s += 1
        return new_name(digest, at_s)

    def last_good(self, besides: str = "") -> str:
        """Return the newest release that was marked good, by the time of marking; empty without one.

        Args:
            besides: a release that does not count.
        """
        return next((name for name in reversed(self.good()) if name != besides), "")

    def good(self) -> list[str]:
        """Return the releases that were marked good and can be started, by the time of marking, the newest last."""
        marks = [(str(self.description(name).get("good_since") or ""), name) for name in self.names()]
        return [name for since, name in sorted(marks) if since and self.has_env(name)]

    def not_good(self) -> list[str]:
        """Return the releases that failed or were never started, the one that was tried last is the last.

        The current one is not among them.
        """
        good, current = self.good(), self.current()
        return sorted((n for n in self.names() if n not in good and n != current), key=lambda n: (self._tried(n), n))

    def _tried(self, name: str) -> str:
        about = self.description(name)
        failures = about.get("failures") or []
        return str(failures[-1].get("at", "") if failures else about.get("created", ""))

    def about(self, name: str) -> dict:
        """Return what is known of release ``name``: ``name``, ``path``, ``good``, and what ``release.json`` says."""
        description = self.description(name) if name else {}
        return {
            **description,
            "name": name,
            "path": self.folder(name) if name else "",
            "good": bool(description.get("good_since")),
            "failures": description.get("failures", []),
            "same_failures": same_failures(description.get("failures", [])),
        }

    def starts(self) -> list[dict]:
        """Return the recorded starts of all releases, ``{image, model, at, total_s, phases ...}``, the newest first."""
        found = [self.description(name) for name in self.names()]
        starts = [
            {**about["start"], "image": about.get("image", ""), "model": about.get("model", "")}
            for about in found
            if isinstance(about.get("start"), dict)
        ]
        return sorted(starts, key=lambda start: start.get("at", ""), reverse=True)

    def wrong_modes(self, name: str) -> list[str]:
        """Return the files of a release whose mode or owner was changed by somebody."""
        wrong = []
        for part, mode in _MODES.items():
            path = os.path.join(self.folder(name), part)
            if os.path.exists(path) and not _has_mode(path, mode):
                wrong.append(part)
        return wrong

    def mend_modes(self, name: str) -> None:
        """Give the files of a release their modes back."""
        for part, mode in _MODES.items():
            path = os.path.join(self.folder(name), part)
            if os.path.exists(path):
                os.chown(path, os.geteuid(), os.getegid())
                os.chmod(path, mode)

    def begin(self) -> str:
        """Make an empty staging folder and return its path; leftovers of interrupted runs go first.

        Two runs that stage at the same time get a folder each.
        """
        for path in (os.path.dirname(self.path), self.path, self.releases):
            if not os.path.isdir(path):
                os.makedirs(path, mode=0o755)
                os.chmod(path, 0o755 if path == os.path.dirname(self.path) else 0o750)
        for name in os.listdir(self.releases):
            path = os.path.join(self.releases, name)
            with contextlib.suppress(FileNotFoundError):  # the other run that stages has renamed it meanwhile
                if name.startswith(_STAGING) and time.time() - os.lstat(path).st_mtime > STAGING_S:
                    shutil.rmtree(path, ignore_errors=True)
        staging = tempfile.mkdtemp(prefix=_STAGING, dir=self.releases)
        os.chmod(staging, 0o750)
        return staging

    def write(self, folder: str, part: str, text: str) -> None:
        """Write one file of a release with its mode; nobody can open it before the mode is right."""
        files.write_atomically(os.path.join(folder, part), text, _MODES[part])

    def write_secrets(self, folder: str, secrets: dict[str, str]) -> None:
        """Write the files of a release that hold a secret each, by name."""
        if not secrets:
            return
        place = os.path.join(folder, SECRETS)
        os.makedirs(place, mode=_SECRETS_MODE, exist_ok=True)
        os.chmod(place, _SECRETS_MODE)
        for name, value in secrets.items():
            files.write_atomically(os.path.join(place, name), value, _SECRET_MODE)

    def wrong_secrets(self, name: str, secrets: dict[str, str]) -> list[str]:
        """Return the files of a release, below its folder, that do not hold their secret as they should."""
        place = os.path.join(self.folder(name), SECRETS)
        is_open = bool(secrets) and not _has_mode(place, _SECRETS_MODE)
        return [
            os.path.join(SECRETS, item)
            for item, value in sorted(secrets.items())
            if is_open
            or not _has_mode(os.path.join(place, item), _SECRET_MODE)
            or files.read_text(os.path.join(place, item), newline="") != value
        ]

    def describe(self, name: str, changes: dict) -> None:
        """Change keys of a release's ``release.json``."""
        self.write(self.folder(name), DESCRIPTION, describe({**self.description(name), **changes}))

    def switch(self, name: str) -> str:
        """Let ``current`` point to release ``name``, in one step.

        Returns:
            Where something was moved that stood in the link's place and is no link of ours; else an empty text.
        """
        temporary, aside = self.link + ".new", ""
        for path in (temporary, self.link):
            # a folder: of a backup that followed the link, for example; nothing of it is deleted
            if _is_folder(path):
                aside = self._free_path(path + ".moved")
                os.rename(path, aside)
        if os.path.lexists(temporary):
            os.unlink(temporary)
        try:
            os.symlink(os.path.join("releases", name), temporary)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._make_room(name)
            os.symlink(os.path.join("releases", name), temporary)
        os.replace(temporary, self.link)
        return aside

    def _make_room(self, besides: str) -> None:
        """Delete what can be spared at once, for a link that needs an inode."""
        good = self.good()
        for name in self.names():
            for part in (FAILED_LOG,) if name in good or name == besides else (FAILED_LOG, ENV):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.folder(name), part))

    @staticmethod
    def _free_path(path: str) -> str:
        free, number = path, 1
        while os.path.lexists(free):
            number += 1
            free = "%s-%d" % (path, number)
        return free

    def leave(self) -> None:
        """Let ``current`` point to nothing."""
        if os.path.lexists(self.link):
            os.unlink(self.link)

    def failed(self, name: str, failure: dict) -> None:
        """Note a failed start of a release; it is not good any more."""
        about = self.description(name)
        about.pop("good_since", None)
        about["failures"] = [*about.get("failures", []), failure][-FAILURES_KEPT:]
        self.write(self.folder(name), DESCRIPTION, describe(about))

    def outdated(self, keep: int, keep_failed: int, serves: bool = False) -> list[str]:
        """Return the releases that go: good ones beyond the newest ``keep``, others beyond the newest ``keep_failed``.

        The current one is never among them, and counts as good.

        Args:
            keep: number of good ones.
            keep_failed: number of others.
            serves: whether the current one is known to work; else the last good one stays as well.
        """
        current = self.current()
        good = [name for name in self.good() if name != current]
        spare = keep - bool(current)
        if not serves and self.last_good() != current:
            spare = max(1, spare)
        others = self.not_good()
        return [*good[: max(0, len(good) - spare)], *others[: max(0, len(others) - max(0, keep_failed))]]

    def drop(self, name: str) -> None:
        """Delete release ``name``, secrets with it.

        Raises:
            OSError: not everything of it can be deleted. Its secrets went first, if they could.
        """
        with contextlib.suppress(OSError):
            self.drop_env(name)
        shutil.rmtree(self.folder(name))

    def drop_env(self, name: str) -> bool:
        """Delete ``.env`` of release ``name``; return whether there was one."""
        shutil.rmtree(os.path.join(self.folder(name), SECRETS), ignore_errors=True)
        try:
            os.unlink(os.path.join(self.folder(name), ENV))
        except FileNotFoundError:
            return False
        return True


def _is_folder(path: str) -> bool:
    """Tell whether there is a folder, and no link to one."""
    return os.path.isdir(path) and not os.path.islink(path)
