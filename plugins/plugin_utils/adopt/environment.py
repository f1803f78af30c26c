# SPDX-License-Identifier: GPL-3.0-or-later
"""Say a container's environment: what has a variable, what is a secret, what goes with the shell that used it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import posixpath
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import places
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    FIRST_CLASS_ENV_CPU,
    FORBIDDEN_ENV,
    TRUE,
    plain_path,
)

#: Variables by which Hugging Face's library takes a token, the first wins (huggingface_hub/utils/_auth.py).
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

#: Said by variables of their own, or by what Docker gives a container.
_HANDLED = (
    *TOKENS,
    "VLLM_API_KEY",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "VLLM_NO_USAGE_STATS",
    "DO_NOT_TRACK",
    "VLLM_SERVER_DEV_MODE",
    "HOSTNAME",
)

#: Names of variables that hold a secret.
_SECRET = re.compile(r"(TOKEN|API_?KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL|ACCESS_KEY|PRIVATE_KEY)(_ID)?$")
#: Such a name that holds none.
_NO_SECRET = re.compile(r"^(TOKENIZERS_|VLLM_.*MAX_TOKEN)|_(PATH|FILE)$")
_URL_WITH_PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s]+@")

#: Beginnings of variables that vLLM, its libraries, CUDA or Python read; of any other nothing is known to read it.
_READ = re.compile(
    r"^(VLLM|HF|HUGGING|TRANSFORMERS|TOKENIZERS|SAFETENSORS|TORCH|PYTORCH|CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|NVSHMEM|NVTE|UCX|"
    r"GLOO|RAY|PYTHON\w*|OMP|MKL|OPENBLAS|KMP|NUMEXPR|TRITON|FLASHINFER|FLASH|LMCACHE|MOONCAKE|NIXL|TIKTOKEN|OTEL|PROMETHEUS|"
    r"AWS|S3|RUNAI|MODELSCOPE|XDG|SSL|REQUESTS|CURL|GIT|LD|LC|XLA|TPU|HIP|ROCM|ROCR|HSA|AITER|VIRTUAL|MALLOC|JEMALLOC|"
    r"WANDB|TF|DEEP_GEMM|DG|TVM|OUTLINES|XGRAMMAR|GGML|SETUPTOOLS|PIP|UV|CC|CXX|MAX_JOBS|NIM|DYNAMO|LOGNAME)(_|$)|"
    r"^(HOME|USER|LANG|LANGUAGE|TZ|PATH|TMPDIR|TEMP|TMP|TERM|SHELL|HOSTNAME|DO_NOT_TRACK|(?i:(https?|all|no|ftp)_proxy))$"
)


def say(said, view, arguments, around) -> None:
    """Say the variables, secrets among them."""
    env = dict(view.env)
    _token(said, env, around)
    _key(said, env, arguments, around)
    # the collection says 1 for both or for none; each alone has vLLM send nothing
    quiet = any(env.get(name, "").lower() in TRUE for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"))
    if not quiet:
        said.variables["vllm_usage_stats"] = True
    if env.get("VLLM_SERVER_DEV_MODE", "").lower() in TRUE:
        said.variables["vllm_dev_mode"] = True
    # what is asked from the hub stays asked by the service itself, with its token
    said.variables["vllm_prefetch"] = False
    extra = {}
    for name, value in env.items():
        if name in _HANDLED or _of_cpu(said, name, value) or _for_the_shell(name, around):
            continue
        if name in FORBIDDEN_ENV:
            said.lacks("%s: %s" % (name, FORBIDDEN_ENV[name]), noticed=name != "VLLM_PORT")
        elif name == "NVIDIA_DRIVER_CAPABILITIES" and said.variables.get("vllm_gpu_access", "runtime") == "runtime":
            if value not in ("compute,utility", "all"):
                said.lacks("NVIDIA_DRIVER_CAPABILITIES=%s; it becomes compute,utility" % value)
        elif is_secret(name, value):
            secret = "adopted_%s_%s" % (re.sub(r"\W", "_", view.name.lower()), name.lower())
            said.secrets[secret] = value
            extra[name] = "{{ %s }}" % secret
        elif "\n" in value:
            said.lacks("the variable %s, which has several lines" % name, noticed=True)
        else:
            extra[name] = value
    _home_of_user(said, view, extra)
    if extra:
        said.variables["vllm_extra_env"] = dict(sorted(extra.items()))


def is_secret(name: str, value: str) -> bool:
    """Tell whether a variable holds what nobody should read."""
    by_name = _SECRET.search(name.upper()) and not _NO_SECRET.search(name.upper())
    return bool(value) and bool(
        by_name or _URL_WITH_PASSWORD.search(value) or re.search(r"\bhf_[A-Za-z0-9]{20,}", value)
    )


def is_read(name: str) -> bool:
    """Tell whether anything in vLLM's image is known to read a variable of this name."""
    return bool(_READ.match(name))


def token(env: dict[str, str]) -> str:
    """Return the token that Hugging Face's library takes."""
    return next((env[name] for name in TOKENS if env.get(name)), "")


def keys(env: dict[str, str], arguments) -> list[str]:
    """Return the keys that the server takes: those of its arguments, else that of its environment."""
    given = arguments.value("api-key")
    if given not in (None, True, ""):
        return [str(item) for item in given] if isinstance(given, list) else [str(given)]
    return [env["VLLM_API_KEY"]] if env.get("VLLM_API_KEY") else []


def _token(said, env: dict[str, str], around) -> None:
    value = token({**around.environ, **env}) or str(around.environ.get("HF_TOKEN", ""))
    if value:
        said.secrets["vllm_hf_token"] = value


def _key(said, env: dict[str, str], arguments, around) -> None:
    found = keys({**around.environ, **env}, arguments)
    if found:
        said.secrets["vllm_api_key"] = found[-1]
    if len(found) > 1:
        said.lacks("%d further API keys: a service has one" % (len(found) - 1), noticed=True)


def _of_cpu(said, name: str, value: str) -> bool:
    if said.variables.get("vllm_accelerator") != "cpu" or name not in FIRST_CLASS_ENV_CPU:
        return False
    said.variables[FIRST_CLASS_ENV_CPU[name]] = int(value) if value.isdigit() else value
    return True


def _for_the_shell(name: str, around) -> bool:
    """Tell whether only the shell that puts the arguments together reads a variable."""
    return bool(around.shell) and not is_read(name) and bool(re.search(r"\$\{?%s\b" % re.escape(name), around.shell))


def _home_of_user(said, view, extra: dict) -> None:
    """Keep the caches of a user of one's own where they are."""
    home = extra.get("HOME", "")
    if said.variables.get("vllm_user") and home and "VLLM_CACHE_ROOT" not in extra:
        place = posixpath.join(plain_path(home), ".cache", "vllm")
        if places.host_path(place, [item for item in view.mounts if item["writable"]])[1]:
            extra["VLLM_CACHE_ROOT"] = place
