# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a diagnosis found, worst first: host, service, its logs, the kernel's, vLLM's own figures.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle import kernel_log, metrics
from ansible_collections.myia.vllm.plugins.plugin_utils.bundle.finding import finding, worst_first
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import log_classifier
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue


def collect(results: dict, parts: dict[str, str], catalogue: Catalogue, secrets: list[str]) -> list[dict]:
    """Return the findings, see ``finding``.

    Args:
        results: ``vllm_preflight_result`` and ``vllm_health_result``, each may be missing.
        parts: texts from the host, by their name in the archive.
        catalogue: the failure catalogue.
        secrets: values that must not appear in evidence.
    """
    found = [
        *_container(parts),
        *_logs(parts, catalogue, secrets),
        *kernel_log.findings(parts.get("host/kernel.log", "")),
    ]
    found += _preflight(results.get("vllm_preflight_result") or {})
    found += metrics.findings(parts.get("service/metrics.txt", ""))
    return worst_first(found)


def _preflight(result: dict) -> list[dict]:
    return [
        finding(
            "preflight_%s" % item["id"],
            item["severity"],
            "%s; needed: %s" % (item["found"], item["needed"]),
            item["fix"],
            "findings.json",
        )
        for item in result.get("findings") or []
        if not item.get("ok")
    ]


def _container(parts: dict[str, str]) -> list[dict]:
    """Judge the container's state, as ``docker inspect`` tells it."""
    where = "service/inspect.json"
    try:
        seen = json.loads(parts.get(where, ""))[0]
    except (ValueError, IndexError, KeyError, TypeError):
        return [_not_inspected(parts.get(where, ""), where)]
    state, found = seen.get("State") or {}, []
    if state.get("OOMKilled"):
        text = "the kernel ended the container for lack of memory"
        fix = "Raise vllm_memory_limit, or lower vllm_cpu_kv_cache_gib and vllm_shm_size."
        found.append(finding("container_oom", "error", text, fix, where))
    if state.get("Status") != "running":
        text = "the container is %s (exit code %s)" % (state.get("Status", "unknown"), state.get("ExitCode"))
        text += ": " + state["Error"] if state.get("Error") else ""
        fix = "Read the finding of its log; deploy_medium.yml starts it anew."
        found.append(finding("not_running", "error", text, fix, where))
    elif (state.get("Health") or {}).get("Status") == "unhealthy":
        text = "the container runs and does not answer its health check"
        fix = "Read the end of service/log.txt; a restart may help, an engine's fault shows there."
        found.append(finding("unhealthy", "error", text, fix, where))
    restarts = seen.get("RestartCount") or 0
    if restarts:
        found.append(finding("restarts", "warning", "Docker has restarted the container %d time%s" % (
            restarts, "" if restarts == 1 else "s"), "Look in service/log.txt for what ended it.", where))  # fmt: skip
    return found


def _not_inspected(said: str, where: str) -> dict:
    """Return the finding that Docker tells of no container; only what says that there is none counts as that."""
    if "no such container" in said.lower():
        text, fix = "there is no container of the service", "Deploy it: deploy_medium.yml."
        return finding("no_container", "error", text, fix, "")
    text = "Docker does not tell of the container (%s)" % (" ".join(said.split())[:200] or "no answer")
    return finding("container_not_seen", "error", text, "Look at systemctl status docker on the host.", where)


def _logs(parts: dict[str, str], catalogue: Catalogue, secrets: list[str]) -> list[dict]:
    """Compare each log with the failure catalogue."""
    found = []
    for name in sorted(parts):
        running = name == "service/log.txt"
        if not running and not name.startswith("service/failed-start-"):
            continue
        told = log_classifier.classify(parts[name], catalogue, None, secrets)
        # what the log of a service that went on says of earlier starts counts as well
        if told["outcome"] == "failed":
            evidence = next(iter(told["evidence"]), "")
            text = "%s (%s)%s" % (told["cause"], told["id"], ": " + evidence if evidence else "")
            found.append(finding("log_%s" % told["id"], "error" if running else "warning", text, told["fix"], name))
    return found
