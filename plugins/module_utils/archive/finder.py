# SPDX-License-Identifier: GPL-3.0-or-later
"""Find Compose and ``.env`` files that nothing uses any more. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import files as small_files

#: Folders that are never looked into.
_SKIPPED = (".git", "node_modules", ".venv", "venv", "archived", "proc", "sys")

#: How deep below a folder files are looked for, and largest file that is taken: bounds of ours.
_DEPTH, _MOST_BYTES = 6, 1048576

#: A name that says: a copy of before.
_COPY = re.compile(r"(~|[._-](old|bak|backup|orig|save|copy|disabled|\d{6,8}))(\.(ya?ml|env))?$", re.IGNORECASE)

#: A line that holds a secret in the open.
_SECRET = re.compile(
    r"(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{12,}|://[^/@\s:]*:[^/@\s$]+@|"
    r"(?i:(token(?!iz)|(api|private|access)[_-]?key|secret|password|passwd|passphrase|credential)[\w-]*)[\"']?\s*[:=]"
    r"\s*[\"']?(?!\$\{?|\s|[\"'])[^\s\"'#{}\[\]]{4,})"
)

#: A key behind its option, which may stand in the next line of a list; and a private key, which has several.
_IN_LINES = re.compile(
    r"(?P<before>--(?:api-key|hf-token)[\s=\"',-]+)(?!\$)[^\s\"',\]]{4,}|"
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)

#: A line that sets a variable, also one that is commented out.
_ASSIGNMENT = re.compile(r"^(\s*(?:#\s*)?(?:export\s+)?[A-Za-z_][\w.-]*\s*=)(.*?)(\r?\n?)$", re.DOTALL)

#: Files that Compose finds by itself in the folder where it is started (compose-go, cli/options.go).
_BY_THEMSELVES = (
    *(name + ending for name in ("compose", "docker-compose", "compose.override", "docker-compose.override")
      for ending in (".yaml", ".yml")),
    ".env",
)  # fmt: skip

_UNITS = ("/etc/systemd/system/**/*.service", "/etc/cron.d/*", "/etc/crontab", "/var/spool/cron/crontabs/*")


def is_env(path: str) -> bool:
    """Tell whether a file holds variables."""
    name = os.path.basename(path)
    return name.startswith(".env") or re.sub(_COPY, "", name).endswith(".env") or name.endswith(".env")


def in_use(run) -> dict[str, str]:
    """Return the files that containers, running or not, units and cron use: why, by real path.

    Args:
        run: function of an argument list that returns (exit status, standard output, standard error).

    Raises:
        RuntimeError: Docker does not say which containers there are, so nothing can be called unused.
    """
    found: dict[str, str] = {}
    for data in _containers(run):
        name = data["Name"].lstrip("/")
        labels = data["Config"].get("Labels") or {}
        folder = labels.get("com.docker.compose.project.working_dir", "")
        for path in labels.get("com.docker.compose.project.config_files", "").split(","):
            if path:
                _use(os.path.join(folder, path), "the container %s is of this project" % name, found)
        if folder:
            _use(os.path.join(folder, ".env"), "the container %s is of the project in this folder" % name, found)
        given = labels.get("com.docker.compose.project.environment_file", "")
        for path in given.split(","):
            if path:
                _use(os.path.join(folder, path), "the container %s was made with it" % name, found)
        for mount in data.get("Mounts") or []:
            if mount.get("Type") == "bind":
                _use(mount.get("Source") or "", "it is mounted into the container %s" % name, found)
    for pattern in _UNITS:
        for path in glob.glob(pattern, recursive=True):
            for named in re.findall(r"/[\w@%+./-]+", small_files.read_text(path)):
                _use_named(named, path, found)
    return found


def _containers(run) -> list[dict]:
    """Return what Docker says of every container; raises RuntimeError where it does not say it of all."""
    said = ""
    # one that ended between the two questions is not in the second list any more
    for _attempt in range(2):
        status, out, err = run(["docker", "ps", "--all", "--no-trunc", "--quiet"])
        if status != 0:
            raise RuntimeError(" ".join((err or out).split()) or "docker ps gave no answer")
        ids = out.split()
        if not ids:
            return []
        status, out, err = run(["docker", "container", "inspect", *ids])
        if status == 0:
            return json.loads(out)
        said = " ".join((err or out).split())
    raise RuntimeError(said or "docker container inspect gave no answer")


def _use_named(named: str, by: str, found: dict[str, str]) -> None:
    """Note a file that something names, or in a folder that it names what Compose would find there by itself."""
    paths = [named]
    if os.path.isdir(named):
        paths = [os.path.join(named, name) for name in _BY_THEMSELVES]
    for path in paths:
        if os.path.isfile(path):
            _use(path, "%s names it" % by if path == named else "%s names its folder" % by, found)


def _use(path: str, why: str, found: dict[str, str]) -> None:
    """Note a file that is used, and those that it names."""
    real = os.path.realpath(path)
    if real in found or not os.path.exists(real):
        return
    found[real] = why
    if not os.path.isfile(real) or not real.endswith((".yml", ".yaml", ".sh", ".env")):
        return
    text = small_files.read_text(real) if os.path.getsize(real) <= _MOST_BYTES else ""
    for word in re.findall(r"[\w@%+./~-]+", text):
        other = os.path.realpath(os.path.join(os.path.dirname(real), os.path.expanduser(word.lstrip("-"))))
        if other != real and os.path.isfile(other):
            _use(other, "%s names it" % real, found)
        elif real.endswith(".sh") and word.startswith("/"):
            _use_named(other, real, found)


def find(folders: list[str], patterns: list[str], keep: list[str], used: dict[str, str], own: str) -> tuple[list, list]:
    """Return (files that go, files that stay), each ``{path, why}``; those that go with ``sensitive`` too.

    Args:
        folders: where to look.
        patterns: of file names.
        keep: patterns of names or paths that stay.
        used: of :func:`in_use`.
        own: folder of this collection's own services, which is left out.
    """
    seen = [path for folder in folders for path in _walk(folder, patterns, own)]
    goes, stays = [], []
    compose = [path for path in seen if not is_env(path)]
    for path in sorted(set(seen)):
        why = _stays(path, keep, used)
        if not why and is_env(path) and not _COPY.search(os.path.basename(path)):
            # a link says nothing that the file behind it does not
            beside = [o for o in compose if os.path.dirname(o) == os.path.dirname(path) and not os.path.islink(o)]
            if not beside:
                why = "no Compose file lies beside it, so nothing tells what it is for"
            elif any(_stays(other, keep, used) for other in beside):
                why = "a Compose file beside it stays"
        if why:
            stays.append({"path": path, "why": why})
        else:
            goes.append({"path": path, "why": _why(path), "sensitive": is_sensitive(path)})
    return goes, stays


def is_sensitive(path: str) -> bool:
    """Tell whether a file may hold a secret: every file of variables, and others with one in the open."""
    text = small_files.read_text(path)
    return is_env(path) or bool(_SECRET.search(text) or _IN_LINES.search(text))


def redacted(text: str, variables: bool) -> str:
    """Return a text without the values of its variables, and without what looks like a secret elsewhere.

    Args:
        text: of the file.
        variables: whether it is a file of variables, where a line that sets none goes on with a value.
    """
    lines = []
    text = _IN_LINES.sub(lambda found: (found["before"] or "") + "<redacted>", text)
    for line in text.splitlines(keepends=True):
        match = _ASSIGNMENT.match(line)
        if match and match[2].strip():
            line = "%s<redacted>%s" % (match[1], match[3])
        elif variables and not match and line.strip() and not line.lstrip().startswith("#"):
            line = "<redacted>\n"
        else:
            line = _SECRET.sub(lambda found: "<redacted>", line)
        lines.append(line)
    return "".join(lines)


def _why(path: str) -> str:
    if _COPY.search(os.path.basename(path)):
        return "its name says that it is a copy of before, and nothing uses it"
    if is_env(path):
        return "no Compose file beside it is in use"
    return "no container is of its project, and nothing names it"


def why_used(path: str, used: dict[str, str]) -> str:
    """Return what uses a file, of :func:`in_use`; empty where nothing does."""
    real = os.path.realpath(path)
    if real in used:
        return used[real]
    # a folder that is mounted as a whole
    for folder, why in used.items():
        if os.path.isdir(folder) and real.startswith(folder.rstrip("/") + "/"):
            return why
    return ""


def _stays(path: str, keep: list[str], used: dict[str, str]) -> str:
    why = why_used(path, used)
    if why:
        return why
    if os.path.islink(path):
        return "it is a link"
    if any(fnmatch.fnmatch(os.path.basename(path), item) or fnmatch.fnmatch(path, item) for item in keep):
        return "config_archive_keep names it"
    if os.path.getsize(path) > _MOST_BYTES:
        return "it is larger than any such file"
    return ""


def _walk(folder: str, patterns: list[str], own: str) -> list[str]:
    found = []
    base = folder.rstrip("/").count("/")
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED
            and os.path.join(place, name) != own.rstrip("/")
            and place.count("/") - base < _DEPTH
        ]
        for name in names:
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                path = os.path.join(place, name)
                if os.path.isfile(path):
                    found.append(path)
    return found
