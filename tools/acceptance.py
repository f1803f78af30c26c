# SPDX-License-Identifier: GPL-3.0-or-later
"""Try this collection on a GPU host, and write the evidence down: ``make acceptance INVENTORY=PATH``.

A service of its own (``acceptance``, port 5990, container myia-vllm-acceptance, folder of its own) is deployed three
times with a model of random weights, verified and measured, restarted while it streams a long answer, given ten wrong
configurations, and removed. What runs on the host is left alone; preflight refuses GPUs that are in use. The playbooks
are those that operators use. Results: ``reports/acceptance/acceptance.json`` (for docs/hardware, or an issue) and
``.md``, written anew after each step, so that a run that is cut off leaves what it has seen; beside them, the output of
each playbook in ``logs``.

Usage: ``python tools/acceptance.py --inventory PATH`` (``--help`` shows the rest)
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import pathlib
import re
import subprocess
import sys
import time

import acceptance_record

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
NAME, PORT, FOLDER = "acceptance", 5990, "/srv/models/myia-vllm-acceptance"

#: The shape of Qwen3-0.6B (its published config.json): real heads and layers, made in half a minute, 1.1 GiB.
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_act": "silu",
    "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
    "tie_word_embeddings": True, "attention_bias": False, "bos_token_id": 151643, "eos_token_id": 151645,
    "initializer_range": 0.02, "use_sliding_window": False, "max_window_layers": 28,
}  # fmt: skip

#: Seconds that an answer is streamed before the service is restarted, that it shall go on after that, and that it has
#: to go on at least for the restart to have waited for it: a restart asks the service after its first few seconds.
STREAM_BEFORE_S, STREAM_AFTER_S, STREAM_LEAST_S = 6, 30, 12

#: Tokens a second of one stream, where no benchmark has said it, and the most tokens to ask for: the last of the starts
#: takes 40960 with the prompt.
STREAM_TOKENS_PER_S, STREAM_MOST_TOKENS = 300, 36000

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
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        self.runs: list[dict] = []
        self.reports: dict[str, dict] = {}
        self.playbooks = 0
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
        argv = [BIN / "ansible-playbook", "-i", self.given.inventory, name, "-e", "@%s" % said]
        self.playbooks += 1
        log = self.out / "logs" / ("%02d-%s.log" % (self.playbooks, pathlib.Path(name).stem))
        # into a file, not a pipe: what was said is there even if this program is ended
        with log.open("w", encoding="utf-8") as handle:
            status = subprocess.run(
                [str(part) for part in argv + self.tags(name)], cwd=ROOT, stdout=handle, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, check=False,
            ).returncode  # fmt: skip
        new = sorted(set(self.out.rglob("report.json")) - before)
        report = json.loads(new[-1].read_text(encoding="utf-8")) if new else {}
        return status, log.read_text(encoding="utf-8", errors="replace"), report, time.monotonic() - begin

    def ad_hoc(self, module: str, arguments: str, *options: str) -> tuple[int, str]:
        """Run one module on the host; return its status and what it said."""
        argv = [BIN / "ansible", "-i", self.given.inventory, self.given.host or "medium", *options, "-m", module]
        done = subprocess.run(
            [str(part) for part in argv + (["-a", arguments] if arguments else [])],
            cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def tags(self, name: str) -> list[str]:
        """Return the options by which a playbook leaves out what is not wanted."""
        return ["--skip-tags", "toolkit"] if self.given.ready and name == "deploy_medium.yml" else []

    def step(self, name: str, kind: str, ok: bool, found: str, s: float, **more: object) -> None:
        """Write a step down and say it."""
        self.runs.append({"name": name, "kind": kind, "ok": ok, "found": found, "s": round(s), "settings": "", **more})
        print("%-6s %s: %s (%.0f s)" % ("ok" if ok else "FAILED", name, found, s), flush=True)
        self.write(complete=False)

    def write(self, complete: bool) -> None:
        """Write down what was seen so far."""
        look = pathlib.Path(self.common["acceptance_look"])
        seen = json.loads(look.read_text(encoding="utf-8")) if look.exists() else {}
        date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        made = acceptance_record.record(date, seen, self.reports, self.runs, complete)
        for name, text in (
            ("acceptance.json", json.dumps(made, indent=2) + "\n"),
            ("acceptance.md", acceptance_record.markdown(made)),
        ):
            # never half a file, whenever it is copied
            (self.out / (name + ".new")).write_text(text, encoding="utf-8")
            (self.out / (name + ".new")).replace(self.out / name)

    def start(self, name: str, more: dict) -> None:
        """Deploy with other variables, and keep the report."""
        status, text, report, s = self.playbook("deploy_medium.yml", more)
        found = (report.get("verdict") or {}).get("sentence") or last_words(text)
        settings = ", ".join("%s %s" % (key.removeprefix("vllm_"), value) for key, value in more.items())
        claim = {"claim": "deploy"} if name == next(iter(STARTS)) else {}
        if report:
            self.reports[name] = report
        self.step(name, "start", status == 0, "answers" if status == 0 else found, s, settings=settings, **claim)
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

    def all(self) -> bool:
        """Do all steps, and remove the service whatever came; tell whether all were done."""
        # what an earlier run saw is not what this one sees
        pathlib.Path(self.common["acceptance_look"]).unlink(missing_ok=True)
        status, text, _report, s = self.playbook("playbooks/acceptance.yml", {})
        self.step("look", "other", status == 0, "read" if status == 0 else last_words(text), s)
        if status:
            return False
        try:
            for name, more in STARTS.items():
                self.start(name, more)
            self.measure()
            self.drain()
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
        return True

    def measure(self) -> None:
        """Run the benchmark, which a deployment leaves out where answers are wrong, as those of random weights are."""
        name, more = list(STARTS.items())[-1]
        status, text, report, s = self.playbook("benchmark_medium.yml", more)
        measured = report.get("benchmark") or {}
        if name in self.reports:
            self.reports[name] = {**self.reports[name], "benchmark": measured}
        ok = status == 0 and bool(measured.get("runs"))
        found = "%d runs" % len(measured["runs"]) if ok else last_words(text)
        self.step("benchmark", "other", ok, found, s)

    def drain(self) -> None:
        """Restart the service while it streams a long answer, which has to come whole."""
        begin, tokens = time.monotonic(), self.stream_tokens()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.stream, tokens)
            time.sleep(STREAM_BEFORE_S)
            restart = time.monotonic()
            status, text, _report, _s = self.playbook("restart_medium.yml", list(STARTS.values())[-1])
            seen = answer.result()
        _status, told = self.ad_hoc(
            "ansible.builtin.command", "docker container inspect %s" % self.common["vllm_container_name"], "-b"
        )
        ok, found = drained(tokens, seen, seen["end_s"] - restart, stopped_s(told))
        if status:
            ok, found = False, "%s; the restart: %s" % (found, last_words(text))
        self.step("drain", "other", ok, found, time.monotonic() - begin, claim="drain")

    def stream(self, tokens: int) -> dict:
        """Have an answer of so many tokens streamed on the host; return what came of it, and when it was told here."""
        said = {**self.common, **self.more}
        url = "http://127.0.0.1:%d/v1/completions" % said["vllm_port"]
        program = ROOT / "tools" / "acceptance_stream.py"
        _status, text = self.ad_hoc(
            "ansible.builtin.script", "%s %s %s %d executable=python3" % (program, url, NAME, tokens)
        )
        (self.out / "logs" / "stream.log").write_text(text, encoding="utf-8")
        found = re.search(r"streamed tokens=(\d+) finish=(\S+) done=(\d) ended_s=([\d.]+)", text)
        seen = {"tokens": 0, "finish": "none", "done": False, "ended_s": 0.0, "end_s": time.monotonic()}
        if found:
            seen.update(tokens=int(found[1]), finish=found[2], done=found[3] == "1", ended_s=float(found[4]))
        return seen

    def stream_tokens(self) -> int:
        """Return for how many tokens to ask, so that they last: by the last benchmark of one request at a time."""
        speeds = [
            run["output_throughput"]
            for report in self.reports.values()
            for run in (report.get("benchmark") or {}).get("runs") or []
            if run.get("output_throughput") and run.get("max_concurrency") == 1
        ]
        speed = speeds[-1] if speeds else STREAM_TOKENS_PER_S
        return min(STREAM_MOST_TOKENS, round(speed * (STREAM_BEFORE_S + STREAM_AFTER_S)))

    def reboot(self) -> None:
        """Reboot the host, and look whether the service comes back by itself."""
        begin = time.monotonic()
        status, _text = self.ad_hoc("ansible.builtin.reboot", "", "-b")
        back = False
        for _attempt in range(20):
            back = back or (status == 0 and self.serves())
            if back:
                break
            time.sleep(15)
        self.step("reboot", "other", back, "serves again" if back else "does not", time.monotonic() - begin,
                  claim="reboot")  # fmt: skip


def drained(tokens: int, seen: dict, after_s: float, stopped: float | None) -> tuple[bool, str]:
    """Judge an answer that was streamed during a restart.

    Args:
        tokens: how many were asked for.
        seen: see :meth:`Run.stream`.
        after_s: how long it went on after the restart began, in seconds.
        stopped: when the container ended, by the host's clock; None when Docker does not tell.

    Returns:
        Whether it came whole and the restart waited for it, and what was seen, in words.
    """
    found = "%d of %d tokens, the last %.0f s after the restart began" % (seen["tokens"], tokens, max(0.0, after_s))
    if not seen["done"] or seen["finish"] != "length" or seen["tokens"] != tokens:
        return False, "cut off: " + found
    if after_s < STREAM_LEAST_S:
        return False, found + ": too early to tell whether it was waited for"
    if stopped is None or stopped < seen["ended_s"]:
        return False, found + ": the container was not stopped after that"
    return True, found + ", the container's end %.0f s after that" % (stopped - seen["ended_s"])


def stopped_s(text: str) -> float | None:
    """Return when a container last ended, in seconds since 1970, of ``docker container inspect``; None without it."""
    found = re.search(r'"FinishedAt": "(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*Z"', text)
    if not found or found[1].startswith("0001"):
        return None
    at = datetime.datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return at.timestamp() + float(found[2] or 0)


def named(report: dict) -> list[str]:
    """Return the ids by which a report names what failed."""
    failure = report.get("failure") or {}
    return [name for name in (failure.get("id"), *(item["id"] for item in failure.get("findings") or [])) if name]


def last_words(text: str) -> str:
    """Return why a playbook failed, without what names hosts or folders."""
    found = re.findall(r"(?m)^(?:fatal|\[ERROR\]).{0,80}", text)
    return re.sub(r"\[[^]]*\]", "", found[-1])[:80] if found else "failed; see logs"


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
    run.write(complete=run.all())
    print("written: %s and .md beside it" % (run.out / "acceptance.json"))
    return 0 if all(item["ok"] for item in run.runs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
