# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted into the container: the caches, a model on the host, and what the operator adds.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import compose_options, compose_override, tls
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    HOST_PATH,
    HUB_CACHE_OF_USER,
    plain_path,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: Where the caches are inside the container: those of the user root, as which the images run. Nobody else may enter
#: /root.
HF_CACHE, COMPILE_CACHE = "/root/.cache/huggingface", "/root/.cache/vllm"

#: The volumes that the medium service has declared as its own since before there were others, which share the first.
_MEDIUM, _OF_MEDIUM = "medium", ("vllm-hf-cache", "vllm-compile-cache")

#: A Docker volume (moby, volume/names.go).
_NAMED = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")

#: What hands the whole host to the container, with the reason.
_NEVER = {
    "/": "it hands the whole host to the container",
    "/var/run/docker.sock": "it hands Docker, and so the host, to the container",
    "/run/docker.sock": "it hands Docker, and so the host, to the container",
}

#: Folders of the image, with its programs, libraries and settings (Filesystem Hierarchy Standard 3.0): in them a model
#: has nothing to hide.
_IMAGE_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr")

#: Further folders that the image's programs need, below which a model may lie. /vllm-workspace is where the images of
#: vLLM start in.
_SHARED_FOLDERS = ("/opt", "/root", "/run", "/tmp", "/var", "/var/cache", "/var/lib", "/var/tmp", "/vllm-workspace")

#: Folders of the image that nothing may be laid over; single files and folders further inside may.
_NEVER_HIDDEN = (
    *("/%s" % name for name in _IMAGE_FOLDERS if name != "boot"),
    *("/usr/%s" % name for name in ("bin", "lib", "lib64", "local", "sbin", "local/bin", "local/lib")),
)

#: Options behind the second colon (Compose's short form).
_MODES = ("ro", "rw", "z", "Z", "cached", "consistent", "delegated", "nocopy", "rshared", "rslave", "shared", "slave")


def check(v: dict, extra_env: dict, problems: Problems) -> None:
    """Note what is wrong with the mounts of the values ``v``; ``extra_env`` is (name, value) of ``vllm_extra_env``."""
    for name in ("vllm_hf_cache", "vllm_compile_cache"):
        if not (_NAMED.match(v[name]) or HOST_PATH.match(v[name])):
            problems.add(name, "%r is neither a Docker volume name nor an absolute path." % v[name])
    if v["vllm_hf_cache"] == v["vllm_compile_cache"]:
        problems.add("vllm_compile_cache", "is the same as vllm_hf_cache. Give each its own.")
    hub, compiled = caches(v)
    taken = {hub: "the downloaded models", compiled: "vLLM's compile cache"}
    folder = v["vllm_model_container_path"]
    if folder and any(_within(place, folder) or _within(folder, place) for place in taken):
        problems.add(
            "vllm_model_container_path", "%s would hide a cache, or lie in one. Use for example /models." % folder
        )
    elif folder:
        taken[folder] = "the model"
    _check_model_place(v, problems)
    taken.update(dict.fromkeys(tls.told(v).values(), "what TLS needs"))
    for mount in v["vllm_extra_volumes"]:
        wrong = _wrong(mount, taken)
        if wrong:
            problems.add("vllm_extra_volumes", "%r is refused: %s." % (mount, wrong))
        else:
            taken[_target(mount)] = "another mount"
    if v["vllm_model"].startswith("/"):
        taken[plain_path(folder or v["vllm_model"])] = "the model"
    _check_tmpfs(v, taken, problems)
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        where = extra_env.get(name, "")
        if where and not any(_within(where, target) for target in taken):
            problems.add(
                "vllm_extra_env",
                "%s is a folder inside the container that nothing is mounted to, so every container would download the "
                "model anew. Leave it out, or mount something there (vllm_extra_volumes)." % name,
            )


def _check_model_place(v: dict, problems: Problems) -> None:
    """Refuse a place of a model on the host by which it would hide what the image needs."""
    name = "vllm_model_container_path" if v["vllm_model_container_path"] else "vllm_model"
    place = plain_path(v[name])
    if problems.about(name) or not v["vllm_model"].startswith("/"):
        return
    if place == "/" or place.split("/")[1] in _IMAGE_FOLDERS or place in _SHARED_FOLDERS:
        problems.add(
            name,
            "%s belongs to the image, and the model would hide what is there. Set vllm_model_container_path to a "
            "folder of its own, for example /models/qwen." % v[name],
        )


def _check_tmpfs(v: dict, taken: dict[str, str], problems: Problems) -> None:
    """Refuse folders in RAM over what is mounted. Docker mounts what lies deeper later, so one around it does no harm
    (moby, daemon/volumes.go: the order of mounts; seen with 20.10)."""
    for target in compose_override.tmpfs_targets(v["vllm_compose_override"]):
        place = plain_path(target)
        hidden = next((what for folder, what in taken.items() if _within(place, folder)), "")
        if not target.startswith("/"):
            wrong = "%r is no absolute path. Use for example /tmp:size=1g" % target
        elif place == "/dev/shm":
            wrong = "%s is what vllm_shm_size sets. Set that" % target
        elif place == "/" or place in _NEVER_HIDDEN:
            wrong = "%s would hide what the image needs. Name a folder of its own" % target
        elif hidden:
            wrong = "%s would hide %s, and what is written there would be lost with the container. Remove it" % (
                target, hidden,
            )  # fmt: skip
        else:
            continue
        problems.add("vllm_compose_override", "tmpfs: %s." % wrong)


def volumes(v: dict) -> list[str]:
    """Return the mounts in Compose's short form."""
    hub, compiled = caches(v)
    found = ["%s:%s" % (v["vllm_hf_cache"], hub), "%s:%s" % (v["vllm_compile_cache"], compiled)]
    if v["vllm_model"].startswith("/"):
        found.append("%s:%s:ro" % (v["vllm_model"], v["vllm_model_container_path"] or v["vllm_model"]))
    adapters = [str(given["source"]) for given in v["vllm_lora_adapters"] or []]
    found += ["%s:%s:ro" % (path, path) for path in dict.fromkeys(adapters) if path.startswith("/")]
    return found + tls.mounts(v) + [str(mount) for mount in v["vllm_extra_volumes"]]


def own_sources(definition: dict) -> list[str]:
    """Return the paths on the host that the operator mounts beside caches, model and ``files``."""
    # the first two are the caches
    sources = [mount.split(":")[0] for mount in definition["volumes"][2:]]
    return [
        source
        for source in sources
        if source.startswith("/") and source != definition["model"] and source not in definition["files"]
    ]


def named(v: dict) -> list[str]:
    """Return the Docker volumes among the mounts, which Compose wants declared."""
    sources = [mount.split(":")[0] for mount in volumes(v)]
    return list(dict.fromkeys(source for source in sources if not source.startswith("/")))


def shared(v: dict) -> dict[str, str]:
    """Return the Docker volumes that the Compose file takes as they are, each with the Compose project it belongs to.

    Compose warns at every start of a volume that it is to make and that another project, or nobody's, has already
    (docker/compose, pkg/compose/create.go: ensureVolume). So a service makes only what is named after it. The others
    belong to no project, but for those that the medium service declares: it may come second, and must not warn either.
    """
    own = {"vllm-%s-compile-cache" % v["vllm_name"]}
    if v["vllm_name"] == _MEDIUM:
        own.update(_OF_MEDIUM)
    return {name: project_of(_MEDIUM) if name in _OF_MEDIUM else "" for name in named(v) if name not in own}


def project_of(service: str) -> str:
    """Return the Compose project of a service."""
    return "vllm-%s" % service


def caches(v: dict) -> tuple[str, str]:
    """Return where downloaded models and vLLM's compile cache are inside the container."""
    if compose_options.own_user(v):
        return HUB_CACHE_OF_USER, compose_options.COMPILE_CACHE_OF_USER
    return HF_CACHE, COMPILE_CACHE


def _target(mount: str) -> str:
    return plain_path(str(mount).split(":")[1])


def _within(path: str, folder: str) -> bool:
    path = plain_path(path)
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _wrong(mount: object, taken: dict[str, str]) -> str:
    """Return what is wrong with a mount; empty when it can be used."""
    parts = str(mount).split(":")
    unusable = not parts[0] or "$" in str(mount) or dotenv.check_value(str(mount))
    if unusable or len(parts) not in (2, 3) or not parts[1].startswith("/"):
        return "it is no mount. Use source:/target or source:/target:ro"
    source, target = parts[0], _target(str(mount))
    hidden = (
        "the whole image" if target == "/" else next((taken[place] for place in taken if _within(place, target)), "")
    )
    wrong = ""
    if not source.startswith("/") and not _NAMED.match(source):
        wrong = "%s would be looked for beside the release. Use the absolute path of a folder on the host" % source
    elif len(parts) == 3 and not set(parts[2].split(",")) <= set(_MODES):
        wrong = "%s is no way to mount. Use ro to mount it read-only" % parts[2]
    elif source.startswith("/") and plain_path(source) in _NEVER:
        wrong = _NEVER[plain_path(source)]
    elif hidden or target in _NEVER_HIDDEN:
        wrong = "%s would hide %s" % (target, hidden or "what the image needs")
    return wrong
