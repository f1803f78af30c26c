# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``vllm serve`` that have a variable of their own: one table, which everything else reads.

The command and ``.env``, limits, refusals of the same option in ``vllm_extra_options``, the definition, AWX's
forms and the tables of the documentation are made from it. Types and defaults stand in the argument_specs of the role
``vllm``.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions


class ServeOption(NamedTuple):
    """An option of ``vllm serve`` and the variable that sets it."""

    #: Long name, without its dashes.
    flag: str
    #: The variable.
    variable: str
    #: Name of its line in ``.env``; ``%s`` stands for the service's suffix. Empty: a bare flag, or no argument.
    env: str = ""
    #: Smallest and largest value of a number; None for no limit.
    least: int | None = None
    most: int | None = None
    #: Whether it is a share: above 0, at most 1.
    share: bool = False
    #: (variable, value that it must have, why): set otherwise, it would make this option useless.
    needs: tuple[str, Any, str] | None = None
    #: The value that is vLLM's own in every release, and so is not said.
    omit: Any = None
    #: What the definition tells of an option that nobody set: vLLM's own default, where every release has the same.
    own: Any = None
    #: Short forms and former names that vLLM's parser takes for it (vllm/engine/arg_utils.py, 0.11 and 0.32).
    other_flags: tuple[str, ...] = ()
    #: (first release that has the flag, flag of the releases before).
    before: tuple[tuple[int, int, int], str] | None = None
    #: Makes of (version, value) the value in the words of that release.
    fit: Callable[[str, Any], Any] | None = None
    #: How vLLM is told: by an ``option``, by a ``position`` in the command, or by the ``environment`` of the container
    #: (secrets: arguments are visible in the process list).
    told_by: str = "option"


#: In the order of the command.
SERVE_OPTIONS = (
    # `vllm serve` has deprecated --model
    ServeOption("model", "vllm_model", "VLLM_MODEL_%s", told_by="position"),
    ServeOption("revision", "vllm_model_revision", "VLLM_MODEL_REVISION_%s", own=""),
    ServeOption("served-model-name", "vllm_served_model_name", "VLLM_SERVED_MODEL_NAME_%s"),
    ServeOption("quantization", "vllm_quantization", "VLLM_QUANTIZATION_%s", own="", other_flags=("q",)),
    ServeOption("dtype", "vllm_dtype", "VLLM_DTYPE_%s", own="auto"),
    ServeOption("kv-cache-dtype", "vllm_kv_cache_dtype", "VLLM_KV_CACHE_DTYPE_%s", own="auto"),
    ServeOption("max-model-len", "vllm_max_model_len", "MAX_MODEL_LEN", least=1),
    ServeOption(
        "hf-overrides", "vllm_hf_overrides", "VLLM_HF_OVERRIDES_%s", own={}, fit=vllm_versions.fitting_overrides
    ),
    ServeOption("gpu-memory-utilization", "vllm_gpu_memory_utilization", "GPU_MEMORY_UTILIZATION_%s", share=True),
    ServeOption(
        "tensor-parallel-size",
        "vllm_tensor_parallel_size",
        "TENSOR_PARALLEL_SIZE_%s",
        least=1,
        own=1,
        other_flags=("tp",),
    ),
    ServeOption(
        "pipeline-parallel-size",
        "vllm_pipeline_parallel_size",
        "PIPELINE_PARALLEL_SIZE_%s",
        least=1,
        omit=1,
        own=1,
        other_flags=("pp",),
    ),
    ServeOption("max-num-seqs", "vllm_max_num_seqs", "MAX_NUM_SEQS_%s", least=1),
    ServeOption("max-num-batched-tokens", "vllm_max_num_batched_tokens", "MAX_NUM_BATCHED_TOKENS_%s", least=1),
    ServeOption(
        "cudagraph-capture-sizes",
        "vllm_cudagraph_capture_sizes",
        "CUDAGRAPH_CAPTURE_SIZES_%s",
        own=[],
        needs=("vllm_enforce_eager", False, "captures no graphs"),
        # 0.11.0 takes a single number for the largest size and captures all of its own below
        before=((0, 11, 1), "cuda-graph-sizes"),
    ),
    ServeOption("enforce-eager", "vllm_enforce_eager", own=False),
    ServeOption("trust-remote-code", "vllm_trust_remote_code", own=False),
    ServeOption("host", "vllm_host", "VLLM_HOST_%s"),
    ServeOption("port", "vllm_port", "VLLM_PORT_%s", least=1, most=65535),
    ServeOption("ssl-certfile", "vllm_ssl_certfile", "VLLM_SSL_CERTFILE_%s", own=""),
    ServeOption("ssl-keyfile", "vllm_ssl_keyfile", "VLLM_SSL_KEYFILE_%s", own=""),
    ServeOption("ssl-ca-certs", "vllm_ssl_ca_certs", "VLLM_SSL_CA_CERTS_%s", own=""),
    # told only where it works, see drain.py
    ServeOption(
        "shutdown-timeout",
        "vllm_shutdown_timeout_s",
        "VLLM_SHUTDOWN_TIMEOUT_%s",
        least=0,
        most=86400,
        omit=0,
        own=0,
        fit=vllm_versions.fitting_shutdown,
    ),
    ServeOption("api-key", "vllm_api_key", told_by="environment"),
    ServeOption("hf-token", "vllm_hf_token", told_by="environment"),
)

#: An option of ``vllm serve``, and a key of one that takes JSON.
OPTION_NAME = re.compile(r"^[a-z][a-z0-9-]*(\.[a-z0-9_.-]+)?$")


def variables() -> dict[str, str]:
    """Return the variable of each option that has one, by every long name of the option."""
    found = {}
    for option in SERVE_OPTIONS:
        found[option.flag] = option.variable
        if option.before:
            found[option.before[1]] = option.variable
    return found


def int_limits() -> dict[str, tuple[int, int | None]]:
    """Return (smallest, largest or None) of each number in the table, by variable."""
    return {option.variable: (option.least, option.most) for option in SERVE_OPTIONS if option.least is not None}


def shares() -> tuple[str, ...]:
    """Return the variables that are a share: above 0, at most 1."""
    return tuple(option.variable for option in SERVE_OPTIONS if option.share)


def values(v: dict, version: str) -> dict[str, object]:
    """Return what the variables ``v`` say in the words of ``version``, by variable, secrets apart."""
    return {
        option.variable: option.fit(version, v[option.variable])
        if option.fit and v[option.variable]
        else v[option.variable]
        for option in SERVE_OPTIONS
        if option.told_by != "environment"
    }


def effective(v: dict, version: str) -> dict[str, object]:
    """Return the same, with vLLM's own defaults for what nobody set, where every release has the same; else null."""
    own = {option.variable: option.own for option in SERVE_OPTIONS}
    return {name: own[name] if value is None else value for name, value in values(v, version).items()}


def said(v: dict, version: str) -> list[tuple[ServeOption, str, object]]:
    """Return (option, its flag in ``version``, value) of each argument that the variables ``v`` ask for, in order."""
    found = values(v, version)
    return [
        (option, _flag(option, version), found[option.variable])
        for option in SERVE_OPTIONS
        if option.variable in found and is_set(found[option.variable]) and found[option.variable] != option.omit
    ]


def is_set(value: object) -> bool:
    """Tell whether a value says anything; a number always does."""
    return value is not None and value is not False and not (isinstance(value, (str, list, dict)) and not value)


def option_name(name: object) -> str:
    """Return the canonical name of an option: no leading dashes, dashes for underscores, long form."""
    text = str(name).strip().lstrip("-")
    head, dot, rest = text.partition(".")
    head = head.replace("_", "-")
    text = head + dot + rest
    return next((option.flag for option in SERVE_OPTIONS if text in option.other_flags), text)


def _flag(option: ServeOption, version: str) -> str:
    if option.before and vllm_versions.release(version) < option.before[0]:
        return option.before[1]
    return option.flag
