# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to a host while it is deployed to: the service serves again, at the latest after one run more.

Each fault strikes at one step; a probe on the host, outside of Docker, notes when /health answered. The engine, Compose
and systemd are real; the service is the STAND-IN for vLLM, which starts in a second, so that the seconds of the table
are those of the way back and not of vLLM.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from replays import NAME, Watch, container_of, healthy, install

SCENARIO = pathlib.Path(__file__).resolve().parent.parent
FOLDER = "/opt/vllm/medium"
OTHER = "taken-by-somebody"

#: Where Debian's package puts Compose.
COMPOSE = "/usr/libexec/docker/cli-plugins/docker-compose"

#: Seconds between two answers of /health from which on the service counts as down.
GAP_S = 1.5

pytestmark = pytest.mark.full

PROBE = """\
import time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while True:
    try:
        opener.open('http://127.0.0.1:5002/health', timeout=1).close()
        print('%.2f' % time.time(), flush=True)
    except OSError:
        pass
    time.sleep(0.2)
"""

UNIT = """\
[Service]
ExecStart=/bin/sh -c 'exec python3 /srv/probe.py >>/srv/probe.log'
[Install]
WantedBy=multi-user.target
"""

_ROWS: list[tuple[str, ...]] = []
_NUMBER = itertools.count(100)


@dataclasses.dataclass
class Night:
    """What a fault needs."""

    host: object
    play: Callable
    inventory: str
    base: dict
    mends: list[Callable] = dataclasses.field(default_factory=list)
    used: dict = dataclasses.field(default_factory=dict)

    def variables(self, **more) -> dict:
        """Return the variables of a new release, and remember them for the next run."""
        self.used = {**self.base, "vllm_max_num_seqs": next(_NUMBER)}
        return {**self.used, **more}

    def deploy(self, **more) -> str:
        """Deploy a new release; return how the run ended."""
        run = self.play("-e", json.dumps(self.variables(**more)))
        return ended(run.status, run.output)

    def until(self, task: str, act: Callable, **more) -> str:
        """Deploy a new release and act when a task begins; return how the run ended."""
        watch = Watch(self.inventory, "-e", json.dumps(self.variables(**more)), playbook=str(SCENARIO / "converge.yml"))
        watch.until(r"TASK \[.*%s\]" % task)
        act(watch)
        status = watch.end()
        return "killed" if status < 0 else ended(status, watch.output)

    def on_event(self, event: str, command: str) -> None:
        """Let the host run a command at an event of Docker (`ACTION NAME`, a pattern of sh), once."""
        script = (
            "docker events --filter type=container --format '{{.Action}} {{.Actor.Attributes.name}}' | "
            'while read -r line; do case "$line" in %s) %s && touch /srv/struck; break;; esac; done' % (event, command)
        )
        self.host.check_output("rm -f /srv/struck")
        self.write("/srv/event.sh", script)
        self.host.run("systemctl stop standin-event; systemctl reset-failed standin-event")
        self.host.check_output("systemd-run --unit standin-event sh /srv/event.sh")
        self.mends.append(lambda: self.host.run("systemctl stop standin-event"))
        time.sleep(0.5)

    def write(self, path: str, text: str) -> None:
        """Write a file on the host."""
        subprocess.run(
            ["docker", "exec", "--interactive", container_of(self.host).name, "sh", "-c", "cat > %s" % path],
            input=text.encode(), check=True,
        )  # fmt: skip

    def foreign(self, name: str, *command: str) -> None:
        """Make a container of somebody else."""
        image = self.base["vllm_image"]
        self.host.check_output("docker %s --name %s --entrypoint sleep %s 3600" % (" ".join(command), name, image))
        self.mends.append(lambda: self.host.check_output("docker rm -f %s" % name))

    def small_disk(self) -> None:
        """Put the service's folder onto a small disk of its own until the end of the fault."""
        self.host.check_output(
            f"cp -a {FOLDER} /srv/kept && mount -t tmpfs -o size=512k,mode=0750 tmpfs {FOLDER} && "
            f"cp -a /srv/kept/. {FOLDER}/"
        )

        def back() -> None:
            self.host.check_output(
                f"rm -f {FOLDER}/filler && rm -rf /srv/kept && cp -a {FOLDER} /srv/kept && umount {FOLDER} && "
                f"rm -rf {FOLDER} && mv /srv/kept {FOLDER}"
            )

        self.mends.append(back)

    def fill(self, *_args) -> None:
        """Fill it up."""
        self.host.run("dd if=/dev/zero of=%s/filler bs=4k 2>/dev/null; dd if=/dev/zero of=%s/filler bs=1 count=4096 "
                      "oflag=append conv=notrunc 2>/dev/null" % (FOLDER, FOLDER))  # fmt: skip

    def aside(self, path: str) -> None:
        """Take a program away until the end of the fault."""
        self.host.check_output("mv %s /srv/aside" % path)
        self.mends.append(lambda: self.host.check_output("mv /srv/aside %s" % path))

    def containers(self) -> list[str]:
        """Return the names of all containers, those that do not run among them."""
        return self.host.check_output("docker ps --all --format '{{.Names}}'").split()

    def serves(self, limit_s: float = 0) -> bool:
        """Tell whether /health answers, now or within some seconds."""
        end_s = time.monotonic() + limit_s
        while True:
            if self.host.run("curl -s -o /dev/null -w '%{http_code}' -m 2 127.0.0.1:5002/health").stdout == "200":
                return True
            if time.monotonic() >= end_s:
                return False
            time.sleep(0.3)

    def now_s(self) -> float:
        """The host's clock."""
        return float(self.host.check_output("date +%s.%N"))

    def down_s(self, begin_s: float, end_s: float) -> float:
        """Return for how many seconds nothing answered between two times."""
        seen = [float(line) for line in self.host.check_output("cat /srv/probe.log").split()]
        seen = [begin_s, *(at for at in seen if begin_s < at < end_s), end_s]
        return sum(later - sooner for sooner, later in itertools.pairwise(seen) if later - sooner > GAP_S)


def ended(status: int, output: str) -> str:
    """Say how a run ended."""
    flat = " ".join(output.split())
    if status == 0:
        return "success"
    if "serves again" in flat:
        return "failed, went back"
    if "going back to release" in flat:
        return "failed, could not go back"
    if "was not touched" in flat or "nothing was changed" in flat.lower():
        return "refused"
    return "failed"


def kill(watch: Watch) -> None:
    """Kill the controller's whole run."""
    os.killpg(watch.process.pid, signal.SIGKILL)


def reboot(night: Night) -> Callable:
    """Return a function that reboots the test host without a warning."""

    def act(_watch: object = None) -> None:
        container_of(night.host).restart(timeout=0)
        night.host.check_output(
            "for i in $(seq 120); do systemctl is-active -q docker && exit 0; sleep 0.5; done; exit 1"
        )

    return act


BROKEN = {"vllm_extra_env": {"REPLAY_THEN": "exit 1", "PYTHONUNBUFFERED": "1"}}
KILL_COMPOSE = "kill -9 $(pidof docker-compose)"
KILL_DOCKERD = "kill -9 $(pidof dockerd)"
#: Compose is a program of its own, whose parent is the docker command.
KILL_CLI = "kill -9 $(ps -o ppid= -p $(pidof docker-compose))"


def strike(event: str, command: str, **more) -> Callable:
    """Return a fault that strikes at an event of Docker."""

    def fault(night: Night) -> str:
        night.on_event(event, command)
        how = night.deploy(**more)
        assert night.host.file("/srv/struck").exists, "the fault did not strike"
        return how

    return fault


def killed(task: str, **more) -> Callable:
    """Return a fault: the controller is killed at a task."""
    return lambda night: night.until(task, kill, **more)


def rebooted(task: str) -> Callable:
    """Return a fault: the host reboots at a task."""
    return lambda night: night.until(task, reboot(night))


def by_hand(*commands: str) -> Callable:
    """Return a fault: somebody does something to the host between two runs."""

    def fault(night: Night) -> str:
        for command in commands:
            night.host.check_output(command)
        return night.deploy()

    return fault


def full(task: str, **more) -> Callable:
    """Return a fault: the service's disk is full from a task on."""

    def fault(night: Night) -> str:
        night.small_disk()
        return night.until(task, night.fill, **more)

    return fault


def foreign_name(*command: str) -> Callable:
    """Return a fault: the name that the service shall have is somebody else's."""

    def fault(night: Night) -> str:
        night.foreign(OTHER, *command)
        return night.deploy(vllm_container_name=OTHER)

    return fault


def foreign_comes_late(night: Night) -> str:
    """Somebody takes the name between the last look and Compose."""
    return night.until(
        "Point the link current to the release", lambda _: night.foreign(OTHER, "create"), vllm_container_name=OTHER
    )


def foreign_in_its_place(night: Night) -> str:
    """Ours was renamed, and another has its name."""
    night.host.check_output("docker rename %s renamed" % NAME)
    night.foreign(NAME, "create")
    return night.deploy()


def leftover(only: bool) -> Callable:
    """Return a fault: what a killed Compose leaves, beside the old container or alone."""

    def fault(night: Night) -> str:
        seen = json.loads(night.host.check_output("docker inspect %s" % NAME))[0]
        labels = " ".join("--label=%s=%s" % item for item in seen["Config"]["Labels"].items() if " " not in item[1])
        night.host.check_output(
            "docker create --name %s_%s %s %s" % (seen["Id"][:12], NAME, labels, seen["Config"]["Image"])
        )
        if only:
            night.host.check_output("docker rm -f %s" % NAME)
        return night.deploy()

    return fault


def gone_at(task: str, path: str, **more) -> Callable:
    """Return a fault: a program is gone from a task on."""
    return lambda night: night.until(task, lambda _: night.aside(path), **more)


def gone(path: str) -> Callable:
    """Return a fault: a program is gone."""

    def fault(night: Night) -> str:
        night.aside(path)
        return night.deploy(docker_engine_install=False)

    return fault


def dead_socket(night: Night) -> str:
    """The socket is there and nobody listens; the engine and the service run on."""
    night.host.check_output(
        "mv /run/docker.sock /run/docker.real && "
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('/run/docker.sock')\""
    )
    night.mends.append(lambda: night.host.check_output("mv -f /run/docker.real /run/docker.sock"))
    return night.deploy(docker_engine_install=False)


START, LINK = "Start the service", "Point the link current to the release"
NEW = "create\\ *_%s" % NAME

FAULTS: dict[str, Callable] = {
    "Compose killed when the new container was made": strike(NEW, KILL_COMPOSE),
    "Compose killed when the old container had ended": strike("die\\ %s" % NAME, KILL_COMPOSE),
    "Compose killed when the old container was removed": strike("destroy\\ %s" % NAME, KILL_COMPOSE),
    "Compose killed when the new container had its name": strike("rename\\ *", KILL_COMPOSE),
    "docker CLI killed when the new container was made": strike(NEW, KILL_CLI),
    "docker CLI killed when the old container was removed": strike("destroy\\ %s" % NAME, KILL_CLI),
    "dockerd killed when the new container was made": strike(NEW, KILL_DOCKERD),
    "dockerd killed when the old container was removed": strike("destroy\\ %s" % NAME, KILL_DOCKERD),
    "dockerd killed when the new container had started": strike("start\\ %s" % NAME, KILL_DOCKERD),
    "dockerd killed on the way back": strike(
        "die\\ %s" % NAME, "sleep 4; %s" % KILL_DOCKERD, vllm_extra_env={"REPLAY_THEN": "exit 1"}),
    "controller killed when the release was staged": killed("Stage the release"),
    "controller killed at the link": killed(LINK),
    "controller killed at Compose": killed(START),
    "controller killed at the watch": killed("Wait until the service answers"),
    "controller killed when the release is marked good": killed("Mark the release good"),
    "controller killed on the way back": killed("Point the link current to the last good release", **BROKEN),
    "host reboots at the link": rebooted(LINK),
    "host reboots at Compose": rebooted(START),
    "host reboots at the watch": rebooted("Wait until the service answers"),
    "new name is a running container of others": foreign_name("run", "-d"),
    "new name is a stopped container of others": foreign_name("create"),
    "new name is taken after the last look": foreign_comes_late,
    "renamed, and its name is another's": foreign_in_its_place,
    "leftover of a killed Compose beside the service": leftover(False),
    "leftover of a killed Compose alone": leftover(True),
    "container renamed by hand": by_hand("docker rename %s renamed" % NAME),
    "container renamed and stopped by hand": by_hand("docker rename %s renamed" % NAME, "docker stop renamed"),
    "container stopped by hand": by_hand("docker stop %s" % NAME),
    "container removed by hand": by_hand("docker rm -f %s" % NAME),
    "link current removed by hand": by_hand("rm %s/current" % FOLDER),
    "current is a folder (a backup put back)": by_hand(
        f"cp -aL {FOLDER}/current {FOLDER}/copy && rm {FOLDER}/current && mv {FOLDER}/copy {FOLDER}/current"),
    "strange things in releases/": by_hand(
        "cd %s/releases && ln -s /etc 20260101T000000Z-0123456789ab && touch 20260102T000000Z-0123456789ab && "
        "mkdir -p 20260103T000000Z-0123456789ab" % FOLDER),
    "disk full when the release is staged": full("Inspect Docker Engine"),
    "disk full at the lock": full("Inspect the service"),
    "disk full at the link": full(LINK),
    "disk full when the release is marked good": full("Wait until the service answers"),
    "disk full when the release is marked failed": full("Wait until the service answers", **BROKEN),
    "Compose gone from the switch on": gone_at(LINK, COMPOSE),
    "Compose gone on the way back": gone_at("Wait until the service answers", COMPOSE, **BROKEN),
    "docker CLI gone": gone("/usr/bin/docker"),
    "dead socket": dead_socket,
}  # fmt: skip


@pytest.fixture(scope="module")
def probe(host, pytestconfig):
    """Let the host note when the service answers, over reboots too; print the table of all faults at the end."""
    for path, text in (("/srv/probe.py", PROBE), ("/etc/systemd/system/standin-probe.service", UNIT)):
        subprocess.run(
            ["docker", "exec", "--interactive", container_of(host).name, "sh", "-c", "cat > %s" % path],
            input=text.encode(), check=True,
        )  # fmt: skip
    host.check_output("rm -f /srv/probe.log; systemctl daemon-reload; systemctl enable standin-probe")
    host.check_output("systemctl restart standin-probe")
    yield
    host.check_output("systemctl disable --now standin-probe; rm /etc/systemd/system/standin-probe.service")
    # what passes is captured, and this is meant to be read
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + table(), flush=True)


@pytest.fixture
def night(host, play, inventory, probe) -> Night:
    """A host on which the service serves."""
    install(host)
    base = {**healthy(host), "vllm_health_poll_s": 0.5, "vllm_image": "myia-vllm-cpu:0.32.0"}
    found = Night(host, play, inventory, base)
    if not found.serves() or found.containers() != [NAME]:
        run = play("-e", json.dumps(found.variables()))
        assert run.status == 0, run.output
    return found


@pytest.mark.parametrize("what", FAULTS)
def test_fault(night, what) -> None:
    """It serves again by itself, by the same run, or by one run more, which leaves nothing behind."""
    begin_s = night.now_s()
    try:
        how = FAULTS[what](night)
        by = "the same run" if how in ("success", "failed, went back") else "itself"
        recovered = night.serves(15)
        down_s = night.down_s(begin_s, night.now_s())
    finally:
        for mend in reversed(night.mends):
            mend()
    run = night.play("-e", json.dumps(night.used))
    if not recovered:
        by, down_s = "the next run", night.down_s(begin_s, night.now_s())
    good = run.status == 0 and night.serves() and night.containers() == [NAME]
    _ROWS.append((what, how, "yes" if good else "NO", by if down_s else "never down", "%.0f" % down_s))
    # as far as it is, should the rest be cut off
    path = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "recovery.md"
    path.write_text(table() + "\n", encoding="utf-8")
    assert good, run.output
    assert how != "failed, could not go back" or not recovered, "it serves, and the run says otherwise"
    assert not night.host.file(FOLDER + "/deployment.lock").exists
    assert night.host.file(FOLDER + "/current").is_symlink


def table() -> str:
    """Return what came of the faults, as Markdown."""
    head = ("fault", "how that run ended", "serves after one run more", "served again by", "seconds down")
    return "\n".join("| %s |" % " | ".join(row) for row in (head, ("---",) * len(head), *_ROWS))
