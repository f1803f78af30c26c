# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a run over a fleet came to: one row for each host, one verdict, one message.

Private to this collection; may change at any time.
"""

from __future__ import annotations

#: What became of a host: id -> (tone, word).
STATES = {
    "deployed": ("good", "deployed"),
    "unchanged": ("good", "on the release already"),
    "failed": ("bad", "failed"),
    "not_reached": ("neutral", "not begun"),
    "would": ("neutral", "looked at (check mode)"),
}

#: Verdicts of a whole run: id -> (tone, title).
VERDICTS = {
    "fleet_deployed": ("good", "Fleet deployed"),
    "fleet_nothing_to_do": ("good", "Nothing to do"),
    "fleet_stopped": ("warn", "Fleet stopped"),
    "fleet_failed": ("bad", "Fleet stopped, some serve nothing"),
    "fleet_would": ("neutral", "Looked at the fleet"),
    "fleet_refused": ("bad", "Fleet refused"),
}

#: Verdicts of a single host after which it serves nothing, or nobody knows; without one nobody does.
_NOT_SERVING = ("", "failed_nothing_serves", "serves_nothing", "unreachable", "failed_unseen", "unreported")

_LOST = "It was begun, and nothing is known of how that ended: Ansible has lost it, or its run was killed."


def row(host: str, seen: dict, check_mode: bool) -> dict:
    """Return what became of one host.

    Args:
        host: its name.
        seen: ``begun``, ``failure`` (text, empty without one), and what its roles returned: ``report`` (of
            ``vllm_report_result``), ``service`` (``vllm_service_result``), ``gate`` (of the comparison).
        check_mode: whether nothing was to be changed.

    Returns:
        ``{host, state, release, downtime_s, gate, verdict, sentence, path}``.
    """
    report, service, gate = (seen.get(name) or {} for name in ("report", "service", "gate"))
    release = service.get("release") or {}
    sentence = str(seen.get("failure") or report.get("summary") or "").strip()
    if seen.get("failure"):
        state = "failed"
    elif not seen.get("begun"):
        state = "not_reached"
    elif check_mode:
        state = "would"
    else:
        told = str(report.get("verdict") or "")
        if told == "unreported":
            # its report is a by-product, which could not be made
            told = "deployed" if service.get("changed") else "nothing_to_do"
        state = "deployed" if told == "deployed" else "failed" if told in _NOT_SERVING else "unchanged"
        sentence = sentence or (_LOST if state == "failed" else "")
    downtime = (release.get("start") or {}).get("downtime_s") if state == "deployed" else None
    return {
        "host": host,
        "state": state,
        "release": str(release.get("name") or ""),
        "downtime_s": downtime,
        "gate": str(gate.get("text") or ""),
        "verdict": str(report.get("verdict") or ""),
        "sentence": sentence,
        "path": str(report.get("path") or ""),
    }


def judge(service: str, rows: list[dict], problem: str = "") -> dict:
    """Return ``{id, tone, title, sentence}`` of the whole run; ``problem`` is why it was not begun."""
    total = len(rows)
    count = {state: [row["host"] for row in rows if row["state"] == state] for state in STATES}
    if problem:
        return _verdict("fleet_refused", problem)
    if count["failed"]:
        lost = [row["host"] for row in rows if row["state"] == "failed" and row["verdict"] in _NOT_SERVING]
        told = "%s of %d host%s of %s failed (%s)" % (
            len(count["failed"]),
            total,
            "s"[: total - 1],
            service,
            ", ".join(count["failed"]),
        )
        told += "; %d on the new release, %d left as they were." % (
            len(count["deployed"]) + len(count["unchanged"]), len(count["not_reached"]))  # fmt: skip
        if lost:
            return _verdict("fleet_failed", told + " Not serving, or not known: %s." % ", ".join(lost))
        return _verdict("fleet_stopped", told + " Those that failed serve.")
    if count["would"]:
        return _verdict("fleet_would", "%d host%s of %s would be deployed." % (total, "s"[: total - 1], service))
    if not count["deployed"]:
        return _verdict("fleet_nothing_to_do", "All %d hosts of %s are on the release already." % (total, service))
    done = "%d of %d host%s of %s deployed" % (len(count["deployed"]), total, "s"[: total - 1], service)
    rest = "; %d had the release already" % len(count["unchanged"]) if count["unchanged"] else ""
    return _verdict("fleet_deployed", done + rest + ".")


def _verdict(name: str, sentence: str) -> dict:
    tone, title = VERDICTS[name]
    return {"id": name, "tone": tone, "title": title, "sentence": sentence}


def document(about: dict, rows: list[dict], batches: list[list[str]], first: list[dict], verdict: dict) -> dict:
    """Return the whole report: the keys by which reports are listed, and what is this one's own.

    Args:
        about: ``service``, ``at``, ``check_mode``, ``standins``.
        rows: of `row`.
        batches, first: of the plan.
        verdict: of `judge`.
    """
    return {
        "host": "fleet",
        "run": "deploy_fleet",
        **about,
        "verdict": verdict,
        "hosts": rows,
        "batches": batches,
        "first": first,
        "title": "%s: %s" % (about["service"], verdict["title"]),
    }


def closing(verdict: dict, rows: list[dict], path: str) -> str:
    """Return the one message in which the run ends."""
    lines = ["%s. %s" % (verdict["title"], verdict["sentence"])]
    for item in rows:
        parts = [STATES[item["state"]][1]]
        parts += ["release %s" % item["release"]] if item["release"] else []
        parts += ["nothing answered on it for %g s" % item["downtime_s"]] if item["downtime_s"] is not None else []
        parts += [item["gate"].rstrip(".")] if item["gate"] else []
        lines.append("  %s: %s" % (item["host"], ", ".join(parts)))
        if item["state"] == "failed":
            lines += ["    " + line for line in item["sentence"].splitlines()]
    lines.append("Report: %s/index.html" % path if path else "The report could not be written.")
    return "\n".join(lines)
