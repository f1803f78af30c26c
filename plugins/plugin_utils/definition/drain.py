# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service ends its running requests before it stops: what vLLM is told, and how long Docker waits.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions

#: With several API servers vLLM lets its engines go at once, and requests hang until the time is over (seen with 0.32
#: and two data parallel ranks): such a service is waited for from outside instead.
_SEVERAL_SERVERS = ("data-parallel-size", "data-parallel-size-local", "api-server-count")

#: What vLLM takes to end after its last request, in seconds: 1 to 13 were seen with a tiny model (a bound of ours).
_TEARDOWN_S = 30


def told(v: dict, extra_options: list[tuple[str, object]]) -> dict:
    """Return the variables as vLLM is told of them: without the time for requests where it has no use for it."""
    said = dict(extra_options)
    several = any(str(said.get(name, 1)) not in ("", "1", "None") for name in _SEVERAL_SERVERS)
    return {**v, "vllm_shutdown_timeout_s": None} if several else v


def grace_s(said: dict) -> int:
    """Return how long Docker waits for the container to end, in seconds: the requests, then the end of vLLM itself.

    Args:
        said: of `told`.
    """
    return vllm_versions.fitting_shutdown(said["vllm_version"], said["vllm_shutdown_timeout_s"] or 0) + _TEARDOWN_S
