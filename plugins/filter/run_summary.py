# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that words the end of a failed deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_summary
short_description: Word the end of a failed deployment
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Says in one message what happened, what serves now and what to do next.
options:
  _input:
    description: >-
      C(service), C(release), C(problem), C(log), and of the way back C(back), C(back_problem), C(back_s) and
      C(readmit_problem).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Fail
  ansible.builtin.fail:
    msg: "{{ story | myia.vllm.run_summary }}"
"""

RETURN = r"""
_value:
  description: The message.
  type: str
"""

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration


def run_summary(story: dict) -> str:
    """Return what happened, what serves now and what to do next.

    Args:
        story: ``service`` (name), ``release`` (name), ``problem`` (text), ``log`` (path, may be empty), and of the way
            back: ``back`` (name of the release, empty when there was none), ``back_problem`` (why it does not serve
            either, empty when it does), ``back_s`` (seconds that it took, None when it is not known), ``link_problem``
            (why the link ``current`` does not point to it), ``readmit_problem`` (why a gateway does not send
            requests to the host again); without a way back, ``left`` (why the container could not be removed, empty
            when it was).
    """
    head = "Release %s of %s does not serve" % (story["release"], story["service"])
    back, took_s = story.get("back", ""), story.get("back_s")
    if not back and story.get("left"):
        head += ". There was no good release to go back to, and the container could not be removed."
    elif not back:
        head += ". There was no good release to go back to: the container was removed, and nothing is half up."
    elif story.get("back_problem"):
        head += ", and going back to release %s failed too." % back
    else:
        took = "" if took_s is None else " after %s" % duration(took_s)
        head += "; release %s serves again%s." % (back, took)
    parts = [head, story["problem"].strip()]
    if story.get("back_problem"):
        parts.append("Release %s: %s" % (back, story["back_problem"].strip()))
    if story.get("link_problem"):
        parts.append(
            "The link current could not be set back; the next run mends it: %s" % story["link_problem"].strip()
        )
    if story.get("readmit_problem"):
        parts.append(story["readmit_problem"].strip())
    if story.get("left"):
        parts.append("Remove it by hand (docker rm -f): %s" % story["left"].strip())
    if story.get("log"):
        parts.append("Log of the failed start, on the host: %s" % story["log"])
    return "\n".join(part for part in parts if part)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"run_summary": run_summary}
