# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between vLLM releases, kept by hand: defaults, replaced options, names inside config.json, drivers.

Pure Python, no I/O. Where a fact says "vllm/...", it was read in that file of the wheels on PyPI, 0.11.0 to 0.33.0.
Which options and metrics a release has is not kept here but derived: plugins/plugin_utils/definition/vllm_options.py.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.module_utils.common import versions

#: Share of GPU memory that vLLM uses by default, from a release on (vllm/config/cache.py: gpu_memory_utilization).
_UTILIZATION = ((0, 0, 0), 0.90), ((0, 20, 0), 0.92)

#: First release whose --max-model-len takes auto (vllm/engine/arg_utils.py: human_readable_int_or_auto).
AUTO_LENGTH = (0, 14, 0)

#: First release that takes the estimated memory of CUDA graphs out of the KV cache's budget without being asked
#: (vllm/envs.py: VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, there and off since 0.18.0, on since 0.20.0).
_GRAPHS_IN_BUDGET = (0, 20, 0)

#: First release whose configuration reads rope_parameters; before, it is rope_scaling, with rope_theta beside it
#: (vllm/config/model.py: _get_and_verify_max_len, vllm/transformers_utils/config.py).
_ROPE_PARAMETERS = (0, 12, 0)

#: First release that reads rope_parameters only: nothing in vllm/transformers_utils/config.py reads rope_scaling any
#: more.
_ROPE_SCALING_GONE = (0, 30, 0)

#: First release with VLLM_ENABLE_CUDA_COMPATIBILITY (vllm/envs.py), which uses the image's forward compatibility
#: libraries on data-centre GPUs with an older driver.
_CUDA_COMPATIBILITY = (0, 17, 0)

#: First release with --shutdown-timeout (vllm_options.json, of the wheels).
_SHUTDOWN_TIMEOUT_SINCE = (0, 18, 0)

#: CUDA release that the image vllm/vllm-openai:v<version> is built for, from a release on (vllm/envs.py:
#: VLLM_MAIN_CUDA_VERSION; a unit test compares it with the derived data). For 0.11.0 vLLM's own
#: .buildkite/release-pipeline.yaml says the same. Reports of `unsatisfied condition: cuda>=12.9` name v0.14.1
#: (microsoft/VibeVoice#352), and reports of CUDA 13 behind the tag without suffix name v0.20.0 (ai-dynamo/nixl#2140)
#: and v0.20.2 (llm-d/llm-d-kv-cache#584).
_IMAGE_CUDA = ((0, 11, 0), "12.8"), ((0, 12, 0), "12.9"), ((0, 20, 0), "13.0")

#: First release with an image tag v<version>-cu129 beside the one for CUDA 13 (llm-d/llm-d-kv-cache#584 uses 0.20.2's).
_CU129_TAGS = (0, 20, 0)

#: Driver branch that supports a CUDA release natively: NVIDIA's CUDA Toolkit release notes, table of toolkit driver
#: versions (12.8: 570.26, 12.9: 575.51.03, 13.0: 580.65.06). CUDA's minor version compatibility would take 525 for all
#: of 12.x (docs.nvidia.com/deploy/cuda-compatibility), but NVIDIA's CUDA images ask for `cuda>=X.Y` of the driver, and
#: the container toolkit refuses to start them on GeForce cards otherwise (vllm-project/vllm#18813).
DRIVER_BRANCH = {"12.8": 570, "12.9": 575, "13.0": 580}

#: What to write in place of an option that is gone, by its long name; from when it is gone is in the derived data.
#: Sources: the deprecation texts in vllm/engine/arg_utils.py and vllm/entrypoints of the last release that had it, and
#: the fields of vllm/config in the first that did not.
REPLACEMENTS = {
    "rope-scaling": "set rope_parameters in vllm_hf_overrides",
    "rope-theta": "set rope_parameters with its rope_theta in vllm_hf_overrides",
    "disable-log-requests": "leave it out: requests are not logged unless enable-log-requests is true",
    "cuda-graph-sizes": "use cudagraph-capture-sizes, or max-cudagraph-capture-size",
    "swap-space": "leave it out: the V1 engine does not swap",
    "task": "use runner (generate, pooling) and, for adapted models, convert",
    "guided-decoding-backend": "use structured-outputs-config.backend",
    "guided-decoding-disable-fallback": "leave it out, or below 0.18 use structured-outputs-config.disable_fallback",
    "guided-decoding-disable-any-whitespace": "use structured-outputs-config.disable_any_whitespace",
    "guided-decoding-disable-additional-properties": "use structured-outputs-config.disable_additional_properties",
    "override-pooler-config": "use pooler-config",
    "num-lookahead-slots": "leave it out: speculative-config brings its own",
    "max-num-partial-prefills": "leave it out: nothing took its place",
    "max-long-partial-prefills": "leave it out: nothing took its place",
    "calculate-kv-scales": "leave it out: scales come from the model, or are 1.0",
    "lora-extra-vocab-size": "leave it out: adapters that add tokens are not supported any more",
    "enable-lora-bias": "leave it out: nothing took its place",
    "num-redundant-experts": "use eplb-config.num_redundant_experts",
    "eplb-window-size": "use eplb-config.window_size",
    "eplb-step-interval": "use eplb-config.step_interval",
    "eplb-log-balancedness": "use eplb-config.log_balancedness",
    "enable-multimodal-encoder-data-parallel": "use mm-encoder-tp-mode: data",
    "disable-mm-preprocessor-cache": "use mm-processor-cache-gb: 0",
    "logits-processor-pattern": "use logits-processors",
    "disable-frontend-multiprocessing": "leave it out: nothing took its place",
    "use-gpu-for-pooling-score": "leave it out, or from 0.20 use enable-flash-late-interaction",
    "override-attention-dtype": "leave it out: nothing took its place",
    "enable-bf16x3-router-gemm": "leave it out: nothing took its place",
    "enable-mamba-fine-grained-prefix-cache": "leave it out: nothing took its place",
}

#: A vLLM release at the start of an image's tag: v0.32.0, 0.32.0-cu129.
_IMAGE_TAG = re.compile(r":v?(0\.\d+\.\d+)(?![\d.])[^:/@]*(?:@.*)?$")


def release(version: str) -> tuple[int, int, int]:
    """Return (major, minor, patch) of a version; suffixes (rc1, .post2, +cpu) do not count.

    Raises:
        ValueError: it does not begin with two numbers.
    """
    found = versions.release(version)
    if found is None:
        raise ValueError("%r is no version. Use for example 0.32.0." % version)
    return found


def _at(version: str, changes: tuple) -> object:
    """Return the value that holds in ``version``; ``changes`` lists (first release, value), oldest first."""
    wanted = release(version)
    return [value for since, value in changes if since <= wanted or since == changes[0][0]][-1]


def defaults(version: str) -> dict:
    """Return the defaults that move between releases, as they are in ``version``.

    Keys: gpu_memory_utilization (share of each GPU), cuda_graphs_in_kv_budget (whether the estimate of the CUDA graphs'
    memory is taken out of what the KV cache may use).
    """
    return {
        "gpu_memory_utilization": _at(version, _UTILIZATION),
        "cuda_graphs_in_kv_budget": release(version) >= _GRAPHS_IN_BUDGET,
    }


def image_version(image: str) -> str:
    """Return the vLLM release that an image reference names in its tag, such as ``0.32.0``, or "" for none."""
    found = _IMAGE_TAG.search(image)
    return found.group(1) if found else ""


def minimum_driver(version: str, image: str = "") -> dict:
    """Return what the image of a release needs of the NVIDIA driver.

    Args:
        version: vLLM release. One newer than the table counts as the newest in it.
        image: image reference; a suffix such as ``-cu129`` of its tag changes the CUDA release.

    Returns:
        cuda: CUDA release of the image ("12.9").
        driver: first driver branch that supports it (575).
        forward_compatible: whether VLLM_ENABLE_CUDA_COMPATIBILITY=1 lets data-centre GPUs (never GeForce) do with an
            older driver.
        older_image: tag with a lower demand, "" for none.
    """
    suffix = re.search(r"cu(\d\d)(\d)\b", image.rpartition(":")[2])
    cuda = "%s.%s" % suffix.groups() if suffix else str(_at(version, _IMAGE_CUDA))
    has_older = cuda.startswith("13.") and release(version) >= _CU129_TAGS
    return {
        "cuda": cuda,
        "driver": DRIVER_BRANCH.get(cuda, max(DRIVER_BRANCH.values())),
        "forward_compatible": release(version) >= _CUDA_COMPATIBILITY,
        "older_image": "v%d.%d.%d-cu129" % release(version) if has_older else "",
    }


def fitting_shutdown(version: str, timeout_s: int) -> int:
    """Return the seconds for running requests before a release stops; 0, as it does by itself, before it can wait."""
    return timeout_s if release(version) >= _SHUTDOWN_TIMEOUT_SINCE else 0


def fitting_overrides(version: str, overrides: dict) -> dict:
    """Return ``vllm_hf_overrides`` under the names that ``version`` reads.

    Before 0.12 rope_parameters would be taken and never used, which serves garbage beyond the model's length; it
    becomes rope_scaling, with rope_theta beside it.
    """
    parameters = overrides.get("rope_parameters")
    if release(version) >= _ROPE_PARAMETERS or not isinstance(parameters, dict) or "rope_scaling" in overrides:
        return overrides
    scaling = {key: value for key, value in parameters.items() if key != "rope_theta"}
    theta = {"rope_theta": parameters["rope_theta"]} if "rope_theta" in parameters else {}
    others = {key: value for key, value in overrides.items() if key != "rope_parameters"}
    return {**theta, **others, "rope_scaling": scaling}


def overrides_problem(version: str, overrides: dict) -> str:
    """Return what is wrong with ``vllm_hf_overrides`` for ``version``, or ""."""
    if "rope_scaling" in overrides and release(version) >= _ROPE_SCALING_GONE:
        return (
            "rope_scaling is not read by vLLM %s (since %d.%d.%d). Name it rope_parameters, with rope_theta inside."
            % (version, *_ROPE_SCALING_GONE)
        )
    return ""
