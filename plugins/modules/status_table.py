# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status_table
short_description: Print the services of several hosts as one table
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Prints what M(myia.vllm.service_status) returned for each service, and writes it as JSON. Changes no host.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  rows:
    description: RV(myia.vllm.service_status#module:row) of each service.
    type: list
    elements: dict
    required: true
  file:
    description: File on the controller that gets the rows as JSON, in check mode too. Empty for none.
    type: str
    default: ""
seealso:
  - module: myia.vllm.service_status
"""

EXAMPLES = r"""
- name: Show all services
  myia.vllm.status_table:
    rows: "{{ rows }}"
    file: status.json
"""

RETURN = r"""
table: {description: The lines of the table., type: list, elements: str, returned: success}
closing: {description: 'What the services come to, the worst first.', type: str, returned: success}
well:
  description: Whether each service serves, or was stopped on purpose.
  returned: success
  type: bool
"""
