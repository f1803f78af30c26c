# SPDX-License-Identifier: GPL-3.0-or-later
"""What is downloaded before a switch, and when."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  step:
    description: What to download. The weights need the image.
    type: str
    required: true
    choices: [image, weights]
  pull:
    description:
      - V(missing) pulls an image that is not there, V(always) looks for a newer one, V(never) fails without one.
      - With V(always) the hub is asked for a newer commit of the weights too; otherwise weights that were downloaded in
        full are taken as they are, and the hub is not asked.
    type: str
    default: missing
    choices: [always, missing, never]
  lock:
    description:
      - The lock of the deployment, C(folder) and C(token). Each call shows a sign of life by it, and does nothing when
        it belongs to somebody else now. Empty for none.
    type: dict
    default: {}
"""
