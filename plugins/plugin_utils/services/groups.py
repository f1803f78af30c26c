# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell when the groups of a host are different services.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import itertools

#: What makes a service another one.
_IDENTITY = ("vllm_name", "vllm_profile", "vllm_model", "vllm_container_name", "vllm_port")


def ambiguous(said: dict[str, dict], within: dict[str, set[str]]) -> str:
    """Return why the groups of a host cannot be one service; empty when they can.

    Ansible lets one group win over another without a word. That is meant where one is within the other.

    Args:
        said: the variables of each of the host's groups, not templated.
        within: for each of the groups those that it is within.
    """
    for one, other in itertools.combinations(sorted(said), 2):
        if one in within.get(other, ()) or other in within.get(one, ()):
            continue
        both = [name for name in _IDENTITY if name in said[one] and name in said[other]]
        differ = [name for name in both if str(said[one][name]) != str(said[other][name])]
        if differ:
            return (
                "it is in the groups %s and %s, and both say %s. Only one of them would be taken, without a word. Give "
                "the host one service, or list its services in vllm_services (docs/services.md)."
                % (one, other, ", ".join(differ))
            )
    return ""
