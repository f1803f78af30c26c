#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the releases of a service, and one to roll back to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: List the releases of a service and choose one to roll back to
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads the releases that a host keeps. Holds no value of any C(.env).
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.path
options:
  choose:
    description:
      - Name of the release to choose, or any part of it that only one release has. Empty for the newest release that
        was good and is not the current one.
    type: str
"""

EXAMPLES = r"""
- name: Choose the release before this one
  myia.vllm.release_info:
    path: /opt/vllm/medium
    choose: ""
  register: releases
"""

RETURN = r"""
current: {description: Name of the current release; empty without one., type: str, returned: always}
releases:
  description: All releases, oldest first, each as C(release.json) describes it.
  returned: always
  type: list
  elements: dict
release:
  description: The release that was chosen, as RV(myia.vllm.release#module:release).
  returned: with O(choose)
  type: dict
kept:
  description: How many good releases the host has, the current one included.
  returned: with O(choose)
  type: int
kept_failed:
  description: How many it has besides them, that failed or were never started.
  returned: with O(choose)
  type: int
return_to:
  description: The release to go back to when that one fails, as RV(myia.vllm.release#module:return_to).
  returned: with O(choose)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.service import releases


def listed(service: releases.Service) -> str:
    """Return the releases as lines that tell people what to choose from."""
    current = service.current()
    rows = []
    for about in map(service.about, service.names()):
        state = "good since %s" % about["good_since"] if about["good"] else "not good"
        state = "failed: %s" % about["failures"][-1].get("id") if about["failures"] else state
        rows.append("%s  %s  %s%s" % (
            about["name"], about.get("served_model_name", "?"), state, "  (current)" if about["name"] == current else ""
        ))  # fmt: skip
    return "\n".join(rows) or "none"


def choose(service: releases.Service, wanted: str) -> tuple[str, str]:
    """Return (name of the release that is meant, why there is none)."""
    current = service.current()
    if not wanted:
        name = service.last_good(besides=current)
        return name, "" if name else "no release besides the current one was ever good, so there is none to go back to"
    found = [name for name in service.names() if wanted in name]
    if len(found) == 1 and not service.has_env(found[0]):
        return "", "%s failed, and its secrets were deleted with its .env; deploy it by its variables" % found[0]
    if len(found) == 1:
        return found[0], ""
    if found:
        return "", "there are %d releases with %s in their names" % (len(found), wanted)
    return "", "there is no release with %s in its name" % wanted


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "choose": {"type": "str"}},
        supports_check_mode=True,
    )
    service = releases.Service(module.params["path"])
    result = {"current": service.current(), "releases": [service.about(name) for name in service.names()]}
    if module.params["choose"] is not None:
        name, problem = choose(service, module.params["choose"])
        if problem:
            module.fail_json(
                msg="%s. Name one of these by vllm_service_rollback_to:\n%s"
                % (problem[:1].upper() + problem[1:], listed(service))
            )
        back = service.current() if service.description(service.current()).get("good_since") else ""
        result["release"] = {
            **service.about(name), "current": name == service.current(), "staged": True,
            "last_good": service.last_good(),
        }  # fmt: skip
        others = service.not_good()
        result.update(kept=len(service.names()) - len(others), kept_failed=len(others))
        result["return_to"] = service.about(back if back not in ("", name) else service.last_good(besides=name))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
