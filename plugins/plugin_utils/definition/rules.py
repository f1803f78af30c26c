# SPDX-License-Identifier: GPL-3.0-or-later
"""What the values of the variables must be, each and together.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    adapters,
    compose_options,
    extra,
    hardening,
    mounts,
    nodes,
    serve_options,
    tls,
    vllm_options,
    vllm_versions,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    HUB_ID,
    IMAGES,
    SECRETS,
    UNREACHABLE,
    plain_path,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.prefetch import check_prefetch
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import (
    Problems,
    option_text,
    parse_gpu_devices,
    size_bytes,
)

#: Folders of the system (Filesystem Hierarchy Standard 3.0), in which no service may lie.
_SYSTEM_FOLDERS = [
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
]
#: Folders with others' files, below which a service may lie.
_SHARED_FOLDERS = [
    "/home",
    "/mnt",
    "/media",
    "/opt",
    "/root",
    "/srv",
    "/var",
    "/var/lib",
    "/var/lib/docker",
    "/var/log",
]

#: Largest whole number that is taken, C's int: a bound of ours, far above what any service counts.
_MOST = 2**31 - 1

#: Smallest /dev/shm that is taken, in bytes: a bound of ours, which a size without its unit does not reach.
_LEAST_SHM_BYTES = 1024**2

#: GPUs of one host at most: a bound of ours, so that a mistyped number lists no millions.
_MOST_GPUS = 64

#: Oldest vLLM release whose options the collection knows.
_OLDEST_VERSION = (0, 11)

SERVICE_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}\Z")

_CONTAINER_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")

VERSION = re.compile(r"^\d+\.\d+(\.\d+)?([.+-][0-9A-Za-z.]+|rc\d+|\.post\d+)?\Z")


#: Smallest value of each integer variable, and the largest where there is one.
INT_LIMITS = {
    **serve_options.int_limits(),
    "vllm_cpu_kv_cache_gib": (1, None),
    "vllm_nodes_port": (1024, 65535),
    "vllm_healthcheck_interval_s": (1, None),
    "vllm_healthcheck_timeout_s": (1, None),
    "vllm_healthcheck_retries": (1, None),
    "vllm_healthcheck_start_period_s": (0, None),
}


def check(
    v: dict, options: dict, hosts: dict, problems: Problems, warnings: list[str]
) -> tuple[list[str], list[tuple[str, object]], list[tuple[str, str]]]:
    """Note in ``problems`` and ``warnings`` what is wrong with the values ``v``; ``options`` are those of the specs,
    ``hosts`` of `nodes.read`.

    Sizes of CUDA graphs become numbers in ``v``.

    Returns:
        What was taken apart on the way: the GPUs, (option, value) of ``vllm_extra_options`` and (name, value) of
        ``vllm_extra_env``, each without what is wrong.
    """
    _check_names(v, problems)
    _check_texts(v, options, problems)
    _check_numbers(v, problems)
    _check_capture_sizes(v, problems)
    _check_needs(v, problems)
    _check_memory(v, problems)
    _check_secrets(v, problems)
    extra_options = extra.check_options(v, problems)
    gpus = _check_gpus(v, dict(extra_options), nodes.count(hosts), problems)
    _check_reachable(v, dict(extra_options), problems)
    tls.check(v, dict(extra_options), problems)
    nodes.check(v, hosts, dict(extra_options), problems)
    _check_parsers(dict(extra_options), problems)
    extra_env = extra.check_env(v, problems)
    adapters.check(v, dict(extra_options), v["vllm_extra_env"], problems)
    compose_options.check(v, problems, warnings)
    hardening.check(v, problems)
    mounts.check(v, dict(extra_env), problems)
    check_prefetch(v, problems)
    _check_version_fit(v, extra_options, problems, warnings)
    return gpus, extra_options, extra_env


def _check_names(v: dict, problems: Problems) -> None:
    if not SERVICE_NAME.match(v["vllm_name"]):
        problems.add(
            "vllm_name",
            "%r is no service name. Use lower-case letters, digits, '-' and '_', starting with a letter, at most 40."
            % v["vllm_name"],
        )
    if not _CONTAINER_NAME.match(v["vllm_container_name"]):
        problems.add(
            "vllm_container_name",
            "%r is no container name. Use letters, digits, '.', '-' and '_'." % v["vllm_container_name"],
        )
    if not VERSION.match(v["vllm_version"]):
        problems.add("vllm_version", "%r is no version. Use for example 0.32.0." % v["vllm_version"])
    elif tuple(map(int, v["vllm_version"].split(".")[:2])) < _OLDEST_VERSION:
        problems.add("vllm_version", "%s is older than 0.11.0, the oldest supported. Use 0.32.0." % v["vllm_version"])
    model = v["vllm_model"]
    if model.startswith("/"):
        if not re.match(r"^/[A-Za-z0-9_./+@-]+$", model):
            problems.add("vllm_model", "%r holds characters that cannot be mounted safely. Rename the folder." % model)
    elif not HUB_ID.match(model):
        problems.add(
            "vllm_model",
            "%r is neither a Hugging Face id (organisation/name) nor the absolute path of a folder on the host."
            % model,
        )
    for name in v["vllm_served_model_name"]:
        why_not = dotenv.check_value(name) if name else "it is empty"
        if why_not:
            problems.add("vllm_served_model_name", "%r cannot be used: %s. Take that out." % (name, why_not))
    folder = plain_path(v["vllm_dir"])
    if not folder.startswith("/") or folder.strip("/") == "":
        problems.add("vllm_dir", "%r is not an absolute path below /. Use for example /opt/vllm." % v["vllm_dir"])
    elif folder.split("/")[1] in _SYSTEM_FOLDERS or folder in _SHARED_FOLDERS:
        problems.add(
            "vllm_dir",
            "%r belongs to the system, and what this collection keeps would lie among it. Use for example /opt/vllm."
            % v["vllm_dir"],
        )
    if v["vllm_image"] and not re.match(r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", v["vllm_image"]):
        problems.add(
            "vllm_image",
            "%r is no image reference. Use for example %s." % (v["vllm_image"], IMAGES["nvidia"] % "0.32.0"),
        )
    address = v["vllm_publish_address"]
    if address not in ("", "localhost"):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            problems.add("vllm_publish_address", "%r is no IP address. Use for example 127.0.0.1." % address)


def _check_texts(v: dict, options: dict, problems: Problems) -> None:
    """Refuse what neither a line of ``.env`` nor one of the Compose file can carry, secrets apart."""
    texts = {name: v[name] for name, option in options.items() if option.get("type", "str") in ("str", "path")}
    texts["vllm_hf_overrides"] = option_text(v["vllm_hf_overrides"] or "")
    for name, text in texts.items():
        why_not = "" if name in SECRETS or problems.about(name) else dotenv.check_value(text or "")
        if why_not:
            problems.add(name, "%r cannot be used: %s. Take that out." % (text, why_not))


def _check_numbers(v: dict, problems: Problems) -> None:
    for name, (low, high) in INT_LIMITS.items():
        value = v.get(name)
        if value is None or value == "auto" or problems.about(name):
            continue
        if value < low or value > (_MOST if high is None else high):
            if name == "vllm_port":
                problems.add(name, "%d is not a TCP port. Use 1 to 65535, for example 5002." % value)
            else:
                limits = "%d or more" % low if high is None and value < low else "%d to %d" % (low, high or _MOST)
                problems.add(name, "%d is out of range. Use %s." % (value, limits))
    for name in serve_options.shares():
        if v[name] is not None and not problems.about(name) and not 0 < v[name] <= 1:
            problems.add(
                name,
                "%s is outside (0, 1]. It is a share of the GPU's memory, for example 0.90 for 90 %%." % v[name],
            )


def _check_capture_sizes(v: dict, problems: Problems) -> None:
    name = "vllm_cudagraph_capture_sizes"
    # -e and surveys give texts
    sizes = v[name] = [int(size) if isinstance(size, str) and size.isdigit() else size for size in v[name] or []]
    if problems.about(name) or not sizes:
        return
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        problems.add(name, "%r holds what is no batch size. Use whole numbers from 1 on, as [1, 2, 4, 8]." % sizes)
    elif len(set(sizes)) < len(sizes):
        problems.add(name, "%r holds a size twice. Name each size once." % sizes)


def _check_needs(v: dict, problems: Problems) -> None:
    for option in serve_options.SERVE_OPTIONS:
        if not option.needs or problems.about(option.variable) or not serve_options.is_set(v[option.variable]):
            continue
        other, wanted, why = option.needs
        if v[other] not in (None, wanted):
            problems.add(
                option.variable,
                "%r has no effect, since %s %s. Unset one of the two." % (v[option.variable], other, why),
            )


def _check_gpus(v: dict, extra_options: dict, hosts: int, problems: Problems) -> list[str]:
    if v["vllm_accelerator"] != "nvidia":
        return []
    try:
        gpus = parse_gpu_devices(v["vllm_gpu_devices"])
    except ValueError as error:
        problems.add(
            "vllm_gpu_devices",
            '%r: %s. Name each GPU once, for example [0, 1] or "0,1".' % (v["vllm_gpu_devices"], error),
        )
        return []
    sizes = ("vllm_tensor_parallel_size", "vllm_pipeline_parallel_size")
    if problems.about(*sizes, "vllm_gpu_devices", "vllm_extra_options"):
        return gpus
    tensor, pipeline = (v[name] or 1 for name in sizes)
    local, said = _local_engines(extra_options)
    if hosts > 1:
        said += ", over %d hosts" % hosts
    if tensor * pipeline * local != len(gpus) * hosts:
        own = "" if v[sizes[0]] else ", which is vLLM's own where nothing is set"
        problems.add(
            sizes[0],
            "%d%s (x vllm_pipeline_parallel_size %d%s = %d GPUs) differs from the %d GPUs of vllm_gpu_devices (%s%s). "
            "Make the two agree."
            % (
                tensor,
                own,
                pipeline,
                said,
                tensor * pipeline * local,
                len(gpus) * hosts,
                ",".join(gpus),
                " on each" if hosts > 1 else "",
            ),
        )
    elif tensor * pipeline > 1 and any(name.startswith("MIG-") for name in gpus):
        # no CUDA IPC, no NVLink between instances (docs.rapids.ai, deployment guide: MIG); not tried with vLLM
        problems.add(
            sizes[0],
            "one model cannot be split over MIG instances (%s). Give it one instance (tensor and pipeline parallel "
            "size 1), or whole GPUs." % ",".join(gpus),
        )
    return gpus


def workers(v: dict, hosts: int = 1) -> int:
    """Return how many workers, each with a GPU of its own, vLLM starts on this host, one of ``hosts``."""
    local, _said = _local_engines(nodes.asked(v))
    sizes = (v["vllm_tensor_parallel_size"] or 1, v["vllm_pipeline_parallel_size"] or 1)
    return min(max(sizes[0] * sizes[1] * local // hosts, 1), _MOST_GPUS)


def _local_engines(extra_options: dict) -> tuple[int, str]:
    """Return how many engines run on this host, each with GPUs of its own, and the option that says so in words."""
    for name in ("data-parallel-size-local", "data-parallel-size"):
        text = str(extra_options.get(name, "")).strip()
        if text.isdigit() and int(text):
            return int(text), " x %s %s" % (name, text)
    return 1, ""


def _check_reachable(v: dict, extra_options: dict, problems: Problems) -> None:
    """Refuse what keeps the health check and Docker's port from the service: it would never be healthy."""
    for name in UNREACHABLE:
        if serve_options.is_set(extra_options.get(name)):
            problems.add("vllm_extra_options", "%s is refused: %s." % (name, UNREACHABLE[name]))
    host = v["vllm_host"]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        problems.add("vllm_host", "%r is no IP address. Use 0.0.0.0, every address inside the container." % host)
        return
    if not address.is_unspecified:
        problems.add(
            "vllm_host",
            "%s would be reached by nobody: Docker forwards the port to another address of the container, and the "
            "health check asks 127.0.0.1. Use 0.0.0.0, and vllm_publish_address for who may reach it." % host,
        )


def _check_parsers(extra_options: dict, problems: Problems) -> None:
    # vllm/entrypoints/launchers/cli_args.py of 0.32: the server ends with a TypeError
    if extra_options.get("enable-auto-tool-choice") is True and not extra_options.get("tool-call-parser"):
        problems.add(
            "vllm_extra_options",
            "enable-auto-tool-choice needs tool-call-parser, which reads the calls of this model, for example hermes.",
        )


def _check_memory(v: dict, problems: Problems) -> None:
    size = v["vllm_shm_size"]
    if v["vllm_ipc"] == "host" and size:
        problems.add(
            "vllm_shm_size",
            '%r would be ignored by Docker since vllm_ipc is host. Set vllm_shm_size to "" to use the host\'s '
            "/dev/shm, or vllm_ipc to private." % size,
        )
    elif v["vllm_ipc"] == "private" and not size:
        problems.add("vllm_shm_size", "is empty, and 64 MiB is too little for tensor parallel. Set for example 16gb.")
    elif size and size_bytes(size) is None:
        problems.add("vllm_shm_size", "%r is no size. Use for example 16gb." % size)
    elif size and size_bytes(size) < _LEAST_SHM_BYTES:
        problems.add(
            "vllm_shm_size",
            "%r is %d bytes to Docker, which no process can use. Give a unit, for example 16gb."
            % (size, size_bytes(size)),
        )


def _check_secrets(v: dict, problems: Problems) -> None:
    if v["vllm_model_gated"] and not v["vllm_hf_token"]:
        problems.add(
            "vllm_hf_token",
            "is empty, but vllm_model_gated says that %s needs one. Put a token that has accepted the model's licence "
            "into the vault file beside the inventory." % v["vllm_model"],
        )
    for name in SECRETS:
        value = v[name]
        why_not = dotenv.check_value(value)
        if not why_not and value != value.strip():
            why_not = "it begins or ends with white space, most likely pasted by accident"
        if not why_not and not (value.isascii() and value.isprintable() and " " not in value):
            # a header carries it (RFC 6750: b64token), and clients send nothing else
            why_not = "it holds a space or a character that no HTTP header carries; use ASCII letters, digits and signs"
        if why_not:
            problems.add(name, "cannot be used: %s. Mend the value in the vault file." % why_not)


def _check_version_fit(v: dict, extra_options: list[tuple[str, object]], problems: Problems, warnings: list) -> None:
    """Refuse what ``vllm serve`` of this release would not take."""
    version, image = v["vllm_version"], v["vllm_image"]
    if problems.about("vllm_version", "vllm_image"):
        return
    _known, newer = vllm_options.nearest_known(version)
    if newer:
        warnings.append("vllm_version: " + newer)
    in_tag = vllm_versions.image_version(image)
    if in_tag and vllm_versions.release(in_tag) != vllm_versions.release(version):
        warnings.append(
            "vllm_image: its tag says vLLM %s, but vllm_version is %s, and the command is made for that. Set "
            "vllm_version to what the image holds." % (in_tag, version)
        )
    why_not = vllm_versions.overrides_problem(version, v["vllm_hf_overrides"] or {})
    if why_not and not problems.about("vllm_hf_overrides"):
        problems.add("vllm_hf_overrides", why_not)
    if v["vllm_max_model_len"] == "auto" and vllm_versions.release(version) < vllm_versions.AUTO_LENGTH:
        problems.add(
            "vllm_max_model_len",
            "auto is nothing that vLLM %s takes; %d.%d is the first. Set a number of tokens."
            % (version, *vllm_versions.AUTO_LENGTH[:2]),
        )
    if not v["vllm_check_options"]:
        return
    # An image of one's own may hold any release: vllm_version is believed.
    hint = " (vllm_image is taken to hold vLLM %s, as vllm_version says.)" % version if image and not in_tag else ""
    own = {flag: (option.variable, value) for option, flag, value in serve_options.said(v, version)}
    own.pop("model", None)  # an argument without a name
    # it may know parsers, quantization and more of its own, too
    names_too = not image or bool(in_tag)
    for found in vllm_options.check_options(version, {flag: value for flag, (_name, value) in own.items()}, names_too):
        name = own[found["option"]][0]
        if not problems.about(name):
            problems.add(name, found["message"] + hint)
    for found in vllm_options.check_options(version, dict(extra_options), names_too):
        problems.add("vllm_extra_options", found["message"] + hint)
    for name in vllm_options.deprecated_options(version, [name for name, _value in extra_options]):
        instead = vllm_versions.REPLACEMENTS.get(name, "see vLLM's release notes")
        warnings.append("vllm_extra_options: %s is deprecated in vLLM %s: %s." % (name, version, instead))
