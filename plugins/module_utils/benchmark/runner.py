# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a benchmark running when the connection is lost, and what it says.

``start`` runs this very file in the background (``background.py``): the runner. It runs a command (``docker exec ...
benchmark_client``), takes its events in, writes each result where it is to stay, and keeps a small state, which
``inspect`` reads. It ends the command after the time limit, when it is asked to (file ``_STOP``), and when nobody has
looked for a while: a benchmark that nobody waits for only disturbs the service. The command ends with its standard
input, so also when the runner is killed.

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.common.background import Background

#: Files in the runner's folder beside its state and lock: when somebody looked last, and that it shall end.
VISITED, _STOP = "benchmark.visited", "benchmark.stop"

#: Seconds that the command gets to end, and between two looks at STOP.
END_S, TICK_S = 20.0, 0.5

#: Seconds without a look after which a benchmark is ended. More than a connection gets to come back.
ABANDONED_S = 300.0

#: Lines kept of what is no event, and characters of each.
LINES, LINE_CHARS = 40, 1000

#: Modes of what is kept of a benchmark: docs of the role vllm_benchmark.
_FOLDER_MODE, FILE_MODE = 0o750, 0o640


def background(folder: str) -> Background:
    """Return the runner in ``folder``."""
    return Background(folder, "benchmark")


def inspect(folder: str) -> dict:
    """Return the state of the benchmark in ``folder``, as in ``Runner``, with ``alive``; empty without one."""
    alive = background(folder).is_alive()  # first: what ends meanwhile has written its last state
    found = background(folder).state()
    return {**found, "alive": alive} if found else {}


def unvisited_s(folder: str) -> float:
    """Return for how many seconds nobody has looked."""
    try:
        # a clock that was set back must not keep a benchmark for ever
        return abs(time.time() - os.stat(os.path.join(folder, VISITED)).st_mtime)
    except OSError:
        return 0.0


def note_visit(folder: str) -> None:
    """Note that the one who waits for the benchmark has looked."""
    with open(os.path.join(folder, VISITED), "w", encoding="ascii"):
        pass


def start(folder: str, settings: dict, environ: dict) -> bool:
    """Begin a benchmark.

    Args:
        folder: of the runner, made with mode 0700.
        settings: ``command``, ``timeout_s`` (0 for none), ``results`` (folder for the results, made when the first
            thing was measured), ``about`` (what the state holds from the beginning).
        environ: environment of the command.

    Returns:
        Whether it began; not so when another runner lives.

    Raises:
        OSError: the runner does not start.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    runner = background(folder)
    if runner.is_alive():
        return False
    forget(folder)
    note_visit(folder)
    return runner.start(
        __name__, [folder, json.dumps(settings)], environ, lambda state: state.get("about") == settings["about"]
    )


def stop(folder: str) -> bool:
    """Ask a runner to end its benchmark, and wait for it; return whether it is gone."""
    with open(os.path.join(folder, _STOP), "w", encoding="ascii"):
        pass
    end = time.monotonic() + END_S + 10
    while background(folder).is_alive() and time.monotonic() < end:
        time.sleep(0.1)
    return not background(folder).is_alive()


def forget(folder: str) -> None:
    """Remove what a benchmark left, without its results; the lock stays, for a runner may begin at this moment."""
    background(folder).forget(VISITED, _STOP)


class Runner:
    """The benchmark of one service."""

    def __init__(self, folder: str, settings: dict) -> None:
        self.folder, self.settings = folder, settings
        self.state = {
            "about": settings["about"],
            "begun": False,  # whether the service was found fit to be measured
            "vllm_version": "",
            "index": 0,
            "x": 0,
            "measured": 0,
            "problem": "",
            "lines": [],
            "exit_code": None,
            "ended": False,
        }
        self._lines: list[str] = []
        self._complete = False

    def take(self, line: str) -> None:
        """Take one line of the command in."""
        event = files.json_object(line)
        name = event.get("event")
        if name == "begun":
            self.state.update(begun=True, vllm_version=event["vllm_version"])
        elif name == "run":
            self.state.update(index=event["index"], x=0)
        elif name == "progress":
            self.state["x"] = event["x"]
        elif name == "result":
            self._save(event["raw"])
            self.state["measured"] = self.state["index"] + 1
        elif name in ("refused", "broken"):
            self.state.update(problem=event["problem"], lines=event.get("lines", []))
        elif name == "end":
            self._complete = True
        elif line.strip():
            self._lines = [*self._lines, line.strip()[:LINE_CHARS]][-LINES:]

    def _save(self, raw: str) -> None:
        results = self.settings["results"]
        if not os.path.isdir(results):
            for path in (os.path.dirname(results), results):
                os.makedirs(path, mode=_FOLDER_MODE, exist_ok=True)
                os.chmod(path, _FOLDER_MODE)
        files.write_atomically(os.path.join(results, "run-%d.json" % (self.state["index"] + 1)), raw + "\n", FILE_MODE)

    def _reason_to_end(self, begun_s: float) -> str:
        timeout_s = self.settings["timeout_s"]
        if os.path.exists(os.path.join(self.folder, _STOP)):
            return "It was ended from outside."
        if timeout_s and time.monotonic() - begun_s > timeout_s:
            return "It took longer than %d s (vllm_benchmark_timeout_s) and was ended." % timeout_s
        if unvisited_s(self.folder) > ABANDONED_S:
            return "Nobody has looked for %d s, so it was ended." % ABANDONED_S
        return ""

    def run(self) -> None:
        """Run the command to its end."""
        self.write()
        process = subprocess.Popen(
            self.settings["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        begun_s, rest, reason = time.monotonic(), "", ""
        while not reason:
            ready, _writable, _failed = select.select([process.stdout], [], [], TICK_S)
            if ready:
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
                for line in lines:
                    self.take(line)
                self.write()
            reason = self._reason_to_end(begun_s)
        self.take(rest)
        process.stdin.close()
        process.stdout.close()
        try:
            status = process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if reason:
            self.state["problem"] = reason
        elif not self._complete and not self.state["problem"]:
            self.state.update(problem="The benchmark broke off", lines=self._lines, exit_code=status)
        self.state["ended"] = True
        self.write()

    def write(self) -> None:
        """Write the state."""
        background(self.folder).write(self.state)


def main() -> None:
    """Be the runner of the folder and settings in the arguments."""
    folder, settings = sys.argv[1:]
    background(folder).hold()
    Runner(folder, json.loads(settings)).run()
