# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the flat ``vllm_*`` variables into one checked definition of the service.

Pure Python, no Ansible, no I/O but reading the collection's own table of vLLM's options once: the action plugin
``service_definition`` hands the values in. Every problem is a sentence that names the variable, what was found, what is
expected and what to do; all problems are collected, so that the operator mends them in one go. No problem or warning
ever contains the value of a secret.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    adapters,
    command,
    compose_options,
    drain,
    extra,
    hardening,
    model_options,
    mounts,
    nodes,
    prefetch,
    profiles,
    rules,
    secret_env,
    serve_options,
    tls,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import IMAGES, LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.said import is_said
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import (
    Problems,
    coerce,
    parse_gpu_devices,
    to_length,
    to_served_names,
)

#: vLLM's own port (vllm/entrypoints/openai/cli_args.py of 0.11, launchers/cli_args.py of 0.32).
_PORT = 8000

#: How alike a name must be to one of ours to be a slip of the pen: one letter of nine (``vlm_port``), by difflib.
_NEARLY = 0.93

#: Variables whose origin a plan tells, in this order; the secrets are none of them.
_TOLD = (
    "vllm_name",
    "vllm_version",
    "vllm_image",
    *(option.variable for option in serve_options.SERVE_OPTIONS if option.told_by != "environment"),
    "vllm_gpu_devices",
    "vllm_extra_options",
    "vllm_extra_env",
    "vllm_publish_address",
    "vllm_container_name",
    "vllm_hf_cache",
    "vllm_compile_cache",
)


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


def near_misses(given: list[str], known: list[str]) -> list[tuple[str, str]]:
    """Return (name, known name) for each given name that is nearly one of ours, where that one is not given itself.

    Such a name has no prefix of the collection any more (``vlm_port``), or is written as an environment variable or an
    option is (``VLLM_PORT``, ``vllm-port``), and would be ignored without a word.

    Args:
        given: all variable names of the host.
        known: every name that roles document, and names declared by the user.
    """
    said, names = set(given), sorted(known)
    found = []
    for name in sorted(said - set(known)):
        plain = name.lower().replace("-", "_")
        near = plain if plain in known else ""
        # names are long, so a letter more or less is a small part of them
        if not near and not name.startswith(("ansible_", "_")):
            near = (difflib.get_close_matches(plain, names, n=1, cutoff=_NEARLY) or [""])[0]
        if near and near not in said:
            found.append((name, near))
    return found


def define(values: dict, options: dict, hosts: dict | None = None) -> tuple[dict, list[dict], list[str]]:
    """Check ``values`` and build the definition.

    Args:
        values: the templated value of every ``vllm_*`` variable of the role ``vllm``.
        options: the options of that role's argument_specs (types, choices), by variable.
        hosts: of `nodes.read`, where one model is served by several.

    Returns:
        The definition (empty when there are problems), the problems (``{variable, message}``), the warnings.
    """
    problems = Problems()
    hosts = hosts or {}
    v, sources, warnings = _said(values, options, hosts, problems)
    gpus, extra_options, extra_env = rules.check(v, options, hosts, problems, warnings)
    if problems.found:
        return {}, problems.found, warnings
    extra_options = [*extra_options, *adapters.options(v)]

    suffix = re.sub(r"[^A-Z0-9]", "_", v["vllm_name"].upper())
    has_key = bool(v["vllm_api_key"])
    publish = compose_options.publish_address(v) if v["vllm_publish"] else ""
    inside = drain.told(compose_options.told(v), extra_options)
    if publish and publish not in LOOPBACK and not has_key:
        warnings.append(
            "vllm_publish_address: the service is reachable on %s without any key. Set vllm_api_key, or leave "
            "vllm_publish_address empty to publish it on 127.0.0.1 only." % publish
        )
    if v["vllm_dev_mode"]:
        warnings.append(
            "vllm_dev_mode: whoever reaches %s may put the engine to sleep and call its workers, with no key. Keep "
            "everybody else from it, or leave it out." % compose_options.base_url(v)
        )
    if v["vllm_trust_remote_code"]:
        warnings.append(
            "vllm_trust_remote_code: code from the repository of %s will run inside the container. Pin it with "
            "vllm_model_revision." % v["vllm_model"]
        )
    local_model = v["vllm_model"].startswith("/")
    of_service = command.container_env(v, suffix, extra_env, nodes.environment(v, hosts))
    variables, hidden = secret_env.split(v, of_service)
    fetch_variables, fetch_hidden = secret_env.split(v, prefetch.prefetch_env(v, extra_env))
    compose = compose_options.rendered(v, suffix)
    compose["service"] = {**compose["service"], **hardening.service_keys(v)}
    secret_env.add(compose, hidden, fetch_hidden, compose_options.files_label(suffix))
    served = v["vllm_served_model_name"] or [inside["vllm_model"]]
    definition = {
        "name": v["vllm_name"],
        "suffix": suffix,
        "project": mounts.project_of(v["vllm_name"]),
        "dir": "%s/%s" % (v["vllm_dir"].rstrip("/"), v["vllm_name"]),
        "accelerator": v["vllm_accelerator"],
        "version": v["vllm_version"],
        "image": v["vllm_image"] or IMAGES[v["vllm_accelerator"]] % v["vllm_version"],
        "container_name": v["vllm_container_name"],
        "model_is_local": local_model,
        "hf_cache": v["vllm_hf_cache"],
        "gpu_devices": gpus,
        "gpu_access": v["vllm_gpu_access"],
        # each under the name of its variable, in the words of this release
        **{name.removeprefix("vllm_"): value for name, value in serve_options.effective(v, v["vllm_version"]).items()},
        "served_model_name": served[0],
        "served_model_names": served,
        # names only: values may hold secrets
        "extra_options": [name for name, _value in extra_options],
        "model_options": model_options.read(dict(extra_options)),
        "memory_options": model_options.read_memory(dict(extra_options)),
        "lora_adapters": adapters.read(v),
        "max_lora_rank": adapters.largest_rank(dict(extra_options)),
        "publish_address": publish,
        "published": v["vllm_publish"],
        "network_mode": v["vllm_network_mode"],
        "container_port": inside["vllm_port"],
        "scheme": tls.scheme(v),
        "base_url": compose_options.base_url(v)
        if nodes.has_api(hosts, dict(extra_options))
        else nodes.head_url(v, hosts),
        "nodes": nodes.told(v, hosts, dict(extra_options)),
        # further keys of the Compose file
        "compose": compose,
        "entrypoint": secret_env.entrypoint(hidden),
        # files of a release that hold a secret, each with the name in .env of what it holds
        "secret_files": secret_env.files([*hidden, *fetch_hidden]),
        # who may reach the port on the host; empty for everybody
        "allowed_sources": v["vllm_allowed_sources"],
        # on the host, by path the variable that names them; what they hold belongs to the release
        "files": compose_options.files(v),
        "files_variable": compose_options.files_variable(suffix),
        "api_key_required": has_key,
        "ipc": v["vllm_ipc"],
        "shm_size": v["vllm_shm_size"] if v["vllm_ipc"] == "private" else "",
        "volumes": mounts.volumes(v),
        "named_volumes": mounts.named(v),
        "shared_volumes": mounts.shared(v),
        "healthcheck": {
            "interval_s": v["vllm_healthcheck_interval_s"],
            "timeout_s": v["vllm_healthcheck_timeout_s"],
            "retries": v["vllm_healthcheck_retries"],
            "start_period_s": v["vllm_healthcheck_start_period_s"],
        },
        "restart_policy": v["vllm_restart_policy"],
        # how long running requests are waited for, and how long Docker waits for the container to end
        "drain_timeout_s": v["vllm_shutdown_timeout_s"],
        "stop_grace_s": drain.grace_s(inside),
        # What vLLM is started with, in order: literals and ${NAME} references into .env.
        "command": [
            *[
                argument["render"]
                for argument in command.arguments(inside, suffix, nodes.own_options(hosts, extra_options))
            ],
            *nodes.arguments(hosts, v["vllm_nodes_port"], dict(extra_options)),
        ],
        # Environment of the container: variable -> name in .env. Values stand in .env only.
        "environment": {name: env_name for name, env_name, _value in variables},
        # What is downloaded before the switch, by a container of its own, the only one that gets the token.
        "prefetch": {
            "models": prefetch.prefetch_models(v, extra_options, extra_env),
            "service": "%s-prefetch" % v["vllm_name"],
            "container_name": "%s-prefetch" % v["vllm_container_name"],
            "environment": {name: env_name for name, env_name, _value in fetch_variables},
            "entrypoint": secret_env.entrypoint(fetch_hidden, ["python3"]),
        },
        # who asks for the definition of one of several services adds the others
        "neighbours": [],
        # by variable: its value as text, "" where it is left to vLLM, and who said it
        "sources": {name: {"value": profiles.shown(name, v[name]), "from": sources[name]} for name in _TOLD},
    }
    return definition, [], warnings


def _said(values: dict, options: dict, hosts: dict, problems: Problems) -> tuple[dict, dict[str, str], list[str]]:
    """Return the value of each variable in its type, where it comes from, and what the operator should know.

    Null: nobody says anything, so the option is left to vLLM.
    """
    applied = profiles.apply(values, options, problems)
    v = coerce(applied.values, options, problems)
    for name in ("vllm_model", "vllm_name"):
        if not v[name] and not problems.about(name, "vllm_profile"):
            problems.add(name, "is not set, and no profile is chosen that says it. Set it, or vllm_profile.")
        v[name] = v[name] or ""
    for name, convert, form in (
        ("vllm_max_model_len", to_length, "a number of tokens (32768, 32k), or auto for the longest that fits"),
        ("vllm_served_model_name", to_served_names, "a name, or a list of names"),
    ):
        try:
            v[name] = convert(v[name])
        except ValueError:
            problems.add(name, "%r is not usable. Set %s." % (v[name], form))
            v[name] = convert(None)
    # a name that is refused is told once
    name = v["vllm_name"] if rules.SERVICE_NAME.match(v["vllm_name"]) else "unnamed"
    sources = dict(applied.sources)
    if hosts and not is_said(v["vllm_pipeline_parallel_size"]) and not nodes.replicas(hosts, nodes.asked(v)):
        # tensor parallel within a host, layers across them: what travels between hosts is least that way
        v["vllm_pipeline_parallel_size"], sources["vllm_pipeline_parallel_size"] = nodes.count(hosts), "vllm_nodes"
    for variable, value, source in (
        ("vllm_port", _PORT, "vLLM"),
        ("vllm_container_name", "vllm-%s" % name, "vllm_name"),
        ("vllm_compile_cache", "vllm-%s-compile-cache" % name, "vllm_name"),
        ("vllm_gpu_devices", list(range(rules.workers(v, nodes.count(hosts)))), "parallel sizes"),
    ):
        if not is_said(v[variable]):
            v[variable], sources[variable] = value, source
    return v, sources, applied.notices


def env_entries(values: dict, options: dict, hosts: dict | None = None) -> list[tuple[str, str]]:
    """Return (name, value) of every line of ``.env``, secrets included. Call it with values that ``define`` accepted.

    Kept apart from the definition on purpose: the definition travels through facts and logs, this must not.
    """
    problems = Problems()
    hosts = hosts or {}
    v, _sources, _notices = _said(values, options, hosts, problems)
    gpus = parse_gpu_devices(v["vllm_gpu_devices"]) if v["vllm_accelerator"] == "nvidia" else []
    suffix = re.sub(r"[^A-Z0-9]", "_", v["vllm_name"].upper())
    extra_options = [*extra.check_options(v, problems), *adapters.options(v)]
    extra_env = extra.check_env(v, problems)
    entries: list[tuple[str, str]] = []
    if gpus:
        entries.append(("CUDA_VISIBLE_DEVICES_%s" % suffix, ",".join(gpus)))
    inside = drain.told(compose_options.told(v), extra_options)
    for argument in command.arguments(inside, suffix, nodes.own_options(hosts, extra_options)):
        if argument["env"]:
            entries.append((argument["env"], argument["value"]))
    of_service = command.container_env(v, suffix, extra_env, nodes.environment(v, hosts))
    for _name, env_name, value in [*of_service, *prefetch.prefetch_env(v, extra_env)]:
        if env_name not in [name for name, _value in entries]:
            entries.append((env_name, value))
    return entries
