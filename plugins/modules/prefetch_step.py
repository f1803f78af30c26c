#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: begin a step before the switch, look at it once, or clean up behind it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prefetch_step
short_description: Begin, look at or clean up a download that goes on by itself
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - One call is one look or one start, and takes a second. The image is pulled by a process, the weights by a container
    of their own; both go on when the connection is lost, and a later call finds them again.
  - M(myia.vllm.prefetch) calls it until the step is over, shows the progress and names what failed.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.prefetch
  - myia.vllm.background
attributes:
  check_mode:
    support: full
    details: Looks, and begins and cleans up nothing.
  diff_mode:
    support: none
    details: Images and weights have no diff.
options:
  do:
    description: Look at it, begin it unless it runs or there is nothing to do, or clean up behind it.
    type: str
    default: inspect
    choices: [inspect, start, clean]
  image:
    description: The service's image.
    type: str
    required: true
  release:
    description: Folder of the release whose Compose file is used. Weights need it to begin.
    type: str
    default: ""
  service:
    description: Name of the service in the Compose file that downloads.
    type: str
    default: ""
  container:
    description: Name of its container.
    type: str
    default: ""
  models:
    description: What to download, with C(id), C(revision) and C(load_format) each.
    type: list
    elements: dict
    default: []
  hf_cache:
    description: Docker volume or absolute path of the hub's cache.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Inspect the pull of the image
  myia.vllm.prefetch_step:
    step: image
    image: vllm/vllm-openai:v0.32.0
    project: vllm-medium
  register: pull
"""

RETURN = r"""
state:
  description:
    - V(absent) when nothing was begun, V(running), V(complete) when there was nothing to do, V(done), V(failed), or
      V(lost) when the lock belongs to somebody else.
  returned: always
  type: str
x:
  description: Bytes that are there.
  returned: always
  type: int
y:
  description: Bytes of the whole; 0 while they are not known.
  returned: always
  type: int
unit:
  description: What C(x) and C(y) count, V(bytes).
  returned: always
  type: str
detail:
  description: How far it is in layers or files.
  returned: always
  type: str
log:
  description: The last lines that Docker or the download said, without progress. Secrets of C(.env) are masked.
  returned: always
  type: list
  elements: str
exit_code:
  description: Exit status of the pull or the container; null while it runs, and for a pull whose process was killed.
  returned: always
  type: int
facts:
  description:
    - When it is V(complete) or V(done). Of the image C(image), C(id), C(changed) and C(bytes); of the weights C(models)
      (each with C(id), C(revision), C(commit), C(bytes), C(files), C(downloaded)), C(changed), C(bytes), C(warnings).
  returned: always
  type: dict
problem:
  description: Why the run must stop; empty while the lock is its own.
  returned: always
  type: str
"""

import inspect
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.prefetch import steps as prefetch_steps
from ansible_collections.myia.vllm.plugins.module_utils.prefetch import weights_download
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock


def step_of(p: dict):
    """Return the step that the module's parameters mean."""
    if p["step"] == "image":
        folder = os.path.join(p["run_dir"], p["project"])
        return prefetch_steps.Image(p["image"], p["pull"], folder)
    names = ("release", "project", "service", "container", "image", "models", "hf_cache")
    settings = {**{name: p[name] for name in names}, "refresh": p["pull"] == "always"}
    return prefetch_steps.Weights(settings, inspect.getsource(weights_download))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "required": True, "choices": ["image", "weights"]},
            "do": {"type": "str", "default": "inspect", "choices": ["inspect", "start", "clean"]},
            "image": {"type": "str", "required": True},
            "pull": {"type": "str", "default": "missing", "choices": ["always", "missing", "never"]},
            "project": {"type": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "service": {"type": "str", "default": ""},
            "container": {"type": "str", "default": ""},
            "models": {"type": "list", "elements": "dict", "default": []},
            "hf_cache": {"type": "str", "default": ""},
            # no_log would mask its words wherever they turn up; the token is none of a secret
            "lock": {"type": "dict", "default": {}, "no_log": False},
            "run_dir": {"type": "path", "default": "/run/myia-vllm"},
        },
        supports_check_mode=True,
    )
    p = module.params
    problem = ""
    if p["lock"]:
        problem = service_lock.Lock(p["lock"]["folder"]).sign_of_life(p["lock"]["token"])
    do = "inspect" if module.check_mode else p["do"]
    found = prefetch_steps.state("lost") if problem else getattr(step_of(p), do)()
    module.exit_json(changed=False, problem=problem, unit="bytes", log=found.pop("lines"), **found)


if __name__ == "__main__":
    main()
