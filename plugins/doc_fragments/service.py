# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service is meant."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    #: As the controller checked it.
    DEFINITION = r"""
options:
  definition:
    description: The C(vllm_definition) that M(myia.vllm.service_definition) made.
    type: dict
    required: true
"""

    CONTAINER = r"""
options:
  container:
    description: Name of the service's container.
    type: str
    required: true
"""

    FOLDER = r"""
options:
  folder:
    description:
      - Folder of the service with its releases. What stands in their C(.env) as a secret is masked in texts that are
        returned.
    type: path
    required: true
"""

    #: Of modules that look once at all that there is.
    LOOK = r"""
options:
  gpus:
    description: Whether to ask C(nvidia-smi).
    type: bool
    default: true
  timeout_s:
    description: Longest time for each answer, in seconds.
    type: float
    default: 10
"""

    #: Of modules that handle its releases.
    PATH = r"""
options:
  path:
    description: Folder of the service.
    type: path
    required: true
"""

    #: Of modules that look while somebody holds the lock.
    TOKEN = r"""
options:
  token:
    description:
      - Of the lock that M(myia.vllm.service_lock) took. Each call shows a sign of life by it, and goes no further when
        the lock is lost.
    type: str
"""

    URL = r"""
options:
  url:
    description: Address of the service without a path, as seen on the host.
    type: str
    required: true
"""
