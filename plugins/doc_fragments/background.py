# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on on the host when the connection is lost."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  project:
    description: Name of the Compose project.
    type: str
    required: true
  run_dir:
    description: Folder for the state of what goes on, which needs not survive a reboot.
    type: path
    default: /run/myia-vllm
"""
