#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what NVIDIA GPUs a host has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Find out what NVIDIA GPUs a host has
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Asks C(nvidia-smi) for the GPUs, their memory and what holds it, with a time limit that a hanging driver cannot
    break.
  - Needs nothing on the host but Python. Reads the XML of the drivers from 440 to 580 and newer, or their CSV where the
    XML cannot be read.
  - A host without GPUs or with a broken driver is an answer, not a failure, unless O(fail=true); RV(error) says why no
    GPU, or not every GPU, answers.
  - Whatever a driver does not tell (V([N/A]), V(ERR!), a missing field) is null.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  timeout_s:
    description:
      - Seconds that C(nvidia-smi) may take. A host with many GPUs and without the service C(nvidia-persistenced) needs
        several.
    type: float
    default: 20
  fail:
    description: Whether the task fails when RV(error) is set, which is also the case when one of several GPUs is lost.
    type: bool
    default: false
notes:
  - C(nvidia-smi) run by root may load the kernel module and make the device nodes in C(/dev), as it does for everybody.
seealso:
  - module: myia.vllm.host_info
"""

EXAMPLES = r"""
- name: Gather facts about the GPUs
  myia.vllm.gpu_info:
  register: found

- name: Show who holds their memory
  ansible.builtin.debug:
    msg: "GPU {{ item.index }}: {{ item.memory_free_mib }} of {{ item.memory_total_mib }} MiB free {{ item.processes }}"
  loop: "{{ found.gpus }}"

- name: Stop here unless every GPU answers within 5 seconds
  myia.vllm.gpu_info:
    timeout_s: 5
    fail: true
"""

RETURN = r"""
gpus:
  description: The GPUs in the order of their index; empty where none answers.
  returned: always
  type: list
  elements: dict
  contains:
    index: {description: Index as nvidia-smi counts., type: int, returned: always}
    uuid: {description: UUID., type: str, returned: always}
    name: {description: Product name., type: str, returned: always}
    minor_number: {description: Number of the node /dev/nvidiaN., type: int, returned: always}
    pci_bus_id: {description: Address on the PCI bus., type: str, returned: always}
    memory_total_mib: {description: Memory in MiB; null on GPUs that share the host's., type: int, returned: always}
    memory_used_mib: {description: Used memory in MiB., type: int, returned: always}
    memory_free_mib: {description: Free memory in MiB., type: int, returned: always}
    compute_capability: {description: 'Such as V(8.9); null before driver 510.', type: str, returned: always}
    mig_mode: {description: 'V(Enabled), V(Disabled), or null on GPUs without MIG.', type: str, returned: always}
    mig_devices:
      description: The GPU's MIG devices.
      returned: always
      type: list
      elements: dict
      contains:
        index: {description: Index within the GPU., type: int, returned: always}
        uuid: {description: UUID., type: str, returned: always}
        name: {description: 'Profile, such as V(3g.20gb).', type: str, returned: always}
        gpu_instance_id: {description: GPU instance., type: int, returned: always}
        compute_instance_id: {description: Compute instance., type: int, returned: always}
        memory_total_mib: {description: Memory in MiB., type: int, returned: always}
        memory_used_mib: {description: Used memory in MiB., type: int, returned: always}
        memory_free_mib: {description: Free memory in MiB., type: int, returned: always}
    ecc_mode: {description: 'V(Enabled), V(Disabled), or null without ECC.', type: str, returned: always}
    power_limit_w: {description: Power limit in force in W., type: float, returned: always}
    pcie_generation: {description: PCIe generation now; idle GPUs lower it., type: int, returned: always}
    pcie_generation_max: {description: Highest PCIe generation of GPU and slot., type: int, returned: always}
    pcie_width: {description: PCIe lanes now., type: int, returned: always}
    pcie_width_max: {description: Most PCIe lanes of the GPU., type: int, returned: always}
    processes:
      description: Processes that hold memory; those of other containers only where the driver tells.
      returned: always
      type: list
      elements: dict
      contains:
        pid: {description: Process id., type: int, returned: always}
        name: {description: Name or path., type: str, returned: always}
        type: {description: 'V(C) for compute, V(G) for graphics, V(C+G).', type: str, returned: always}
        memory_mib: {description: Memory in MiB., type: int, returned: always}
    fault: {description: What the driver says of a lost GPU; null otherwise., type: str, returned: always}
driver_version:
  description: Version of the driver; null where none answers.
  returned: always
  type: str
cuda_version:
  description: Newest CUDA version that the driver runs; null where none answers.
  returned: always
  type: str
error:
  description: Why no GPU, or not every GPU, answers; null if all do.
  returned: always
  type: dict
  contains:
    id:
      description:
        - One of V(not_installed), V(library_missing), V(driver_library_mismatch), V(driver_not_loaded), V(no_devices),
          V(insufficient_permissions), V(gpu_access_blocked), V(hang), V(gpu_lost), V(nvml_unknown), V(other).
      type: str
      returned: always
    text: {description: What was found., type: str, returned: always}
    fix: {description: What to do., type: str, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "timeout_s": {"type": "float", "default": 20},
            "fail": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.params["timeout_s"] <= 0:
        module.fail_json(msg="timeout_s is %g; it must be more than 0 seconds." % module.params["timeout_s"])
    answer = nvidia_smi.query(host_command.run, module.params["timeout_s"])
    if answer["error"] and module.params["fail"]:
        module.fail_json(msg="%(id)s: %(text)s. %(fix)s" % answer["error"], **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
