# SPDX-License-Identifier: GPL-3.0-or-later
"""Say where a container has its model, its caches and other files: which mounts are what. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import posixpath
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import compose_options, mounts
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import HOST_PATH, HUB_CACHE_OF_USER, plain_path

#: Options of which the value is a file for TLS.
_TLS = ("ssl-certfile", "ssl-keyfile", "ssl-ca-certs")

#: Mounts that the engine makes of other keys, or that the collection has no use for.
_OWN_KEYS = ("/dev/shm",)

_SECRETS = "/run/secrets/"


def say_model_and_mounts(said, view, arguments, around) -> set[str]:
    """Say the model, the caches, TLS and every other mount; return the options that are said by it.

    Args:
        said: the service.
        view: the container.
        arguments: of its server.
        around: what is known beside it.
    """
    left = [dict(item) for item in view.mounts]
    used: set[str] = set()
    _model(said, view, arguments, left)
    _tls(said, arguments, left, used)
    _caches(said, view, left)
    _secret_files(said, view, left, around)
    _health_script(said, view, left)
    _start_script(said, view, left, around)
    extra = []
    for item in left:
        text = _short(said, item)
        if text:
            extra.append(text)
    if extra:
        said.variables["vllm_extra_volumes"] = extra
    return used


def host_path(target: str, among: list[dict]) -> tuple[str, dict | None]:
    """Return the path on the host of one inside the container, and the mount that leads there; empty without one."""
    best = None
    for item in among:
        folder = plain_path(item["target"])
        inside = target == folder or target.startswith(folder.rstrip("/") + "/")
        if inside and (best is None or len(folder) > len(plain_path(best["target"]))):
            best = item
    if best is None:
        return "", None
    source = best["source"] if best["type"] == "bind" else best.get("path") or ""
    if not source.startswith("/"):
        return "", best
    rest = posixpath.relpath(target, plain_path(best["target"]))
    return (source if rest == "." else posixpath.join(source, rest)), best


def _model(said, view, arguments, left: list[dict]) -> None:
    model = arguments.model
    if not model:
        said.lacks("the model, which nothing names", noticed=True)
        return
    if not model.startswith("/"):
        said.variables["vllm_model"] = model
        if model.startswith((".", "~")) or model.count("/") > 1:
            said.lacks("the model %s, a path from the folder in which the container starts" % model, noticed=True)
        return
    target = plain_path(model)
    path, mount = host_path(target, left)
    if not path:
        said.variables["vllm_model"] = target
        why = "in the volume %s" % mount["source"] if mount else "in the image or in the container itself"
        said.lacks("the model's folder %s, which is %s and not on the host" % (model, why), noticed=True)
        return
    said.variables["vllm_model"] = path
    if path != target:
        said.variables["vllm_model_container_path"] = target
    if model != target:
        # clients ask for the name as it was written
        said.variables.setdefault("vllm_served_model_name", model)
    if mount["type"] != "bind":
        said.notes.append("the model lies in Docker's folder of the volume %s" % mount["source"])
    place = plain_path(mount["target"])
    others = _named_below(place, target, view, arguments)
    left.remove(mount)
    if place != target and others:
        for other in others:
            source, _mount = host_path(other, [mount])
            left.append({"type": "bind", "source": source, "path": source, "target": other, "writable": False})
    if mount["writable"] and place == target:
        said.notes.append("the model's folder becomes read-only")


def _named_below(folder: str, model: str, view, arguments) -> list[str]:
    """Return other paths in a folder that options or variables name."""
    texts = [str(value) for _name, value in arguments.options] + list(view.env.values())
    found = []
    for text in texts:
        for path in re.findall(r"/[A-Za-z0-9_./+@-]+", text):
            path = plain_path(path)
            inside = path.startswith(folder.rstrip("/") + "/")
            if inside and path != model and not path.startswith(model + "/") and not model.startswith(path + "/"):
                found.append(path)
    return list(dict.fromkeys(found))


def _tls(said, arguments, left: list[dict], used: set[str]) -> None:
    mounted = []
    for name in _TLS:
        value = arguments.value(name)
        if not isinstance(value, str):
            continue
        path, mount = host_path(plain_path(value), left)
        if path and HOST_PATH.match(path):
            said.variables["vllm_" + name.replace("-", "_")] = path
            mounted.append(mount)
        else:
            said.lacks("%s %s, which is not on the host" % (name, value), noticed=True)
        used.add(name)
    for mount in mounted:
        if mount in left:
            left.remove(mount)


def _caches(said, view, left: list[dict]) -> None:
    """Say the caches: mounts at the places of the image's user, or one around both."""
    hub, compiled = mounts.HF_CACHE, mounts.COMPILE_CACHE
    if view.user and view.user.partition(":")[0] not in ("0", "root"):
        # for a user of one's own the collection mounts its caches elsewhere; what is mounted stays where it is
        hub, compiled = HUB_CACHE_OF_USER, compose_options.COMPILE_CACHE_OF_USER
    cached = False
    for item in list(left):
        place = plain_path(item["target"])
        source = item["source"]
        if place in (hub, compiled) and source:
            said.variables["vllm_hf_cache" if place == hub else "vllm_compile_cache"] = source
            cached = cached or place == hub
            left.remove(item)
        elif place in ("/root/.cache", "/root") and hub == mounts.HF_CACHE:
            folder = source if item["type"] == "bind" else item.get("path") or ""
            inner = posixpath.join(folder, ".cache") if place == "/root" else folder
            if folder.startswith("/"):
                said.variables["vllm_hf_cache"] = posixpath.join(inner, "huggingface")
                said.variables["vllm_compile_cache"] = posixpath.join(inner, "vllm")
                cached = True
            else:
                said.lacks("the volume %s for the whole of %s: weights are downloaded anew" % (source, place))
            left.remove(item)
        elif place.startswith(hub + "/"):
            cached = True
    home = view.env.get("HF_HOME") or view.env.get("HF_HUB_CACHE") or view.env.get("HUGGINGFACE_HUB_CACHE") or ""
    if home and any(host_path(plain_path(home), [item])[1] for item in left):
        cached = True
    if not cached and not str(said.variables.get("vllm_model", "")).startswith("/"):
        said.lacks("weights inside the container itself: the next container downloads them anew, into a volume")


def _secret_files(said, view, left: list[dict], around) -> None:
    """Say Compose's secrets: a token becomes the variable for it, any other stays a file."""
    files = {}
    for item in list(left):
        if not item["target"].startswith(_SECRETS):
            continue
        left.remove(item)
        name = item["target"][len(_SECRETS) :]
        content = around.files.get(item["source"], "").strip()
        named = "%s/run/secrets/%s" % ("", name)
        by_path = [key for key, value in view.env.items() if value == named]
        if re.match(r"^hf_[A-Za-z0-9]{8,}$", content) and not by_path:
            said.secrets.setdefault("vllm_hf_token", content)
            said.lacks("the token as a file %s: it becomes a variable" % named)
        elif item["source"].startswith("/"):
            files[name] = item["source"]
    if files:
        said.variables["vllm_secret_files"] = files


def _health_script(said, view, left: list[dict]) -> None:
    """Leave out a file that only the health check needs, which becomes the collection's own."""
    test = " ".join(view.health.get("test") or [])
    for item in list(left):
        if test and item["target"] in test.split():
            left.remove(item)
            said.notes.append("%s is for the health check alone, which becomes the collection's own" % item["target"])


def _start_script(said, view, left: list[dict], around) -> None:
    for item in list(left):
        if around.shell and item["target"] in view.argv() and item["type"] == "bind":
            left.remove(item)
            said.notes.append("the script %s is not started any more" % item["target"])


def _short(said, item: dict) -> str:
    """Return a mount in Compose's short form; empty for one that is said elsewhere or cannot be."""
    source, target = item["source"], plain_path(item["target"])
    if item["type"] == "tmpfs":
        said.variables.setdefault("vllm_compose_override", {}).setdefault("tmpfs", []).append(target)
        return ""
    if target in _OWN_KEYS:
        said.notes.append("the mount at %s goes: vllm_ipc and vllm_shm_size say that" % target)
        return ""
    if item["type"] == "volume" and re.match(r"^[0-9a-f]{64}$", source):
        said.lacks("the nameless volume at %s, which stays behind with its container" % target)
        return ""
    if source in ("/", "/var/run/docker.sock", "/run/docker.sock"):
        said.lacks("the mount of %s, which hands the host to the container" % source)
        return ""
    if not source:
        return ""
    return "%s:%s%s" % (source, target, "" if item["writable"] else ":ro")
