# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_status
short_description: Put what was seen of a service into one row
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Judges what M(myia.vllm.service_snapshot_info), M(myia.vllm.service_vitals_info) and, in check mode,
    M(myia.vllm.release) have seen. Each may be missing. Changes nothing and contacts no host.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  service:
    description: Name of the service, where there is no definition that has it.
    type: str
    default: ""
  definition:
    description: The C(vllm_definition); empty where the variables are no service.
    type: dict
    default: {}
  snapshot:
    description: What M(myia.vllm.service_snapshot_info) returned.
    type: dict
    default: {}
  vitals:
    description: What M(myia.vllm.service_vitals_info) returned.
    type: dict
    default: {}
  config:
    description: What M(myia.vllm.release) returned in check mode with O(myia.vllm.release#module:state=staged).
    type: dict
    default: {}
  failure:
    description: Why the host could not be looked at to the end.
    type: str
    default: ""
seealso:
  - module: myia.vllm.status_table
"""

EXAMPLES = r"""
- name: Judge what was seen
  myia.vllm.service_status:
    definition: "{{ vllm_definition }}"
    snapshot: "{{ snapshot }}"
    vitals: "{{ vitals }}"
"""

RETURN = r"""
row:
  description: >-
    C(host), C(address), C(service); C(state) (V(serves), V(stopped), V(starting), V(no answer), V(failed),
    V(not deployed), V(refused) for variables that are no service, V(unreachable)) with C(words); C(release),
    C(deployed_at), C(model), C(served_model_name), C(vllm_version), C(uptime_s), C(restarts), C(requests_running),
    C(requests_waiting), C(kv_cache_usage) (of 1), C(kv_cache_tokens), C(gpus), C(drift) (C(known) and C(lines)),
    C(image), C(image_age_s), C(model_commit), C(weights_age_s), C(reached) (each C(url), C(by) whom and C(guards)),
    C(stopped) and C(lock). What is not known is null or empty.
  returned: success
  type: dict
"""
