# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules behave in check mode and diff mode."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode, where nothing is changed.
  diff_mode:
    description: Returns with C(--diff) what differs before and after.
"""

    #: Of modules that only look, judge or print.
    INFO = r"""
attributes:
  check_mode:
    description: Can run in check mode, where nothing is changed.
    support: full
    details: Changes nothing, so it runs in check mode as it does without.
  diff_mode:
    description: Returns with C(--diff) what differs before and after.
    support: none
    details: Changes nothing.
"""
