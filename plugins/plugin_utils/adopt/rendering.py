# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what a definition would start with what runs. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import serve_argv
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.view import View, size
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition, serve_options

#: What the collection says in any case, and what it is by itself where nobody says it (vllm/entrypoints, 0.11 to 0.32).
_SAID_ANYWAY = {"host": "0.0.0.0", "port": "8000"}


def rendered(values: dict, options: dict) -> tuple[dict, list[str]]:
    """Return what variables start: ``{argv, env, ports, mounts, networks, ...}``, and why they are refused.

    Args:
        values: of every variable, secrets among them.
        options: the options of the role ``vllm``.
    """
    made, problems, _warnings = definition.define(values, options)
    if problems:
        return {}, [item["message"] for item in problems]
    entries = dict(definition.env_entries(values, options))
    words = [entries.get(word[2:-1], word) if word.startswith("${") else word for word in made["command"]]
    env = {name: entries.get(source, "") for name, source in made["environment"].items()}
    service = made["compose"]["service"]
    ports = []
    if made["published"] and made["network_mode"] != "host":
        ports = [(made["publish_address"], made["port"], made["container_port"])]
    return {
        "argv": words,
        "env": env,
        "ports": ports,
        "mounts": sorted(made["volumes"]),
        "networks": {name: (facts or {}).get("aliases", []) for name, facts in service.get("networks", {}).items()},
        "network_mode": made["network_mode"],
        "image": made["image"],
        "name": made["container_name"],
        "ipc": made["ipc"],
        "shm_bytes": size(made["shm_size"]) if made["shm_size"] else 0,
        "gpus": made["gpu_devices"],
        "restart": made["restart_policy"],
        "user": str(service.get("user", "")),
        "version": made["version"],
        "served": made["served_model_name"],
    }, []


def changes(view: View, arguments: serve_argv.Arguments, made: dict, image_refs: list[str]) -> list[dict]:
    """Return what the next container differs in from the one that runs: ``{what, now, then}``.

    Values of variables of the environment are not in it, as they may be secret.
    """
    found: list[dict] = []

    def add(what: str, now: object, then: object) -> None:
        found.append({"what": what, "now": _text(now), "then": _text(then)})

    theirs, ours = _options(arguments), _options(serve_argv.parse(made["argv"], made["version"]))
    for name in sorted(set(theirs) | set(ours)):
        now, then = theirs.get(name), ours.get(name)
        if name in ("api-key", "hf-token"):
            add("--" + name, "in the arguments", "in the environment")
        elif not _same(now, then) and not (now is None and _is_own(name, then, arguments)):
            add("--" + name, now, then)
    if made["image"] != view.image and made["image"] not in image_refs:
        add("image", view.image, made["image"])
    now_env = {k: v for k, v in view.env.items() if k not in ("HUGGING_FACE_HUB_TOKEN", "CUDA_VISIBLE_DEVICES")}
    for name in sorted(set(now_env) | set(made["env"])):
        if name in ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "HF_TOKEN", "VLLM_API_KEY"):
            continue
        if name in now_env and name not in made["env"]:
            add("environment " + name, "set", "not set")
        elif name not in now_env:
            add("environment " + name, "not set", "set")
        elif now_env[name] != made["env"][name]:
            add("environment " + name, "a value", "another value")
    _places(add, view, made)
    return found


def _places(add, view: View, made: dict) -> None:
    theirs = sorted({(item["address"] or "0.0.0.0", item["host"], item["container"]) for item in view.ports})
    theirs = sorted({("0.0.0.0" if a == "::" else a, h, c) for a, h, c in theirs})
    if view.network_mode != "host" and theirs != sorted(made["ports"]):
        add("ports", ["%s:%s:%s" % item for item in theirs], ["%s:%s:%s" % item for item in made["ports"]])
    if (view.network_mode == "host") != (made["network_mode"] == "host"):
        add("network mode", view.network_mode, made["network_mode"])
    theirs_mounts = {item["target"]: item["source"] for item in view.mounts}
    ours_mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in made["mounts"]}
    for target in sorted(set(theirs_mounts) | set(ours_mounts)):
        now, then = theirs_mounts.get(target, ""), ours_mounts.get(target, "")
        if now != then:
            add("mount " + target, now or "none", then or "none")
    for name, aliases in view.networks.items():
        kept = made["networks"].get(name)
        if kept is not None and sorted(aliases) != sorted(kept):
            add("names in the network " + name, aliases, kept)
        elif kept is None and name not in ("bridge", "host", "none"):
            add("network", name, "one of its own")
    for what, now, then in (
        ("name", view.name, made["name"]),
        ("ipc", "host" if view.ipc == "host" else "private", made["ipc"]),
        ("restart policy", view.restart, made["restart"]),
        ("user", view.user, made["user"]),
    ):
        if now != then:
            add(what, now or "none", then or "none")
    if made["ipc"] != "host" and view.ipc != "host" and view.shm_bytes != made["shm_bytes"]:
        add("/dev/shm", "%d bytes" % view.shm_bytes, "%d bytes" % made["shm_bytes"])


def _options(arguments: serve_argv.Arguments) -> dict:
    found = {"model": arguments.model}
    for name, value in arguments.options:
        found[name] = value
    own = {option.flag: option.own for option in serve_options.SERVE_OPTIONS}
    return {name: value for name, value in found.items() if own.get(name) is None or str(own[name]) != str(value)}


def _is_own(name: str, then: object, arguments: serve_argv.Arguments) -> bool:
    """Tell whether vLLM would do by itself what the collection says."""
    by_model = name == "served-model-name" and _same(then, arguments.model)
    return by_model or _SAID_ANYWAY.get(name) == str(then)


def _same(first: object, second: object) -> bool:
    return first is not None and second is not None and _plain(first) == _plain(second)


def _plain(value: object) -> object:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value


def _text(value: object) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "said" if value else "no"
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)
