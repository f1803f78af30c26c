# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_definition
short_description: Check the vllm variables and return the definition of the service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads every C(vllm_*) variable of the host, checks each and their combination, and returns the service's
    definition. The role C(myia.vllm.vllm) documents the variables, and registers the result as C(vllm_definition).
  - Every option of C(vllm serve) that has a variable of its own is returned too, under the variable's name without
    C(vllm_).
  - Reports all problems at once, each with the variable and the fix. Refuses C(vllm_*) variables that nobody defines.
  - Runs on the controller and contacts no host. Neither the definition nor any message holds a secret.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Check the definition of the service
  myia.vllm.service_definition:
  register: vllm_definition
"""

RETURN = r"""
name: {description: Short name of the service., type: str, returned: success}
suffix: {description: Suffix of the names in C(.env)., type: str, returned: success}
project: {description: Name of the Compose project., type: str, returned: success}
dir: {description: Folder of the service on the host., type: str, returned: success}
accelerator: {description: V(nvidia) or V(cpu)., type: str, returned: success}
version: {description: vLLM release., type: str, returned: success}
image: {description: Container image., type: str, returned: success}
container_name: {description: Name of the container., type: str, returned: success}
model: {description: Hugging Face id or folder on the host., type: str, returned: success}
model_is_local: {description: Whether the model is a folder on the host., type: bool, returned: success}
model_revision: {description: Revision of the model; empty for the main branch., type: str, returned: success}
hf_cache: {description: Docker volume or host path of downloaded models., type: str, returned: success}
served_model_name: {description: Name under which clients ask for the model., type: str, returned: success}
served_model_names:
  description: All of them, that one first.
  type: list
  elements: str
  returned: success
max_model_len:
  description: Longest prompt plus answer in tokens; V(auto) for what fits; null for vLLM's default.
  type: raw
  returned: success
gpu_devices: {description: Indexes or UUIDs of the GPUs., type: list, elements: str, returned: success}
gpu_access: {description: How the container gets its GPUs., type: str, returned: success}
tensor_parallel_size: {description: GPUs that share each layer., type: int, returned: success}
pipeline_parallel_size: {description: Groups of GPUs that hold different layers., type: int, returned: success}
gpu_memory_utilization:
  description: Share of each GPU's memory; null for vLLM's default.
  type: float
  returned: success
quantization: {description: Quantization method; empty for the model's own., type: str, returned: success}
dtype: {description: Data type of weights and activations., type: str, returned: success}
kv_cache_dtype: {description: Data type of the KV cache., type: str, returned: success}
hf_overrides: {description: Changes to config.json under the names this release reads., type: dict, returned: success}
max_num_seqs: {description: Requests run at the same time; null for vLLM's default., type: int, returned: success}
max_num_batched_tokens: {description: Tokens in one step; null for vLLM's default., type: int, returned: success}
cudagraph_capture_sizes:
  description: Batch sizes for which CUDA graphs are captured; empty for vLLM's own.
  type: list
  elements: int
  returned: success
enforce_eager: {description: Whether no CUDA graphs are captured., type: bool, returned: success}
extra_options: {description: Names of other options of C(vllm serve)., type: list, elements: str, returned: success}
model_options:
  description: Options that decide about the kind of service, such as C(runner), where they are set.
  type: dict
  returned: success
memory_options:
  description: >-
    What C(speculative-config) and C(limit-mm-per-prompt) say about memory, as options of M(myia.vllm.capacity_info).
  type: dict
  returned: success
lora_adapters:
  description: LoRA adapters, each with C(name), C(source), C(revision) and the C(path) inside the container.
  type: list
  elements: dict
  returned: success
max_lora_rank: {description: Largest rank of an adapter that the service takes., type: int, returned: success}
port: {description: TCP port on the host., type: int, returned: success}
published: {description: Whether the port is published on the host., type: bool, returned: success}
network_mode: {description: V(bridge) or V(host)., type: str, returned: success}
container_port: {description: TCP port inside the container., type: int, returned: success}
publish_address: {description: Host address on which the port is published., type: str, returned: success}
scheme: {description: 'V(https) where the service itself speaks TLS, else V(http).', type: str, returned: success}
ssl_certfile: {description: Certificate on the host; empty without TLS., type: str, returned: success}
ssl_keyfile: {description: Its key on the host., type: str, returned: success}
ssl_ca_certs: {description: Authorities of the clients' certificates., type: str, returned: success}
entrypoint:
  description: What the container is started by.
  type: list
  elements: str
  returned: success
secret_files:
  description: Files of a release that hold a secret, each with the name in C(.env) of what it holds.
  type: dict
  returned: success
allowed_sources:
  description: Who may reach the port on the host; empty for everybody.
  type: list
  elements: str
  returned: success
nodes:
  description:
    - Of a model that several hosts serve together their C(names) and C(addresses), the C(head), how many they are
      (C(count)), the C(rank) of this one, its C(peers), and C(master_address) and C(master_port) of their rendezvous.
      Empty for a service of one host.
    - C(parallel) is V(pipeline) where the layers are split over them, V(data) where each has C(replicas_here) whole
      replicas. C(has_api) says whether clients may ask this one, C(hybrid) whether each of them, and C(interface) which
      network interface they use.
  type: dict
  returned: success
base_url:
  description: >-
    Address of the service as seen on the host, or in its networks where no port is published; of a node without an API
    that of the head.
  type: str
  returned: success
compose:
  description:
    - Further keys of the Compose file, C(service), C(prefetch) (the container that downloads) and C(top).
  type: dict
  returned: success
files:
  description:
    - Files on the host that are read when the service starts, by path, each with the variable that names it. What they
      hold belongs to the release.
  type: dict
  returned: success
files_variable: {description: Name in C(.env) of what the files hold., type: str, returned: success}
api_key_required: {description: Whether clients must send a key., type: bool, returned: success}
ipc: {description: V(private) or V(host)., type: str, returned: success}
shm_size: {description: Size of the container's /dev/shm; empty for the host's., type: str, returned: success}
volumes: {description: Mounts in Compose's short form., type: list, elements: str, returned: success}
named_volumes: {description: Docker volumes among them., type: list, elements: str, returned: success}
shared_volumes:
  description:
    - Those among C(named_volumes) that are not the service's own, so that Compose does not make them, each with the
      Compose project that it is marked with where it is made; empty, none.
  type: dict
  returned: success
healthcheck:
  description: Keys C(interval_s), C(timeout_s), C(retries) and C(start_period_s).
  type: dict
  returned: success
neighbours:
  description:
    - The other services of the machine, of C(vllm_services), each with C(name), C(container_name), C(port),
      C(gpu_devices) and C(gpu_memory_share).
  type: list
  elements: dict
  returned: success
sources:
  description:
    - By variable, its C(value) as text (empty where it is left to vLLM) and C(from), V(operator), V(profile <name>),
      V(default) (of the role), V(vLLM), or what it was derived from.
  type: dict
  returned: success
drain_timeout_s:
  description: Longest time in seconds in which running requests may end before the service stops.
  type: int
  returned: success
shutdown_timeout_s:
  description: The same as vLLM is told of it; 0 where the release cannot do it.
  type: int
  returned: success
stop_grace_s:
  description: How long Docker waits for the container to end, in seconds.
  type: int
  returned: success
restart_policy: {description: Restart policy once the service was healthy., type: str, returned: success}
command:
  description: Arguments of C(vllm serve), literals and C(${NAME}) references into C(.env).
  type: list
  elements: str
  returned: success
environment:
  description: Container variables, each with its name in C(.env).
  type: dict
  returned: success
prefetch:
  description:
    - What is downloaded before the switch, C(models) (C(id), C(revision), C(load_format) each; empty for nothing), and
      the container that does it, C(service), C(container_name) and C(environment).
  type: dict
  returned: success
"""
