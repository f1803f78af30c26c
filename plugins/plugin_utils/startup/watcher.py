# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge one start of a service from the looks that are taken at it, one after the other.

Nothing here waits, prints or asks the host: the action plugin ``start_watch`` does that.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import gzip

from ansible_collections.myia.vllm.plugins.module_utils.capacity.explanation import BLOCK_S, MANY_BLOCKS
from ansible_collections.myia.vllm.plugins.module_utils.capacity.vllm_rules import BLOCK_TOKENS
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration, size
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import eta as startup_eta
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import LOOP, StartupLog
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import parse
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES

#: How long a line that may not be the cause waits for a better one, in seconds; the engine's own report of its death
#: follows the cause within one.
UNCERTAIN_S = 3.0

#: How long a container that was there may be gone before it counts as removed, in seconds: whoever replaces it removes
#: the old one first.
_GONE_S = 10.0

WORDS = {
    "container_up": "the container is up",
    "config": "reading the configuration",
    "engine": "starting the engine",
    "distributed": "connecting the workers",
    "download": "downloading weights",
    "load": "loading weights",
    "compile": "compiling",
    "memory": "measuring memory for the KV cache",
    "graphs": "capturing CUDA graphs",
    "warmup": "warming up",
    "ready": "the engine is ready",
    "serving": "the server is up",
}

#: Classes of failures that another start may get over: once for the second.
_TRANSIENT, _ONCE = "transient", "once"


class StartWatch:
    """What is known of the start so far."""

    def __init__(self, catalogue: Catalogue, limits: dict[str, float], secrets: list[str], expected_bytes: int) -> None:
        """Begin to watch.

        ``read_any`` tells whether anything of the log was read, ``gone`` that the container was there and is no more.

        Args:
            catalogue: of ``failure_catalogue.load``.
            limits: longest time in seconds by phase, ``total`` for all together; a missing one is no limit.
            secrets: values that must not appear anywhere.
            expected_bytes: size of the weights to download; 0 when it is not known.
        """
        self._catalogue, self._secrets = catalogue, secrets
        self._limits, self._expected_bytes = limits, expected_bytes
        self._log = StartupLog(catalogue, secrets)
        self._last: dict[str, float] = {}
        self._restarts_at_first: int | None = None
        self._uncertain_since_s: float | None = None
        self._begun_s: float | None = None
        self._gone_since_s: float | None = None
        self._container: dict = {}
        self._died: dict = {}
        self.read_any = False
        self.inspect: dict = {}
        self.diagnosis: dict = {}
        self.stalled = ""
        self.gone = False
        self.note = ""

    def refuse(self, docker_error: str) -> None:
        """Take in that Docker would not even start the container."""
        self.inspect = {}
        self.diagnosis = self._log.diagnose({"docker_error": docker_error})

    # ------------------------------------------------------------------ looks

    def take(self, look: dict, image: str = "", model: str = "") -> None:
        """Take in one result of ``myia.vllm.service_status_info``."""
        self.note = ""
        if look["state"] == "unknown" and self.inspect.get("state") != "unknown":
            self.note = "Docker does not answer (%s)" % look["error"][:200]
        self.inspect = look
        self._begun_s = look["now_s"] if self._begun_s is None else self._begun_s
        text = gzip.decompress(base64.b64decode(look["log_gz"])).decode("utf-8", "replace") if look["log_gz"] else ""
        if look["id"]:
            text = self._follow(look, text)
        if look.get("starts"):
            self._last = startup_eta.durations(startup_eta.last_start(look["starts"], image, model))
        if text:
            self.read_any = True
            self._log.feed(text)
        if look["download_bytes"]:
            self._log.phases.see_download(look["download_bytes"], self._expected_bytes)
        self._judge()

    def _follow(self, look: dict, text: str) -> str:
        """Begin anew when this is another container, or another run of it; return the part of the log that is its."""
        before, self._container = self._container, look
        if look["exit_code"] or look["oom_killed"]:
            self._died = {"exit_code": look["exit_code"], "oom_killed": look["oom_killed"]}
        if before and before["id"] != look["id"]:
            self.note = "the container was replaced by another one (%s)" % look["id"][:12]
            self._log = StartupLog(self._catalogue, self._secrets)
            self._restarts_at_first, self._uncertain_since_s, self._died = None, None, {}
        elif before.get("started_s", 0) not in (0, look["started_s"]) or (not before and look["restart_count"]):
            self.note = "the container was started again" if before else ""
            old, text = _runs(text, look)
            self._log.feed(old)
            self._log.close()
            self._log.begin_again()
        if look["started_s"]:
            self._log.phases.tick(look["started_s"])
        # the engine counts from 0 again when somebody starts it by hand
        first = look["restart_count"] if self._restarts_at_first is None else self._restarts_at_first
        self._restarts_at_first = min(first, look["restart_count"])
        return text

    def _judge(self) -> None:
        look = self.inspect
        self.diagnosis, self.stalled = {}, ""
        if look["healthy"] or look["log_more"] or self._may_come_back():
            return
        # one that was made a moment ago is about to be started
        ended = look["ended"] and (look["state"] != "created" or bool(look["docker_error"]))
        if ended:
            self._log.close()
        loops = look["restart_count"] - (self._restarts_at_first or 0) >= LOOP or (
            look["state"] == "restarting" and look["restart_count"] >= LOOP
        )
        self.stalled = "" if ended else self._ran_out()
        found = self._log.diagnose(self._evidence(ended, loops))
        if loops and self._log.previous and self._log.diagnose()["outcome"] != "failed":
            found = self._log.previous
        docker_tries = look["restart_policy"] not in ("", "no") and not ended and not loops and not self.stalled
        stopped = found["outcome"] == "stopped" and ended
        if (found["outcome"] != "failed" and not stopped) or (docker_tries and found["class"] in (_TRANSIENT, _ONCE)):
            self._uncertain_since_s = None
            self.gone = look["state"] == "missing"
            return
        if found["certain"] or ended or self.stalled or loops:
            self.diagnosis = found
            return
        if self._uncertain_since_s is None:
            self._uncertain_since_s = look["now_s"]
        if look["now_s"] - self._uncertain_since_s >= UNCERTAIN_S:
            self.diagnosis = found

    def _may_come_back(self) -> bool:
        """Tell whether there is no container, and it is too early to say that there will be none."""
        if self.inspect["state"] != "missing" or not self._container:
            self._gone_since_s = None
            return self.inspect["state"] == "missing"
        if self._gone_since_s is None:
            self._gone_since_s = self.inspect["now_s"]
            self.note = "the container is gone"
        return self.inspect["now_s"] - self._gone_since_s < _GONE_S

    def _evidence(self, ended: bool, loops: bool) -> dict:
        look = self.inspect
        evidence: dict = {"stalled": bool(self.stalled)}
        if look["state"] != "missing" and (ended or loops):
            died = {key: look[key] for key in ("exit_code", "oom_killed")}
            # while it runs once more, Docker has forgotten what it died of the last time
            evidence.update(self._died if look["state"] == "running" else died)
            evidence.update(state="exited", docker_error=look["docker_error"])
        return evidence

    def _ran_out(self) -> str:
        """Return the name of the limit that ran out: a phase, ``total``, or nothing."""
        phase = self._log.phases.phase
        if phase in self._limits and self.phase_s > self._limits[phase]:
            return phase
        return "total" if self.waited_s > self._limits.get("total", float("inf")) else ""

    # ------------------------------------------------------------------ answers

    @property
    def failed(self) -> bool:
        """Whether the start has failed for sure."""
        return bool(self.diagnosis)

    @property
    def seen(self) -> bool:
        """Whether there ever was a container."""
        return bool(self._container)

    @property
    def phase_s(self) -> float:
        """Seconds in the present phase, by the host's clock."""
        start_s = self._log.phases.steps[-1].start_s or self._container.get("started_s") or self._begun_s
        return max(0.0, self.inspect["now_s"] - start_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the container was started."""
        return max(0.0, self.inspect["now_s"] - (self._container.get("started_s") or self.inspect["now_s"]))

    @property
    def waited_s(self) -> float:
        """Seconds since the watch began, or since the container's start when that was later."""
        begun_s = max(self._begun_s, self._container.get("started_s", 0.0))
        return max(0.0, self.inspect["now_s"] - begun_s)

    @property
    def download_wanted(self) -> bool:
        """Whether the phase is one in which weights may be on their way."""
        return self._log.phases.phase in ("engine", "distributed", "download", "load")

    def line(self) -> tuple[str, str, str, str]:
        """Return the step, how far it is, since when, and for how much longer."""
        progress = self._log.progress()
        phase, facts = progress["phase"], self._log.phases.facts
        text = "[%s] %s" % (phase, WORDS[phase])
        if phase == "download" and progress["x"] and progress["detail"]:
            text += ": %s" % size(progress["x"])
            text += " of %s" % size(progress["y"]) if progress["y"] else ""
        elif progress["y"]:
            text += " %d/%d" % (progress["x"], progress["y"])
        text += " (%d %%)" % progress["percent"] if progress["percent"] is not None else ""
        if phase == "compile" and facts.get("compile_cache"):
            text += ", %s cache" % facts["compile_cache"]
        if phase in ("memory", "graphs", "warmup", "ready") and facts.get("kv_cache_tokens"):
            text += ", KV cache %s tokens" % format(facts["kv_cache_tokens"], ",d")
            blocks = facts["kv_cache_tokens"] / BLOCK_TOKENS
            if phase == "ready" and blocks >= MANY_BLOCKS:
                # the log is silent while the scheduler makes them
                text += ", making %.0f million cache blocks (about %s)" % (blocks / 1e6, duration(blocks * BLOCK_S))
        left_s = startup_eta.remaining_s(progress, self.phase_s, self._last)
        left = "about %s left" % duration(left_s) if left_s is not None else ""
        if left_s is not None and left_s < 1:
            left = "longer than last time" if phase not in ("ready", "serving") else ""
        return phase, text, duration(self.elapsed_s), left

    def summary(self) -> str:
        """Return in one line how the start went."""
        facts = self._log.phases.facts
        parts = ["[serving] answers after %s" % duration(self.elapsed_s)]
        if facts.get("compile_cache"):
            parts.append("compile cache %s" % facts["compile_cache"])
        if facts.get("kv_cache_tokens"):
            parts.append("KV cache %s tokens" % format(facts["kv_cache_tokens"], ",d"))
        return ", ".join(parts)

    def start(self) -> dict:
        """Return how the start went, for ``release.json``: ``{at, total_s, compile_cache, phases, facts}``.

        It is empty when the log of the start was not read, as with a service that was healthy at the first look.
        """
        if not self.read_any:
            return {}
        steps = [step for step in self._log.phases.durations() if step["phase"] != PHASES[-1]]
        return {
            "at": self._container["started_at"],
            "total_s": round(self.elapsed_s, 1),
            "compile_cache": self._log.phases.facts.get("compile_cache", ""),
            "phases": steps,
            "facts": dict(self._log.phases.facts),
        }

    def verdict_s(self) -> float | None:
        """Return the seconds from the line that shows the failure, or the container's end, to the verdict."""
        look = self.inspect
        at_s = self.diagnosis.get("at_s") or (look["finished_s"] if look.get("ended") else None)
        return round(max(0.0, look["now_s"] - at_s), 1) if at_s and look else None

    def again(self) -> str:
        """Return whether another start may get over the failure: ``transient``, ``once`` or nothing."""
        cls = self.diagnosis.get("class", "")
        return cls if cls in (_TRANSIENT, _ONCE) and not self.stalled else ""


def _runs(text: str, look: dict) -> tuple[str, str]:
    """Return the lines of a container's runs before the present one, and those of the present one."""
    started_s, finished_s = look["started_s"], look["finished_s"]
    begin_s = finished_s if finished_s <= started_s else started_s - 1
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if (parse(line[:100]).time_s or 0.0) >= begin_s), len(lines))
    return "".join(line + "\n" for line in lines[:first] if line), "\n".join(lines[first:])
