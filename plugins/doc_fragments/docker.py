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
