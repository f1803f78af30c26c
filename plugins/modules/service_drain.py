# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_drain
short_description: Wait until a service has no requests, where it would not end them itself
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Looks by M(myia.vllm.service_load_info). Where vLLM ends its running requests itself when it is asked to stop, it
    returns at once; elsewhere (before vLLM 0.18, with several data parallel ranks) it waits until none is left, with a
    line of progress, and no longer than O(timeout_s).
  - Nobody is kept from asking meanwhile; a gateway in front can do that. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.url
options:
  timeout_s:
    description: Longest wait in seconds.
    type: float
    default: 300
  connection_timeout_s:
    description: How long the host may be away, in seconds.
    type: float
    default: 120
seealso:
  - module: myia.vllm.service_load_info
"""

EXAMPLES = r"""
- name: Wait until the running requests have ended
  myia.vllm.service_drain:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
"""

RETURN = r"""
healthy: {description: Whether the service answered at the last look., type: bool, returned: success}
drains: {description: Whether vLLM ends its requests itself., type: bool, returned: success}
requests:
  description: Requests that were left at the last look; null where the service does not tell.
  returned: success
  type: int
waited_s: {description: How long it was waited for, type: float, returned: success}
now_s: {description: "The host's time at the last look, in seconds since 1970.", type: float, returned: success}
"""
