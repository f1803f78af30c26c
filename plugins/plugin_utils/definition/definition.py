# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the flat ``vllm_*`` variables into one checked definition of the service.

Pure Python, no Ansible, no I/O but reading the collection's own table of vLLM's options once: the action plugin
``service_definition`` hands the values in. It runs on the controller only. Every problem is a
sentence that names the variable, what was found, what is expected and what to do; all problems are collected, so
that the operator mends them in one go. No problem or warning ever contains the value of a secret.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options, vllm_versions

#: Variables whose values must not appear anywhere but in ``.env``.
SECRETS = ("vllm_hf_token", "vllm_api_key")

#: Variables that no message quotes: secrets, and what may hold some.
UNQUOTED = (*SECRETS, "vllm_extra_env")

#: Variables that roles hand on (results), beside those that an operator sets.
RESULTS = (
    "vllm_definition",
    "vllm_preflight_result",
    "vllm_config_result",
    "vllm_service_result",
    "vllm_health_result",
    "vllm_verify_result",
    "vllm_benchmark_result",
    "vllm_report_result",
    "docker_engine_result",
    "nvidia_container_toolkit_result",
)

#: ``vllm_*`` names that playbooks read before any role is loaded, and what a run hands on by ``set_stats``: the next
#: job of an AWX workflow gets that as an extra variable.
PLAYBOOK_VARIABLES = ("vllm_hosts", "vllm_serial", "vllm_reports")

#: Default images by accelerator; the vLLM project publishes both under its version tag.
IMAGES = {"nvidia": "vllm/vllm-openai:v%s", "cpu": "vllm/vllm-openai-cpu:v%s"}

#: Options of ``vllm serve`` that have a variable of their own, with that variable.
FIRST_CLASS_OPTIONS = {
    "model": "vllm_model",
    "revision": "vllm_model_revision",
    "served-model-name": "vllm_served_model_name",
    "quantization": "vllm_quantization",
    "dtype": "vllm_dtype",
    "kv-cache-dtype": "vllm_kv_cache_dtype",
    "max-model-len": "vllm_max_model_len",
    "hf-overrides": "vllm_hf_overrides",
    "gpu-memory-utilization": "vllm_gpu_memory_utilization",
    "tensor-parallel-size": "vllm_tensor_parallel_size",
    "pipeline-parallel-size": "vllm_pipeline_parallel_size",
    "max-num-seqs": "vllm_max_num_seqs",
    "max-num-batched-tokens": "vllm_max_num_batched_tokens",
    "cudagraph-capture-sizes": "vllm_cudagraph_capture_sizes",
    "cuda-graph-sizes": "vllm_cudagraph_capture_sizes",
    "enforce-eager": "vllm_enforce_eager",
    "trust-remote-code": "vllm_trust_remote_code",
    "host": "vllm_host",
    "port": "vllm_port",
    "api-key": "vllm_api_key",
    "hf-token": "vllm_hf_token",
}

#: Short forms that vLLM's parser takes for them (vllm/engine/arg_utils.py, 0.11 and 0.32).
OPTION_ALIASES = {
    "tp": "tensor-parallel-size",
    "pp": "pipeline-parallel-size",
    "q": "quantization",
}

#: Container variables that have a variable of their own, with that variable.
FIRST_CLASS_ENV = {
    "HF_TOKEN": "vllm_hf_token",
    "HUGGING_FACE_HUB_TOKEN": "vllm_hf_token",
    "VLLM_API_KEY": "vllm_api_key",
    "NVIDIA_VISIBLE_DEVICES": "vllm_gpu_devices",
    "CUDA_VISIBLE_DEVICES": "vllm_gpu_devices",
    "VLLM_NO_USAGE_STATS": "vllm_usage_stats",
    "DO_NOT_TRACK": "vllm_usage_stats",
}

#: The same for ``vllm_accelerator: cpu`` only; on GPUs they mean nothing and stay free.
FIRST_CLASS_ENV_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "vllm_cpu_kv_cache_gib",
    "VLLM_CPU_OMP_THREADS_BIND": "vllm_cpu_omp_threads_bind",
}

#: Container variables that break the service, with the reason.
FORBIDDEN_ENV = {
    "VLLM_PORT": "vLLM takes it for its internal ports, not for the API; use vllm_port",
    "VLLM_SERVER_DEV_MODE": "it opens unauthenticated development endpoints",
}

#: Variables of ``vllm_extra_env`` that the download of weights needs too: the hub's own, proxies, certificates.
PREFETCH_ENV = re.compile(
    r"^(HF_\w+|HUGGINGFACE_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy))\Z"
)

#: What huggingface_hub and vLLM take for a variable that is on.
TRUE = ("1", "true", "yes", "on")

#: Oldest vLLM release whose options the collection knows.
OLDEST_VERSION = (0, 11)

GPU_UUID = re.compile(r"^(GPU|MIG)-[0-9A-Za-z-]+$")
SERVICE_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")
CONTAINER_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")
HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")
SIZE = re.compile(r"^[1-9][0-9]*\s*([kKmMgG][bB]?|[bB])?$")
VERSION = re.compile(r"^\d+\.\d+(\.\d+)?([.+-][0-9A-Za-z.]+|rc\d+|\.post\d+)?\Z")
#: A repository of ``vllm_prefetch_models``: an id, and a revision behind an @.
HUB_REVISION = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?)(?:@([\w./-]+))?\Z")
OPTION_NAME = re.compile(r"^[a-z][a-z0-9-]*(\.[a-z0-9_.-]+)?$")

#: Smallest value of each integer variable, and the largest where there is one.
INT_LIMITS = {
    "vllm_port": (1, 65535),
    "vllm_max_model_len": (1, None),
    "vllm_tensor_parallel_size": (1, None),
    "vllm_pipeline_parallel_size": (1, None),
    "vllm_max_num_seqs": (1, None),
    "vllm_max_num_batched_tokens": (1, None),
    "vllm_cpu_kv_cache_gib": (1, None),
    "vllm_healthcheck_interval_s": (1, None),
    "vllm_healthcheck_timeout_s": (1, None),
    "vllm_healthcheck_retries": (1, None),
    "vllm_healthcheck_start_period_s": (0, None),
}

#: Variables that are a share: above 0, at most 1.
SHARES = ("vllm_gpu_memory_utilization",)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Problems:
    """Collects what is wrong, each with the variable it is about."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def add(self, variable: str, text: str) -> None:
        """Note a problem of ``variable``; ``text`` says what was found, what is expected and what to do."""
        self.found.append({"variable": variable, "message": "%s: %s" % (variable, text)})

    def about(self, *variables: str) -> bool:
        """Tell whether any of ``variables`` already has a problem (so that a follow-up check can stay silent)."""
        return any(item["variable"] in variables for item in self.found)


def unknown_variables(given: list[str], known: list[str]) -> list[tuple[str, str]]:
    """Return (name, nearest known name or "") for each given name that nobody defines.

    Args:
        given: all variable names of the host that start with a prefix of the collection.
        known: every name that roles document, results and names declared by the user.
    """
    known_set = set(known)
    unknown = []
    for name in sorted(set(given) - known_set):
        near = difflib.get_close_matches(name, sorted(known_set), n=1, cutoff=0.6)
        unknown.append((name, near[0] if near else ""))
    return unknown


def parse_gpu_devices(value: object) -> list[str]:
    """Return the GPU ids as text.

    Args:
        value: a list of indexes or UUIDs, one index, or a string such as ``0,1``, ``["0","1"]``.

    Raises:
        ValueError: with the reason, for an empty id, a doubled one, or one that is no index and no UUID.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError("%r is not a list of GPUs" % (value,))
    if isinstance(value, int):
        value = [value]
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text.replace("'", '"'))
            except ValueError:
                raise ValueError("%r is not a list" % text) from None
        else:
            value = text.split(",") if text else []
    if not isinstance(value, (list, tuple)):
        raise ValueError("%r is not a list of GPUs" % (value,))
    ids = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise ValueError("%r is no GPU index" % (item,))
        text = str(item).strip()
        if not text:
            raise ValueError("there is an empty entry")
        if text.isdigit():
            text = str(int(text))
        elif not GPU_UUID.match(text):
            raise ValueError("%r is neither an index (0, 1, ...) nor a UUID (GPU-...)" % text)
        if text in ids:
            raise ValueError("GPU %s stands there twice" % text)
        ids.append(text)
    if not ids:
        raise ValueError("it names no GPU")
    return ids


def option_name(name: object) -> str:
    """Return the canonical name of a ``vllm serve`` option: no leading dashes, dashes for underscores, long form."""
    text = str(name).strip().lstrip("-")
    head, dot, rest = text.partition(".")
    head = head.replace("_", "-")
    text = head + dot + rest
    return OPTION_ALIASES.get(text, text)


def define(values: dict, options: dict) -> tuple[dict, list[dict], list[str]]:
    """Check ``values`` and build the definition.

    Args:
        values: the templated value of every ``vllm_*`` variable of the role ``vllm``.
        options: the options of that role's argument_specs (types, choices), by variable.

    Returns:
        The definition (empty when there are problems), the problems (``{variable, message}``), the warnings.
    """
    problems, warnings = Problems(), []
    v = _coerce(values, options, problems)
    _check_names(v, problems)
    _check_texts(v, options, problems)
    _check_numbers(v, problems)
    _check_capture_sizes(v, problems)
    gpus = _check_gpus(v, problems)
    _check_memory(v, problems)
    _check_secrets(v, problems)
    extra_options = _check_extra_options(v, problems)
    extra_env = _check_extra_env(v, problems)
    _check_mounts(v, problems)
    _check_prefetch(v, problems)
    _check_version_fit(v, extra_options, problems, warnings)
    if problems.found:
        return {}, problems.found, warnings

    suffix = re.sub(r"[^A-Z0-9]", "_", v["vllm_name"].upper())
    has_key = bool(v["vllm_api_key"])
    publish = v["vllm_publish_address"] or ("0.0.0.0" if has_key else "127.0.0.1")
    if publish not in LOOPBACK and not has_key:
        warnings.append(
            "vllm_publish_address: the service is reachable on %s without any key. Set vllm_api_key, or leave "
            "vllm_publish_address empty to publish it on 127.0.0.1 only." % publish
        )
    if v["vllm_trust_remote_code"]:
        warnings.append(
            "vllm_trust_remote_code: code from the repository of %s will run inside the container. Pin it with "
            "vllm_model_revision." % v["vllm_model"]
        )
    local_model = v["vllm_model"].startswith("/")
    arguments = _arguments(v, suffix, extra_options)
    container_env = _container_env(v, suffix, extra_env)
    folder = "%s/%s" % (v["vllm_dir"].rstrip("/"), v["vllm_name"])
    probe_host = publish if publish not in ("0.0.0.0", "::", "localhost") else "127.0.0.1"
    definition = {
        "name": v["vllm_name"],
        "suffix": suffix,
        "project": "vllm-%s" % v["vllm_name"],
        "dir": folder,
        "accelerator": v["vllm_accelerator"],
        "version": v["vllm_version"],
        "image": v["vllm_image"] or IMAGES[v["vllm_accelerator"]] % v["vllm_version"],
        "container_name": v["vllm_container_name"],
        "model": v["vllm_model"],
        "model_is_local": local_model,
        "model_revision": v["vllm_model_revision"],
        "served_model_name": v["vllm_served_model_name"],
        "hf_cache": v["vllm_hf_cache"],
        "max_model_len": v["vllm_max_model_len"],
        "gpu_devices": gpus,
        "gpu_access": v["vllm_gpu_access"],
        "tensor_parallel_size": v["vllm_tensor_parallel_size"],
        "pipeline_parallel_size": v["vllm_pipeline_parallel_size"],
        "gpu_memory_utilization": v["vllm_gpu_memory_utilization"],
        "quantization": v["vllm_quantization"],
        "dtype": v["vllm_dtype"],
        "kv_cache_dtype": v["vllm_kv_cache_dtype"],
        # under the names that this release reads, as in the command
        "hf_overrides": vllm_versions.fitting_overrides(v["vllm_version"], v["vllm_hf_overrides"]),
        "max_num_seqs": v["vllm_max_num_seqs"],
        "max_num_batched_tokens": v["vllm_max_num_batched_tokens"],
        "cudagraph_capture_sizes": v["vllm_cudagraph_capture_sizes"],
        "enforce_eager": v["vllm_enforce_eager"],
        # names only: values may hold secrets
        "extra_options": [name for name, _value in extra_options],
        "port": v["vllm_port"],
        "publish_address": publish,
        "base_url": "http://%s:%d" % (("[%s]" % probe_host) if ":" in probe_host else probe_host, v["vllm_port"]),
        "api_key_required": has_key,
        "ipc": v["vllm_ipc"],
        "shm_size": v["vllm_shm_size"] if v["vllm_ipc"] == "private" else "",
        "volumes": _volumes(v, local_model),
        "named_volumes": [n for n in (v["vllm_hf_cache"], v["vllm_compile_cache"]) if not n.startswith("/")],
        "healthcheck": {
            "interval_s": v["vllm_healthcheck_interval_s"],
            "timeout_s": v["vllm_healthcheck_timeout_s"],
            "retries": v["vllm_healthcheck_retries"],
            "start_period_s": v["vllm_healthcheck_start_period_s"],
        },
        "restart_policy": v["vllm_restart_policy"],
        # What vLLM is started with, in order: literals and ${NAME} references into .env.
        "command": [argument["render"] for argument in arguments],
        # Environment of the container: variable -> name in .env. Values stand in .env only.
        "environment": {name: env_name for name, env_name, _value in container_env},
        # What is downloaded before the switch, by a container of its own, the only one that gets the token.
        "prefetch": {
            "models": _prefetch_models(v, extra_options, extra_env),
            "service": "%s-prefetch" % v["vllm_name"],
            "container_name": "%s-prefetch" % v["vllm_container_name"],
            "environment": {name: env_name for name, env_name, _value in _prefetch_env(v, extra_env)},
        },
    }
    return definition, [], warnings


def env_entries(values: dict, options: dict) -> list[tuple[str, str]]:
    """Return (name, value) of every line of ``.env``, secrets included. Call it with values that ``define`` accepted.

    Kept apart from the definition on purpose: the definition travels through facts and logs, this must not.
    """
    problems = Problems()
    v = _coerce(values, options, problems)
    gpus = parse_gpu_devices(v["vllm_gpu_devices"]) if v["vllm_accelerator"] == "nvidia" else []
    suffix = re.sub(r"[^A-Z0-9]", "_", v["vllm_name"].upper())
    extra_options = _check_extra_options(v, problems)
    extra_env = _check_extra_env(v, problems)
    entries: list[tuple[str, str]] = []
    if gpus:
        entries.append(("CUDA_VISIBLE_DEVICES_%s" % suffix, ",".join(gpus)))
    for argument in _arguments(v, suffix, extra_options):
        if argument["env"]:
            entries.append((argument["env"], argument["value"]))
    for _name, env_name, value in [*_container_env(v, suffix, extra_env), *_prefetch_env(v, extra_env)]:
        if env_name not in [name for name, _value in entries]:
            entries.append((env_name, value))
    return entries


def _coerce(values: dict, options: dict, problems: Problems) -> dict:
    """Return the values in the types the argument_specs promise; strings from ``-e`` and surveys are converted."""
    result = {}
    for name, option in options.items():
        value = values.get(name)
        kind = option.get("type", "str")
        if value is None:
            if option.get("default") is not None:
                problems.add(name, "is empty (null). Leave it out to get the default, %r." % (option["default"],))
            result[name] = option.get("default")
            continue
        try:
            result[name] = CONVERTERS[kind](value)
        except (TypeError, ValueError):
            shown = "its value" if name in UNQUOTED else repr(value)
            problems.add(name, "%s is not %s. Set it to %s." % (shown, KINDS[kind], _example(option)))
            result[name] = option.get("default")
            continue
        choices = option.get("choices")
        if choices and result[name] not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1)
            hint = " Did you mean %s?" % near[0] if near else ""
            problems.add(name, "%r is unknown; choose one of %s.%s" % (value, ", ".join(choices), hint))
            result[name] = option.get("default")
    return result


def _to_int(value: object) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value.strip()) if isinstance(value, str) else int(value)


def _to_float(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _to_bool(value: object) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1", "y", "t"):
        return True
    if text in ("false", "no", "off", "0", "n", "f"):
        return False
    raise ValueError(value)


def _to_str(value: object) -> str:
    if isinstance(value, (dict, list)):
        raise ValueError(value)
    return str(value)


def _to_list(value: object) -> list:
    if isinstance(value, str):
        text = value.strip()
        parts = [part.strip() for part in text.split(",")] if text else []
        value = json.loads(text) if text.startswith("[") else parts
    if not isinstance(value, (list, tuple)):
        raise ValueError(value)
    return list(value)


def _to_dict(value: object) -> dict:
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else {}
    if not isinstance(value, dict):
        raise ValueError(value)
    return dict(value)


CONVERTERS = {
    "str": _to_str,
    "path": _to_str,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "list": _to_list,
    "dict": _to_dict,
    "raw": lambda value: value,
}

KINDS = {
    "str": "a text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
    "raw": "a value",
}


def _example(option: dict) -> str:
    if option.get("default") not in (None, ""):
        return "%s, for example %s" % (KINDS[option.get("type", "str")], json.dumps(option["default"]))
    return KINDS[option.get("type", "str")]


def _check_names(v: dict, problems: Problems) -> None:
    if not SERVICE_NAME.match(v["vllm_name"]):
        problems.add(
            "vllm_name",
            "%r is no service name. Use lower-case letters, digits, '-' and '_', starting with a letter, at most 40."
            % v["vllm_name"],
        )
    if not CONTAINER_NAME.match(v["vllm_container_name"]):
        problems.add(
            "vllm_container_name",
            "%r is no container name. Use letters, digits, '.', '-' and '_'." % v["vllm_container_name"],
        )
    if not VERSION.match(v["vllm_version"]):
        problems.add("vllm_version", "%r is no version. Use for example 0.32.0." % v["vllm_version"])
    elif tuple(map(int, v["vllm_version"].split(".")[:2])) < OLDEST_VERSION:
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
    for name in ("vllm_served_model_name",):
        if not v[name].strip():
            problems.add(name, "is empty. Set the name under which clients ask for the model.")
    if not v["vllm_dir"].startswith("/") or v["vllm_dir"].rstrip("/") == "":
        problems.add("vllm_dir", "%r is not an absolute path below /. Use for example /opt/vllm." % v["vllm_dir"])
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
    texts["vllm_hf_overrides"] = _option_text(v["vllm_hf_overrides"])
    for name, text in texts.items():
        why_not = "" if name in SECRETS or problems.about(name) else dotenv.check_value(text or "")
        if why_not:
            problems.add(name, "%r cannot be used: %s. Take that out." % (text, why_not))


def _check_numbers(v: dict, problems: Problems) -> None:
    for name, (low, high) in INT_LIMITS.items():
        value = v.get(name)
        if value is None or problems.about(name):
            continue
        if value < low or (high is not None and value > high):
            if name == "vllm_port":
                problems.add(name, "%d is not a TCP port. Use 1 to 65535, for example 5002." % value)
            else:
                limits = "%d or more" % low if high is None else "%d to %d" % (low, high)
                problems.add(name, "%d is out of range. Use %s." % (value, limits))
    for name in SHARES:
        if not problems.about(name) and not 0 < v[name] <= 1:
            problems.add(
                name,
                "%s is outside (0, 1]. It is a share of the GPU's memory, for example 0.90 for 90 %%." % v[name],
            )


def _check_capture_sizes(v: dict, problems: Problems) -> None:
    name = "vllm_cudagraph_capture_sizes"
    # -e and surveys give texts
    sizes = v[name] = [int(size) if isinstance(size, str) and size.isdigit() else size for size in v[name]]
    if problems.about(name) or not sizes:
        return
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        problems.add(name, "%r holds what is no batch size. Use whole numbers from 1 on, as [1, 2, 4, 8]." % sizes)
    elif len(set(sizes)) < len(sizes):
        problems.add(name, "%r holds a size twice. Name each size once." % sizes)
    elif v["vllm_enforce_eager"]:
        problems.add(
            name, "%r has no effect, since vllm_enforce_eager captures no graphs. Unset one of the two." % sizes
        )


def _check_gpus(v: dict, problems: Problems) -> list[str]:
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
    if not problems.about(*sizes, "vllm_gpu_devices"):
        wanted = v[sizes[0]] * v[sizes[1]]
        if wanted != len(gpus):
            problems.add(
                "vllm_tensor_parallel_size",
                "%d (x vllm_pipeline_parallel_size %d = %d GPUs) differs from the %d GPUs of vllm_gpu_devices (%s). "
                "Make the two agree." % (v[sizes[0]], v[sizes[1]], wanted, len(gpus), ",".join(gpus)),
            )
    return gpus


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
    elif size and not SIZE.match(size):
        problems.add("vllm_shm_size", "%r is no size. Use for example 16gb." % size)


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
        if why_not:
            problems.add(name, "cannot be used: %s. Mend the value in the vault file." % why_not)


def _by_name(values: dict) -> list[tuple]:
    """Return the items by name: their order is no part of a release, and AWX and JSON keep none."""
    return sorted(values.items(), key=lambda item: str(item[0]))


def _check_extra_options(v: dict, problems: Problems) -> list[tuple[str, object]]:
    """Return (canonical option, value), refusing duplicates of first-class variables and unusable values."""
    result: list[tuple[str, object]] = []
    seen: dict[str, str] = {}
    for given, value in _by_name(v["vllm_extra_options"]):
        name = option_name(given)
        if not problems.about("vllm_version"):
            name = vllm_options.long_name(v["vllm_version"], name)
        plain = name[3:] if name.startswith("no-") else name
        head = plain.partition(".")[0]
        where = "vllm_extra_options"
        if head in FIRST_CLASS_OPTIONS:
            problems.add(
                where,
                "%r has a variable of its own. Remove it here and set %s." % (str(given), FIRST_CLASS_OPTIONS[head]),
            )
            continue
        if not OPTION_NAME.match(name):
            problems.add(
                where, "%r is no option name. Write it as vllm serve does, for example max-log-len." % str(given)
            )
            continue
        env = _extra_option_env(plain)  # names that differ in dots only would share a line of .env
        if env in seen:
            problems.add(where, "%r and %r are the same option. Keep one." % (seen[env], str(given)))
            continue
        seen[env] = str(given)
        if value is None:
            problems.add(where, "%r has no value. Use true for a bare flag." % str(given))
            continue
        texts = [_option_text(item) for item in value] if isinstance(value, (list, tuple)) else [_option_text(value)]
        bad = [reason for reason in map(dotenv.check_value, texts) if reason]
        if bad:
            problems.add(where, "the value of %r cannot be used: %s." % (str(given), bad[0]))
            continue
        result.append((name, value))
    return result


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
    why_not = vllm_versions.overrides_problem(version, v["vllm_hf_overrides"])
    if why_not and not problems.about("vllm_hf_overrides"):
        problems.add("vllm_hf_overrides", why_not)
    if not v["vllm_check_options"]:
        return
    # An image of one's own may hold any release: vllm_version is believed.
    hint = " (vllm_image is taken to hold vLLM %s, as vllm_version says.)" % version if image and not in_tag else ""
    own = {option: v[name] for option, name in FIRST_CLASS_OPTIONS.items() if name in v and name not in SECRETS}
    sizes_option = vllm_versions.capture_sizes_option(version)
    own = {option: value for option, value in own.items() if "graph" not in option or option == sizes_option}
    rendered = {option: value for option, value in own.items() if value not in (None, "", False, {}, [])}
    for found in vllm_options.check_options(version, {k: value for k, value in rendered.items() if k != "model"}):
        name = FIRST_CLASS_OPTIONS[found["option"]]
        if not problems.about(name):
            problems.add(name, found["message"] + hint)
    for found in vllm_options.check_options(version, dict(extra_options)):
        problems.add("vllm_extra_options", found["message"] + hint)
    for name in vllm_options.deprecated_options(version, [name for name, _value in extra_options]):
        instead = vllm_versions.REPLACEMENTS.get(name, "see vLLM's release notes")
        warnings.append("vllm_extra_options: %s is deprecated in vLLM %s: %s." % (name, version, instead))


def _extra_option_env(name: str) -> str:
    return "EXTRA_OPTION_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return str(value)


def _check_extra_env(v: dict, problems: Problems) -> list[tuple[str, str]]:
    where = "vllm_extra_env"
    first_class = dict(FIRST_CLASS_ENV)
    if v["vllm_accelerator"] == "cpu":
        first_class.update(FIRST_CLASS_ENV_CPU)
    result = []
    for name, value in _by_name(v["vllm_extra_env"]):
        name = str(name)
        if name in first_class:
            problems.add(where, "%s has a variable of its own. Remove it here and set %s." % (name, first_class[name]))
            continue
        if name in FORBIDDEN_ENV:
            problems.add(where, "%s is refused: %s." % (name, FORBIDDEN_ENV[name]))
            continue
        if not dotenv.NAME.match(name):
            problems.add(where, "%r is no variable name. Use letters, digits and '_'." % name)
            continue
        if value is None or isinstance(value, (dict, list)):
            problems.add(where, '%s has no plain value. Set a text or a number ("" for empty).' % name)
            continue
        text = _option_text(value)
        why_not = dotenv.check_value(text)
        if why_not:
            problems.add(where, "the value of %s cannot be used: %s." % (name, why_not))
            continue
        result.append((name, text))
    return result


def _check_mounts(v: dict, problems: Problems) -> None:
    for name in ("vllm_hf_cache", "vllm_compile_cache"):
        if not re.match(r"^(/[A-Za-z0-9_./+@-]+|[a-zA-Z0-9][a-zA-Z0-9_.-]*)$", v[name]):
            problems.add(name, "%r is neither a Docker volume name nor an absolute path." % v[name])
    if v["vllm_hf_cache"] == v["vllm_compile_cache"]:
        problems.add("vllm_compile_cache", "is the same as vllm_hf_cache. Give each its own.")
    for mount in v["vllm_extra_volumes"]:
        parts = str(mount).split(":")
        unusable = not parts[0] or "$" in str(mount) or dotenv.check_value(str(mount))
        if unusable or len(parts) not in (2, 3) or not parts[1].startswith("/"):
            problems.add("vllm_extra_volumes", "%r is no mount. Use source:/target or source:/target:ro." % (mount,))


def _volumes(v: dict, local_model: bool) -> list[str]:
    volumes = [
        "%s:/root/.cache/huggingface" % v["vllm_hf_cache"],
        "%s:/root/.cache/vllm" % v["vllm_compile_cache"],
    ]
    if local_model:
        volumes.append("%s:%s:ro" % (v["vllm_model"], v["vllm_model"]))
    return volumes + [str(mount) for mount in v["vllm_extra_volumes"]]


def _arguments(v: dict, suffix: str, extra_options: list[tuple[str, object]]) -> list[dict]:
    """Return the arguments of ``vllm serve`` in order.

    Each is ``{render, env, value}``: what stands in the Compose file, and the ``.env`` line behind it ("" for none).
    The names of the seed's ``.env`` are kept.
    """
    arguments: list[dict] = []

    def literal(text: str) -> None:
        arguments.append({"render": text, "env": "", "value": ""})

    def value_of(env: str, value: object) -> None:
        arguments.append({"render": "${%s}" % env, "env": env, "value": _option_text(value)})

    def option(flag: str, env: str, value: object) -> None:
        if value is None or value == "":
            return
        literal("--" + flag)
        value_of(env, value)

    # The model is positional: `vllm serve` has deprecated --model.
    value_of("VLLM_MODEL_%s" % suffix, v["vllm_model"])
    option("revision", "VLLM_MODEL_REVISION_%s" % suffix, v["vllm_model_revision"])
    option("served-model-name", "VLLM_SERVED_MODEL_NAME_%s" % suffix, v["vllm_served_model_name"])
    option("quantization", "VLLM_QUANTIZATION_%s" % suffix, v["vllm_quantization"])
    option("dtype", "VLLM_DTYPE_%s" % suffix, v["vllm_dtype"])
    option("kv-cache-dtype", "VLLM_KV_CACHE_DTYPE_%s" % suffix, v["vllm_kv_cache_dtype"])
    option("max-model-len", "MAX_MODEL_LEN", v["vllm_max_model_len"])
    overrides = vllm_versions.fitting_overrides(v["vllm_version"], v["vllm_hf_overrides"])
    option("hf-overrides", "VLLM_HF_OVERRIDES_%s" % suffix, overrides or "")
    option("gpu-memory-utilization", "GPU_MEMORY_UTILIZATION_%s" % suffix, v["vllm_gpu_memory_utilization"])
    option("tensor-parallel-size", "TENSOR_PARALLEL_SIZE_%s" % suffix, v["vllm_tensor_parallel_size"])
    if v["vllm_pipeline_parallel_size"] != 1:
        option("pipeline-parallel-size", "PIPELINE_PARALLEL_SIZE_%s" % suffix, v["vllm_pipeline_parallel_size"])
    option("max-num-seqs", "MAX_NUM_SEQS_%s" % suffix, v["vllm_max_num_seqs"])
    option("max-num-batched-tokens", "MAX_NUM_BATCHED_TOKENS_%s" % suffix, v["vllm_max_num_batched_tokens"])
    if v["vllm_cudagraph_capture_sizes"]:
        literal("--" + vllm_versions.capture_sizes_option(v["vllm_version"]))
        for index, size in enumerate(v["vllm_cudagraph_capture_sizes"]):
            value_of("CUDAGRAPH_CAPTURE_SIZES_%s_%d" % (suffix, index), size)
    if v["vllm_enforce_eager"]:
        literal("--enforce-eager")
    if v["vllm_trust_remote_code"]:
        literal("--trust-remote-code")
    option("host", "VLLM_HOST_%s" % suffix, v["vllm_host"])
    option("port", "VLLM_PORT_%s" % suffix, v["vllm_port"])
    for name, value in extra_options:
        _extra_argument(name, value, literal, value_of)
    return arguments


def _extra_argument(name: str, value: object, literal, value_of) -> None:
    flag = "--" + name
    env = _extra_option_env(name)
    if isinstance(value, bool):
        literal(flag if value else "--no-" + name)
    elif isinstance(value, (list, tuple)):
        literal(flag)
        for index, item in enumerate(value):
            value_of("%s_%d" % (env, index), item)
    else:
        literal(flag)
        value_of(env, value)


def _container_env(v: dict, suffix: str, extra_env: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return (variable in the container, name in .env, value)."""
    result: list[tuple[str, str, str]] = []
    if v["vllm_accelerator"] == "nvidia" and v["vllm_gpu_access"] == "runtime":
        gpus = parse_gpu_devices(v["vllm_gpu_devices"])
        result.append(("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES_%s" % suffix, ",".join(gpus)))
        result.append(("NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))
    if v["vllm_accelerator"] == "cpu":
        result.append(("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_KVCACHE_SPACE", str(v["vllm_cpu_kv_cache_gib"])))
        result.append(("VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_OMP_THREADS_BIND", v["vllm_cpu_omp_threads_bind"]))
    if _serves_offline(v, extra_env):
        if "HF_HUB_OFFLINE" not in dict(extra_env):
            result.append(("HF_HUB_OFFLINE", "HF_HUB_OFFLINE", "1"))
    elif v["vllm_hf_token"]:
        result.append(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", v["vllm_hf_token"]))
    if v["vllm_api_key"]:
        # By the environment, not by --api-key: arguments are visible in the process list.
        result.append(("VLLM_API_KEY", "VLLM_API_KEY_%s" % suffix, v["vllm_api_key"]))
    if not v["vllm_usage_stats"]:
        result.append(("VLLM_NO_USAGE_STATS", "VLLM_NO_USAGE_STATS", "1"))
        result.append(("DO_NOT_TRACK", "DO_NOT_TRACK", "1"))
    for name, value in extra_env:
        result.append((name, "EXTRA_ENV_%s" % name, value))
    return result


def _is_on(extra_env: list[tuple[str, str]], name: str) -> bool:
    return dict(extra_env).get(name, "").strip().lower() in TRUE


def _prefetches(v: dict, extra_env: list[tuple[str, str]]) -> bool:
    """Tell whether anything may be downloaded before the switch; ModelScope's models are not on the hub."""
    return v["vllm_prefetch"] and not _is_on(extra_env, "VLLM_USE_MODELSCOPE")


def _serves_offline(v: dict, extra_env: list[tuple[str, str]]) -> bool:
    """Tell whether the service itself never asks the hub, and so needs no token.

    A local model may still name other repositories in ways that nobody here knows, so it stays as it was.
    """
    if not _prefetches(v, extra_env) or v["vllm_model"].startswith("/"):
        return False
    return "HF_HUB_OFFLINE" not in dict(extra_env) or _is_on(extra_env, "HF_HUB_OFFLINE")


def _check_prefetch(v: dict, problems: Problems) -> None:
    for given in v["vllm_prefetch_models"]:
        if not isinstance(given, str) or not HUB_REVISION.match(given):
            problems.add(
                "vllm_prefetch_models",
                "%r is no Hugging Face id. Use organisation/name, or organisation/name@revision." % (given,),
            )


def _prefetch_models(v: dict, extra_options: list[tuple[str, object]], extra_env: list[tuple[str, str]]) -> list[dict]:
    """Return ``{id, revision, load_format}`` of each repository that the service reads, the model first, each once."""
    if not _prefetches(v, extra_env):
        return []
    options = dict(extra_options)
    found = []
    if not v["vllm_model"].startswith("/"):
        found.append((v["vllm_model"], v["vllm_model_revision"], str(options.get("load-format") or "auto")))
    found += [(name, revision, "auto") for name, revision in _further_models(options)]
    for given in v["vllm_prefetch_models"]:
        name, revision = HUB_REVISION.match(given).groups()
        found.append((name, revision or "", "auto"))
    names = ("id", "revision", "load_format")
    return [dict(zip(names, values)) for values in dict.fromkeys(found) if HUB_ID.match(values[0])]


def _further_models(options: dict) -> list[tuple[str, str]]:
    """Return (repository, revision) of what options of ``vllm serve`` name beside the model."""
    draft = options.get("speculative-config")
    try:
        draft = json.loads(draft) if isinstance(draft, str) else draft
    except ValueError:
        draft = {}
    draft = draft if isinstance(draft, dict) else {}
    found = [
        (options.get("tokenizer"), options.get("tokenizer-revision")),
        (options.get("hf-config-path"), ""),
        (draft.get("model") or options.get("speculative-config.model"), draft.get("revision")),
    ]
    adapters = options.get("lora-modules") or []
    for adapter in adapters if isinstance(adapters, (list, tuple)) else [adapters]:
        path = adapter.get("path") if isinstance(adapter, dict) else str(adapter).partition("=")[2]
        found.append((path, ""))
    # a method of speculation that needs no model has a plain name in its place
    return [(str(name), str(revision or "")) for name, revision in found if name and "/" in str(name)]


def _prefetch_env(v: dict, extra_env: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return (variable in the container that downloads, name in .env, value)."""
    result = [("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", v["vllm_hf_token"])] if v["vllm_hf_token"] else []
    return result + [(name, "EXTRA_ENV_%s" % name, value) for name, value in extra_env if PREFETCH_ENV.match(name)]
