#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: does a model fit into the memory of GPUs with a configuration of vLLM?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: capacity_info
short_description: Plan whether a model fits into GPU memory with a configuration of vLLM
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Works out, without a GPU and without starting anything, what weights, overhead and KV cache take, how many tokens
    the cache holds and which changes would help. Every size that a start decides is a range.
  - V(no) is said only when even the optimistic end cannot hold the weights or one sequence of O(max_model_len) tokens.
  - Reads sizes and one small file of a model, never its weights.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  model_config:
    description:
      - The content of the model's C(config.json), an absolute path of that file or of its folder, or an id on the
        Hugging Face hub.
    type: raw
    required: true
  weights_bytes:
    description:
      - Bytes of the model's weights as they lie on all GPUs together.
      - Unset, they are read from the safetensors index, the weight files or the hub, or worked out from the
        architecture.
    type: int
  gpu_memory_mib:
    description: >-
      Memory of a GPU in MiB as C(nvidia-smi) reports it, or a list of one a GPU, of which the smallest decides.
    type: raw
    required: true
  gpu_memory_free_mib:
    description: Memory in MiB, a number or one a GPU, that nobody uses when the service starts. Unset, all of it.
    type: raw
  gpu_name:
    description: Name of the GPU; some defaults of vLLM depend on it.
    type: str
    default: ""
  num_gpus:
    description: GPUs that the service may use. Unset, as many as the parallel sizes need.
    type: int
  tensor_parallel_size:
    description: GPUs that share each layer.
    type: int
    default: 1
  pipeline_parallel_size:
    description: Groups of GPUs that share the layers.
    type: int
    default: 1
  gpu_memory_utilization:
    description: Share of each GPU's memory that vLLM may use. Unset, vLLM's default, 0.9 or from vLLM 0.20 on 0.92.
    type: float
  max_model_len:
    description:
      - Longest sequence in tokens, as a number or as V(32k) (32000) or V(32K) (32768). Unset, what the model's
        configuration allows.
      - V(auto) or V(-1) for the longest that fits, at most that, as vLLM itself chooses it since 0.14.
    type: str
  kv_cache_dtype:
    description: Data type of the KV cache.
    type: str
    default: auto
  dtype:
    description: Data type of weights and activations.
    type: str
    default: auto
  quantization:
    description: Quantization method given to vLLM. Unset, the model's own.
    type: str
  max_num_seqs:
    description: Most sequences at once. Unset, vLLM's default for the GPU.
    type: int
  max_num_batched_tokens:
    description: Most tokens of one step. Unset, vLLM's default for the GPU.
    type: int
  cudagraph_capture_sizes:
    description: Of C(--cudagraph-capture-sizes); empty for vLLM's own.
    type: list
    elements: int
    default: []
  enforce_eager:
    description: Whether vLLM captures no CUDA graphs.
    type: bool
    default: false
  vllm_version:
    description: Version of vLLM. Unset, the ranges span what its versions since 0.6 do.
    type: str
  hf_overrides:
    description: Changes to the model's configuration, as vLLM's C(--hf-overrides).
    type: dict
    default: {}
  runner:
    description: >-
      How vLLM runs the model. A model that pools has no sampler, and an encoder no KV cache. Unset, it is told by the
      model's configuration and name.
    type: str
    choices: [generate, pooling]
  environment:
    description:
      - Variables of vLLM's container, of which some move memory (E(VLLM_USE_FLASHINFER_SAMPLER),
        E(VLLM_USE_V2_MODEL_RUNNER), E(VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS), E(VLLM_USE_V1)). Others are not looked
        at.
      - Unset, they are not known, and the ranges span what they may say. An empty dictionary says that none is set.
    type: dict
  speculative_config:
    description: Of C(--speculative-config), whose draft adds layers, weights and tokens that wait for their check.
    type: dict
    default: {}
  draft_config:
    description: The content of the draft model's C(config.json), where speculation has a model of its own.
    type: dict
    default: {}
  limit_mm_per_prompt:
    description: Of C(--limit-mm-per-prompt). With 0 for every modality, nothing is taken for images.
    type: dict
    default: {}
  hf_token:
    description: Access token of the hub.
    type: str
  hf_endpoint:
    description: Address of the hub. Empty, what the environment variable E(HF_ENDPOINT) says, else Hugging Face's.
    type: str
    default: ""
  hf_revision:
    description: Revision of the model on the hub. Empty, its main branch.
    type: str
    default: ""
seealso:
  - module: myia.vllm.preflight
"""

EXAMPLES = r"""
- name: Does the medium service fit?
  myia.vllm.capacity_info:
    model_config: Qwen/Qwen2.5-32B-Instruct-AWQ
    gpu_memory_mib: [24564, 24564]
    num_gpus: 2
    tensor_parallel_size: 2
    gpu_memory_utilization: 0.9
    max_model_len: 131072
    kv_cache_dtype: fp8
    vllm_version: 0.32.0
  register: planned

- name: Show the arithmetic
  ansible.builtin.debug:
    var: planned.capacity.explanation
"""

RETURN = r"""
capacity:
  description: The plan. Sizes are in GiB of one GPU; where there are C(low) and C(high), a start lies between them.
  returned: success
  type: dict
  contains:
    fits: {description: "V(yes), V(no) or V(uncertain), as a string.", type: str, returned: always}
    problems: {description: Why it cannot start., type: list, elements: str, returned: always}
    warnings: {description: What else may make a start fail., type: list, elements: str, returned: always}
    weights_gib_per_gpu: {description: Weights on the fullest GPU., type: float, returned: always}
    weights_source:
      description: V(given), V(index), V(files), V(hub), or V(estimated) from the architecture.
      type: str
      returned: always
    kv_bytes_per_token_per_gpu:
      description: Bytes that a token of a growing sequence takes on one GPU; sliding and recurrent layers do not count.
      type: int
      returned: always
    budget_gib_per_gpu: {description: 'Memory times utilization, C(low) and C(high).', type: dict, returned: always}
    overhead_gib_per_gpu: {description: 'Neither weights nor cache, C(low) and C(high).', type: dict, returned: always}
    overhead:
      description: Its terms, each C(name), C(low_gib) and C(high_gib).
      type: list
      elements: dict
      returned: always
    kv_cache_gib_per_gpu:
      description: Room for the KV cache, C(low), C(high) and what is C(expected).
      type: dict
      returned: always
    kv_cache_needed_gib_per_gpu:
      description: What one sequence of the wanted length needs.
      type: float
      returned: always
    kv_tokens:
      description: Tokens that the cache holds, C(low), C(high) and what is C(expected).
      type: dict
      returned: always
    concurrency: {description: 'Sequences of that length at once, C(low) and C(high).', type: dict, returned: always}
    max_model_len: {description: 'Longest sequence that fits, C(low) and C(high).', type: dict, returned: always}
    auto_max_model_len:
      description: Length that vLLM chooses, C(low) and C(high), with O(max_model_len=auto); else null.
      type: dict
      returned: always
    unknown:
      description: What the plan cannot know, so that its ranges span it.
      type: list
      elements: str
      returned: always
    length:
      description:
        - What the model's configuration allows, C(derived_tokens), C(native_tokens) without scaling, whether the wanted
          length is C(within), the C(yarn_factor) and C(hf_overrides) that it takes otherwise, and all this as C(text).
        - C(ignored) is true where O(hf_overrides) names a scaling that this version of vLLM does not read.
      type: dict
      returned: always
    settings: {description: The settings with vLLM's defaults filled in., type: dict, returned: always}
    explanation: {description: The arithmetic in lines., type: list, elements: str, returned: always}
    suggestions:
      description:
        - Changes that help, the best first. Each has C(variable), C(value), C(effect_tokens), C(effect_gib_per_gpu),
          what it then C(fits), and C(text).
      type: list
      elements: dict
      returned: always
error_kind:
  description: >-
    Why the model could not be read: V(unauthorized) (401), V(gated) (403), V(not_found) (404), V(unreachable),
    V(missing) or V(invalid).
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate
from ansible_collections.myia.vllm.plugins.module_utils.hub import model_source


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "model_config": {"type": "raw", "required": True},
            "weights_bytes": {"type": "int"},
            "gpu_memory_mib": {"type": "raw", "required": True},
            "gpu_memory_free_mib": {"type": "raw"},
            "gpu_name": {"type": "str", "default": ""},
            "num_gpus": {"type": "int"},
            "tensor_parallel_size": {"type": "int", "default": 1},
            "pipeline_parallel_size": {"type": "int", "default": 1},
            "gpu_memory_utilization": {"type": "float"},
            "max_model_len": {"type": "str"},
            "kv_cache_dtype": {"type": "str", "default": "auto"},
            "dtype": {"type": "str", "default": "auto"},
            "quantization": {"type": "str"},
            "max_num_seqs": {"type": "int"},
            "max_num_batched_tokens": {"type": "int", "no_log": False},
            "cudagraph_capture_sizes": {"type": "list", "elements": "int", "default": []},
            "enforce_eager": {"type": "bool", "default": False},
            "vllm_version": {"type": "str"},
            "hf_overrides": {"type": "dict", "default": {}},
            "runner": {"type": "str", "choices": ["generate", "pooling"]},
            "environment": {"type": "dict"},
            "speculative_config": {"type": "dict", "default": {}},
            "draft_config": {"type": "dict", "default": {}},
            "limit_mm_per_prompt": {"type": "dict", "default": {}},
            "hf_token": {"type": "str", "no_log": True},
            "hf_endpoint": {"type": "str", "default": ""},
            "hf_revision": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = dict(module.params)
    options["runner"] = options["runner"] or ""
    endpoint, token, revision = (options.pop(name) or "" for name in ("hf_endpoint", "hf_token", "hf_revision"))
    try:
        if not isinstance(options["model_config"], dict):
            found = model_source.read(str(options["model_config"]), endpoint=endpoint, token=token, revision=revision)
            options["model_config"] = found["config"]
            if options["weights_bytes"] is None:
                options["weights_bytes"], options["weights_source"] = found["weights_bytes"], found["weights_source"]
        planned = estimate.plan(**options)
    except model_source.SourceError as error:
        module.fail_json(msg=str(error), error_kind=error.kind)
    except ValueError as error:
        module.fail_json(msg=str(error), error_kind="invalid")
    module.exit_json(changed=False, capacity=planned)


if __name__ == "__main__":
    main()
