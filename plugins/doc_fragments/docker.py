# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules about Docker Engine have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    CONFIG = r"""
options:
  path:
    description: The engine's configuration file.
    type: path
    default: /etc/docker/daemon.json
"""

    GPU_ACCESS = r"""
options:
  access:
    description: How containers get their GPUs; the values of C(vllm_gpu_access).
    type: str
    choices: [runtime, cdi, deploy]
    default: runtime
"""

    #: Of modules that start a container to see whether it gets its GPUs.
    GPU_TEST = r"""
attributes:
  check_mode:
    support: none
    details: Skipped; a container would be started.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  devices:
    description: GPUs by index or UUID. V(all) for every one.
    type: list
    elements: str
    default: [all]
"""
