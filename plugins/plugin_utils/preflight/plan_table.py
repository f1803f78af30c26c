# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what a preflight found as a table for a terminal or a log file. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import textwrap

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import fit
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import kind as preflight_kind
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import worst_first
from ansible_collections.myia.vllm.plugins.plugin_utils.services import conflicts

#: Columns of a line.
WIDTH = 88
#: Columns of the name of a row, and of a number.
_NAME, _NUMBER = 52, 16
#: Columns of a variable, and of who said its value.
_VARIABLE, _SOURCE = 30, 18
#: Suggestions that are shown.
_SUGGESTIONS = 5


class _Lines(yaml.SafeDumper):
    """Writes lists in one line, as people write GPUs, and dictionaries key by key."""


_Lines.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def lines(definition: dict, result: dict, host_name: str, skipped: list[str]) -> list[str]:
    """Return the lines of the table.

    Args:
        definition: the ``vllm_definition``.
        result: what the module ``preflight`` returned.
        host_name: name of the host in the inventory.
        skipped: ids of vllm_preflight_skip.
    """
    plan = result["capacity"]
    out = ["=" * WIDTH, "Plan of the vLLM service %s on %s (nothing was changed)" % (definition["name"], host_name)]
    out += ["=" * WIDTH, *_head(definition, result), ""]
    out += [*_values(definition), ""]
    out += _memory(plan) if plan else _wrapped("No plan of GPU memory: %s." % result["no_capacity"].rstrip("."), "")
    out += proposals(fit.proposals(definition, result["host"], environment=result.get("environment")))
    out += ["", *_findings(result, skipped)]
    return out


def proposals(found: list[dict]) -> list[str]:
    """Return the lines of ``fit.proposals``: what each buys, and its variables, to be pasted into an inventory."""
    if not found:
        return []
    out = ["", "What fits into the GPUs that are free, the best first (paste the lines)", "-" * WIDTH]
    for number, item in enumerate(found, 1):
        may = "" if item["fits"] == "yes" else "may fit: "
        out += _wrapped(may + item["buys"], "%d. " % number)
        out += ["   " + line for line in as_yaml(item["values"])]
    return out


def as_yaml(values: dict) -> list[str]:
    """Return the lines of variables (name -> value) as they stand in an inventory, lists in one line."""
    # Ansible's own kinds of text and list, which YAML's dumper does not know, become plain ones
    return yaml.dump(json.loads(json.dumps(values)), Dumper=_Lines, sort_keys=False, width=WIDTH).splitlines()


def _head(definition: dict, result: dict) -> list[str]:
    rows = [("model", definition["model"]), ("kind", preflight_kind.words(result.get("kind")))]
    rows += [("image", definition["image"])]
    gpus = (result["host"].get("gpu") or {}).get("gpus") or []
    for name in definition["gpu_devices"]:
        gpu = next((gpu for gpu in gpus if name in (str(gpu["index"]), gpu["uuid"])), None)
        if gpu is None:
            text = "not seen as a whole GPU"
        else:
            text = "%s, %s of %s MiB free" % (gpu["name"], gpu["memory_free_mib"], gpu["memory_total_mib"])
        rows.append(("GPU %s" % name, text))
    rows.append(
        (
            "parallel",
            "tensor %d x pipeline %d" % (definition["tensor_parallel_size"], definition["pipeline_parallel_size"])
            + _over_hosts(definition),
        )
    )
    rows += _neighbours(definition)
    return [line for name, text in rows for line in _wrapped(text, name.ljust(10))]


def _over_hosts(definition: dict) -> str:
    """Return over which hosts a service is spread, and how; empty for a single one."""
    if not definition["nodes"]:
        return ""
    names = ", ".join(definition["nodes"]["names"])
    if definition["nodes"]["parallel"] == "data":
        return ", %d replicas on each of %s; this is the plan of one" % (definition["nodes"]["replicas_here"], names)
    return ", over %s" % names


def _neighbours(definition: dict) -> list[tuple[str, str]]:
    """Return a row for each GPU that other services of the machine use too, with what all take of its memory."""
    rows = []
    own = conflicts.share(definition)
    for gpu in definition["gpu_devices"]:
        others = [service for service in definition["neighbours"] if gpu in service["gpu_devices"]]
        shares = [own, *(service["gpu_memory_share"] for service in others)]
        names = ", ".join("%s (%.2f)" % (service["name"], service["gpu_memory_share"]) for service in others)
        if others:
            rows.append(("shared", "GPU %s with %s: together %.2f of its memory" % (gpu, names, sum(shares))))
    return rows


def _values(definition: dict) -> list[str]:
    """Return each value with who said it; what is left to vLLM stands in one line at the end."""
    rows = [(name, item) for name, item in definition["sources"].items() if item["value"]]
    unset = [name for name, item in definition["sources"].items() if not item["value"]]
    out = ["Values of the service, and where each comes from", "-" * WIDTH]
    for name, item in rows:
        head = "%s%s" % (name.ljust(_VARIABLE), item["from"].ljust(_SOURCE))
        out += [line.rstrip() for line in _wrapped(item["value"], head)]
    out += _wrapped(", ".join(unset) or "nothing", "left to vLLM".ljust(_VARIABLE))
    return out


def _memory(plan: dict) -> list[str]:
    length = plan["settings"]["max_model_len"]
    used = plan["settings"]
    rows: list[tuple] = [
        ("budget: memory x utilization %.2f" % used["gpu_memory_utilization"], plan["budget_gib_per_gpu"], "%.2f"),
        ("weights (%s)" % plan["weights_source"], plan["weights_gib_per_gpu"], "%.2f"),
    ]
    rows += [
        (
            "overhead: %s" % term["name"].replace("_", " "),
            {"low": term["low_gib"], "high": term["high_gib"]},
            "%.2f",
        )
        for term in plan["overhead"]
    ]
    rows += [
        ("left for the KV cache", plan["kv_cache_gib_per_gpu"], "%.2f"),
        ("one sequence of %d tokens needs" % length, plan["kv_cache_needed_gib_per_gpu"], "%.2f"),
    ]
    tokens: list[tuple] = [
        ("tokens in the KV cache", plan["kv_tokens"], "%d"),
        ("longest sequence that fits, tokens", plan["max_model_len"], "%d"),
        ("sequences of %d tokens at once" % length, plan["concurrency"], "%.2f"),
    ]
    out = [_row("GiB on each GPU", "low", "high"), "-" * WIDTH, *[_numbers(*row) for row in rows]]
    out += ["", _row("Tokens", "low", "high"), "-" * WIDTH, *[_numbers(*row) for row in tokens], ""]
    out.append(
        "fits: %s   (max_num_seqs %d, max_num_batched_tokens %d)"
        % (plan["fits"].upper(), used["max_num_seqs"], used["max_num_batched_tokens"])
    )
    out += _wrapped(plan["length"]["text"], "length: ")
    for text in [*plan["problems"], *plan["warnings"]]:
        out += _wrapped(text, "  - ")
    if plan["unknown"]:
        out += _wrapped("; ".join(plan["unknown"]), "not known: ")
    if plan["suggestions"]:
        out += ["", "What would help, the best first", "-" * WIDTH]
        for number, item in enumerate(plan["suggestions"][:_SUGGESTIONS], 1):
            out += _wrapped(item["text"], "%d. " % number)
    return out


def _findings(result: dict, skipped: list[str]) -> list[str]:
    bad = worst_first(result["findings"])
    passed = [item["id"] for item in result["findings"] if item["ok"]]
    out = ["Checks of the host: %d passed, %d did not" % (len(passed), len(bad)), "-" * WIDTH]
    for item in bad:
        kind = "skipped" if item["id"] in skipped else item["severity"].upper()
        out += _wrapped("%s: found %s" % (item["id"], item["found"]), kind.ljust(8))
        out += _wrapped("needed %s" % item["needed"], " " * 10)
        out += _wrapped(item["fix"], " " * 10)
    out += _wrapped(", ".join(passed), "passed".ljust(8))
    verdict = "A deployment would be refused." if result["refused"] else "A deployment would go on from here."
    return [*out, "=" * WIDTH, verdict]


def _numbers(name: str, value: object, form: str) -> str:
    ends = (value["low"], value["high"]) if isinstance(value, dict) else (value, value)
    return _row(name, *(form % end for end in ends))


def _row(name: str, low: str, high: str) -> str:
    return (name.ljust(_NAME) + low.rjust(_NUMBER) + high.rjust(_NUMBER)).rstrip()


def _wrapped(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]
