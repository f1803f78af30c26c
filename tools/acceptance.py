# SPDX-License-Identifier: GPL-3.0-or-later
"""Try this collection on a GPU host, and write the evidence down: ``make acceptance INVENTORY=PATH``.

A service of its own (``acceptance``, port 5990, container myia-vllm-acceptance, folder of its own) is deployed three
times with a model of random weights, verified and measured, sent a release that fails, given ten wrong configurations,
and removed. What runs on the host is left alone; preflight refuses GPUs that are in use. The playbooks are those that
operators use. Results: ``reports/acceptance/acceptance.json`` (for docs/hardware, or an issue) and ``.md``.

Usage: ``python tools/acceptance.py --inventory PATH`` (``--help`` shows the rest)
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys
import time

import acceptance_record

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAME, PORT, FOLDER = "acceptance", 5990, "/srv/models/myia-vllm-acceptance"

#: The shape of Qwen3-0.6B (its published config.json): real heads and layers, made in half a minute, 1.1 GiB.
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_act": "silu",
    "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
    "tie_word_embeddings": True, "attention_bias": False, "bos_token_id": 151643, "eos_token_id": 151645,
    "initializer_range": 0.02, "use_sliding_window": False, "max_window_layers": 28,
}  # fmt: skip

#: Starts that the plan is held against: variables over the common ones.
STARTS = {
    "plain": {"vllm_max_model_len": 8192, "vllm_gpu_memory_utilization": 0.5},
    "without graphs": {"vllm_max_model_len": 8192, "vllm_gpu_memory_utilization": 0.5, "vllm_enforce_eager": True},
    "many sequences, fp8 cache": {
        "vllm_max_model_len": 40960, "vllm_gpu_memory_utilization": 0.9, "vllm_kv_cache_dtype": "fp8",
        "vllm_max_num_seqs": 512, "vllm_max_num_batched_tokens": 8192,
    },
}  # fmt: skip

#: Wrong configurations: variables, and the ids that name them (of a finding of preflight, of the catalogue, or
#: "definition" where the variables alone are refused).
FAILURES: dict[str, tuple[dict, tuple[str, ...]]] = {
    "quantization that the weights do not have": (
        {"vllm_quantization": "awq"},
        ("quant-config-missing",),
    ),
    "length beyond the model's": (
        {"vllm_max_model_len": 999999},
        ("max_model_len", "capacity", "context-longer-than-model"),
    ),
    "parser that is not there": (
        {"vllm_extra_options": {"tool-call-parser": "nosuch", "enable-auto-tool-choice": True}},
        ("parser-unknown", "definition"),
    ),
    "chat template that is not there": (
        {"vllm_extra_options": {"chat-template": "/nothing.jinja"}},
        ("chat-template-missing", "definition"),
    ),
    "folder without a model": (
        {"vllm_model": FOLDER + "/nothing"},
        ("model_path", "model-not-found"),
    ),
    "GPU that is not there": (
        {"vllm_gpu_devices": [31]},
        ("gpu_devices", "gpu-not-there"),
    ),
    "more GPUs than there are": (
        {"vllm_tensor_parallel_size": 64},
        ("definition", "tensor_parallel", "more-workers-than-gpus"),
    ),
    "replicas without a GPU": (
        {"vllm_extra_options": {"data-parallel-size": 64}},
        ("definition", "more-workers-than-gpus"),
    ),
    "memory that is not enough": (
        {"vllm_gpu_memory_utilization": 0.01},
        ("capacity", "no-memory-for-kv-cache"),
    ),
    "draft model that is not there": (
        {
            "vllm_extra_options": {
                "speculative-config": {"method": "draft_model", "model": "/nothing", "num_speculative_tokens": 2}
            }
        },
        ("model-not-found",),
    ),
}


class Run:
    """The steps of one acceptance, with their reports."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Keep where to and with what."""
        self.given = given
        self.out = pathlib.Path(given.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.runs: list[dict] = []
        self.reports: dict[str, dict] = {}
        self.common = {
            "vllm_services": [], "vllm_name": NAME, "vllm_profile": "none", "vllm_port": PORT,
            "vllm_container_name": "myia-vllm-" + NAME, "vllm_served_model_name": NAME,
            "vllm_model": FOLDER + "/model", "vllm_gpu_devices": [int(gpu) for gpu in given.gpus.split(",")],
            "vllm_tensor_parallel_size": 1, "vllm_api_key": "", "vllm_publish_address": "127.0.0.1",
            "vllm_verify_fail": False, "vllm_report_dir": str(self.out / "runs"),
            "acceptance_ready": given.ready, "acceptance_look": str(self.out / "look.json"),
            "acceptance_model": {"path": FOLDER + "/model", "config": CONFIG, "size_gib": None},
        }  # fmt: skip
        if given.ready:
            # the engine is looked at all the same; its tag cannot be skipped
            self.common.update(docker_engine_install=False, docker_engine_daemon_config={})
        self.more = json.loads(pathlib.Path(given.vars).read_text(encoding="utf-8")) if given.vars else {}
        if given.host:
            self.common["vllm_hosts"] = given.host

    def playbook(self, name: str, more: dict) -> tuple[int, str, dict, float]:
        """Run a playbook; return its status, what it said, its report and how long it took in seconds."""
        said, begin = self.out / "vars.json", time.monotonic()
        said.write_text(json.dumps({**self.common, **more, **self.more}), encoding="utf-8")
        before = set(self.out.rglob("report.json"))
        argv = [ROOT / ".venv" / "bin" / "ansible-playbook", "-i", self.given.inventory, name, "-e", "@%s" % said]
        done = subprocess.run(
            [str(part) for part in argv + self.tags(name)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        (self.out / "last.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        new = sorted(set(self.out.rglob("report.json")) - before)
        report = json.loads(new[-1].read_text(encoding="utf-8")) if new else {}
        return done.returncode, done.stdout + done.stderr, report, time.monotonic() - begin

    def tags(self, name: str) -> list[str]:
        """Return the options by which a playbook leaves out what is not wanted."""
        return ["--skip-tags", "toolkit"] if self.given.ready and name == "deploy_medium.yml" else []

    def step(self, name: str, kind: str, ok: bool, found: str, s: float, **more: object) -> None:
        """Write a step down and say it."""
        self.runs.append({"name": name, "kind": kind, "ok": ok, "found": found, "s": round(s), "settings": "", **more})
        print("%-6s %s: %s (%.0f s)" % ("ok" if ok else "FAILED", name, found, s), flush=True)

    def start(self, name: str, more: dict) -> None:
        """Deploy with other variables, and keep the report."""
        status, text, report, s = self.playbook("deploy_medium.yml", more)
        found = (report.get("verdict") or {}).get("sentence") or last_words(text)
        settings = ", ".join("%s %s" % (key.removeprefix("vllm_"), value) for key, value in more.items())
        claim = {"claim": "deploy"} if name == next(iter(STARTS)) else {}
        self.step(name, "start", status == 0, "answers" if status == 0 else found, s, settings=settings, **claim)
        if report:
            self.reports[name] = report
        if status == 0 and claim:
            status, text, _report, s = self.playbook("deploy_medium.yml", more)
            same = status == 0 and bool(re.search(r"changed=0\b", text)) and not re.search(r"changed=[1-9]", text)
            self.step("again", "other", same, "changed=0" if same else last_words(text), s, claim="again")

    def failure(self, name: str, more: dict, expected: tuple[str, ...]) -> None:
        """Deploy a wrong configuration; the service has to stay, or to come back."""
        last = list(STARTS.values())[-1]
        status, _text, report, s = self.playbook("deploy_medium.yml", {**last, **more})
        names = named(report) or (["definition"] if status and not report else [])
        ok = status != 0 and any(name in expected for name in names)
        self.step(name, "failure", ok, ", ".join(names) or ("deployed" if not status else "no name"), s)

    def serves(self) -> bool:
        """Tell whether the service answers, by its own verification."""
        return self.playbook("verify_medium.yml", list(STARTS.values())[-1])[0] == 0

    def all(self) -> None:
        """Do all steps, and remove the service whatever came."""
        status, text, _report, s = self.playbook("playbooks/acceptance.yml", {})
        self.step("look", "other", status == 0, "read" if status == 0 else last_words(text), s)
        if status:
            return
        try:
            for name, more in STARTS.items():
                self.start(name, more)
            for name, (more, expected) in list(FAILURES.items())[: self.given.failures]:
                self.failure(name, more, expected)
            begin = time.monotonic()
            back = self.serves()
            found = "serves after %d failures" % self.given.failures if back else "serves no more"
            self.step("way back", "other", back, found, time.monotonic() - begin, claim="way-back")
            if self.given.reboot:
                self.reboot()
        finally:
            status, text, _report, s = self.playbook("remove_medium.yml", {"vllm_service_remove_volumes": True})
            self.step("remove", "other", status == 0, "removed" if not status else last_words(text), s, claim="removed")

    def reboot(self) -> None:
        """Reboot the host, and look whether the service comes back by itself."""
        begin = time.monotonic()
        target = self.given.host or "medium"
        argv = [
            ROOT / ".venv" / "bin" / "ansible",
            "-i",
            self.given.inventory,
            target,
            "-b",
            "-m",
            "ansible.builtin.reboot",
        ]
        done = subprocess.run([str(part) for part in argv], cwd=ROOT, capture_output=True, text=True, check=False)
        back = False
        for _attempt in range(20):
            back = back or (done.returncode == 0 and self.serves())
            if back:
                break
            time.sleep(15)
        self.step("reboot", "other", back, "serves again" if back else "does not", time.monotonic() - begin,
                  claim="reboot")  # fmt: skip


def named(report: dict) -> list[str]:
    """Return the ids by which a report names what failed."""
    failure = report.get("failure") or {}
    return [name for name in (failure.get("id"), *(item["id"] for item in failure.get("findings") or [])) if name]


def last_words(text: str) -> str:
    """Return why a playbook failed, without what names hosts or folders."""
    found = re.findall(r"(?m)^(?:fatal|\[ERROR\]).{0,80}", text)
    return re.sub(r"\[[^]]*\]", "", found[-1])[:80] if found else "failed; see last.log"


def main(argv: list[str]) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inventory", required=True)
    parser.add_argument("--host", help="a host or group of it; medium by default")
    parser.add_argument("--gpus", default="0", help="indices, with commas")
    parser.add_argument("--failures", type=int, default=len(FAILURES), help="how many of the wrong configurations")
    parser.add_argument("--reboot", action="store_true", help="reboot the host too")
    parser.add_argument("--vars", help="a JSON file of more variables, which win")
    parser.add_argument("--ready", action="store_true", help="leave Docker Engine and the toolkit as they are")
    parser.add_argument("--out", default=str(ROOT / "reports" / "acceptance"))
    given = parser.parse_args(argv)
    run = Run(given)
    run.all()
    look = pathlib.Path(run.common["acceptance_look"])
    seen = json.loads(look.read_text(encoding="utf-8")) if look.exists() else {}
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    made = acceptance_record.record(date, seen, run.reports, run.runs)
    (run.out / "acceptance.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    (run.out / "acceptance.md").write_text(acceptance_record.markdown(made), encoding="utf-8")
    print("written: %s and .md beside it" % (run.out / "acceptance.json"))
    return 0 if all(item["ok"] for item in run.runs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
