# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that users know better than the catalogue."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  extra_failures:
    description:
      - Entries of your own for the failure catalogue, in the form of those in
        C(plugins/plugin_utils/startup/failures.yml). Each needs C(id), C(class) (V(configuration), V(host),
        V(transient) or V(once)), C(cause), C(fix) and C(patterns), a list of regular expressions. They win over the
        collection's own; one with the same id replaces it.
    type: list
    elements: dict
    default: []
"""
