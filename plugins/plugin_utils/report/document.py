# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what a run found into one document: plain data, without a secret, ready to be shown or kept as JSON.

Only what a report shows is taken; no result is copied whole.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS
from ansible_collections.myia.vllm.plugins.plugin_utils.report import failure_section
from ansible_collections.myia.vllm.plugins.plugin_utils.report import sections as report_sections
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict

#: Version of the document's form; it grows when a key changes its meaning or goes.
SCHEMA = 1

#: Longest text that is kept, in characters.
_LONGEST = 6000

#: What the name of a GPU ends in that is none.
_STAND_IN = "(stand-in)"

#: Parts whose content GPUs take part in.
BY_GPU = ("verdict", "plan", "start", "gpu", "endpoints", "functional", "benchmark", "failure", "versions")

#: Parts that the module ``release`` has made free of secrets; their words only look like some (``API_KEY: ${...}``).
_UNSHAPED = ("changes",)


def build(about: dict, results: dict, snapshot: dict, failure: dict, secrets: list[str]) -> dict:
    """Return the document.

    Args:
        about: ``host``, ``address``, ``service``, ``run``, ``at`` (UTC, as 2026-01-31T12:00:00Z), ``check_mode``,
            ``collection`` and ``ansible_core`` (versions).
        results: what the roles returned, by the names of ``role_variables.result_names()``; each may be missing.
        snapshot: what the module ``service_snapshot_info`` returned; ``{"unreachable": true}`` or empty
            when it could not.
        failure: ``message`` and ``task``; empty when nothing failed.
        secrets: values that must not be in it.

    Returns:
        ``schema``, the keys of ``about``, ``standins`` (whether a stand-in for a GPU took part), and a mapping for each
        part: ``verdict``, ``access``, ``changes``, ``plan``, ``start``, ``gpu``, ``endpoints``, ``functional``,
        ``benchmark``, ``failure``, ``rollback``, ``versions``. A part about which nothing is known has ``note``, which
        says why; ``standin`` tells whether a stand-in took part in it.
    """
    snapshot = snapshot if snapshot.get("container") or snapshot.get("unreachable") else {}
    verdict = report_verdict.verdict(about["run"], about["check_mode"], results, snapshot, failure)
    document = {
        "verdict": verdict,
        "access": report_sections.access(about, results),
        "changes": report_sections.changes(about, results),
        "plan": report_sections.plan(results, snapshot),
        "start": report_sections.start(about, results, snapshot),
        "gpu": report_sections.gpu(results, snapshot),
        "endpoints": report_sections.checks(about, results, ("endpoint", "access")),
        "functional": report_sections.checks(about, results, ("functional",)),
        "benchmark": report_sections.benchmark(about, results),
        "failure": failure_section.failure(verdict, results, snapshot, failure),
        "rollback": report_sections.rollback(about, results, snapshot),
        "versions": report_sections.versions(about, results, snapshot),
    }
    standins = _stand_ins(results, snapshot)
    for name, part in document.items():
        part["standin"] = standins and name in BY_GPU and not part.get("note")
    head = {"schema": SCHEMA, **about, "standins": standins}
    document = {
        name: masked(part, secrets, shapes=name not in _UNSHAPED) for name, part in {**head, **document}.items()
    }
    # after the masking, which takes what stands behind "Bearer" for a key: this is the name of a variable
    document["access"]["curl"] = report_sections.curl(document["access"]) if not document["access"].get("note") else ""
    return document


def _stand_ins(results: dict, snapshot: dict) -> bool:
    """Tell whether a GPU that the service was given is a stand-in."""
    definition = results.get("vllm_definition") or {}
    if definition.get("accelerator", "nvidia") != "nvidia":
        return False
    gpus = report_sections.gpus_of(results, snapshot)
    wanted = [str(name) for name in definition.get("gpu_devices") or []]
    used = [item for item in gpus if str(item.get("index")) in wanted or item.get("uuid") in wanted] or gpus
    return any(str(item.get("name") or "").endswith(_STAND_IN) for item in used)


def secrets_of(values: dict, more: list) -> list[str]:
    """Return the secrets among the values of the role ``vllm``, the longest first.

    Args:
        values: of all its variables; those of ``vllm_extra_env`` and ``vllm_extra_options`` whose names say that they
            are secrets count too, by the rule that the host masks by.
        more: other secrets, None among them.
    """
    pairs = [("VLLM_API_KEY_", values.get(name)) for name in SECRETS]
    for variable, begin in (("vllm_extra_env", "EXTRA_ENV_"), ("vllm_extra_options", "EXTRA_OPTION_")):
        extra = values.get(variable)
        pairs += [
            (begin + _env_name(name), value) for name, value in (extra if isinstance(extra, dict) else {}).items()
        ]
    pairs += [("VLLM_API_KEY_", value) for value in more]
    flat = [(name, item) for name, value in pairs for item in (value if isinstance(value, list) else [value])]
    return service_secrets.among((name, str(item)) for name, item in flat if item not in (None, ""))


def _env_name(name: object) -> str:
    return re.sub(r"[^A-Z0-9]", "_", str(name).upper())


def masked(value: object, secrets: list[str], shapes: bool = True) -> object:
    """Return a text, or lists and mappings of texts, without ``secrets``.

    Args:
        value: what to mask.
        secrets: values that must not be in it.
        shapes: whether what only looks like a secret is masked too.
    """
    if isinstance(value, dict):
        return {key: masked(item, secrets, shapes) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, secrets, shapes) for item in value]
    if not isinstance(value, str):
        return value
    text = service_secrets.masked(value, secrets)
    text = redact(text) if shapes else text
    # cut only now: the first half of a secret would not be found
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _current(document: dict) -> str:
    """Return the release that is current on the host; empty where that is not known."""
    return next((item["name"] for item in document["rollback"].get("releases") or [] if item["current"]), "")


def summary(document: dict, path: str, url: str) -> dict:
    """Return what automation keeps of a report when its files are gone: verdict and figures, no prose.

    Args:
        document: of :func:`build`.
        path: folder of the report on the controller; empty when it could not be written.
        url: address of its page.
    """
    kv = next((row for row in document["plan"].get("rows") or [] if row["id"] == "kv_tokens"), {})
    checks = [item for name in ("endpoints", "functional") for item in document[name].get("checks") or []]
    return {
        "verdict": document["verdict"]["id"],
        "tone": document["verdict"]["tone"],
        "summary": document["verdict"]["sentence"],
        **{key: document[key] for key in ("run", "at", "check_mode", "service", "standins")},
        "path": path,
        "url": url,
        # of a run that makes none: the one that it found
        "release": document["changes"].get("to") or _current(document),
        "base_url": document["access"].get("base_url", ""),
        "model": document["access"].get("model", ""),
        "failure": document["failure"].get("id", ""),
        "start_s": document["start"].get("total_s"),
        "kv_tokens": {key: kv.get(key) for key in ("low", "high", "reported")} if kv else {},
        "failed_checks": [item["id"] for item in checks if item["status"] == "failed"],
        "benchmark": [
            {
                "run": item["name"],
                "ok": item["ok"],
                "failed": item["failed"],
                "ttft_p50_ms": item["ttft_ms"]["p50"],
                "tpot_p50_ms": item["tpot_ms"]["p50"],
                "output_throughput": item["output_throughput"],
            }
            for item in document["benchmark"].get("runs") or []
        ],
    }
