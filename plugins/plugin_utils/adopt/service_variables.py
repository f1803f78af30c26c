# SPDX-License-Identifier: GPL-3.0-or-later
"""Say a container in the collection's variables. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import math
import posixpath
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import environment, gpus, places
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.serve_argv import Arguments
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.view import DEFAULT_SHM_BYTES, View
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import IMAGES, LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import size_bytes, to_length

#: vLLM's own port.
PORT = 8000

#: A tag that names one release and will go on doing so.
_PINNED_TAG = re.compile(r"^v?\d+\.\d+\.\d+|^[0-9a-f]{40}$|-[0-9a-f]{7,40}$")

#: Docker's own networks, and what is a mode rather than a network.
_NO_NETWORK = ("bridge", "host", "none", "default", "podman")


@dataclasses.dataclass
class Said:
    """A service in the collection's variables."""

    variables: dict = dataclasses.field(default_factory=dict)
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)
    #: What has no variable: ``{text, noticed, reason}``; noticed where clients or neighbours would see it.
    cannot: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def lacks(self, text: str, noticed: bool = False, reason: str = "") -> None:
        """Note what the variables do not say; ``reason`` is a word by which the operator may accept it."""
        self.cannot.append({"text": text, "noticed": noticed, "reason": reason})


@dataclasses.dataclass
class Around:
    """What is known beside the container."""

    version: str = ""
    image: dict = dataclasses.field(default_factory=dict)
    host_gpus: list[dict] = dataclasses.field(default_factory=list)
    #: Networks that somebody else is in, too.
    shared_networks: list[str] = dataclasses.field(default_factory=list)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Text of the shell that puts the arguments together; empty without one.
    shell: str = ""
    environ: dict[str, str] = dataclasses.field(default_factory=dict)


def is_moving(image: str) -> bool:
    """Tell whether an image's reference may mean another image tomorrow."""
    if "@sha256:" in image or image.startswith("sha256:"):
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return not _PINNED_TAG.search(tag)


def version_of(view: View, image: dict, http: dict) -> str:
    """Return vLLM's release: what the API says, else the image's label, else its tag; empty where nothing says it."""
    told = str((http.get("/version") or {}).get("version") or "")
    labels = (image.get("Config") or {}).get("Labels") or {}
    label = str(labels.get("org.opencontainers.image.version") or "").lstrip("v")
    tag = re.search(r":v?(\d+\.\d+\.\d+(?:\.post\d+|rc\d+)?)", view.image)
    return (
        told or (label if re.match(r"^\d+\.\d+\.\d", label) and "vllm" in view.image else "") or (tag[1] if tag else "")
    )


def say(view: View, arguments: Arguments, around: Around) -> Said:
    """Return what reproduces the container."""
    said = Said()
    _identity(said, view, around)
    used = places.say_model_and_mounts(said, view, arguments, around)
    _options(said, arguments, around, used)
    _gpus(said, view, arguments, around)
    _network(said, view, arguments, around)
    environment.say(said, view, arguments, around)
    _container(said, view)
    return said


def _identity(said: Said, view: View, around: Around) -> None:
    said.variables["vllm_container_name"] = view.name
    if around.version:
        said.variables["vllm_version"] = around.version
    else:
        said.lacks("the vLLM release, which neither the API, the image nor its tag tells", noticed=True)
    digests = [str(item) for item in around.image.get("RepoDigests") or []]
    repository = re.sub(r":[^/]*$", "", view.image.partition("@")[0])
    image = view.image
    if is_moving(image) or image.startswith("sha256:"):
        same = [item for item in digests if item.partition("@")[0].endswith(repository)] or (
            digests if image.startswith("sha256:") else []
        )
        image = same[0] if same else image
        if not same and image.startswith("sha256:"):
            said.lacks("the image %s, which no name leads to" % image[:19], noticed=True)
    if around.version and image == IMAGES["nvidia"] % around.version:
        return
    said.variables["vllm_image"] = image
    if not digests and around.image:
        said.lacks("building the image %s: it must stay on the host, or be pushed to a registry" % image)


def _options(said: Said, arguments: Arguments, around: Around, used: set[str]) -> None:
    """Say the arguments of ``vllm serve``: what has a variable by it, the rest in ``vllm_extra_options``."""
    first_class = serve_options.variables()
    own = {option.variable: option.own for option in serve_options.SERVE_OPTIONS}
    extra: dict = {}
    for name, value in arguments.options:
        variable = first_class.get(name.partition(".")[0])
        if name in used or variable in ("vllm_api_key", "vllm_hf_token", "vllm_model", "vllm_host", "vllm_port"):
            continue
        if variable and "." not in name:
            _first_class(said, variable, value, own.get(variable))
        elif name.startswith("no-"):
            extra[name[3:]] = False
        else:
            extra[name] = value
    if extra:
        said.variables["vllm_extra_options"] = extra


def _first_class(said: Said, variable: str, value: object, own: object) -> None:
    if variable == "vllm_max_model_len":
        try:
            value = to_length(value)
        except ValueError:
            if str(value) == "-1":
                value = "auto"
    if variable == "vllm_served_model_name" and isinstance(value, list) and len(value) == 1:
        value = value[0]
    # what vLLM does by itself need not be said
    if own is not None and str(value) == str(own):
        return
    said.variables[variable] = value


def _gpus(said: Said, view: View, arguments: Arguments, around: Around) -> None:
    how = gpus.access(view)
    if not how:
        if "cpu" in view.image.rpartition("/")[2] or "cpu" in around.version:
            said.variables["vllm_accelerator"] = "cpu"
        elif view.privileged or any("nvidia" in device for device in view.devices):
            said.lacks("GPUs by privileged mode or by devices: the collection gives them by Docker's own ways")
        else:
            said.lacks("how the container gets its GPUs, which Docker does not tell", noticed=True)
        return
    if how != "runtime":
        said.variables["vllm_gpu_access"] = how
    image_env = {
        str(item).partition("=")[0]: str(item).partition("=")[2]
        for item in (around.image.get("Config") or {}).get("Env") or []
    }
    workers = _workers(arguments)
    found = gpus.of_server(view, around.host_gpus, image_env, workers)
    if found:
        said.variables["vllm_gpu_devices"] = found
    else:
        said.lacks("which GPUs the server uses", noticed=True)


def _workers(arguments: Arguments) -> int:
    count = 1
    for name in ("tensor-parallel-size", "pipeline-parallel-size"):
        value = str(arguments.value(name) or 1)
        count *= int(value) if value.isdigit() else 1
    local = str(arguments.value("data-parallel-size-local") or arguments.value("data-parallel-size") or 1)
    return count * (int(local) if local.isdigit() else 1)


def inside_port(arguments: Arguments) -> int:
    """Return the port on which the server listens."""
    value = str(arguments.value("port") or PORT)
    return int(value) if value.isdigit() else PORT


def reached_at(view: View, arguments: Arguments) -> list[tuple[str, int]]:
    """Return (address, port) on the host; an empty address is every one."""
    port = inside_port(arguments)
    if view.network_mode == "host":
        host = str(arguments.value("host") or "")
        return [("" if host in ("0.0.0.0", "::", "") else host, port)]
    return [
        ("" if item["address"] in ("", "0.0.0.0", "::") else item["address"], item["host"])
        for item in view.ports
        if item["container"] == port and item["protocol"] == "tcp"
    ]


def is_open(address: str) -> bool:
    """Tell whether an address can be reached from other machines."""
    return address not in LOOPBACK and not address.startswith("127.")


def _network(said: Said, view: View, arguments: Arguments, around: Around) -> None:
    port = inside_port(arguments)
    reached = list(dict.fromkeys(reached_at(view, arguments)))
    host = str(arguments.value("host") or "")
    if host == "::":
        said.variables["vllm_host"] = host
    if view.network_mode == "host":
        said.variables["vllm_network_mode"] = "host"
        said.variables["vllm_port"] = port
        address = reached[0][0] or "0.0.0.0"
        said.variables["vllm_publish_address"] = address
        return
    if host not in ("", "0.0.0.0", "::"):
        said.lacks("vLLM listens on %s inside its container, which no port leads to" % host, noticed=True)
    if not reached:
        said.variables["vllm_publish"] = False
        said.variables["vllm_port"] = port
    else:
        _published(said, reached, port)
    for item in view.ports:
        if item["container"] != port:
            said.lacks(
                "port %d of the host for port %d of the container, where vLLM does not listen"
                % (item["host"], item["container"])
            )
    joined = [
        {"name": name, "external": True, **({"aliases": aliases} if aliases else {})}
        for name, aliases in view.networks.items()
        if name not in _NO_NETWORK and name in around.shared_networks
    ]
    if joined:
        said.variables["vllm_networks"] = joined
    if view.network_mode.startswith(("container:", "service:")):
        said.lacks("the network of another container (%s)" % view.network_mode, noticed=True)


def _published(said: Said, reached: list[tuple[str, int]], port: int) -> None:
    everywhere = [item for item in reached if item[0] == ""]
    address, outside = (everywhere or reached)[0]
    said.variables["vllm_port"] = outside
    if outside != port:
        said.variables["vllm_container_port"] = port
    said.variables["vllm_publish_address"] = address or "0.0.0.0"
    if not outside:
        said.lacks("a port of the host that Docker chooses anew at each start", noticed=True)
    for other, number in reached:
        if (other, number) != (address, outside) and not (number == outside and not address):
            said.lacks("the further address %s:%d" % (other or "0.0.0.0", number), noticed=True)


def _container(said: Said, view: View) -> None:
    v = said.variables
    if view.ipc == "host":
        v["vllm_ipc"], v["vllm_shm_size"] = "host", ""
    else:
        if view.ipc.startswith(("container:", "service:")):
            said.lacks("shared memory with another container (%s)" % view.ipc)
        if view.shm_bytes != size_bytes("16gb"):
            v["vllm_shm_size"] = size_text(view.shm_bytes)
        if view.shm_bytes == DEFAULT_SHM_BYTES:
            said.notes.append("Docker's own 64 MiB of /dev/shm are little for tensor parallel; 16gb is usual")
    if view.restart != "unless-stopped":
        v["vllm_restart_policy"] = view.restart
    if view.restart_tries:
        said.lacks("at most %d restarts; on-failure is repeated without end" % view.restart_tries)
    if view.auto_remove:
        said.lacks("--rm: the next container stays when it ends")
    if view.user and view.user.partition(":")[0] not in ("0", "root"):
        v["vllm_user"] = view.user
        said.lacks(
            "what the user %s may write to: look at the folders before the next deployment" % view.user,
            noticed=True, reason="user",
        )  # fmt: skip
    _limits(v, view)
    _log(said, view)
    _health(said, view)
    override = {key: value for key, value in view.further.items() if key not in ("tty", "stdin_open")}
    if override:
        v["vllm_compose_override"] = {**v.get("vllm_compose_override", {}), **dict(sorted(override.items()))}
    if view.privileged:
        said.lacks("privileged mode, which gives the host to the container")
    devices = [device for device in view.devices if "nvidia" not in device]
    if devices:
        v.setdefault("vllm_compose_override", {})["devices"] = devices


def _limits(v: dict, view: View) -> None:
    if view.memory_bytes:
        v["vllm_memory_limit"] = size_text(view.memory_bytes)
    if view.cpus:
        v["vllm_cpu_limit"] = round(view.cpus, 2)
    if view.ulimits:
        v["vllm_ulimits"] = dict(sorted(view.ulimits.items()))
    if view.labels:
        v["vllm_labels"] = dict(sorted(view.labels.items()))
    if view.extra_hosts:
        v["vllm_extra_hosts"] = view.extra_hosts


def _log(said: Said, view: View) -> None:
    if view.log_options or view.log_driver not in ("", "json-file"):
        said.variables["vllm_log_driver"] = view.log_driver
    if view.log_options:
        said.variables["vllm_log_options"] = dict(sorted(view.log_options.items()))


def _health(said: Said, view: View) -> None:
    if not view.health:
        said.notes.append("the next container has a health check")
        return
    own = {"interval_s": 30, "timeout_s": 10, "retries": 3, "start_period_s": 1200}
    for key, default in own.items():
        value = max(1, math.ceil(view.health[key])) if key != "start_period_s" else math.ceil(view.health[key])
        # without a period a model that loads counts as broken; the collection's own is kept then
        if value != default and (key != "start_period_s" or value):
            said.variables["vllm_healthcheck_" + key] = value
    said.notes.append("the health check's question becomes the collection's own, asked with Python")


def size_text(number: int) -> str:
    """Return bytes as Docker reads them: 16g, 512m."""
    for unit, factor in (("g", 1024**3), ("m", 1024**2), ("k", 1024)):
        if number % factor == 0:
            return "%d%s" % (number // factor, unit)
    return str(number)


def service_name(text: str, taken: list[str]) -> str:
    """Return a free name for a service, made of what somebody called it."""
    name = re.sub(r"[^a-z0-9_-]+", "-", posixpath.basename(text).lower()).lstrip("-_0123456789")[:36].strip("-_")
    name = name or "vllm"
    free, number = name, 1
    while free in taken:
        number += 1
        free = "%s-%d" % (name, number)
    return free
