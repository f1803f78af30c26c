# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring knows of a service and how often it asks it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions

#: Kinds that write tokens: only of these do latency rules and the one-token question make sense.
GENERATING = ("chat", "base", "vision")

#: What a label's value, a file's name and a selector all take.
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

#: Upper limits of the buckets of vllm:time_to_first_token_seconds, as the label ``le`` has them (vLLM 0.11 to 0.33:
#: vllm/v1/metrics/loggers.py). A goal "share of requests below X" needs X to be one of them.
TTFT_BUCKETS = (
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5",
    "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0",
)  # fmt: skip

#: Limits of the alerts, by name with their unit. An operator's own ones win.
LIMITS: dict[str, float] = {
    # requests that wait, on the average of the window
    "queue_requests": 10,
    # share of the KV cache in use
    "kv_cache_ratio": 0.9,
    "preemptions_per_s": 0.1,
    "ttft_p95_s": 10,
    "itl_p95_s": 0.3,
    # share of the requests that were answered by 5xx
    "errors_ratio": 0.02,
    # restarts of one container within 15 minutes
    "restarts": 2.5,
    "gpu_temperature_c": 88,
    # share of a file system that is free
    "disk_free_ratio": 0.1,
    "certificate_days": 14,
    # goals: share of the time in which the service answers, and share of requests whose first token comes in time
    "slo_availability_ratio": 0.995,
    "slo_ttft_ratio": 0.95,
    "slo_ttft_s": 2.5,
    # answers of the gateway that say "wrong key", as a share of all
    "rejected_keys_ratio": 0.2,
}


class MonitoringError(Exception):
    """Something cannot be monitored as it was said; the text names variable, finding and fix."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """How often things are asked, in seconds; every window and delay of the rules is made of these two.

    ``scrape_s`` is the interval of /metrics and of the evaluation of rules, ``probe_s`` that of the questions by
    blackbox_exporter. ``hour_s`` is what a rule takes for an hour: tests lower it.
    """

    scrape_s: int = 15
    probe_s: int = 30
    hour_s: int = 3600

    @property
    def window(self) -> str:
        """Window of rates: eight scrapes, so that two lost ones leave enough for a rate."""
        return "%ds" % (8 * self.scrape_s)

    @property
    def quarter(self) -> str:
        """Window of what happens seldom, a quarter of an hour."""
        return "%ds" % (self.hour_s // 4)

    def hours(self, number: float) -> str:
        """Return a window of so many hours."""
        return "%ds" % max(4 * self.probe_s, int(number * self.hour_s))


@dataclasses.dataclass(frozen=True)
class Service:
    """One service that is monitored.

    ``host`` is its machine, ``name`` its vllm_name, ``model`` the name that clients ask for, ``release`` the release
    that runs, ``version`` its vLLM. ``address`` is where monitoring reaches it (``host:port``), ``node_address`` where
    its node_exporter answers (empty: none), ``gpus`` how many GPUs it has, ``gpu_metrics`` who tells about them.
    ``has_api`` is false for one of several hosts that serve together, of which another one answers: only its container
    and its machine are watched there.
    """

    host: str
    name: str
    model: str
    version: str
    release: str = ""
    address: str = "127.0.0.1:8000"
    scheme: str = "http"
    kind: str = "chat"
    api_key_required: bool = False
    gpus: int = 0
    gpu_metrics: str = "none"
    gpu_address: str = ""
    node_address: str = ""
    container: str = ""
    has_api: bool = True

    @property
    def id(self) -> str:
        """Name of the service's files."""
        return "%s.%s" % (self.host, self.name)

    @property
    def generates(self) -> bool:
        """Whether it writes tokens."""
        return self.kind in GENERATING

    def select(self, *more: str) -> str:
        """Return the selector of the service's series, with further matchers."""
        return "{%s}" % ",".join(('host="%s"' % self.host, 'service="%s"' % self.name, *more))

    def on_host(self, *more: str) -> str:
        """Return the selector of its machine's series."""
        return "{%s}" % ",".join(('host="%s"' % self.host, *more))


def release_of(*told: str) -> str:
    """Return the first of some texts that is a vLLM release (a build of one's own says ``dev``); empty without one."""
    for text in told:
        try:
            vllm_versions.release(text)
        except ValueError:
            continue
        return text
    return ""


def checked_limits(own: dict) -> dict[str, float]:
    """Return the limits with the operator's own ones over them.

    Raises:
        MonitoringError: for a name that there is not, a value that is no number, and a goal that no bucket can show.
    """
    for name, value in own.items():
        if name not in LIMITS:
            raise MonitoringError(
                "vllm_monitoring_limits: there is no limit %r. There are %s." % (name, ", ".join(LIMITS))
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise MonitoringError(
                "vllm_monitoring_limits: %s is %r. Set a number above 0, for example %s." % (name, value, LIMITS[name])
            )
        if name.endswith("_ratio") and value >= 1:
            raise MonitoringError("vllm_monitoring_limits: %s is %r. Set a share below 1." % (name, value))
    found = {**LIMITS, **own}
    if bucket(found["slo_ttft_s"]) not in TTFT_BUCKETS:
        raise MonitoringError(
            "vllm_monitoring_limits: slo_ttft_s is %s, and vLLM counts no requests below it. Set one of %s."
            % (found["slo_ttft_s"], ", ".join(TTFT_BUCKETS))
        )
    return found


def bucket(seconds: float) -> str:
    """Return a limit as vLLM writes it into the label ``le``."""
    return repr(float(seconds))
