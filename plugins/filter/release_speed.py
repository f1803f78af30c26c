# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that compares two releases by rounds of the same benchmark."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_speed
short_description: Tell whether a release is slower than the one before
version_added: 0.2.0
author: myia.vllm contributors (@myia)
description:
  - Compares two results of M(myia.vllm.benchmark) whose profile cuts a run into C(rounds), by an exact rank test for
    each figure. A release counts as slower when the rounds show, with a chance of error below one percent, that a
    figure is worse by more than O(percent).
  - What cannot be told is V(unknown), with the reason.
positional: after, percent
options:
  _input:
    description: The result of the release before.
    type: dict
    required: true
  after:
    description: The result of the new release.
    type: dict
    required: true
  percent:
    description: By how many percent a figure may be worse.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Fail when the release is slower
  ansible.builtin.assert:
    that: (before | myia.vllm.release_speed(after, 10)).verdict != 'slower'
"""

RETURN = r"""
_value:
  description: >-
    C(verdict) (V(slower), V(not_slower) or V(unknown)), C(text) for people, and C(figures) with C(before), C(after),
    C(ratio) and the band C(low) to C(high) in which the ratio lies.
  type: dict
"""

from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import gate


def release_speed(before: dict, after: dict, percent: float = 10) -> dict:
    """Return what the rounds of two benchmarks say; see ``gate.judge``."""
    for when, result in (("before", before), ("after", after)):
        if not result.get("ok"):
            text = "Not compared: the measurement %s the switch is not complete (%s)" % (
                when,
                str(result.get("problem") or result.get("msg") or "no reason given").strip().rstrip("."),
            )
            return {"verdict": gate.UNKNOWN, "figures": {}, "text": text + "."}
    if before.get("model") != after.get("model"):
        text = "Not compared: the release before served %s, this one serves %s." % (
            before.get("model"),
            after.get("model"),
        )
        return {"verdict": gate.UNKNOWN, "figures": {}, "text": text}
    return gate.judge(_rounds(before), _rounds(after), float(percent))


def _rounds(result: dict) -> list[dict]:
    return [item for run in result.get("runs") or [] for item in run.get("round_figures") or []]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"release_speed": release_speed}
