# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Compose file says of a container beside what vLLM needs: user, limits, networks, labels, logs, secret files.

Each is a key of the Compose service that stands there only when its variable says something.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import compose_override, tls
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    HOST_PATH,
    HUB_CACHE_OF_USER,
    plain_path,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems, size_bytes

#: Where vLLM's compile cache is for a user of one's own.
COMPILE_CACHE_OF_USER = "/var/cache/vllm"

#: What such a user needs in the environment, since only root may enter /root, the home of the images. Everyone may
#: write to /tmp. A user without an entry in /etc/passwd has no name, which Python's getpass wants for cache folders.
_USER_ENV = {
    "HOME": "/tmp",
    "USER": "vllm",
    "HF_HOME": HUB_CACHE_OF_USER,
    "VLLM_CACHE_ROOT": COMPILE_CACHE_OF_USER,
}

_USER = re.compile(r"^(\d{1,10}|[a-z_][a-z0-9_-]{0,31})(:(\d{1,10}|[a-z_][a-z0-9_-]{0,31}))?\Z")
_ULIMIT = re.compile(r"^[a-z]{2,16}\Z")
_HOST_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\Z")
#: A name of a network, an alias, a secret or a log driver.
_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
#: A log driver may be a plugin: repository and tag.
_DRIVER = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_./:-]*\Z")

#: Smallest limit of the memory that is taken, in bytes: a bound of ours, far below what any vLLM needs, which a number
#: without its unit does not reach.
_LEAST_MEMORY_BYTES = 1024**3

#: Label of a container that says what its files on the host held when it was made.
_FILES_LABEL = "myia.vllm.files"

_NETWORK_KEYS = ("name", "external", "aliases", "internal")

#: Addresses where vLLM may listen in the host's network: what asks it inside the container asks 127.0.0.1.
_HOST_NETWORK = ("", "0.0.0.0", "127.0.0.1", "localhost")


def check(v: dict, problems: Problems, warnings: list[str]) -> None:
    """Note what is wrong with the values ``v``; networks become dictionaries in it."""
    _check_user(v, problems, warnings)
    _check_limits(v, problems)
    _check_texts(v, problems)
    _check_extra_hosts(v, problems)
    _check_secret_files(v, problems)
    v["vllm_networks"] = [item if isinstance(item, dict) else {"name": item} for item in v["vllm_networks"]]
    _check_networks(v, problems)
    _check_ports(v, problems)
    _check_model_path(v, problems)
    compose_override.check(v["vllm_compose_override"], problems)


def own_user(v: dict) -> bool:
    """Tell whether the container runs as another user than the image's root."""
    return str(v["vllm_user"]).partition(":")[0] not in ("", "0", "root")


def user_env(v: dict, extra_env: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the variables that a user of one's own needs, without those that ``extra_env`` has."""
    given = dict(extra_env)
    if not own_user(v):
        return []
    return [(name, value) for name, value in _USER_ENV.items() if name not in given]


def told(v: dict) -> dict:
    """Return the values as vLLM is told them: what it sees inside the container."""
    changed = {"vllm_port": container_port(v), **tls.told(v)}
    if v["vllm_model_container_path"]:
        changed["vllm_model"] = v["vllm_model_container_path"]
    if v["vllm_network_mode"] == "host":
        # nothing stands between: it listens where it would have been published
        changed["vllm_host"] = publish_address(v)
    return {**v, **changed}


def container_port(v: dict) -> int:
    """Return the port on which vLLM listens."""
    return v["vllm_port"] if v["vllm_container_port"] is None else v["vllm_container_port"]


def publish_address(v: dict) -> str:
    """Return the address of the host on which clients reach the service."""
    address = v["vllm_publish_address"] or ("0.0.0.0" if v["vllm_api_key"] else "127.0.0.1")
    return "127.0.0.1" if address == "localhost" and v["vllm_network_mode"] == "host" else address


def base_url(v: dict) -> str:
    """Return where the service answers on the host; without a port there, where it does in its networks.

    On the host the container's name then stands for the address that Docker gave it (service_http.seen_from_host).
    """
    if not v["vllm_publish"]:
        return "%s://%s:%d" % (tls.scheme(v), v["vllm_container_name"], container_port(v))
    publish = publish_address(v)
    # Docker publishes "::" for IPv6 alone, also where the host has both (seen with 20.10)
    host = {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(publish, publish)
    return "%s://%s:%d" % (tls.scheme(v), ("[%s]" % host) if ":" in host else host, v["vllm_port"])


def rendered(v: dict, suffix: str) -> dict:
    """Return the keys of the Compose file: ``service``, ``prefetch`` (the container that downloads), ``top``.

    Args:
        v: the values of the variables.
        suffix: end of the service's names in ``.env``.
    """
    common: dict[str, object] = {}
    if v["vllm_user"]:
        common["user"] = v["vllm_user"]
    if v["vllm_network_mode"] == "host":
        common["network_mode"] = "host"
    if v["vllm_extra_hosts"]:
        common["extra_hosts"] = _texts(v["vllm_extra_hosts"])
    log = {"driver": v["vllm_log_driver"], "options": _texts(v["vllm_log_options"])}
    if any(log.values()):
        common["logging"] = {key: value for key, value in log.items() if value}
    if v["vllm_secret_files"]:
        common["secrets"] = sorted(v["vllm_secret_files"])
    service = dict(common)
    if v["vllm_networks"]:
        service["networks"] = {
            item["name"]: {"aliases": list(item["aliases"])} if item.get("aliases") else {}
            for item in v["vllm_networks"]
        }
    if v["vllm_labels"]:
        service["labels"] = _texts(v["vllm_labels"])
    if files(v):
        # a container whose files hold something else now is another one to Compose
        service["labels"] = {**service.get("labels", {}), **files_label(suffix)}
    if v["vllm_ulimits"]:
        service["ulimits"] = dict(sorted(v["vllm_ulimits"].items()))
    if v["vllm_memory_limit"]:
        service["mem_limit"] = v["vllm_memory_limit"]
    if v["vllm_cpu_limit"] is not None:
        service["cpus"] = v["vllm_cpu_limit"]
    top: dict[str, dict] = {}
    if v["vllm_networks"]:
        top["networks"] = {item["name"]: _network(item) for item in v["vllm_networks"]}
    if v["vllm_secret_files"]:
        top["secrets"] = {name: {"file": path} for name, path in sorted(v["vllm_secret_files"].items())}
    service.update(sorted(compose_override.escaped(v["vllm_compose_override"]).items()))
    return {"service": service, "prefetch": common, "top": top}


def files(v: dict) -> dict[str, str]:
    """Return the files on the host that are read when the service starts: by path, the variable that names it."""
    return {**dict.fromkeys(sorted(v["vllm_secret_files"].values()), "vllm_secret_files"), **tls.files(v)}


def files_variable(suffix: str) -> str:
    """Return the name in ``.env`` of what those files hold."""
    return "VLLM_FILES_%s" % suffix


def files_label(suffix: str) -> dict[str, str]:
    """Return the label of the container that says what those files held when it was made."""
    return {_FILES_LABEL: "${%s}" % files_variable(suffix)}


def _network(item: dict) -> dict:
    flags = {key: True for key in ("external", "internal") if item.get(key)}
    return {"name": item["name"], **flags}


def _texts(values: dict) -> dict[str, str]:
    return {str(name): compose_override.escaped(_text(value)) for name, value in sorted(values.items())}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_user(v: dict, problems: Problems, warnings: list[str]) -> None:
    if v["vllm_user"] and not _USER.match(v["vllm_user"]):
        problems.add("vllm_user", '%r is no user. Use "uid" or "uid:gid", for example "2000:2000".' % v["vllm_user"])
    elif own_user(v):
        volumes = [name for name in ("vllm_hf_cache", "vllm_compile_cache") if not v[name].startswith("/")]
        if v["vllm_ssl_keyfile"]:
            warnings.append(
                "vllm_user: vLLM reads vllm_ssl_keyfile %s as user %s, which its owner on the host must let it."
                % (v["vllm_ssl_keyfile"], v["vllm_user"])
            )
        if volumes:
            warnings.append(
                "vllm_user: Docker makes the volumes of %s for root. Give them to user %s before, or set folders of "
                "the host that it may write to." % (" and ".join(volumes), v["vllm_user"])
            )


def _check_limits(v: dict, problems: Problems) -> None:
    limit = v["vllm_memory_limit"]
    size = size_bytes(limit)
    if limit and size is None:
        problems.add("vllm_memory_limit", "%r is no size. Use for example 64g." % limit)
    elif limit and size < _LEAST_MEMORY_BYTES:
        problems.add(
            "vllm_memory_limit",
            "%r is %d bytes to Docker, and vLLM does not start with less than 1 GiB. Give a unit, for example 64g."
            % (limit, size),
        )
    cpus = v["vllm_cpu_limit"]
    # moby, daemon/daemon_unix.go: 0.01 is the least
    if cpus is not None and not problems.about("vllm_cpu_limit") and not 0.01 <= cpus <= 4096:
        problems.add("vllm_cpu_limit", "%s is no number of CPU cores. Use 0.01 to 4096, for example 8." % cpus)
    for name, limit in v["vllm_ulimits"].items():
        values = [limit]
        if isinstance(limit, dict):
            values = list(limit.values()) if set(limit) == {"soft", "hard"} else [None]
        if not _ULIMIT.match(str(name)) or any(
            isinstance(value, bool) or not isinstance(value, int) or value < -1 for value in values
        ):
            problems.add(
                "vllm_ulimits",
                "%s: %r is no limit. Use a whole number, -1 for none, or {soft: 1024, hard: 4096}; for example "
                "memlock: -1." % (name, limit),
            )


def _check_texts(v: dict, problems: Problems) -> None:
    """Check labels and the log."""
    for variable in ("vllm_labels", "vllm_log_options"):
        for name, value in v[variable].items():
            if value is None or isinstance(value, (dict, list)):
                problems.add(variable, "%s has no plain value. Set a text or a number." % name)
            elif dotenv.check_value(str(name) + _text(value)):
                problems.add(
                    variable,
                    "%s cannot be used: %s. Take that out." % (name, dotenv.check_value(str(name) + str(value))),
                )
            elif variable == "vllm_labels" and str(name).startswith("com.docker.compose."):
                problems.add(
                    variable, "%s belongs to Docker Compose, which knows its containers by it. Remove it." % name
                )
            elif variable == "vllm_labels" and name == _FILES_LABEL:
                problems.add(variable, "%s belongs to this collection. Remove it." % name)
    driver = v["vllm_log_driver"]
    if driver and not _DRIVER.match(driver):
        problems.add("vllm_log_driver", "%r is no log driver. Use for example local or json-file." % driver)
    unread = driver == "none" or _text(v["vllm_log_options"].get("cache-disabled", "")) == "true"
    if unread:
        problems.add(
            "vllm_log_driver" if driver == "none" else "vllm_log_options",
            "docker logs would show nothing, and a start is watched in the log. Use the driver local, with max-size "
            "and max-file, to keep it small.",
        )


def _check_extra_hosts(v: dict, problems: Problems) -> None:
    for name, address in v["vllm_extra_hosts"].items():
        try:
            fits = address == "host-gateway" or bool(ipaddress.ip_address(str(address)))
        except ValueError:
            fits = False
        if not fits or not _HOST_NAME.match(str(name)):
            problems.add(
                "vllm_extra_hosts",
                "%s: %r is no host with its address. Use an IP address, or host-gateway for the host itself; for "
                "example host.docker.internal: host-gateway." % (name, address),
            )


def _check_secret_files(v: dict, problems: Problems) -> None:
    for name, path in v["vllm_secret_files"].items():
        if not _NAME.match(str(name)) or not isinstance(path, str) or not HOST_PATH.match(path):
            problems.add(
                "vllm_secret_files",
                "%s: %r is no file on the host. Use its absolute path; the container finds it at /run/secrets/%s."
                % (name, path, name),
            )


def _check_networks(v: dict, problems: Problems) -> None:
    where, seen = "vllm_networks", []
    for item in v[where]:
        name = item.get("name")
        aliases = item.get("aliases") or []
        unknown = sorted(set(map(str, item)) - set(_NETWORK_KEYS))
        flags = [item.get(key, False) for key in ("external", "internal")]
        if not isinstance(name, str) or not _NAME.match(name):
            problems.add(where, "%r is no network. Give its name, or {name: NAME, external: true}." % (item,))
        elif unknown:
            known = ", ".join(_NETWORK_KEYS)
            problems.add(where, "%s: %s is unknown. Use %s." % (name, ", ".join(unknown), known))
        elif name in ("host", "none", "bridge", "default"):
            problems.add(
                where,
                "%s is Docker's own network. Use vllm_network_mode: host for the host's; name others here." % name,
            )
        elif name in seen:
            problems.add(where, "%s stands there twice. Name it once." % name)
        elif not all(isinstance(flag, bool) for flag in flags) or all(flags):
            problems.add(where, "%s: external and internal are true or false, and not both true." % name)
        elif not isinstance(aliases, list) or not all(isinstance(a, str) and _NAME.match(a) for a in aliases):
            problems.add(where, "%s: aliases %r are no list of host names." % (name, aliases))
        seen.append(name)
    if v[where] and v["vllm_network_mode"] == "host":
        problems.add(where, "a container in the host's network is in no other. Unset it, or vllm_network_mode.")
    elif v[where] and v["vllm_publish"] and all(item.get("internal") is True for item in v[where]):
        problems.add(
            where,
            "Docker publishes no port of a container whose networks are all internal. Set vllm_publish: false, or "
            "add a network that is not.",
        )


def _check_ports(v: dict, problems: Problems) -> None:
    port = v["vllm_container_port"]
    if port is not None and not 1 <= port <= 65535:
        problems.add("vllm_container_port", "%d is not a TCP port. Use 1 to 65535, for example 8000." % port)
    if v["vllm_network_mode"] != "host":
        if not v["vllm_publish"] and v["vllm_publish_address"]:
            problems.add(
                "vllm_publish_address", "%r has no effect, since vllm_publish is false. Unset it."
                % v["vllm_publish_address"]
            )  # fmt: skip
        return
    if port not in (None, v["vllm_port"]):
        problems.add("vllm_container_port", "in the host's network there is one port, vllm_port. Unset it.")
    if not v["vllm_publish"]:
        problems.add("vllm_publish", "in the host's network nothing is published, and nothing hidden. Unset it.")
    if v["vllm_publish_address"] not in _HOST_NETWORK:
        problems.add(
            "vllm_publish_address",
            "in the host's network vLLM itself would listen on %s only, and the health check asks 127.0.0.1. Use "
            "127.0.0.1 or 0.0.0.0." % v["vllm_publish_address"],
        )
    if v["vllm_extra_hosts"].get("localhost"):
        problems.add("vllm_extra_hosts", "localhost is the host itself in the host's network. Remove it.")


def _check_model_path(v: dict, problems: Problems) -> None:
    name = "vllm_model_container_path"
    path = v[name]
    if not path:
        return
    if not v["vllm_model"].startswith("/"):
        problems.add(name, "has no effect, since vllm_model %s is no folder on the host. Unset it." % v["vllm_model"])
    elif not HOST_PATH.match(path) or plain_path(path) != path:
        problems.add(name, "%r is no plain absolute path. Use for example /models/qwen." % path)
