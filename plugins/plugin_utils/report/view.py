# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the document of a run into sections of blocks, from which the page and its Markdown twin are written alike.

A section is ``{id, title, standin, note, blocks}``; a block has a ``kind``: V(text), V(facts) (rows of label and cell),
V(table) (caption, columns, rows of cells), V(code) (label, text), V(list) (label, items) or V(plots). A cell is
``{text, tone, bars}``; ``bars`` are drawn in the page only and repeat what the text says.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration, size
from ansible_collections.myia.vllm.plugins.plugin_utils.report import plots as report_plots

#: What stands where a value is not known.
UNKNOWN = "–"  # noqa: RUF001 - a dash on purpose

#: Sign and tone of a check's status; the word stands beside it, so that nothing is told by colour alone.
STATUS = {"passed": "good", "failed": "bad", "warned": "warn", "skipped": "neutral"}

#: The phases of a start for people.
PHASES = {
    "container_up": "container and Python",
    "config": "configuration",
    "engine": "engine and workers",
    "distributed": "connecting workers",
    "download": "downloading weights",
    "load": "loading weights",
    "compile": "compiling",
    "memory": "measuring memory",
    "graphs": "capturing CUDA graphs",
    "ready": "starting the server",
    "verify": "verification",
}

MIB_PER_GIB = 1024

#: How to get plots on a controller that draws none.
NO_PLOTS = "Plots are left out: pygal is not installed on this controller (pip install 'pygal>=3.0')."


def cell(text: object, tone: str = "", bars: list | None = None) -> dict:
    """Return a cell; None and an empty text become a dash."""
    shown = UNKNOWN if text is None or text == "" else str(text)
    return {"text": shown, "tone": tone, "bars": bars or []}


def sections(document: dict) -> list[dict]:
    """Return all sections of a document but its verdict, in the order in which they are read."""
    makers = (
        ("failure", "Failure", _failure),
        ("access", "How to reach it", _access),
        ("changes", "What changed", _changes),
        ("plan", "Plan and reality", _plan),
        ("start", "Start", _start),
        ("gpu", "GPUs and memory", _gpu),
        ("endpoints", "Endpoints and access", _checks),
        ("functional", "Functional checks", _checks),
        ("benchmark", "Benchmark", _benchmark),
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
    return found if not document["failure"].get("note") else [*found[1:10], found[0], found[10]]


def key_figures(document: dict) -> list[dict]:
    """Return the few figures that stand at the top, each ``{label, text}``."""
    found = []
    kv = next((row for row in document["plan"].get("rows") or [] if row["id"] == "kv_tokens"), {})
    if kv.get("reported") is not None:
        found.append(("KV cache, tokens", number(kv["reported"])))
    elif kv.get("low") is not None:
        found.append(("KV cache, tokens planned", _range(kv["low"], kv["high"])))
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


def number(value: object) -> str:
    """Return a number with three digits that count, or all of a whole one: ``1,234,567``, ``18.6``, ``0.034``."""
    if value is None:
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 1000:
        return format(round(value), ",d")
    return "%.3g" % value


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return UNKNOWN
    return number(low) if low == high else "%s to %s" % (number(low), number(high))


def _facts(*rows: tuple) -> dict:
    return {"kind": "facts", "rows": [(label, text if isinstance(text, dict) else cell(text)) for label, text in rows]}


def _table(
    caption: str, columns: list[str], rows: list[list], numbers: tuple[int, ...] = (), sparse: bool = False
) -> dict:
    """Return a table.

    Args:
        caption: what it shows.
        columns: their headings.
        rows: cells, or what :func:`cell` makes one of.
        numbers: places of columns with figures.
        sparse: whether a column in which nothing is known is left out.
    """
    cells = [[item if isinstance(item, dict) else cell(item) for item in row] for row in rows]
    known = [any(row[place]["text"] != UNKNOWN or row[place]["bars"] for row in cells) for place in range(len(columns))]
    kept = [place for place in range(len(columns)) if known[place] or not sparse]
    return {
        "kind": "table",
        "caption": caption,
        "columns": [{"text": columns[place], "number": place in numbers} for place in kept],
        "rows": [[row[place] for place in kept] for row in cells],
    }


def _code(label: str, text: str) -> dict:
    return {"kind": "code", "label": label, "text": text}


def _text(text: str, tone: str = "") -> dict:
    return {"kind": "text", "text": text, "tone": tone}


def _list(label: str, items: list[str]) -> dict:
    return {"kind": "list", "label": label, "items": items}


def _access(part: dict) -> list[dict]:
    key = "needed; put it into VLLM_API_KEY" if part["api_key_required"] else "not needed"
    reach = "from the host itself only (vllm_publish_address)" if part["local"] else (
        "from outside as http://%s:%s, where the network allows it" % (part["address"], part["port"])
    )  # fmt: skip
    blocks = [
        _facts(
            ("Address on the host", "%s/v1" % part["base_url"]),
            ("Reachable", reach),
            ("Model name", part["model"]),
            ("Longest request and answer", "%s tokens" % number(part["max_model_len"])),
            ("API key", key),
            ("Container", part["container"]),
            ("Folder on the host", part["folder"]),
        ),
        _code("Ask it from a shell on the host", part["curl"]),
    ]
    if part["local"]:
        tunnel = "ssh -L {0}:127.0.0.1:{0} {1}".format(part["port"], part["address"])
        blocks.append(_code("Reach it from another machine", tunnel))
    return blocks


def _changes(part: dict) -> list[dict]:
    blocks = [_facts(("Release", part["to"]), ("Release before", part["from"] or "none"))]
    if part["lines"]:
        blocks.append(_code("Changed lines (values of .env are never shown)", "\n".join(part["lines"])))
    elif part["to"]:
        blocks.append(_text("The release is the one that was there before: nothing in it changed."))
    if part["releases"]:
        blocks.append(_list("What was done with the releases", part["releases"]))
    if part["problem"]:
        blocks.append(_text(part["problem"], "bad"))
    return blocks


def _plan(part: dict) -> list[dict]:
    blocks = []
    if part["no_plan"]:
        blocks.append(_text("There is no plan of GPU memory: %s." % part["no_plan"].rstrip(".")))
    rows = [
        [
            "%s%s" % (row["what"], " (%s)" % row["unit"] if row["unit"] else ""),
            _range(row["low"], row["high"]),
            number(row["reported"]),
            _inside(row),
            "" if row["deviation_percent"] is None else "%+g %%" % row["deviation_percent"],
            {"log": "log of the start"}.get(row["source"], row["source"]),
        ]
        for row in part["rows"]
    ]
    if rows:
        caption = "Predicted before the start, and what vLLM reported; the deviation is from the middle of the range"
        caption = caption if any(row["low"] is not None for row in part["rows"]) else "What vLLM reported"
        columns = ["What", "Predicted", "Reported", "In the range?", "Deviation", "Seen in"]
        blocks.append(_table(caption, columns, rows, (1, 2, 4), sparse=True))
    if part["problems"]:
        blocks.append(_list("The plan warns", part["problems"]))
    if part["findings"]:
        found = [
            [
                cell(item["id"], "bad" if item["severity"] == "error" else "warn"),
                item["found"],
                item["needed"],
                item["fix"],
            ]
            for item in part["findings"]
        ]
        blocks.append(_table("Preflight checks that did not pass", ["Check", "Found", "Needed", "What to do"], found))
    if part["passed"]:
        blocks.append(_text("%d preflight checks passed." % part["passed"]))
    return blocks


def _inside(row: dict) -> dict:
    """Return whether the reported value lies in the range, with bars that show where."""
    if row["inside"] is None:
        return cell("")
    top = 1.15 * max(row["high"], row["reported"]) or 1
    left, right, mark = (100 * row[key] / top for key in ("low", "high", "reported"))
    bars = [_bar("range", left, max(right - left, 1)), _bar("dot", mark, 0)]
    return cell("inside", "good", bars) if row["inside"] else cell("outside", "warn", bars)


def _bar(kind: str, left: float, width: float) -> dict:
    return {"kind": kind, "left": round(min(max(left, 0), 100), 2), "width": round(min(max(width, 0), 100), 2)}


def _start(part: dict) -> list[dict]:
    before = part["before"]
    total_s = part["total_s"] or sum(step["duration_s"] or 0 for step in part["phases"])
    scale_s = max(total_s, before.get("total_s") or 0) or 1
    was = {step["phase"]: step for step in before.get("phases") or []}
    rows = []
    for step in part["phases"]:
        other = was.pop(step["phase"], {})
        bars = [_span("now", step, scale_s), *([_span("before", other, scale_s)] if other else [])]
        failed = part["failed"] and step is part["phases"][-1]
        name = PHASES.get(step["phase"], step["phase"])
        shown = cell("%s (failed here)" % name, "bad") if failed else name
        rows.append([shown, _seconds(step["duration_s"]), _seconds(other.get("duration_s")), cell("", bars=bars)])
    for name, step in was.items():
        bars = [_span("before", step, scale_s)]
        rows.append([PHASES.get(name, name), "", _seconds(step["duration_s"]), cell("", bars=bars)])
    before_s = before.get("total_s") or 0
    bars = [_bar("now", 0, 100 * total_s / scale_s), _bar("before", 0, 100 * before_s / scale_s)][
        : 2 if before_s else 1
    ]
    rows.append(["In all", duration(total_s), duration(before_s) if before_s else "", cell("", bars=bars)])
    caption = "Phases of the start%s" % (" (upper bar) and of the start before (lower bar)" if before else "")
    what = "Recorded with the release" if part["recorded"] else "Watched in this run"
    facts = [
        ("Release", part["release"]),
        ("Container started", part["at"]),
        (what, "failed" if part["failed"] else "answers"),
    ]
    if part["compile_cache"]:
        facts.append(("Compile cache", part["compile_cache"]))
    if before:
        cache = ", compile cache %s" % before["compile_cache"] if before["compile_cache"] else ""
        facts.append(("Start before", "%s, release %s%s" % (before["at"], before["release"], cache)))
    columns = ["Phase", "Took", "Before", "Timeline"]
    return [_facts(*facts), _table(caption, columns, rows, (1, 2), sparse=True)]


def _span(kind: str, step: dict, scale_s: float) -> dict:
    return _bar(kind, 100 * (step["start_s"] or 0) / scale_s, max(100 * (step["duration_s"] or 0) / scale_s, 0.4))


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 0.01:
        return "under 10 ms"
    if value < 1:
        return "%d ms" % round(1000 * value)
    return "%.1f s" % value if value < 10 else duration(value)


def _gpu(part: dict) -> list[dict]:
    blocks = []
    if part["error"]:
        blocks.append(_text("%s %s" % (part["error"], part["fix"]), "bad"))
    if part["cpu"]:
        blocks.append(_text("The service runs on the CPU; no GPU takes part in it."))
    rows = []
    for item in part["gpus"]:
        total, used = item["memory_total_mib"], item["used_now_mib"]
        bars = [_bar("now", 0, 100 * used / total)] if total and used is not None else []
        rows.append([
            "GPU %s" % item["index"], cell(item["name"], "bad" if item["fault"] else ""),
            cell("yes" if item["asked"] else "no", "good" if item["asked"] else "neutral"),
            cell(_gib(used), bars=bars), _gib(item["used_before_mib"]), _gib(total),
            item["compute_capability"], "%g W" % item["power_limit_w"] if item["power_limit_w"] else "", item["uuid"],
        ])  # fmt: skip
    if rows:
        columns = [
            "GPU",
            "Name",
            "In the service",
            "In use now",
            "Before the run",
            "Memory",
            "Compute",
            "Power limit",
            "UUID",
        ]
        blocks.append(_table("GPUs and their memory", columns, rows, (3, 4, 5, 6, 7), sparse=True))
    facts = [("Container", part["container_state"] or "not there"), ("Restarts by Docker", part["restart_count"])]
    if part["container_memory_bytes"]:
        facts.append(("Main memory of the container", size(part["container_memory_bytes"])))
    if part["utilization"] and not part["cpu"]:
        facts.append(("vllm_gpu_memory_utilization", part["utilization"]))
    return [*blocks, _facts(*facts)]


def _gib(mib: float | None) -> str:
    return "" if mib is None else "%.1f GiB" % (mib / MIB_PER_GIB)


def _checks(part: dict) -> list[dict]:
    rows = []
    for item in part["checks"]:
        status = "warned" if item["status"] == "failed" and not item["must"] else item["status"]
        why = item["reason"] if not item["evidence"] else "%s (seen: %s)" % (item["reason"], item["evidence"])
        why = item["evidence"] if not item["reason"] else why
        rows.append([cell(status, STATUS[status]), item["id"], item["what"], why, _seconds(item["duration_s"])])
    counts = ", ".join("%d %s" % (n, name) for name, n in part["counts"].items() if n)
    of = " of release %s" % part["release"] if part["release"] else ""
    return [
        _table("Checks%s: %s" % (of, counts), ["Status", "Check", "What", "Reason or evidence", "Took"], rows, (4,))
    ]


#: Columns of a benchmark's table of times: key, name.
_TIMES = (
    ("ttft_ms", "First token"),
    ("tpot_ms", "Per output token"),
    ("itl_ms", "Between tokens"),
    ("e2el_ms", "Request"),
)


def _benchmark(part: dict) -> list[dict]:
    blocks = [
        _facts(
            ("Profile", part["profile"]),
            ("At", part["at"]),
            ("Release", part["release"]),
            ("vLLM", part["vllm_version"]),
            ("Raw results on the host", part["path"]),
        )
    ]
    if part["problem"]:
        blocks.append(_text(part["problem"], "bad"))
    if part["warnings"]:
        blocks.append(_list("Warnings", part["warnings"]))
    rows = [
        [
            run["name"],
            cell("passed" if run["ok"] else "failed", "good" if run["ok"] else "bad"),
            number(run["output_throughput"]),
            number(run["total_token_throughput"]),
            number(run["request_throughput"]),
            "%s of %s" % (number(run["completed"]), number(run["num_prompts"])),
            "no limit" if run["request_rate"] is None else number(run["request_rate"]),
            "no limit" if run["max_concurrency"] is None else number(run["max_concurrency"]),
            "%s / %s" % (number(run["input_tokens"]), number(run["output_tokens"])),
            _seconds(run["duration_s"]),
        ]
        for run in part["runs"]
    ]
    columns = [
        "Run", "Result", "Output tokens/s", "All tokens/s", "Requests/s", "Completed", "Requests/s asked", "At a time",
        "Tokens in / out", "Took",
    ]  # fmt: skip
    blocks.append(_table("Runs and their throughput", columns, rows, tuple(range(2, 10))))
    failed = ["%s: %s" % (run["name"], run["problem"]) for run in part["runs"] if run["problem"]]
    if failed:
        blocks.append(_list("What went wrong", failed))
    rows = [
        [name, run["name"], *(number(run[key][p]) for p in ("p50", "p90", "p99", "mean"))]
        for key, name in _TIMES
        for run in part["runs"]
        if any(value is not None for value in run[key].values())
    ]
    if rows:
        blocks.append(_table("Times in milliseconds", ["Time", "Run", "p50", "p90", "p99", "mean"], rows, (2, 3, 4, 5)))
    plots = report_plots.of_benchmark(part)
    if plots:
        blocks.append({"kind": "plots", "plots": plots})
    elif not report_plots.available():
        blocks.append(_text(NO_PLOTS))
    return [*blocks, *_compared(part["compared"])]


def _compared(compared: dict) -> list[dict]:
    if not compared:
        return [_text("There is no earlier good run of this service to compare with.")]
    rows = [
        [
            row["run"], _metric(str(row["metric"])), number(row["before"]), number(row["now"]),
            "" if row["change_percent"] is None else "%+.1f %%" % row["change_percent"],
            cell("worse" if row["worse"] else "as good", "warn" if row["worse"] else "good"),
        ]
        for row in compared["rows"]
    ]  # fmt: skip
    caption = "Against the last good run: %s, release %s, vLLM %s" % (
        compared["at"], compared["release"], compared["vllm_version"])  # fmt: skip
    return [_table(caption, ["Run", "Figure", "Before", "Now", "Change", "Verdict"], rows, (2, 3, 4))]


def _metric(name: str) -> str:
    """Return the name of a figure for people: ``ttft_ms.p50`` is the first token's p50."""
    key, _dot, which = name.partition(".")
    words = {**dict(_TIMES), "output_throughput": "Output tokens/s", "request_throughput": "Requests/s",
             "total_token_throughput": "All tokens/s"}  # fmt: skip
    return "%s%s" % (
        words.get(key, key),
        ", %s (ms)" % which if which and key.endswith("_ms") else " " + which if which else "",
    )


def _failure(part: dict) -> list[dict]:
    blocks = []
    if part["id"]:
        name = part["id"] + (" (%s)" % part["ref"] if part["ref"] not in ("", part["id"]) else "")
        blocks.append(
            _facts(
                ("Failure", cell(name, "bad")),
                ("Cause", part["cause"]),
                (part["advice"], part["fix"]),
                ("Phase", PHASES.get(part["phase"], part["phase"])),
                ("Release", part["release"]),
            )
        )
    if part["evidence"]:
        blocks.append(_code("Evidence in the log", "\n".join(part["evidence"])))
    if part["findings"]:
        rows = [[cell(item["id"], "bad"), item["found"], item["needed"], item["fix"]] for item in part["findings"]]
        blocks.append(_table("Preflight checks that failed", ["Check", "Found", "Needed", "What to do"], rows))
    if part["message"]:
        label = 'What the task "%s" said' % part["task"] if part["task"] else "What was said"
        blocks.append(_code(label, part["message"]))
    facts = [("What was done", part["done"])]
    if part["log"]:
        facts.append(("Log on the host", part["log"]))
    return [*blocks, _facts(*facts)]


def _rollback(part: dict) -> list[dict]:
    blocks = [_code("Go back to the newest other release that was good", part["command"])] if part["command"] else [
        _text("There is no other release that was ever good, so there is none to go back to.")]  # fmt: skip
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
            [item["name"], cell(state, tone), item["created"], item["model"], item["image"], _seconds(item["start_s"])]
        )
    columns = ["Release", "State", "Made", "Model", "Image", "Start took"]
    return [*blocks, _table("Releases that the host keeps", columns, rows, (5,), sparse=True)]


def _versions(part: dict) -> list[dict]:
    digests = part["image_digests"]
    return [
        _facts(
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
