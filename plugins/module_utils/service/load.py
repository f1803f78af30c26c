# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running service has to do, and whether it ends its requests before it stops. Standard library; runs on hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: Gauges of an engine (vllm/v1/metrics/loggers.py; 0.8 and earlier name them alike).
_GAUGE = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^}\n]*\})? ([0-9.eE+-]+)$", re.MULTILINE)

#: Options with which vLLM ends running requests before it stops, and those with which that does not work: with several
#: API servers the engines are let go at once and the requests hang (seen with 0.32 and two data parallel ranks).
_DRAIN = ("--shutdown-timeout",)
_REPLICAS = ("--data-parallel-size", "--data-parallel-size-local", "-dp", "-dpl", "--api-server-count")


def requests(metrics: str) -> int | None:
    """Return the requests that run or wait, by the text of ``/metrics``; None where it does not tell."""
    found = [float(value) for value in _GAUGE.findall(metrics)]
    return int(sum(found)) if found else None


def drains(command: list) -> bool:
    """Tell whether vLLM, started with these arguments, ends its requests when it is asked to stop."""
    return _largest(command, _DRAIN) > 0 and _largest(command, _REPLICAS) <= 1


def _largest(command: list, flags: tuple[str, ...]) -> int:
    """Return the largest number that one of the flags has; 0 without any."""
    texts = [str(item) for item in command]
    found = [0]
    for place, text in enumerate(texts):
        name, equals, value = text.partition("=")
        if name.replace("_", "-") in flags:
            value = value if equals else "".join(texts[place + 1 : place + 2])
            found.append(int(value) if value.isdigit() else 0)
    return max(found)
