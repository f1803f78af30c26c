# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of a service on a host. Python standard library only; runs on target hosts.

Layout of a service's folder (mode 0750, root)::

    releases/<UTC time>-<content hash>/{compose.yml,.env,release.json}     .env is 0600
    current -> releases/<...>

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files

COMPOSE, ENV, DESCRIPTION = "compose.yml", ".env", "release.json"

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


def files_hash(paths: list[str]) -> str:
    """Return 12 hexadecimal digits for what files of the host hold, which a container reads when it starts.

    Raises:
        OSError: one cannot be read; it names the file.
    """
    texts = []
    for path in sorted(paths):
        with open(path, "rb") as handle:
            texts.append(b"%s\0%s" % (path.encode(), hashlib.sha256(handle.read()).digest()))
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
        return name if os.path.isdir(self.folder(name)) else ""

    def folder(self, name: str) -> str:
        """Return the folder of release ``name``."""
        return os.path.join(self.releases, name)

    def names(self) -> list[str]:
        """Return the names of all complete releases, oldest first."""
        try:
            found = os.listdir(self.releases)
        except OSError:
            return []
        return sorted(name for name in found if NAME.match(name))

    def read(self, name: str, part: str) -> str:
        """Return the text of one file of a release; empty when it is not there."""
        return files.read_text(os.path.join(self.folder(name), part), newline="")

    def description(self, name: str) -> dict:
        """Return ``release.json`` of a release; empty when it is missing or damaged."""
        return files.read_json(os.path.join(self.folder(name), DESCRIPTION))

    def find(self, compose: str, env: str) -> str:
        """Return the release with exactly this content, the current one first, then the newest; or an empty text."""
        candidates = [self.current(), *reversed(self.names())]
        for name in candidates:
            if name and self.read(name, COMPOSE) == compose and self.read(name, ENV) == env:
                return name
        return ""

    def last_good(self, besides: str = "") -> str:
        """Return the newest release that was marked good, by the time of marking; empty without one.

        Args:
            besides: a release that does not count.
        """
        good = [(self.description(name).get("good_since", ""), name) for name in self.names() if name != besides]
        good = [item for item in good if item[0]]
        return max(good)[1] if good else ""

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
            try:
                stat = os.stat(os.path.join(self.folder(name), part))
            except OSError:
                continue
            if stat.st_mode & 0o777 != mode or stat.st_uid != os.geteuid():
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

    def describe(self, name: str, changes: dict) -> None:
        """Change keys of a release's ``release.json``."""
        self.write(self.folder(name), DESCRIPTION, describe({**self.description(name), **changes}))

    def switch(self, name: str) -> None:
        """Let ``current`` point to release ``name``, in one step."""
        temporary = self.link + ".new"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(os.path.join("releases", name), temporary)
        os.replace(temporary, self.link)

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

    def outdated(self, keep: int) -> list[str]:
        """Return the releases beyond the newest ``keep``; the current and the last good one are never among them."""
        protected = {self.current(), self.last_good()}
        others = [name for name in self.names() if name not in protected]
        spare = max(0, keep - len(protected - {""}))
        return others[: max(0, len(others) - spare)]

    def drop(self, name: str) -> None:
        """Delete release ``name``, secrets with it."""
        shutil.rmtree(self.folder(name))
