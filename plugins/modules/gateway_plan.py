# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_plan
short_description: Make of all services' definitions what a gateway needs
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Checks the C(vllm_gateway_*) variables of a gateway and the services of C(vllm_gateway_service_hosts), each with its
    C(vllm_definition) of this run, and reports all problems in one message. Contacts no host.
  - What it returns holds the keys of the services, so it is not shown.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options: {}
seealso:
  - module: myia.vllm.gateway_config
"""

EXAMPLES = r"""
- name: Plan the gateway
  myia.vllm.gateway_plan:
  register: plan
"""

RETURN = r"""
settings: {description: What the configuration is rendered with. It holds no secret., type: dict, returned: success}
files:
  description: Text of each map and of each answer for an error by its path on the gateway.
  returned: success
  type: dict
"""
