# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how long the playbooks take, each figure against a baseline of the same run.

Usage: ``python tools/bench_speed.py [--only PART...] [--write]``. The parts are ``rerun``, ``caches``, ``faults`` and
``hosts``. ``--write`` puts the table into docs/performance.md. Half an hour in all; what is going on is printed.

The hosts are the test hosts of the Molecule scenarios, with an engine of their own each. In ``rerun``, ``caches`` and
``faults`` one host runs a real vLLM on the CPU; its GPUs and their toolkit are STAND-INS. In ``hosts`` up to twenty run
the STAND-IN for vLLM. All share this machine's processors with the controller.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import yaml
from bench_bed import BIN, ROOT, Bed, say

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"

#: What was measured last, by part.
KEPT = ROOT / ".cache" / "bench"

#: Name and Compose project of the service that the inventory of `medium` describes.
CONTAINER, FOLDER = "myia-vllm-medium-qwen3", "/opt/vllm/medium"

#: Repetitions of what takes seconds; the median counts.
REPEATS = 5

#: What a start that stands still gets from both, in seconds: the collection's limit for the phase, and the start period
#: of a health check written by hand. (Both would be longer: the medium service took 9 min 31 s for its first start.)
PATIENCE_S = 60

#: Longest time that ``docker compose up --wait`` gets, in seconds: three checks 30 s apart, and a minute more.
WAIT_LIMIT_S = PATIENCE_S + 150

#: Starts of a real vLLM that cannot succeed: what it is, and the variables of the deployment.
FAULTS = {
    "unknown option": {"vllm_extra_options": {"no-such-option": 1}, "vllm_check_options": False},
    "context longer than the KV cache": {
        # two workers with 1 GiB each hold 4194304 tokens of this model
        "vllm_max_model_len": 6000000,
        "vllm_hf_overrides": {"max_position_embeddings": 6000000},
    },
    # a recorded start up to where two workers look for each other
    "start that stands still, STAND-IN": {},
    "tool parser that does not exist": {
        "vllm_extra_options": {"enable-auto-tool-choice": True, "tool-call-parser": "nobody"}
    },
}

#: Numbers of hosts, and how often each is measured.
HOSTS = {1: 3, 5: 2, 10: 2, 20: 1}

#: Instances of inotify that as many hosts need: systemd and an engine take about twenty.
INOTIFY_INSTANCES = 512

#: Makes the image that the STAND-IN for vLLM runs in, of the host's own Python, since none can be pulled.
STANDIN_IMAGE = (
    "tar -C / -c --exclude='*/__pycache__' bin lib lib64 usr/bin usr/lib64 usr/lib/python3* usr/lib/x86_64-linux-gnu "
    "2>/dev/null | docker import - standin-vllm >/dev/null; "
    "docker image inspect standin-vllm >/dev/null"
)


@dataclasses.dataclass
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: seconds.
        baseline: what it is compared with.
        base: seconds of the baseline.
        target: the target in words; empty without one.
    """

    what: str
    value: float
    baseline: str
    base: float
    target: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the line."""
        ratio = "%.2f" % (self.value / self.base)
        return (self.what, "%.1f s" % self.value, self.baseline, "%.1f s" % self.base, ratio, self.target)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = ("measured", "time", "baseline", "its time", "ratio", "target")
    lines = [head, tuple("---" for _ in head), *[row.cells() for row in rows]]
    return "\n".join("| %s |" % " | ".join(line) for line in lines) + "\n"


def unchanged(output: str) -> None:
    """Refuse a run that changed something."""
    if re.search(r"changed=[1-9]", output):
        sys.exit("the run changed something, so it is no re-run:\n%s" % output[-4000:])


def timed(run: Callable[[], object]) -> float:
    """Return how long a call took, in seconds."""
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


def start_s(bed: Bed) -> float:
    """Return how long the current release's last start of vLLM took, as its ``release.json`` tells."""
    return json.loads(bed.shell("cat %s/current/release.json" % FOLDER))["start"]["total_s"]


def real_host() -> Bed:
    """Return one host with a real vLLM on the CPU, with the variables of the scenario ``default``."""
    variables = yaml.safe_load((ROOT / "molecule/default/host_vars/gpu-host-1.yml").read_text(encoding="utf-8"))
    platform = {
        "name": "gpu-host-1",
        "image": "myia-vllm-testhost:trixie-docker",
        "engine_volume": "myia-vllm-engine-trixie",
    }
    return Bed([platform], variables, ROOT / "inventories/medium/group_vars")


def rerun(bed: Bed) -> list[Row]:
    """Measure the first deployment, and deployments that have nothing to do."""
    say("first deployment")
    first_s, output = bed.play("deploy_medium.yml")
    own_s = start_s(bed)
    say("it took %.0f s, %.0f s of them vLLM's own start" % (first_s, own_s))
    rows = [
        Row(
            "first deployment without vLLM's own start (image loaded before)",
            first_s - own_s,
            "the whole first deployment",
            first_s,
            "<= 60 s",
        ),
    ]

    files = bed.folder / "files"
    files.mkdir()
    for name in ("compose.yml", ".env"):
        (files / name).write_text(bed.shell("cat %s/current/%s" % (FOLDER, name)) + "\n", encoding="utf-8")
    bed.shell("mkdir -p /opt/handwritten")
    project = bed.shell("docker inspect -f '{{index .Config.Labels \"com.docker.compose.project\"}}' %s" % CONTAINER)
    about = ["-e", json.dumps({"bench_files": str(files), "bench_project": project})]
    # the first run copies; what it starts is there already
    bed.play("molecule/resources/playbooks/handwritten.yml", *about)
    # the first re-run proves that containers get their GPUs once more, since the deployment had changed something
    bed.play("deploy_medium.yml")
    compose = "docker compose -p %s --project-directory /opt/handwritten up -d --wait" % project
    container = bed.shell("docker inspect -f '{{.Id}}' %s" % CONTAINER)

    times: dict[str, list[float]] = {"deploy": [], "handwritten": [], "compose": []}
    for number in range(REPEATS):
        for name, playbook, arguments in (
            ("deploy", "deploy_medium.yml", []),
            ("handwritten", "molecule/resources/playbooks/handwritten.yml", about),
        ):
            took_s, output = bed.play(playbook, *arguments)
            unchanged(output)
            times[name].append(took_s)
        times["compose"].append(timed(lambda: bed.shell(compose)))
        say(
            "re-run %d: deploy_medium %.1f s, hand-written %.1f s, bare Compose %.1f s"
            % (number + 1, times["deploy"][-1], times["handwritten"][-1], times["compose"][-1])
        )
    if bed.shell("docker inspect -f '{{.Id}}' %s" % CONTAINER) != container:
        sys.exit("a baseline has replaced the container, so it measured something else")
    middle = {name: statistics.median(values) for name, values in times.items()}
    return [
        Row(
            "deploy_medium, nothing to do, one host",
            middle["deploy"],
            "hand-written playbook of 5 tasks",
            middle["handwritten"],
            "<= 1.5",
        ),
        Row("the same", middle["deploy"], "bare `docker compose up -d --wait`", middle["compose"]),
        *rows,
    ]


def caches(bed: Bed) -> list[Row]:
    """Measure starts of vLLM that compiles, with and without what an earlier start has compiled."""
    compiled = ["-e", json.dumps({"vllm_enforce_eager": False, "vllm_service_verify": False})]
    say("a start with empty caches")
    bed.shell(
        "docker rm -f %s; docker volume ls -q | grep -i cache | xargs -r docker volume rm" % CONTAINER, check=False
    )
    bed.play("deploy_medium.yml", *compiled)
    cold_s = start_s(bed)
    say("%.0f s; the same with warm caches" % cold_s)
    bed.shell("docker rm -f %s" % CONTAINER)
    bed.play("deploy_medium.yml", *compiled)
    warm_s = start_s(bed)
    return [Row("vLLM's start with warm caches", warm_s, "the same with cold caches", cold_s)]


def faults(bed: Bed) -> Iterator[Row]:
    """Measure how long until a start that cannot succeed is named, and until Compose gives it up.

    The last good release is the STAND-IN for vLLM, so that coming back takes no time; what fails is the real vLLM.
    """
    quick = {"vllm_service_verify": False, "vllm_health_distributed_timeout_s": PATIENCE_S}
    bed.standin()
    bed.play("deploy_medium.yml", "-e", json.dumps({**quick, **replay("serve")}))
    for what, variables in FAULTS.items():
        say("fault: %s" % what)
        output, verdict_s = watched(bed, json.dumps({**quick, **(variables or replay("hang"))}))
        named = re.search(r"Release (\S+) of medium does not serve", " ".join(output.split()))
        if not named:
            sys.exit("the fault did not end the deployment as it should:\n%s" % output[-6000:])
        release = "%s/releases/%s" % (FOLDER, named[1])
        failure = json.loads(bed.shell("cat %s/release.json" % release))["failures"][-1]
        say("  %s after %.0f s; now docker compose up --wait" % (failure["id"], verdict_s))
        waited_s, word = compose_wait(bed, release)
        say("  Compose, after %.0f s: %s" % (waited_s, word))
        yield Row(
            "verdict `%s` (%s)" % (failure["id"], what),
            verdict_s,
            "`docker compose up --wait` says: %s" % word,
            waited_s,
        )


def replay(then: str) -> dict:
    """Return the variables of a deployment of the STAND-IN for vLLM, which serves or stands still."""
    log = "standing" if then == "hang" else "healthy"
    return {
        "vllm_extra_volumes": ["/srv/standin:/standin:ro", "/srv/standin/vllm:/usr/local/bin/vllm:ro"],
        "vllm_extra_env": {
            "REPLAY": "/standin/%s.log" % log,
            "REPLAY_S": "1",
            "REPLAY_THEN": then,
            "PYTHONUNBUFFERED": "1",
        },
    }


def watched(bed: Bed, variables: str) -> tuple[str, float]:
    """Deploy what cannot start; return the output and the seconds from Compose's return to the verdict."""
    process = subprocess.Popen(
        [str(BIN / "ansible-playbook"), "-i", str(bed.inventory), "deploy_medium.yml", "-e", variables],
        cwd=ROOT,
        # a task's name comes with its first result otherwise
        env={**bed.environment, "PYTHONUNBUFFERED": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines, begun_s, verdict_s = [], 0.0, 0.0
    for line in process.stdout:
        lines.append(line)
        if line.startswith("TASK ["):
            if begun_s and not verdict_s:
                verdict_s = time.monotonic() - begun_s
            if "Wait until the service answers" in line and not begun_s:
                begun_s = time.monotonic()
    process.wait()
    return "".join(lines), verdict_s


def compose_wait(bed: Bed, release: str) -> tuple[float, str]:
    """Start a release as people do by hand; return the seconds until Compose ends, and its last word.

    By hand: restart policy ``unless-stopped``, and a health check with as much patience as the collection is given.
    """
    project = bed.shell("docker inspect -f '{{index .Config.Labels \"com.docker.compose.project\"}}' %s" % CONTAINER)
    bed.shell(
        "rm -rf /opt/handwritten && cp -r %s /opt/handwritten && docker rm -f %s >/dev/null && cd /opt/handwritten && "
        "sed -i 's/restart: \"no\"/restart: unless-stopped/; s/start_period: .*/start_period: %ds/' compose.yml"
        % (release, CONTAINER, PATIENCE_S)
    )
    begun = time.monotonic()
    said = bed.shell(
        "cd /opt/handwritten && timeout %d docker compose -p %s up -d --wait 2>&1 | tail -n 1; exit ${PIPESTATUS[0]}"
        % (WAIT_LIMIT_S, project),
        check=False,
    )
    took_s = time.monotonic() - begun
    bed.shell("docker rm -f %s" % CONTAINER)
    word = re.sub(r"(?i)(container )?\S*%s\S*" % CONTAINER, "the container", said).strip() or "nothing"
    return took_s, "nothing yet" if took_s >= WAIT_LIMIT_S else word


def hosts() -> list[Row]:
    """Measure a deployment that has nothing to do on one to twenty hosts, each of which runs the STAND-IN for vLLM."""
    variables = yaml.safe_load((ROOT / "inventories/demo/group_vars/medium/main.yml").read_text(encoding="utf-8"))
    variables |= {
        "tiny_model": True,
        "vllm_image": "standin-vllm",
        "vllm_container_name": CONTAINER,
        "vllm_extra_env": {},
        "vllm_service_verify": False,
        "vllm_benchmark_on_deploy": False,
        "vllm_report_dir": "{{ lookup('ansible.builtin.env', 'MOLECULE_EPHEMERAL_DIRECTORY') }}",
        **replay("serve"),
    }
    platforms = [
        {"name": "host-%02d" % number, "image": "myia-vllm-testhost:trixie-docker"}
        for number in range(1, max(HOSTS) + 1)
    ]
    instances = int(pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii"))
    if instances < INOTIFY_INSTANCES:
        sys.exit(
            "Twenty hosts with systemd and an engine each need more inotify instances than the %d that this kernel "
            "gives a user: sysctl fs.inotify.max_user_instances=%d, then run again (--only hosts)."
            % (instances, INOTIFY_INSTANCES)
        )
    with Bed(platforms, variables) as bed:
        for platform in platforms:
            bed.standin(platform["name"])
            bed.shell(STANDIN_IMAGE, platform["name"])
        say("first deployment on %d hosts" % max(HOSTS))
        bed.play("deploy_medium.yml")
        times = {}
        for number, repeats in HOSTS.items():
            arguments = ["-e", "vllm_hosts=" + ":".join(platform["name"] for platform in platforms[:number])]
            runs = []
            for _ in range(repeats):
                took_s, output = bed.play("deploy_medium.yml", *arguments)
                unchanged(output)
                runs.append(took_s)
            times[number] = statistics.median(runs)
            say("%d host(s): %.1f s" % (number, times[number]))
    slope, _ = statistics.linear_regression(list(times), list(times.values()))
    last = max(HOSTS)
    rows = [
        Row(
            "deploy_medium, nothing to do, %d hosts" % number,
            times[number],
            "the same on one host",
            times[1],
            "<= 8" if number == last else "",
        )
        for number in list(HOSTS)[1:]
    ]
    return [*rows, Row("each further host", slope, "the first host", times[1])]


#: The parts of the table, and whether each needs the host with a real vLLM.
PARTS = {"rerun": (rerun, True), "caches": (caches, True), "faults": (faults, True), "hosts": (hosts, False)}


def main() -> int:
    """Measure and print. What was measured of other parts before stays in the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(PARTS), help="parts to measure; none: show what was kept")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if set(options.only) - set(PARTS):
        parser.error("--only takes %s" % ", ".join(PARTS))
    KEPT.mkdir(parents=True, exist_ok=True)

    def measure(part: str, *bed: Bed) -> None:
        rows = []
        # a run that is interrupted keeps what it has
        for row in PARTS[part][0](*bed):
            rows.append(dataclasses.asdict(row))
            (KEPT / (part + ".json")).write_text(json.dumps(rows), encoding="utf-8")

    chosen = [part for part in PARTS if part in options.only]
    if any(PARTS[part][1] for part in chosen):
        with real_host() as bed:
            for part in chosen:
                if PARTS[part][1]:
                    measure(part, bed)
    for part in chosen:
        if not PARTS[part][1]:
            measure(part)
    files = [KEPT / (part + ".json") for part in PARTS]
    texts = [path.read_text(encoding="utf-8") for path in files if path.exists()]
    text = table([Row(**row) for found in texts for row in json.loads(found)])
    print("\n" + text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text("%s%s\n\n%s\n%s%s" % (before, BEGIN, text, END, after), encoding="utf-8")
        say("written to %s" % PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
