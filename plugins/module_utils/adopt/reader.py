# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a host has of vLLM: containers, images, processes, files, answers. Runs on target hosts.

Nothing is judged here, and nothing changed. What is returned holds secrets. Standard library only.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import files as small_files
from ansible_collections.myia.vllm.plugins.module_utils.docker.cli import PROJECT_LABEL
from ansible_collections.myia.vllm.plugins.module_utils.service import service_http

#: Largest file that is read, in bytes, and most files: bounds of ours, far above what people write.
_MOST_BYTES, _MOST_FILES = 262144, 200

#: Longest silence of a service, in seconds.
_ANSWER_S = 5

#: How many bytes of an answer are read: a list of models and adapters is far smaller.
_ANSWER_BYTES = 1048576

#: What people call the files around a Compose file.
_AROUND = ("*.yml", "*.yaml", "*.env", ".env", ".env.*", "Dockerfile*", "*.sh")

#: A path to another file, in a Compose file, a unit or a script.
_PATH = re.compile(
    r"(?:[~.]{0,2}/)?[\w@%+.-]+(?:/[\w@%+.-]+)*\.(?:env|ya?ml|sh|txt|token|key|conf|Dockerfile)\b|"
    r"(?:EnvironmentFile=-?|--env-file[ =]|env_file:\s*[-\[]?\s*[\"']?)(?P<named>[^\s\"'\[\],{}]+)"
)

#: Folders of units that people write themselves.
_UNITS = ("/etc/systemd/system/*.service", "/usr/local/lib/systemd/system/*.service")

#: What a container that serves vLLM has in its image's name, its arguments or its processes.
_VLLM = re.compile(r"(^|[/\s-])vllm([-/:@\s.]|$)|vllm-openai")

#: Variables that a shell may have set for the server alone.
_OF_SERVER = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY")


def read(run, proc: str, more_files: list[str], vllm_dir: str, only: list[str]) -> dict:
    """Return ``{containers, images, processes, environ, http, files, units, neighbours, host}``.

    Args:
        run: function of an argument list that returns (exit status, standard output, standard error).
        proc: folder of the processes.
        more_files: further files to read.
        vllm_dir: folder of this collection's own services.
        only: names of the containers that are meant; all that look like vLLM without.

    Raises:
        RuntimeError: Docker does not say which containers there are.
    """
    status, out, err = run(["docker", "ps", "--all", "--no-trunc", "--quiet"])
    if status != 0:
        raise RuntimeError(" ".join((err or out).split()) or "docker ps gave no answer")
    every = _inspected(run, out.split())
    found: dict = {"containers": {}, "images": {}, "processes": {}, "environ": {}, "http": {}, "neighbours": {}}
    for data in every:
        name = data["Name"].lstrip("/")
        argv, environ = server_process((data.get("State") or {}).get("Pid") or 0, proc)
        if not _is_meant(data, name, argv, vllm_dir, only):
            found["neighbours"][name] = _neighbour(data)
            continue
        found["containers"][name] = data
        if argv:
            found["processes"][name] = argv
        given = [str(item).partition("=")[0] for item in data["Config"].get("Env") or []]
        found["environ"][name] = {key: environ[key] for key in _OF_SERVER if environ.get(key) and key not in given}
        for reference in (data.get("Image"), data["Config"].get("Image")):
            _add_image(run, reference, found["images"])
        found["http"][name] = answers(data, argv, found["environ"][name])
    found["files"], found["units"] = _files(list(found["containers"].values()), more_files)
    found["host"] = {"home": _home(found["containers"].values()), "directory": "", "started_by": ""}
    return found


def _inspected(run, ids: list[str]) -> list[dict]:
    if not ids:
        return []
    # one that ended meanwhile makes the status 1; the others are in the answer all the same
    status, out, err = run(["docker", "container", "inspect", *ids])
    try:
        found = [item for item in json.loads(out) if isinstance(item, dict)]
    except ValueError:
        found = []
    # an engine that ended meanwhile tells of none
    if not found and (status != 0 or not out.strip().startswith("[")):
        raise RuntimeError(" ".join(err.split()) or "docker inspect gave no answer")
    return found


def _is_meant(data: dict, name: str, argv: list[str], vllm_dir: str, only: list[str]) -> bool:
    labels = data["Config"].get("Labels") or {}
    folder = labels.get("com.docker.compose.project.working_dir", "")
    if folder.startswith(vllm_dir.rstrip("/") + "/") and labels.get(PROJECT_LABEL, "").startswith("vllm-"):
        return False
    if only:
        return name in only or labels.get("com.docker.compose.service") in only
    if argv:
        return True
    words = [*(data["Config"].get("Entrypoint") or []), *(data["Config"].get("Cmd") or [])]
    # a proxy that names vLLM in its settings is none
    return bool(
        _VLLM.search(data["Config"].get("Image") or "")
        or re.search(r"\bvllm\s+serve\b|vllm\.entrypoints\.", " ".join(words))
    )


def _neighbour(data: dict) -> dict:
    labels = data["Config"].get("Labels") or {}
    return {
        "service": labels.get("com.docker.compose.service", ""),
        "project": labels.get(PROJECT_LABEL, ""),
        "networks": sorted((data.get("NetworkSettings") or {}).get("Networks") or {}),
    }


def _add_image(run, reference: str | None, images: dict) -> None:
    if not reference or reference in images:
        return
    status, out, _err = run(["docker", "image", "inspect", reference])
    if status == 0:
        try:
            images[reference] = json.loads(out)[0]
        except (ValueError, IndexError):
            return


def server_process(pid: int, proc: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and variables of vLLM's server among a process and its children; nothing without one."""
    children: dict[int, list[int]] = {}
    for path in glob.glob(os.path.join(proc, "[0-9]*", "stat")):
        # the name may hold spaces and brackets
        rest = small_files.read_text(path).rpartition(")")[2].split()
        if len(rest) > 1:
            children.setdefault(int(rest[1]), []).append(int(path.split("/")[-2]))
    waiting = [pid] if pid else []
    while waiting:
        this = waiting.pop(0)
        argv = small_files.read_text(os.path.join(proc, str(this), "cmdline"), "").split("\0")
        argv = argv[:-1] if argv[-1:] == [""] else argv
        if is_server(argv):
            text = small_files.read_text(os.path.join(proc, str(this), "environ"), "")
            return argv, dict(item.partition("=")[::2] for item in text.split("\0") if "=" in item)
        waiting += sorted(children.get(this, []))
    return [], {}


def is_server(argv: list[str]) -> bool:
    """Tell whether a process is ``vllm serve`` or vLLM's older module."""
    for index, word in enumerate(argv):
        if os.path.basename(word) == "vllm" and argv[index + 1 : index + 2] == ["serve"]:
            return True
        if word == "-m" and len(argv) > index + 1 and argv[index + 1].startswith("vllm.entrypoints."):
            return True
    return False


def answers(data: dict, argv: list[str], environ: dict[str, str]) -> dict:
    """Return what the service answers to ``/version`` and ``/v1/models``; nothing where it does not."""
    words = argv or [*(data["Config"].get("Entrypoint") or []), *(data["Config"].get("Cmd") or [])]
    port = _option(words, "--port") or "8000"
    given = dict(str(item).partition("=")[::2] for item in data["Config"].get("Env") or [])
    key = _option(words, "--api-key") or given.get("VLLM_API_KEY") or environ.get("VLLM_API_KEY") or ""
    scheme = "https" if _option(words, "--ssl-certfile") else "http"
    places = []
    if (data.get("HostConfig") or {}).get("NetworkMode") == "host":
        places.append("127.0.0.1:%s" % port)
    for facts in ((data.get("NetworkSettings") or {}).get("Networks") or {}).values():
        if facts.get("IPAddress"):
            places.append("%s:%s" % (facts["IPAddress"], port))
    found: dict = {}
    for path in ("/version", "/v1/models"):
        for place in places:
            headers = {"Authorization": "Bearer " + key} if key else {}
            url = "%s://%s%s" % (scheme, place, path)
            status, body, _wrong = service_http.query(url, _ANSWER_S, headers=headers, most_bytes=_ANSWER_BYTES)
            if status == 200:
                found[path] = small_files.json_object(body.decode("utf-8", "replace"))
                break
    return found


def _option(words: list[str], name: str) -> str:
    value = ""
    for index, word in enumerate(words):
        if word == name and index + 1 < len(words):
            value = words[index + 1]
        elif word.startswith(name + "="):
            value = word.partition("=")[2]
    return value


def _files(containers: list[dict], more: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of the files around containers, by path, and the units that start them."""
    texts: dict[str, str] = {}
    for data in containers:
        labels = data["Config"].get("Labels") or {}
        folder = labels.get("com.docker.compose.project.working_dir", "")
        if folder:
            for path in labels.get("com.docker.compose.project.config_files", "").split(","):
                _read_with_others(os.path.join(folder, path), folder, texts, 0)
            for pattern in _AROUND:
                for path in sorted(glob.glob(os.path.join(glob.escape(folder), pattern))):
                    _read(path, texts)
        for mount in data.get("Mounts") or []:
            # scripts, secret files, settings
            if mount.get("Type") == "bind" and os.path.isfile(mount.get("Source") or ""):
                _read(mount["Source"], texts)
            elif mount.get("Type") == "bind":
                _scripts_in(mount, data, texts)
    units = {}
    for pattern in _UNITS:
        for path in sorted(glob.glob(pattern)):
            text = small_files.read_text(path)
            if any(_names(text, data["Name"].lstrip("/")) for data in containers):
                units[os.path.basename(path)] = text
                _read_with_others(path, "/", texts, 0)
    for path in more:
        _read_with_others(path, os.path.dirname(path), texts, 0)
    return texts, units


def _names(text: str, name: str) -> bool:
    return bool(
        re.search(r"\b(docker|podman)\b", text) and re.search(r"[\s=]%s(\s|$)" % re.escape(name), text, re.MULTILINE)
    )


def _scripts_in(mount: dict, data: dict, texts: dict[str, str]) -> None:
    """Read the files of a mounted folder that the container's arguments name."""
    target = (mount.get("Destination") or "").rstrip("/")
    for word in [*(data["Config"].get("Entrypoint") or []), *(data["Config"].get("Cmd") or [])]:
        if target and word.startswith(target + "/"):
            _read((mount.get("Source") or "") + word[len(target) :], texts)


def _read_with_others(path: str, folder: str, texts: dict[str, str], depth: int) -> None:
    """Read a file, and those that it names."""
    text = _read(path, texts)
    if not text or depth > 2:
        return
    for match in _PATH.finditer(text):
        named = (match["named"] or match[0]).strip("\"'")
        other = os.path.normpath(os.path.join(os.path.dirname(path) or folder, os.path.expanduser(named)))
        if other not in texts and os.path.isfile(other):
            _read_with_others(other, folder, texts, depth + 1)


def _read(path: str, texts: dict[str, str]) -> str:
    if path in texts or len(texts) >= _MOST_FILES:
        return texts.get(path, "")
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
            return ""
    except OSError:
        return ""
    text = small_files.read_text(path, newline="")
    if "\0" not in text:
        texts[path] = text
    return texts.get(path, "")


def _home(containers) -> str:
    """Return the home of who owns the first Compose file: ``~`` in it means that."""

    for data in containers:
        labels = data["Config"].get("Labels") or {}
        for path in labels.get("com.docker.compose.project.config_files", "").split(","):
            try:
                return pwd.getpwuid(os.stat(path).st_uid).pw_dir
            except (OSError, KeyError):
                continue
    return "/root"
