# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that the whole definition uses: secrets, images, container variables, forms of ids.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import posixpath
import re

#: Variables whose values must not appear anywhere but in ``.env``.
SECRETS = ("vllm_hf_token", "vllm_api_key")

#: Variables for which an empty text is a value of its own.
EMPTY_COUNTS = ("vllm_shm_size",)

#: Texts that are digits at times, of which each counts: YAML reads 0123456 as the number 42798.
AS_WRITTEN = (*SECRETS, "vllm_model_revision")

#: Variables that no message quotes: secrets, and what may hold some.
UNQUOTED = (*SECRETS, "vllm_extra_env", "vllm_gateway_keys")

#: What forms of AWX ask for as a password: AWX encrypts the answer and shows it to nobody.
TYPED_HIDDEN = ("vllm_gateway_keys",)

#: ``vllm_*`` names that playbooks read before any role is loaded, what a service is told of the others on its machine,
#: and what a run returns by ``set_stats``: the next job of an AWX workflow gets that as an extra variable.
PLAYBOOK_VARIABLES = (
    "vllm_hosts",
    "vllm_serial",
    "vllm_services",
    "vllm_every_service",
    "vllm_neighbours",
    "vllm_reports",
    "vllm_status",
    "vllm_updates",
    "vllm_new_service_host",
    "vllm_new_service_folder",
)

#: Default images by accelerator; the vLLM project publishes both under its version tag.
IMAGES = {"nvidia": "vllm/vllm-openai:v%s", "cpu": "vllm/vllm-openai-cpu:v%s"}

#: Container variables that have a variable of their own, with that variable.
FIRST_CLASS_ENV = {
    "HF_TOKEN": "vllm_hf_token",
    "HUGGING_FACE_HUB_TOKEN": "vllm_hf_token",
    "VLLM_API_KEY": "vllm_api_key",
    "NVIDIA_VISIBLE_DEVICES": "vllm_gpu_devices",
    "CUDA_VISIBLE_DEVICES": "vllm_gpu_devices",
    "VLLM_NO_USAGE_STATS": "vllm_usage_stats",
    "DO_NOT_TRACK": "vllm_usage_stats",
    "VLLM_SERVER_DEV_MODE": "vllm_dev_mode",
}

#: The same for ``vllm_accelerator: cpu`` only; on GPUs they mean nothing and stay free.
FIRST_CLASS_ENV_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "vllm_cpu_kv_cache_gib",
    "VLLM_CPU_OMP_THREADS_BIND": "vllm_cpu_omp_threads_bind",
}

#: Container variables that break the service, with the reason.
FORBIDDEN_ENV = {
    "VLLM_PORT": "vLLM takes it for its internal ports, not for the API; use vllm_port",
    "PATH": "the image's own programs would not be found any more",
    "LD_PRELOAD": "it puts foreign code into every program of the container",
    "LD_LIBRARY_PATH": "the image's own libraries would not be found any more",
    "PYTHONHOME": "the image's own Python would not be found any more",
}

#: Options of ``vllm serve`` with which nobody here could ask the service anything, with the reason.
UNREACHABLE = {
    "config": "the options that this collection gives would override what the file says, without a word; set variables",
    "headless": "such a process serves no API, so it would never be healthy",
    "uds": "the API would listen on a socket inside the container, which no port leads to",
}

#: Where downloaded models are inside the container for a user of one's own (module_utils/hub/cache.py knows it too).
HUB_CACHE_OF_USER = "/var/cache/huggingface"

#: An absolute path on the host that can be mounted.
HOST_PATH = re.compile(r"^/[A-Za-z0-9_./+@-]+\Z")

LOOPBACK = ("127.0.0.1", "::1", "localhost")

#: What huggingface_hub and vLLM take for a variable that is on.
TRUE = ("1", "true", "yes", "on")

HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")

#: A repository of ``vllm_prefetch_models``: an id, and a revision behind an @.
HUB_REVISION = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?)(?:@([\w./-]+))?\Z")


def plain_path(path: str) -> str:
    """Return a path without dots and doubled slashes."""
    # posixpath leaves two slashes at the beginning, which POSIX lets mean something else
    return posixpath.normpath(re.sub("^/+", "/", path))


def extra_option_env(name: str) -> str:
    """Return the name in ``.env`` of an option of ``vllm_extra_options``."""
    return "EXTRA_OPTION_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
