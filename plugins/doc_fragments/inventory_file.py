# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file of an inventory gets variables."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    details: Writes nothing.
  diff_mode:
    support: full
    details: Shows the file of O(file).
options:
  file:
    description: >-
      YAML file on the controller that gets the variables; V(inventory) for C(host_vars/<host>/vllm_versions.yml) beside
      the inventory. Empty for none.
    type: str
    default: ""
"""
