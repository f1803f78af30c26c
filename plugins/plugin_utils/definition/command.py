# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM is started with: the arguments of ``vllm serve``, and the container's environment.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options, vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import extra_option_env
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.prefetch import serves_offline
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import option_text, parse_gpu_devices

#: What NVIDIA's toolkit mounts of the driver: CUDA, and NVML with nvidia-smi.
DRIVER_CAPABILITIES = "compute,utility"


def arguments(v: dict, suffix: str, extra_options: list[tuple[str, object]]) -> list[dict]:
    """Return the arguments of ``vllm serve`` in order.

    Each is ``{render, env, value}``: what stands in the Compose file, and the ``.env`` line behind it ("" for none).
    The names of the seed's ``.env`` are kept.
    """
    result: list[dict] = []

    def literal(text: str) -> None:
        result.append({"render": text, "env": "", "value": ""})

    def value_of(env: str, value: object) -> None:
        result.append({"render": "${%s}" % env, "env": env, "value": option_text(value)})

    for option, flag, value in serve_options.said(v, v["vllm_version"]):
        env = option.env.replace("%s", suffix)
        if option.told_by == "position":
            value_of(env, value)
        else:
            # a list of one name keeps the name that its line in .env always had
            alone = option.variable == "vllm_served_model_name" and len(value) == 1
            _argument(flag, env, value[0] if alone else value, literal, value_of)
    forms = vllm_options.options(v["vllm_version"])
    for name, value in extra_options:
        facts = forms.get(name, {})
        if isinstance(value, (list, tuple)) and facts.get("form") == "repeated":
            for index, item in enumerate(value):
                _argument(name, "%s_%d" % (extra_option_env(name), index), item, literal, value_of)
            continue
        # one JSON text, behind a dot too: of several words vLLM would take the first
        is_json = "." in name or (facts.get("form") == "value" and facts.get("type") == "json")
        text = option_text(list(value)) if is_json and isinstance(value, (list, tuple)) else value
        _argument(name, extra_option_env(name), text, literal, value_of)
    return result


def _argument(name: str, env: str, value: object, literal, value_of) -> None:
    if isinstance(value, bool) and "." not in name:
        literal("--" + name if value else "--no-" + name)
        return
    literal("--" + name)
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            value_of("%s_%d" % (env, index), item)
    else:
        value_of(env, value)


def container_env(
    v: dict, suffix: str, extra_env: list[tuple[str, str]], of_nodes: list[tuple[str, str]] | None = None
) -> list[tuple[str, str, str]]:
    """Return (variable in the container, name in .env, value); what the operator adds wins over ``of_nodes``."""
    result: list[tuple[str, str, str]] = []
    if v["vllm_accelerator"] == "nvidia" and v["vllm_gpu_access"] == "runtime":
        gpus = parse_gpu_devices(v["vllm_gpu_devices"])
        result.append(("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES_%s" % suffix, ",".join(gpus)))
        result.append(("NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_DRIVER_CAPABILITIES", DRIVER_CAPABILITIES))
    if v["vllm_accelerator"] == "cpu":
        result.append(("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_KVCACHE_SPACE", str(v["vllm_cpu_kv_cache_gib"])))
        result.append(("VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_OMP_THREADS_BIND", v["vllm_cpu_omp_threads_bind"]))
    if serves_offline(v, extra_env):
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
    if v["vllm_dev_mode"]:
        result.append(("VLLM_SERVER_DEV_MODE", "VLLM_SERVER_DEV_MODE", "1"))
    result += [(name, name, value) for name, value in of_nodes or [] if name not in dict(extra_env)]
    for name, value in extra_env:
        result.append((name, "EXTRA_ENV_%s" % name, value))
    return result
