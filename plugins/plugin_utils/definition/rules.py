# SPDX-License-Identifier: GPL-3.0-or-later
"""What the values of the variables must be, each and together.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options, vllm_options, vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    FIRST_CLASS_ENV,
    FIRST_CLASS_ENV_CPU,
    FORBIDDEN_ENV,
    HUB_ID,
    IMAGES,
    SECRETS,
    extra_option_env,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.prefetch import check_prefetch
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import (
    Problems,
    option_text,
    parse_gpu_devices,
)

#: Oldest vLLM release whose options the collection knows.
_OLDEST_VERSION = (0, 11)

_SERVICE_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")

_CONTAINER_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")

_SIZE = re.compile(r"^[1-9][0-9]*\s*([kKmMgG][bB]?|[bB])?$")

VERSION = re.compile(r"^\d+\.\d+(\.\d+)?([.+-][0-9A-Za-z.]+|rc\d+|\.post\d+)?\Z")


#: Smallest value of each integer variable, and the largest where there is one.
INT_LIMITS = {
    **serve_options.int_limits(),
    "vllm_cpu_kv_cache_gib": (1, None),
    "vllm_healthcheck_interval_s": (1, None),
    "vllm_healthcheck_timeout_s": (1, None),
    "vllm_healthcheck_retries": (1, None),
    "vllm_healthcheck_start_period_s": (0, None),
}


def check(
    v: dict, options: dict, problems: Problems, warnings: list[str]
) -> tuple[list[str], list[tuple[str, object]], list[tuple[str, str]]]:
    """Note in ``problems`` and ``warnings`` what is wrong with the values ``v``; ``options`` are those of the specs.

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
    gpus = _check_gpus(v, problems)
    _check_memory(v, problems)
    _check_secrets(v, problems)
    extra_options = check_extra_options(v, problems)
    extra_env = check_extra_env(v, problems)
    _check_mounts(v, problems)
    check_prefetch(v, problems)
    _check_version_fit(v, extra_options, problems, warnings)
    return gpus, extra_options, extra_env


def _check_names(v: dict, problems: Problems) -> None:
    if not _SERVICE_NAME.match(v["vllm_name"]):
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
    texts["vllm_hf_overrides"] = option_text(v["vllm_hf_overrides"])
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
    for name in serve_options.shares():
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


def _check_needs(v: dict, problems: Problems) -> None:
    for option in serve_options.SERVE_OPTIONS:
        if not option.needs or problems.about(option.variable) or not serve_options.is_set(v[option.variable]):
            continue
        other, wanted, why = option.needs
        if v[other] != wanted:
            problems.add(
                option.variable,
                "%r has no effect, since %s %s. Unset one of the two." % (v[option.variable], other, why),
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
    elif size and not _SIZE.match(size):
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


def check_extra_options(v: dict, problems: Problems) -> list[tuple[str, object]]:
    """Return (canonical option, value), refusing duplicates of first-class variables and unusable values."""
    result: list[tuple[str, object]] = []
    seen: dict[str, str] = {}
    first_class = serve_options.variables()
    for given, value in _by_name(v["vllm_extra_options"]):
        name = serve_options.option_name(given)
        if not problems.about("vllm_version"):
            name = vllm_options.long_name(v["vllm_version"], name)
        plain = name[3:] if name.startswith("no-") else name
        head = plain.partition(".")[0]
        where = "vllm_extra_options"
        if head in first_class:
            problems.add(
                where,
                "%r has a variable of its own. Remove it here and set %s." % (str(given), first_class[head]),
            )
            continue
        if not serve_options.OPTION_NAME.match(name):
            problems.add(
                where, "%r is no option name. Write it as vllm serve does, for example max-log-len." % str(given)
            )
            continue
        env = extra_option_env(plain)  # names that differ in dots only would share a line of .env
        if env in seen:
            problems.add(where, "%r and %r are the same option. Keep one." % (seen[env], str(given)))
            continue
        seen[env] = str(given)
        if value is None:
            problems.add(where, "%r has no value. Use true for a bare flag." % str(given))
            continue
        texts = [option_text(item) for item in value] if isinstance(value, (list, tuple)) else [option_text(value)]
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
    own = {flag: (option.variable, value) for option, flag, value in serve_options.said(v, version)}
    own.pop("model", None)  # an argument without a name
    for found in vllm_options.check_options(version, {flag: value for flag, (_name, value) in own.items()}):
        name = own[found["option"]][0]
        if not problems.about(name):
            problems.add(name, found["message"] + hint)
    for found in vllm_options.check_options(version, dict(extra_options)):
        problems.add("vllm_extra_options", found["message"] + hint)
    for name in vllm_options.deprecated_options(version, [name for name, _value in extra_options]):
        instead = vllm_versions.REPLACEMENTS.get(name, "see vLLM's release notes")
        warnings.append("vllm_extra_options: %s is deprecated in vLLM %s: %s." % (name, version, instead))


def check_extra_env(v: dict, problems: Problems) -> list[tuple[str, str]]:
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
        text = option_text(value)
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
