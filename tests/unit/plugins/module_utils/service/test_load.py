# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service has to do, and whether it ends it before it stops."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import load

METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
"""


@pytest.mark.parametrize(
    ("text", "number"),
    [(METRICS, 6), ('vllm:num_requests_running{model_name="m"} 0.0\n', 0), ("vllm:num_requests_running 2\n", 2),
     ("", None), ("<html>", None)],
)  # fmt: skip
def test_requests(text, number) -> None:
    """Those of all engines, running and waiting; what is not told is not zero."""
    assert load.requests(text) == number


@pytest.mark.parametrize(
    ("command", "drains"),
    [
        (["m", "--shutdown-timeout", "300"], True),
        (["m", "--shutdown-timeout=300"], True),
        (["m", "--shutdown_timeout", "300"], True),
        (["m"], False),
        (["m", "--shutdown-timeout", "0"], False),
        (["m", "--shutdown-timeout", "300", "--data-parallel-size", "2"], False),
        (["m", "--shutdown-timeout", "300", "-dp=2"], False),
        (["m", "--shutdown-timeout", "300", "--api-server-count", "4"], False),
        (["m", "--shutdown-timeout", "300", "--data-parallel-size", "1"], True),
        (["m", "--shutdown-timeout"], False),
    ],
)
def test_drains(command, drains) -> None:
    """Where vLLM has a time for it, and one API server."""
    assert load.drains(command) is drains
