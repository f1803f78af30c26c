# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container may not do, and where its image may come from.

Nothing of it is on by default: it would make the container of each service anew, and what a host's folders and images
need is not known here.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import compose_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import IMAGES, plain_path
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: Capabilities by their name in Compose (capabilities(7)).
_CAPABILITY = re.compile(r"^(ALL|[A-Z][A-Z_]{2,31})\Z")

#: A registry: host name with or without port, and a path in it.
_REGISTRY = re.compile(r"^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?(?:/[a-z0-9._/-]*[a-z0-9])?\Z")

#: Where a program may write on a read-only root, beside the caches: /tmp, in RAM, from which compilers run what they
#: have made.
_TMPFS = "/tmp:exec,mode=1777"

#: What libraries otherwise write below /root, put into vLLM's compile cache, which is kept: Triton (TRITON_CACHE_DIR),
#: CUDA's own cache (CUDA_CACHE_PATH, CUDA programming guide), FlashInfer (FLASHINFER_WORKSPACE_BASE,
#: flashinfer/jit/env.py), and what vLLM keeps of itself (vllm/envs.py: VLLM_CONFIG_ROOT).
_WRITABLE = {
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "nv",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "VLLM_CONFIG_ROOT": "config",
}

#: Keys of ``vllm_compose_override`` that a variable writes, when that says something.
_VARIABLES = {
    "security_opt": "vllm_no_new_privileges",
    "cap_drop": "vllm_cap_drop",
    "read_only": "vllm_read_only",
}


def check(v: dict, problems: Problems) -> None:
    """Note what is wrong with the values ``v``; sources become the texts of networks in it."""
    for name in v["vllm_cap_drop"]:
        if not _CAPABILITY.match(str(name)):
            problems.add("vllm_cap_drop", "%r is no capability. Use ALL, or for example NET_RAW." % (name,))
    for key, variable in _VARIABLES.items():
        if v[variable] and key in v["vllm_compose_override"]:
            problems.add(
                variable,
                "vllm_compose_override has %s too, and one would hide the other. Say it in one of the two." % key,
            )
    _check_registries(v, problems)
    _check_sources(v, problems)


def registry(image: str) -> str:
    """Return where an image comes from, as ``host/path`` without its last part: ``docker.io/vllm``.

    A first part is a registry when it has a dot or a port, or is localhost (distribution/reference, normalize.go).
    """
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    if not slash:
        return "docker.io/library"
    if "." in first or ":" in first or first == "localhost":
        return "%s/%s" % (first, rest.rpartition("/")[0]) if "/" in rest else first
    return "docker.io/%s" % name.rpartition("/")[0]


def _check_registries(v: dict, problems: Problems) -> None:
    where, allowed = "vllm_allowed_registries", v["vllm_allowed_registries"]
    wrong = [item for item in allowed if not _REGISTRY.match(str(item))]
    for item in wrong:
        problems.add(where, "%r is no registry. Use for example docker.io/vllm or registry.example.com:5000." % (item,))
    if wrong or not allowed or problems.about("vllm_image", "vllm_version"):
        return
    image = v["vllm_image"] or IMAGES[v["vllm_accelerator"]] % v["vllm_version"]
    source = registry(image)
    if not any(source == item or source.startswith(item + "/") for item in map(str, allowed)):
        problems.add(
            "vllm_image",
            "%s comes from %s, and vllm_allowed_registries has %s only. Use an image from there, or allow it."
            % (image, source, ", ".join(map(str, allowed))),
        )


def _check_sources(v: dict, problems: Problems) -> None:
    where, found = "vllm_allowed_sources", []
    for item in v[where]:
        try:
            found.append(str(ipaddress.ip_network(str(item), strict=True)))
        except ValueError:
            problems.add(
                where,
                "%r is no network. Use an address or a network whose last bits are zero, for example 10.1.0.0/16 or "
                "10.1.2.3." % (item,),
            )
    v[where] = found
    if found and not v["vllm_publish"]:
        problems.add(where, "has no effect, since vllm_publish is false: no port is on the host. Unset one of the two.")
    elif found and compose_options.publish_address(v) in ("127.0.0.1", "::1", "localhost"):
        problems.add(
            where,
            "has no effect, since the port is on %s alone. Set vllm_publish_address to the address where they reach "
            "it, for example 0.0.0.0." % compose_options.publish_address(v),
        )


def environment(v: dict, extra_env: list[tuple[str, str]], compile_cache: str) -> list[tuple[str, str]]:
    """Return the variables by which libraries write into the compile cache instead of a root that is read-only."""
    given = dict(extra_env)
    if not v["vllm_read_only"]:
        return []
    return [(name, "%s/%s" % (compile_cache, part)) for name, part in _WRITABLE.items() if name not in given]


def service_keys(v: dict) -> dict[str, object]:
    """Return the keys of the Compose service that the variables say; without any, none."""
    found: dict[str, object] = {}
    if v["vllm_no_new_privileges"]:
        found["security_opt"] = ["no-new-privileges:true"]
    if v["vllm_cap_drop"]:
        found["cap_drop"] = [str(name) for name in v["vllm_cap_drop"]]
    if v["vllm_read_only"]:
        given = v["vllm_compose_override"].get("tmpfs") or []
        given = [str(item) for item in (given if isinstance(given, (list, tuple)) else [given])]
        own = [] if any(plain_path(item.partition(":")[0]) == "/tmp" for item in given) else [_TMPFS]
        found.update(read_only=True, tmpfs=[*own, *given])
    return found
