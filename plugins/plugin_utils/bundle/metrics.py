# SPDX-License-Identifier: GPL-3.0-or-later
"""Name the bottleneck that vLLM's own figures (``/metrics``) show.

The names of the series are those of ``vllm/v1/metrics/loggers.py``; ``gpu_cache_usage_perc`` is what releases before
0.11 called ``kv_cache_usage_perc``. What a release does not have is not judged.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import math
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle.finding import finding

_LINE = re.compile(r"^(?P<name>vllm:\w+)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>[-+0-9.eE]+|NaN)\s*$", re.MULTILINE)

#: Share of the KV cache from which on requests wait for room: a bound of ours, short of 1, at which vLLM preempts.
_FULL = 0.9

#: Share of requests that were preempted from which on it is said: each is computed twice.
_PREEMPTED = 0.01

#: Part of a request's time that it waited, from which on the queue is the bottleneck: half of it.
_WAITED = 0.5

#: Requests below which means say nothing.
_FEW = 20

_WHERE = "service/metrics.txt"


def read(text: str) -> dict[str, float]:
    """Return the sum of each series over all its labels; of a share the largest."""
    found: dict[str, float] = {}
    for match in _LINE.finditer(text):
        name, value = match["name"], float(match["value"])
        if math.isnan(value):
            continue
        found[name] = max(found.get(name, 0.0), value) if name.endswith("_perc") else found.get(name, 0.0) + value
    return found


def findings(text: str) -> list[dict]:
    """Return a finding for each bottleneck, and one with the figures themselves.

    Args:
        text: what ``/metrics`` answered.
    """
    m = read(text)
    if not m:
        return []
    usage = m.get("vllm:kv_cache_usage_perc", m.get("vllm:gpu_cache_usage_perc"))
    running, waiting = m.get("vllm:num_requests_running", 0.0), m.get("vllm:num_requests_waiting", 0.0)
    done = m.get("vllm:request_success_total", 0.0)
    found = []
    if usage is not None and usage >= _FULL:
        found.append(finding(
            "kv_cache_full", "warning", "the KV cache is full to %.0f %%, with %d requests running and %d waiting" % (
                100 * usage, running, waiting),
            "Room for more tokens: raise vllm_gpu_memory_utilization, set vllm_kv_cache_dtype: fp8, lower "
            "vllm_max_model_len, or spread the model over more GPUs (see plan_medium.yml).", _WHERE))  # fmt: skip
    elif waiting > running > 0:
        found.append(finding(
            "batch_full", "warning", "%d requests wait while %d run and the KV cache has room (%s)" % (
                waiting, running, "unknown" if usage is None else "%.0f %% used" % (100 * usage)),
            "Raise vllm_max_num_seqs or vllm_max_num_batched_tokens, or add a host.", _WHERE))  # fmt: skip
    preempted = m.get("vllm:num_preemptions_total", 0.0)
    if preempted and preempted >= _PREEMPTED * max(done, 1.0):
        found.append(finding(
            "preemptions", "warning", "%d requests were put back for lack of KV cache, computed anew (%d finished)" % (
                preempted, done),
            "Lower vllm_max_num_seqs, or give the KV cache more room.", _WHERE))  # fmt: skip
    waited, whole = _mean(m, "vllm:request_queue_time_seconds"), _mean(m, "vllm:e2e_request_latency_seconds")
    if waited and whole and done >= _FEW and waited >= _WAITED * whole:
        found.append(finding(
            "queue", "warning", "a request waited %.1f s of its %.1f s in the queue, in the mean" % (waited, whole),
            "The host takes fewer requests than it gets: add one, or raise vllm_max_num_seqs where the KV cache has "
            "room.", _WHERE))  # fmt: skip
    aborted = _labelled(text, "vllm:request_success_total", "finished_reason", "abort")
    if aborted and done >= _FEW and aborted >= 0.1 * done:
        found.append(finding(
            "aborted", "warning", "clients gave up %d of %d requests" % (aborted, done),
            "Look at the clients' time limits, and at how long answers take.", _WHERE))  # fmt: skip
    figures = "%d requests running, %d waiting, %d finished; KV cache %s used; time to first token %s in the mean" % (
        running, waiting, done, "unknown" if usage is None else "%.0f %%" % (100 * usage),
        _seconds(_mean(m, "vllm:time_to_first_token_seconds")))  # fmt: skip
    if not found:
        found.append(finding("load", "info", "no bottleneck: " + figures, "", _WHERE))
    return found


def _mean(series: dict[str, float], name: str) -> float | None:
    count = series.get(name + "_count", 0.0)
    return series.get(name + "_sum", 0.0) / count if count else None


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else "%.2f s" % value


def _labelled(text: str, name: str, label: str, value: str) -> float:
    wanted = '%s="%s"' % (label, value)
    return sum(float(m["value"]) for m in _LINE.finditer(text) if m["name"] == name and wanted in (m["labels"] or ""))
