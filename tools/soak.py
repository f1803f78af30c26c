# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns that take too long for `make test`; each keeps what it measured, and goes on behind it when it was stopped.

Usage: ``python tools/soak.py [--only PART...] [--afresh]``; ``--help`` shows how long each takes. The parts are

- ``upgrades``: rolling upgrades of two hosts behind a gateway, under a constant load of streamed requests
- ``overload``: ten times the requests that a host takes at a time; whether healthy hosts are thrown out
- ``pages``: the same at a service that is monitored; whether somebody is called for it (severity page)
- ``speed``: the comparison of releases: the same release twice (no alarm), and one that is 30 % slower (found)

``upgrades`` and ``overload`` use the hosts of the scenario `fleet`, ``pages`` those of `vllm_monitoring`; they are made
when they are not there, and left (`molecule destroy --scenario-name fleet`). ``speed`` has a container of its own. All
run the real vLLM on this machine's CPU with the tiny model, and share its processors with load and controller, so times
say nothing of a GPU.

Each step's figures are kept in .cache/soak as they come; a part that was stopped goes on behind the last of them.
``--afresh`` begins anew. The table goes to .cache/soak/soak.md, with date and machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent
KEPT = ROOT / ".cache" / "soak"
sys.path[:0] = [str(ROOT / "molecule/resources"), str(ROOT / "collections")]

from stream_load import Load  # noqa: E402 the path first

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import result as benchmark_result  # noqa: E402 - needs the path above
from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import gate  # noqa: E402 - needs the path above

GATEWAY, NODES = "gateway-1", ("node-1", "node-2")
IMAGE, MODEL = "myia-vllm-cpu:0.32.0", "tiny-qwen3"
PARTS = ("upgrades", "overload", "pages", "speed")

#: Requests that a host of each scenario takes at a time, how many times as many an overload is, seconds of a step.
AT_A_TIME, TIMES, STEP_S = {"fleet": 4, "vllm_monitoring": 8}, 10, 60.0

#: Asks HAProxy on its socket.
ASK = (
    'import socket; s = socket.socket(socket.AF_UNIX); s.connect("/run/haproxy/admin.sock"); '
    's.sendall(b"%s\\n"); print(s.makefile().read())'
)

#: A release of which everything takes 1.3 times as long: the engine stands still for the rest of each span of time.
SLOWER, SPAN_S = 1.3, 0.05

#: What ``vllm_service`` measures a release by (roles/vllm_service/vars/main.yml).
SETTINGS = {"name": "compared", "num_prompts": 64, "rounds": 8, "max_concurrency": 4, "input_tokens": 128,
            "output_tokens": 32, "request_rate": None}  # fmt: skip


def say(text: str) -> None:
    """Print a line at once, with the time."""
    print("%s %s" % (time.strftime("%H:%M:%S"), text), flush=True)


def run(argv: list[str], **options: object) -> str:
    """Run a command and return what it printed; raises RuntimeError with the end of it when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(
            "%s: exit status %d\n%s" % (" ".join(argv), done.returncode, (done.stdout + done.stderr)[-3000:])
        )
    return done.stdout


class Kept:
    """The figures of a part, one line of JSON for each step."""

    def __init__(self, part: str, afresh: bool) -> None:
        self.path = KEPT / (part + ".jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if afresh:
            self.path.unlink(missing_ok=True)

    def rows(self) -> list[dict]:
        """What is there."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def add(self, row: dict) -> None:
        """Keep a step."""
        row = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **row}
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


class Scenario:
    """The hosts of a scenario."""

    def __init__(self, name: str, hosts: tuple[str, ...]) -> None:
        """Make them when they are not there."""
        self.name = name
        there = run(["docker", "ps", "--format", "{{.Names}}"]).split()
        if not {"myia-%s-%s" % (name, host) for host in hosts} <= set(there):
            say("making the hosts of the scenario %s" % name)
            environment = {**os.environ, "PATH": "%s:%s" % (BIN, os.environ["PATH"])}
            run(["molecule", "converge", "--scenario-name", name], cwd=ROOT, env=environment)
        states = pathlib.Path.home().glob(".ansible/tmp/molecule.*.%s" % name)
        self.state = max(states, key=lambda path: path.stat().st_mtime)
        inventory = yaml.safe_load((ROOT / "molecule" / name / "molecule.yml").read_text(encoding="utf-8"))
        self.variables = inventory["provisioner"]["inventory"]["group_vars"]["all"]

    def inside(self, host: str, command: str) -> str:
        """Run a command on a host."""
        return run(["docker", "exec", "myia-%s-%s" % (self.name, host), "bash", "-c", command])

    def address(self, host: str) -> str:
        """Return the IP address of a host."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run(["docker", "inspect", "--format", form, "myia-%s-%s" % (self.name, host)]).strip()


class Fleet(Scenario):
    """Two hosts of a service behind a gateway."""

    def __init__(self) -> None:
        """Make them when they are not there."""
        super().__init__("fleet", (GATEWAY, *NODES))
        self.key = self.variables["vllm_gateway_keys"][0]["key"]

    def url(self) -> str:
        """Address of the gateway."""
        return "http://%s:%d" % (self.address(GATEWAY), self.variables["vllm_gateway_port"])

    def deploy(self, **variables: object) -> None:
        """Run deploy_fleet.yml."""
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.state),
            "MOLECULE_FILE": str(self.state / "molecule.yml"),
        }
        inventory = str(self.state / "inventory")
        argv = [
            str(BIN / "ansible-playbook"),
            "-i",
            inventory,
            str(ROOT / "deploy_fleet.yml"),
            "-e",
            json.dumps(variables),
        ]
        run(argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)

    def usable(self) -> dict[str, str]:
        """The status that the gateway gives to each host."""
        text = self.inside(GATEWAY, "python3 -c '%s'" % (ASK % "show stat"))
        names = text.splitlines()[0].lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","))) for line in text.splitlines()[1:] if line.startswith("vllm_medium,")]
        return {row["svname"]: row["status"] for row in rows if row["svname"] in NODES}


def upgrades(kept: Kept, count: int) -> None:
    """Upgrade both hosts again and again under load; what becomes of a request is counted for each upgrade."""
    hosts = Fleet()
    for number in range(len(kept.rows()), count):
        with Load(hosts.url(), MODEL, streams=3, tokens=20, key=hosts.key, pause_s=1.0) as load:
            load.wait_for(60)
            begin_s = time.time()
            # a number that the release of before does not have
            hosts.deploy(vllm_max_num_seqs=33 + number % 24, vllm_extra_env={"HF_HUB_OFFLINE": 1, "SOAK": str(number)})
            end_s = time.time()
            load.wait_for(60)
        p99 = {"p99_before_s": load.summary(0, begin_s)["p99_s"], "p99_during_s": load.summary(begin_s, end_s)["p99_s"]}
        kept.add({**load.summary(), **p99, "took_s": round(end_s - begin_s)})
        say("upgrade %d of %d: %s" % (number + 1, count, json.dumps(kept.rows()[-1])))


def overload(kept: Kept, seconds: float) -> None:
    """Send ten times what the hosts take at a time, and look each second whether the gateway throws one out."""
    hosts = Fleet()
    at_a_time = AT_A_TIME[hosts.name]
    hosts.deploy(vllm_max_num_seqs=at_a_time)
    while sum(row["seconds"] for row in kept.rows()) < seconds:
        seen: list[dict] = []
        with Load(hosts.url(), MODEL, streams=TIMES * at_a_time * len(NODES), tokens=40, key=hosts.key) as load:
            until = time.monotonic() + STEP_S
            while time.monotonic() < until:
                seen.append(hosts.usable())
                time.sleep(1)
        out = sum(not all(status.startswith("UP") for status in look.values()) for look in seen)
        kept.add({**load.summary(), "seconds": STEP_S, "looks": len(seen), "looks_with_a_host_out": out})
        say("overload: %s" % json.dumps(kept.rows()[-1]))


def pages(kept: Kept, seconds: float) -> None:
    """Send ten times what a monitored service takes at a time, and note what Alertmanager tells meanwhile."""
    hosts, told = Scenario("vllm_monitoring", ("node-1", "monitoring-1")), "/var/tmp/told-soak.jsonl"
    program = base64.b64encode((ROOT / "molecule/vllm_monitoring/tests/receiver.py").read_bytes()).decode()
    # a STAND-IN for whoever is told
    hosts.inside(
        "monitoring-1",
        "echo %s | base64 -d > /var/tmp/receiver.py; systemctl stop receiver 2>/dev/null; "
        "systemd-run --unit=receiver --collect python3 /var/tmp/receiver.py 9099 %s" % (program, told),
    )
    url = "http://%s:%d" % (hosts.address("node-1"), hosts.variables["vllm_port"])
    streams = TIMES * AT_A_TIME[hosts.name]
    while sum(row["seconds"] for row in kept.rows()) < seconds:
        begin_s = float(hosts.inside("monitoring-1", "date +%s"))
        with Load(url, MODEL, streams=streams, tokens=40, key=hosts.variables["vllm_api_key"], pause_s=1.0) as load:
            time.sleep(STEP_S)
        lines = hosts.inside("monitoring-1", "cat %s 2>/dev/null || true" % told).splitlines()
        alerts = [alert for alert in map(json.loads, lines) if alert["at"] >= begin_s and alert["status"] == "firing"]
        by = {
            severity: sorted({alert["alertname"] for alert in alerts if alert["severity"] == severity})
            for severity in ("page", "ticket")
        }
        kept.add({**load.summary(), "seconds": STEP_S, **by})
        say("pages: %s" % json.dumps(kept.rows()[-1]))


class Throttle:
    """Makes an engine slower by an exact share: its processes are stopped for a part of each span of time."""

    def __init__(self, container: str, times: float) -> None:
        self._container, self._stopped = container, 1 - 1 / times
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Throttle:
        """Begin."""
        lines = run(["docker", "top", self._container, "-eo", "pid,args"]).splitlines()[1:]
        # the engine's own processes, whatever their title
        self._pids = [int(line.split()[0]) for line in lines if "EngineCore" in line or "Worker" in line]
        if not self._pids:
            raise RuntimeError("there is no engine among:\n%s" % "\n".join(lines))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Let it go on."""
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.is_set():
            self._signal(signal.SIGSTOP)
            time.sleep(SPAN_S * self._stopped)
            self._signal(signal.SIGCONT)
            time.sleep(SPAN_S * (1 - self._stopped))

    def _signal(self, number: int) -> None:
        for pid in self._pids:
            os.kill(pid, number)


class Engine:
    """A vLLM of its own, that can be made slower."""

    NAME = "myia-soak-speed"

    def __enter__(self) -> Engine:
        """Start it and wait until it answers."""
        cache = os.environ.get("MYIA_VLLM_CACHE") or os.path.expanduser("~/.cache/myia-vllm")
        run(["docker", "rm", "--force", self.NAME])
        run(["docker", "run", "--detach", "--name", self.NAME, "--shm-size", "1g", "--env", "HF_HUB_OFFLINE=1",
             "--env", "VLLM_CPU_KVCACHE_SPACE=1", "--volume", "%s/%s:/srv/models/%s:ro" % (cache, MODEL, MODEL), IMAGE,
             "vllm", "serve", "/srv/models/" + MODEL, "--served-model-name", MODEL, "--max-model-len", "2048",
             "--enforce-eager"])  # fmt: skip
        until = time.monotonic() + 300
        while subprocess.run(["docker", "exec", self.NAME, "curl", "-sf", "http://127.0.0.1:8000/health"], check=False,
                             capture_output=True).returncode:  # fmt: skip
            if time.monotonic() > until:
                raise RuntimeError("vLLM does not answer:\n" + run(["docker", "logs", "--tail", "30", self.NAME]))
            time.sleep(2)
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove it."""
        run(["docker", "rm", "--force", self.NAME])

    def rounds(self, seed: int) -> list[dict]:
        """Measure it as a deployment does, and return the rounds."""
        argv = ["vllm", "bench", "serve", "--backend", "openai", "--endpoint", "/v1/completions", "--base-url",
                "http://127.0.0.1:8000", "--model", MODEL, "--tokenizer", "/srv/models/" + MODEL, "--dataset-name",
                "random", "--random-input-len", str(SETTINGS["input_tokens"]), "--random-output-len",
                str(SETTINGS["output_tokens"]), "--num-prompts", str(SETTINGS["num_prompts"]), "--max-concurrency",
                str(SETTINGS["max_concurrency"]), "--temperature", "0", "--ignore-eos",
                "--ready-check-timeout-sec", "0", "--percentile-metrics", "ttft,tpot,itl,e2el", "--seed", str(seed),
                "--save-result", "--save-detailed", "--result-dir", "/tmp",
                "--result-filename", "soak.json"]  # fmt: skip
        run(["docker", "exec", self.NAME, *argv])
        with tempfile.TemporaryDirectory() as folder:
            run(["docker", "cp", "%s:/tmp/soak.json" % self.NAME, folder])
            raw = json.loads(pathlib.Path(folder, "soak.json").read_text(encoding="utf-8"))
        measured = benchmark_result.run_of(SETTINGS, raw)
        if not measured["ok"]:
            raise RuntimeError(measured["problem"])
        return measured["round_figures"]


def speed(kept: Kept, count: int) -> None:
    """Compare the same release with itself, and with one that is 30 % slower, each measurement anew."""
    with Engine() as engine:
        engine.rounds(0)
        for number in range(len(kept.rows()), count):
            before = engine.rounds(3 * number + 1)
            same = engine.rounds(3 * number + 2)
            with Throttle(engine.NAME, SLOWER):
                slow = engine.rounds(3 * number + 3)
            row: dict = {"before": before, "same": same, "slow": slow}
            for name, after in (("same", same), ("slow", slow)):
                found = gate.judge(before, after, 10)
                row["judged_" + name] = found["verdict"]
                say("%s %d of %d: %s" % (name, number + 1, count, found["text"]))
            kept.add(row)


def table() -> str:
    """Return what all parts came to, of what is kept."""
    parts = {part: Kept(part, False).rows() for part in PARTS}
    lines = ["| campaign | what | measured | date |", "|---|---|---|---|"]

    def add(part: str, what: str, value: object) -> None:
        lines.append("| %s | %s | %s | %s |" % (part, what, value, parts[part][-1]["at"][:10]))

    def total(part: str, name: str) -> int:
        return sum(row[name] for row in parts[part])

    if rows := parts["upgrades"]:
        add("upgrades", "rolling upgrades of two hosts", len(rows))
        add(
            "upgrades",
            "requests, of them failed / cut",
            "%d, %d / %d" % tuple(total("upgrades", name) for name in ("requests", "failed", "cut")),
        )
        middle = len(rows) // 2
        p99 = [sorted(row[name] for row in rows)[middle] for name in ("p99_before_s", "p99_during_s")]
        add("upgrades", "p99 before / during, median of the upgrades", "%.2f s / %.2f s" % tuple(p99))
    if rows := parts["overload"]:
        add("overload", "ten times the requests that fit, minutes", round(sum(row["seconds"] for row in rows) / 60, 1))
        add(
            "overload",
            "requests, of them failed / cut",
            "%d, %d / %d" % tuple(total("overload", name) for name in ("requests", "failed", "cut")),
        )
        add(
            "overload",
            "looks, of them with a healthy host out of the pool",
            "%d, %d" % (total("overload", "looks"), total("overload", "looks_with_a_host_out")),
        )
    if rows := parts["pages"]:
        add("pages", "ten times the requests that fit, minutes", round(sum(row["seconds"] for row in rows) / 60, 1))
        for severity, what in (("page", "somebody called for it"), ("ticket", "told as a ticket")):
            names = sorted({name for row in rows for name in row[severity]})
            add("pages", what, ", ".join(names) or "nobody")
    if rows := parts["speed"]:
        alarms = sum(row["judged_same"] == gate.SLOWER for row in rows)
        found = sum(row["judged_slow"] == gate.SLOWER for row in rows)
        add("speed", "the same release twice: alarms", "%d of %d" % (alarms, len(rows)))
        add("speed", "30 % slower: found", "%d of %d" % (found, len(rows)))
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Say what the figures were measured on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "%s, %d processors, %.0f GiB, Linux %s" % (
        platform.machine(),
        os.cpu_count() or 0,
        memory_gib,
        platform.release(),
    )


def main() -> int:
    """Run the campaigns; return 1 when what was promised was not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--upgrades", type=int, default=20)
    parser.add_argument("--overload-s", type=float, default=600)
    parser.add_argument("--pages-s", type=float, default=1800)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--afresh", action="store_true", help="forget what was measured before")
    args = parser.parse_args()
    work: dict[str, Callable[[Kept], None]] = {
        "upgrades": lambda kept: upgrades(kept, args.upgrades),
        "overload": lambda kept: overload(kept, args.overload_s),
        "pages": lambda kept: pages(kept, args.pages_s),
        "speed": lambda kept: speed(kept, args.runs),
    }
    for part in args.only:
        work[part](Kept(part, args.afresh))
    text = table()
    (KEPT / "soak.md").write_text("%s\nMachine: %s.\n" % (text, machine()), encoding="utf-8")
    print(text)
    lost = [row for part in ("upgrades", "overload") for row in Kept(part, False).rows() if row["failed"] or row["cut"]]
    called = [row for row in Kept("pages", False).rows() if row["page"]]
    wrong = [
        row
        for row in Kept("speed", False).rows()
        if row["judged_same"] == gate.SLOWER or row["judged_slow"] != gate.SLOWER
    ]
    return 1 if lost or called or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
