# SPDX-License-Identifier: GPL-3.0-or-later
"""How long actions wait for a host that is out of reach."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  connection_timeout_s:
    description: How long the host may be out of reach, in seconds.
    type: float
    default: 120.0
"""
