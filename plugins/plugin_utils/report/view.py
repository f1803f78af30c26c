# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the document of a run into sections of blocks, from which the page and its Markdown twin are written alike.

A section is ``{id, title, standin, note, blocks}``; see ``blocks`` for what it is made of.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration, size
from ansible_collections.myia.vllm.plugins.plugin_utils.report import benchmark_view, memory_view, start_view
from ansible_collections.myia.vllm.plugins.plugin_utils.report.blocks import (
    bullets,
    cell,
    code,
    facts,
    number,
    number_range,
    paragraph,
    seconds,
    table,
)

#: Sign and tone of a check's status; the word stands beside it, so that nothing is told by colour alone.
_STATUS = {"passed": "good", "failed": "bad", "warned": "warn", "skipped": "neutral"}


def sections(document: dict) -> list[dict]:
    """Return all sections of a document but its verdict, in the order in which they are read."""
    makers = (
        ("failure", "Failure", _failure),
        ("access", "How to reach it", _access),
        ("changes", "What changed", _changes),
        ("plan", "Plan and reality", memory_view.plan),
        ("start", "Start", start_view.section),
        ("gpu", "GPUs and memory", memory_view.gpus),
        ("endpoints", "Endpoints and access", _checks),
        ("functional", "Functional checks", _checks),
        ("benchmark", "Benchmark", benchmark_view.section),
        ("rollback", "How to go back", _rollback),
        ("versions", "Versions and digests", _versions),
    )
    found = []
    for name, title, make in makers:
        part = document[name]
        note = part.get("note", "")
        blocks = [] if note else make(part)
        found.append({"id": name, "title": title, "standin": part["standin"], "note": note, "blocks": blocks})
    # a failure is what its reader came for; where there was none it is the least of all
    return found if not document["failure"].get("note") else [*found[1:-1], found[0], found[-1]]


def key_figures(document: dict) -> list[dict]:
    """Return the few figures that stand at the top, each ``{label, text}``."""
    found = []
    kv = next((row for row in document["plan"].get("rows") or [] if row["id"] == "kv_tokens"), {})
    if kv.get("reported") is not None:
        found.append(("KV cache, tokens", number(kv["reported"])))
    elif kv.get("low") is not None:
        found.append(("KV cache, tokens planned", number_range(kv["low"], kv["high"])))
    if document["start"].get("total_s") and not document["start"].get("failed"):
        found.append(("Start", duration(document["start"]["total_s"])))
    checks = [item for name in ("endpoints", "functional") for item in document[name].get("checks") or []]
    if checks:
        passed = sum(1 for item in checks if item["status"] == "passed")
        found.append(("Checks passed", "%d of %d" % (passed, sum(1 for i in checks if i["status"] != "skipped"))))
    good = [run for run in document["benchmark"].get("runs") or [] if run["ok"]]
    if good:
        best = max(good, key=lambda run: run["output_throughput"] or 0)
        found.append(("Best output, tokens/s", number(best["output_throughput"])))
        firsts = [run["ttft_ms"]["p50"] for run in good if run["ttft_ms"]["p50"] is not None]
        if firsts:
            found.append(("Best first token, p50", "%s ms" % number(min(firsts))))
    return [{"label": label, "text": text} for label, text in found]


def _access(part: dict) -> list[dict]:
    key = "needed; put it into VLLM_API_KEY" if part["api_key_required"] else "not needed"
    reach = "from the host itself only (vllm_publish_address)" if part["local"] else (
        "from outside as %s://%s:%s, where the network allows it" % (part["scheme"], part["address"], part["port"])
    )  # fmt: skip
    if not part.get("published", True):
        reach = "by containers of its networks only (vllm_publish)"
    tls = [("Certificate", "not looked at by the checks, which ask 127.0.0.1; clients should (curl --cacert)")]
    tls = tls if part["scheme"] == "https" else []
    guarded = [] if part["local"] or not part.get("published", True) else [
        ("Open at", "%s, past ufw and firewalld" % ", ".join(part["open_at"])),
        ("Guarded by", ", ".join(part["guards"]) or "nothing"),
    ]  # fmt: skip
    blocks = [
        facts(
            ("Address on the host", "%s/v1" % part["base_url"]),
            ("Reachable", reach),
            *tls,
            ("Model name", part["model"]),
            ("Longest request and answer", "%s tokens" % number(part["max_model_len"])),
            ("API key", key),
            *guarded,
            ("Container", part["container"]),
            ("Folder on the host", part["folder"]),
        ),
        code("Ask it from a shell on the host", part["curl"]),
    ]
    if part["local"]:
        tunnel = "ssh -L {0}:127.0.0.1:{0} {1}".format(part["port"], part["address"])
        blocks.append(code("Reach it from another machine", tunnel))
    return blocks


def _changes(part: dict) -> list[dict]:
    blocks = [facts(("Release", part["to"]), ("Release before", part["from"] or "none"))]
    if part["lines"]:
        blocks.append(code("Changed lines (values of .env are never shown)", "\n".join(part["lines"])))
    elif part["to"]:
        blocks.append(paragraph("The release is the one that was there before: nothing in it changed."))
    if part["releases"]:
        blocks.append(bullets("What was done with the releases", part["releases"]))
    if part["problem"]:
        blocks.append(paragraph(part["problem"], "bad"))
    return blocks


def _checks(part: dict) -> list[dict]:
    rows = []
    for item in part["checks"]:
        status = "warned" if item["status"] == "failed" and not item["must"] else item["status"]
        why = item["reason"] if not item["evidence"] else "%s (seen: %s)" % (item["reason"], item["evidence"])
        why = item["evidence"] if not item["reason"] else why
        rows.append([cell(status, _STATUS[status]), item["id"], item["what"], why, seconds(item["duration_s"])])
    counts = ", ".join("%d %s" % (n, name) for name, n in part["counts"].items() if n)
    of = " of release %s" % part["release"] if part["release"] else ""
    return [table("Checks%s: %s" % (of, counts), ["Status", "Check", "What", "Reason or evidence", "Took"], rows, (4,))]


def _failure(part: dict) -> list[dict]:
    blocks = []
    if part["id"]:
        name = part["id"] + (" (%s)" % part["ref"] if part["ref"] not in ("", part["id"]) else "")
        blocks.append(
            facts(
                ("Failure", cell(name, "bad")),
                ("Cause", part["cause"]),
                (part["advice"], part["fix"]),
                ("Phase", start_view.PHASES.get(part["phase"], part["phase"])),
                ("Release", part["release"]),
            )
        )
    if part["evidence"]:
        blocks.append(code("Evidence in the log", "\n".join(part["evidence"])))
    if part["findings"]:
        rows = [[cell(item["id"], "bad"), item["found"], item["needed"], item["fix"]] for item in part["findings"]]
        blocks.append(table("Preflight checks that failed", ["Check", "Found", "Needed", "What to do"], rows))
    if part["message"]:
        label = 'What the task "%s" said' % part["task"] if part["task"] else "What was said"
        blocks.append(code(label, part["message"]))
    about = [("What was done", part["done"])]
    if part["log"]:
        about.append(("Log on the host", part["log"]))
    return [*blocks, facts(*about)]


def _rollback(part: dict) -> list[dict]:
    blocks = [code("Go back to the newest other release that was good", part["command"])] if part["command"] else [
        paragraph("There is no other release that was ever good, so there is none to go back to.")]  # fmt: skip
    rows = []
    for item in part["releases"]:
        state = ("serves" if item["current"] else "good") if item["good"] else "not proven"
        state, tone = (
            ("failed: %s" % item["failure"], "bad")
            if item["failure"]
            else (state, "good" if item["good"] else "neutral")
        )
        if item["current"] and state != "serves":
            state += ", current"
        rows.append(
            [item["name"], cell(state, tone), item["created"], item["model"], item["image"], seconds(item["start_s"])]
        )
    columns = ["Release", "State", "Made", "Model", "Image", "Start took"]
    return [*blocks, table("Releases that the host keeps", columns, rows, (5,), sparse=True)]


def _versions(part: dict) -> list[dict]:
    digests = part["image_digests"]
    return [
        facts(
            ("vLLM, as it says itself", part["vllm"]),
            ("vLLM, asked for", part["vllm_asked"]),
            ("Image", part["image"]),
            (
                "Image digest",
                ", ".join(digests) if digests else "none (not from a registry)" if part["image_id"] else "",
            ),
            ("Image id", part["image_id"]),
            ("Image made", part["image_created"]),
            ("Image size", size(part["image_size_bytes"]) if part["image_size_bytes"] else ""),
            ("Model", part["model"]),
            ("Revision asked for", part["model_revision"] or ("" if part["model_is_local"] else "main branch")),
            ("Commit in the cache", part["model_commit"]),
            ("Quantization asked for", part["quantization"] or "the model's own"),
            ("Docker Engine", part["docker_engine"]),
            ("Docker Compose", part["docker_compose"]),
            ("NVIDIA Container Toolkit", part["container_toolkit"]),
            ("NVIDIA driver", part["driver"]),
            ("CUDA that the driver runs", part["cuda_of_driver"]),
            ("CUDA in the image", part["cuda_of_image"]),
            ("System", part["system"]),
            ("Collection myia.vllm", part["collection"]),
            ("ansible-core", part["ansible_core"]),
        )
    ]
