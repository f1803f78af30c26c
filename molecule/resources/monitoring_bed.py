# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the scenario vllm_monitoring."""

from __future__ import annotations

import pathlib

NAME = "myia-vllm-medium-qwen3"
PASSWORD = "PLANTED-password-5d20aa"
KEY = "PLANTED-key-5d20aa"
GATEWAY_KEY = "PLANTED-gateway-key-5d20aa"

#: Where the loopback receiver writes what it is told.
TOLD = "/var/tmp/told.jsonl"

#: The scenario's tests, with the programs that run on its hosts.
HERE = pathlib.Path(__file__).parents[1] / "vllm_monitoring" / "tests"


def now(host) -> float:
    """Return the time of a host."""
    return float(host.check_output("date +%s.%N"))
