# SPDX-License-Identifier: GPL-3.0-or-later
"""How a benchmark is measured and kept."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  on_busy:
    description: Whether to measure a service that has requests of others.
    type: bool
    default: false
  timeout_s:
    description: Longest time for all runs together, in seconds; 0 for no limit.
    type: int
    default: 3600
  keep:
    description: Number of benchmarks kept on the host.
    type: int
    default: 20
  warn_percent:
    description:
      - By how much a figure may be worse than that of the benchmark before without a warning. Less is worse for
        C(request_throughput) and C(output_throughput); more is worse for the p50 of C(ttft_ms), C(tpot_ms), C(itl_ms)
        and C(e2el_ms), and from 50 requests on for the p90 of C(ttft_ms), C(tpot_ms) and C(e2el_ms).
    type: float
    default: 10
"""
