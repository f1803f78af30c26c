# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that words the end of a failed deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_summary
short_description: Word the end of a failed deployment
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Says in one message what happened, what serves now and what to do next.
options:
  _input:
    description: >-
      C(service), C(release), C(problem), C(log), and of the way back C(back), C(back_problem) and C(back_s).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Fail
  ansible.builtin.fail:
    msg: "{{ story | myia.vllm.run_summary }}"
"""

RETURN = r"""
_value:
  description: The message.
  type: str
"""

from ansible_collections.myia.vllm.plugins.plugin_utils.report import run_summary


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"run_summary": run_summary.text}
