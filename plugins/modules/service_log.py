# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_log
short_description: Print a window of a service's log, without secrets
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads by M(myia.vllm.service_log_info), takes out what the host's C(.env) files have as secrets and what looks like
    one, and prints the lines. What people ask the model is not taken out, where vLLM was told to log it
    (C(enable-log-requests)). Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
options:
  since:
    description: From when on, a time or how long ago (V(10m)). Empty for the beginning of the log.
    type: str
    default: ""
  up_to:
    description: Until when, in the same form. Empty for now.
    type: str
    default: ""
  lines:
    description: Most lines to read, counted from the end of the window.
    type: int
    default: 200
  match:
    description: Regular expression that a line must contain to be printed. Empty for all.
    type: str
    default: ""
seealso:
  - module: myia.vllm.service_log_info
"""

EXAMPLES = r"""
- name: Show what went wrong in the last hour
  myia.vllm.service_log:
    container: myia-vllm-medium-qwen3
    folder: /opt/vllm/medium
    since: 1h
    lines: 5000
    match: ERROR|Traceback
"""

RETURN = r"""
state: {description: "Docker's state of the container, V(missing) without one.", type: str, returned: success}
read: {description: How many lines the window has., type: int, returned: success}
shown: {description: How many of them were printed., type: int, returned: success}
closing: {description: 'What was shown, and where more is.', type: str, returned: success}
"""
