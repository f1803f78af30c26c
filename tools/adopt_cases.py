#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take over services from folders with what a host said: adopt_cases.py CASES OUT. No host is needed.

Each folder of CASES holds a service's files and ``running.json`` (docker inspect, docker image inspect, processes,
answers of the API). ``OUT/<folder>.yml`` is what adopt_medium.yml would say of such a host; ``changes`` in it compares
what the answer renders with what runs. Where a folder has an ``expect.yml``, the summary tells in how much they agree.
"""

from __future__ import annotations

import json
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import answer  # noqa: E402 - needs the path above
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.view import size  # noqa: E402 - needs the path above

#: Keys of a service that an answer has, in this order.
KEYS = (
    "service", "container", "expressible", "variables", "secrets", "cannot", "notes", "changes", "why_not",
)  # fmt: skip

#: What vLLM or the collection does by itself where nobody says it; a missing variable of such a value is right.
OWN = {"vllm_kv_cache_dtype": "auto", "vllm_hf_overrides": {}, "vllm_dtype": "auto", "vllm_tensor_parallel_size": 1}

#: What the role had for these when the expectations were written; a value that was its default is not in them.
FORMER = {
    "vllm_gpu_devices": ["0", "1"], "vllm_gpu_memory_utilization": 0.9, "vllm_tensor_parallel_size": 2,
    "vllm_max_model_len": 131072, "vllm_kv_cache_dtype": "fp8", "vllm_quantization": "awq_marlin", "vllm_dtype": "half",
    "vllm_max_num_seqs": 64, "vllm_port": 5002,
}  # fmt: skip

#: Variables that are free, or that an expectation of before could not have.
FREE = (
    "vllm_name", "vllm_dir", "vllm_compile_cache", "vllm_prefetch_models", "vllm_model_gated", "vllm_user_variables",
    "vllm_container_port", "vllm_networks", "vllm_publish", "vllm_network_mode", "vllm_user", "vllm_memory_limit",
    "vllm_cpu_limit", "vllm_ulimits", "vllm_labels", "vllm_log_driver", "vllm_log_options", "vllm_secret_files",
    "vllm_compose_override", "vllm_model_container_path", "vllm_extra_hosts", "vllm_dev_mode", "vllm_ssl_certfile",
    "vllm_ssl_keyfile", "vllm_ssl_ca_certs", "vllm_host", "vllm_accelerator", "vllm_cpu_kv_cache_gib",
    "vllm_cpu_omp_threads_bind", "vllm_shutdown_timeout_s",
)  # fmt: skip


def read_case(folder: pathlib.Path) -> dict:
    """Return what the folder says, in the form of a host."""
    running = json.loads((folder / "running.json").read_text(encoding="utf-8"))
    directory = running["host"].get("directory") or "/root"
    files = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or (path.name in ("running.json", "expect.yml") and path.parent == folder):
            continue
        name = path.relative_to(folder).as_posix()
        place = "/" + name if name.startswith("etc/") else directory.rstrip("/") + "/" + name
        files[place] = path.read_text(encoding="utf-8", errors="replace")
    running.setdefault("files", files)
    return running


def role_options() -> dict:
    """Return the options of the role ``vllm``."""
    specs = yaml.safe_load((ROOT / "roles/vllm/meta/argument_specs.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]["main"]["options"]


def plain(name: str, value: object) -> object:
    """Bring what means the same into one form."""
    if name == "vllm_gpu_devices":
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        return [str(item).strip() for item in items]
    if name == "vllm_shm_size":
        return size(value)
    return _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key).replace("_", "-"): _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except ValueError:
            return value
        return value if isinstance(read, str) else _plain(read)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value).lower()


def compare(want: dict, got: dict, defaults: dict) -> dict:
    """Return the counts of a case: variables right, wrong, missing; secrets; adoption; what was not right, in words."""
    count = {"right": 0, "wrong": 0, "missing": 0, "secrets": 0, "secrets_right": 0}
    notes = []
    mine = {item["service"]: item for item in got["services"]}
    for service in want["services"]:
        have = mine.get(service["service"]) or {"variables": {}, "secrets": {}, "cannot": []}
        given = have["variables"]
        for name, value in service["variables"].items():
            also = service.get("also_right", {}).get(name, [])
            right = [plain(name, item) for item in [value, *also]]
            kind = _judge(name, value, given, right, defaults, service["variables"])
            if kind == "wrong" and name == "vllm_publish_address" and given.get("vllm_publish") is False:
                kind = "right"
            count[kind] += 1
            if kind != "right":
                notes.append(
                    "%s %s.%s: %r, right is %r" % (kind, service["service"], name, given.get(name, "-"), value)
                )
        for name, value in given.items():
            if name in service["variables"] or name in FREE or name.startswith(("vllm_healthcheck_", "vllm_service_")):
                continue
            also = [plain(name, item) for item in service.get("also_right", {}).get(name, [])]
            own = FORMER.get(name, defaults.get(name))
            if plain(name, value) not in [plain(name, own), *also]:
                count["wrong"] += 1
                notes.append("wrong %s.%s: %r, should not be set" % (service["service"], name, value))
        for name, value in (service.get("secrets") or {}).items():
            count["secrets"] += 1
            count["secrets_right"] += have["secrets"].get(name) == value and value not in json.dumps(given)
    kinds = [sorted({item["kind"] for item in side.get("warnings") or []}) for side in (want, got)]
    notes += ["warning not found: %s" % kind for kind in kinds[0] if kind not in kinds[1]]
    notes += ["warning too much: %s" % kind for kind in kinds[1] if kind not in kinds[0]]
    if sorted(want["left_alone"]) != sorted(got["left_alone"]):
        notes.append("left alone: %s, right is %s" % (got["left_alone"], want["left_alone"]))
    asked, said = want["adopt"]["without_restart"], got["adopt"]["without_restart"]
    if asked != said:
        notes.append("without_restart: %s, the expectation says %s (%s)" % (said, asked, want["adopt"]["why"]))
    count["adopt_right"] = asked == said
    count["adopt_true_wrong"] = said and not asked
    return {"count": count, "notes": notes}


def _judge(name: str, value: object, given: dict, right: list, defaults: dict, wanted: dict) -> str:
    if name in given:
        return "right" if plain(name, given[name]) in right else "wrong"
    # what vLLM does by itself: its own batch, the model's own length and name
    if name in ("vllm_max_num_seqs", "vllm_max_model_len", "vllm_served_model_name", "vllm_gpu_memory_utilization"):
        return "right"
    if name in OWN and plain(name, value) == plain(name, OWN[name]):
        return "right"
    if name == "vllm_extra_env" and not wanted[name]:
        return "right"
    return "right" if plain(name, defaults.get(name)) in right else "missing"


def main(cases: str, out: str) -> int:
    """Answer each case; return 0."""
    options = role_options()
    defaults = {name: option.get("default") for name, option in options.items()}
    target = pathlib.Path(out)
    target.mkdir(parents=True, exist_ok=True)
    total: dict[str, int] = {}
    for folder in sorted(path.parent for path in pathlib.Path(cases).glob("*/running.json")):
        got = answer.find(read_case(folder), options)
        shown = [{key: item[key] for key in KEYS} for item in got["services"]]
        text = yaml.safe_dump({**got, "services": shown}, sort_keys=False, allow_unicode=True, width=120)
        (target / (folder.name + ".yml")).write_text(text, encoding="utf-8")
        expect = folder / "expect.yml"
        if not expect.is_file():
            print("%s: %d services" % (folder.name, len(shown)))
            continue
        result = compare(yaml.safe_load(expect.read_text(encoding="utf-8")), got, defaults)
        print("\n  ".join(["%s%s" % (folder.name, ":" if result["notes"] else " ok"), *result["notes"]]))
        for key, number in result["count"].items():
            total[key] = total.get(key, 0) + int(number)
        total["cases"] = total.get("cases", 0) + 1
    if total:
        print(json.dumps(total))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
