# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin a benchmark of a service on its host, look at it, and finish it. Nothing here waits for it.

Each call returns a state, a dictionary of

- ``state``: absent, running, ended, refused (``problem`` says why it was not begun), other (somebody else's runs)
- ``begun``: whether the service was found fit; ``index``: of the run that goes on; ``x``: requests done of it;
  ``measured``: number of runs that gave a result; ``kept_in``: where these are
- ``problem`` and ``lines``: what went wrong, and the last words of the benchmark
- ``other``: of somebody else's, ``{token, who, at, silent_s}``
- ``note``: what is worth telling
- ``result``: of ``finish``, see ``benchmark_result``; else empty

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import time

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import result as benchmark_result
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import runner as benchmark_runner
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import store as benchmark_store
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.service import releases
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Seconds that ``docker inspect`` may take.
_DOCKER_S = 20

#: Seconds without a look after which somebody else's benchmark is a leftover. Its controller looks every few seconds,
#: and gives a lost connection up after two minutes (benchmark.py).
_SILENT_S = 180.0


def state(name: str, **more: object) -> dict:
    """Return a state with what is not given empty."""
    return {"state": name, "begun": False, "index": 0, "x": 0, "measured": 0, "kept_in": "", "problem": "", "lines": [],
            "other": {}, "note": "", "result": {}, **more}  # fmt: skip


def _option(arguments: list[str], name: str) -> str:
    """Return the value of an option of ``vllm serve``, in both of its forms; empty without it."""
    for index, argument in enumerate(arguments):
        if argument.startswith("--%s=" % name):
            return argument.partition("=")[2]
        if argument == "--" + name and index + 1 < len(arguments):
            return arguments[index + 1]
    return ""


def served(arguments: list[str]) -> dict:
    """Return what the arguments of a running ``vllm serve`` say that a benchmark must know.

    Returns:
        ``{model, scheme, port, served_model_name, tokenizer, tokenizer_revision, tokenizer_mode, trust_remote_code}``.
    """
    arguments = arguments[1:] if arguments[:1] == ["serve"] else arguments
    model = arguments[0] if arguments and not arguments[0].startswith("-") else _option(arguments, "model")
    tokenizer = _option(arguments, "tokenizer")
    revision = _option(arguments, "tokenizer-revision") or ("" if tokenizer else _option(arguments, "revision"))
    return {
        "model": model,
        "scheme": "https" if _option(arguments, "ssl-certfile") else "http",
        "port": int(_option(arguments, "port") or 8000),
        "served_model_name": _option(arguments, "served-model-name") or model,
        "tokenizer": tokenizer or model,
        "tokenizer_revision": revision,
        "tokenizer_mode": _option(arguments, "tokenizer-mode"),
        "trust_remote_code": "--trust-remote-code" in arguments,
    }


class Steps:
    """The benchmark of one service."""

    def __init__(self, settings: dict, client: str, run=host_command.run) -> None:
        """Take the settings.

        Args:
            settings: ``container``, ``folder`` (of the service), ``runner_folder``, ``token`` (of the caller's run),
                ``dead`` (tokens of runs that are known to be over), ``who``, ``profile``, ``runs``, ``work`` (generate
                without it), ``on_busy``, ``timeout_s``, ``keep``, ``warn_percent``.
            client: text of ``client.py``, which runs in the container.
            run: see :func:`host_command.run`.
        """
        self._settings, self._client, self._run = settings, client, run
        self._folder = settings["runner_folder"]

    def inspect(self) -> dict:
        """Return how far the caller's own benchmark is."""
        found = benchmark_runner.inspect(self._folder)
        if not found or found["about"]["token"] != self._settings["token"]:
            return state("absent")
        benchmark_runner.note_visit(self._folder)
        about = found["about"]
        more = {key: found[key] for key in ("begun", "index", "x", "measured", "problem", "lines")}
        more["kept_in"] = about["path"] if found["begun"] else ""
        if not found["alive"] and not found["ended"]:
            more["problem"] = "The process that kept the benchmark was killed, and the benchmark with it."
        elif found["ended"] and found["exit_code"] is not None:
            more["problem"] = "%s: %s." % (found["problem"], self._why_broken(found["exit_code"]))
        secrets = service_secrets.values(self._settings["folder"])
        more["problem"] = str(service_secrets.masked(more["problem"], secrets))
        more["lines"] = [service_secrets.masked(line, secrets) for line in more["lines"]]
        return state("ended" if found["ended"] or not found["alive"] else "running", **more)

    def start(self) -> dict:
        """Begin a benchmark, unless somebody else's runs; one that nobody waits for any more is ended first."""
        own = self.inspect()
        if own["state"] != "absent":
            return own  # asked again, as its answer was lost
        note, other = self._make_room()
        if other:
            return state("other", other=other)
        inspected, problem = self._inspect()
        if not problem and inspected["State"]["Status"] != "running":
            problem = "The container %s is %s." % (self._settings["container"], self._condition(inspected))
        if problem:
            return state("refused", problem=problem, note=note)
        about = served(list(inspected["Config"]["Cmd"] or []))
        now_s = time.time()
        path = benchmark_store.Store(self._settings["folder"]).folder(self._settings["profile"], now_s)
        client = {**about, "runs": self._settings["runs"], "on_busy": self._settings["on_busy"],
                  "work": self._settings.get("work", "generate"),
                  "timeout_s": self._settings["timeout_s"], "seed": int(now_s) % 2**31}  # fmt: skip
        runner = {
            "command": ["docker", "exec", "--interactive", inspected["Id"], "python3", "-c", self._client,
                        json.dumps(client)],
            "timeout_s": self._settings["timeout_s"],
            "results": path,
            "about": {
                "token": self._settings["token"],
                "who": self._settings["who"],
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s)),
                "path": path,
                "model": about["model"],
                "release": releases.Service(self._settings["folder"]).current(),
            },
        }  # fmt: skip
        try:
            begun = benchmark_runner.start(self._folder, runner, dict(os.environ))
        except OSError as error:
            return state("refused", problem="The benchmark cannot be begun: %s." % error, note=note)
        if not begun:
            return state("other", other=self._other())
        return {**self.inspect(), "note": note}

    def finish(self) -> dict:
        """End the caller's benchmark if it still runs, keep its result, and say what it came to."""
        if benchmark_runner.inspect(self._folder).get("about", {}).get("token") != self._settings["token"]:
            return state("absent")
        if benchmark_runner.background(self._folder).is_alive() and not benchmark_runner.stop(self._folder):
            return {**self.inspect(), "problem": "The process that keeps the benchmark cannot be ended."}
        found = self.inspect()
        result = self._result(found)
        if found["kept_in"]:
            store = benchmark_store.Store(self._settings["folder"])
            if os.path.isdir(found["kept_in"]):
                before = store.last_good(result)
                if before:
                    result["compared"], result["warnings"] = benchmark_result.compare(
                        result, before, self._settings["warn_percent"]
                    )
                store.save(result)
                store.prune(self._settings["keep"])
            else:
                result["path"] = ""  # nothing was measured, so there is nothing to keep
        # the state stays until the next one begins: an answer that was lost is asked for again
        return {**found, "result": result}

    def _result(self, found: dict) -> dict:
        kept = benchmark_runner.inspect(self._folder)
        store = benchmark_store.Store(self._settings["folder"])
        runs = []
        for number, settings in enumerate(self._settings["runs"], 1):
            raw = store.raw(found["kept_in"], number) if found["kept_in"] else None
            here = found["problem"] if number == found["index"] + 1 else "It was not begun."
            runs.append(benchmark_result.run_of(settings, raw, "" if raw else here or "It gave no result."))
        problem = found["problem"]
        if not problem:
            bad = [run for run in runs if not run["ok"]]
            problem = "%s: %s" % (bad[0]["name"], bad[0]["problem"]) if bad else ""
        secrets = service_secrets.values(self._settings["folder"])
        result = {
            "ok": not problem,
            "problem": problem,
            "profile": self._settings["profile"],
            "at": kept["about"]["at"],
            "release": kept["about"]["release"],
            "vllm_version": kept["vllm_version"],
            "model": kept["about"]["model"],
            "path": found["kept_in"],
            "runs": runs,
            "compared": {},
            "warnings": [],
        }
        return dict(service_secrets.masked_all(result, secrets))

    def _make_room(self) -> tuple[str, dict]:
        """End a leftover; return (what was done, who else has a benchmark running)."""
        if not benchmark_runner.background(self._folder).is_alive():
            return "", {}
        other = self._other()
        if other["token"] not in self._settings["dead"] and other["silent_s"] < _SILENT_S:
            return "", other
        if not benchmark_runner.stop(self._folder):
            return "", other
        return "A benchmark of %s, begun at %s, still ran though nobody waited for it; it was ended." % (
            other["who"], other["at"]), {}  # fmt: skip

    def _other(self) -> dict:
        about = benchmark_runner.inspect(self._folder).get("about") or {}
        return {
            **{name: about.get(name, "unknown") for name in ("token", "who", "at")},
            "silent_s": round(benchmark_runner.unvisited_s(self._folder)),
        }

    def _inspect(self) -> tuple[dict, str]:
        name = self._settings["container"]
        status, out, err, late = self._run(["docker", "container", "inspect", name], _DOCKER_S)
        if status == 0:
            return json.loads(out)[0], ""
        if status == 127:
            return {}, "docker is not installed on this host."
        if "no such" in err.lower():
            return {}, "There is no container %s." % name
        return {}, "The engine does not tell about the container %s: %s" % (
            name, "no answer within %d s" % _DOCKER_S if late else err.strip()[:300])  # fmt: skip

    def _why_broken(self, exit_code: int) -> str:
        inspected, problem = self._inspect()
        if problem:
            return problem.rstrip(".")
        if inspected["State"]["Status"] != "running":
            return "the container %s is %s" % (self._settings["container"], self._condition(inspected))
        return "docker exec ended with exit code %d" % exit_code

    @staticmethod
    def _condition(inspected: dict) -> str:
        now = inspected["State"]
        killed = ", out of memory" if now.get("OOMKilled") else ""
        code = " (exit code %s%s)" % (now.get("ExitCode"), killed) if now["Status"] == "exited" else ""
        return now["Status"] + code
