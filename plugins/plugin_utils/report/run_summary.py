# SPDX-License-Identifier: GPL-3.0-or-later
"""The one message that a failed deployment ends with.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration


def text(story: dict) -> str:
    """Return what happened, what serves now and what to do next.

    Args:
        story: ``service`` (name), ``release`` (name), ``problem`` (text), ``log`` (path, may be empty), and of the way
            back: ``back`` (name of the release, empty when there was none), ``back_problem`` (why it does not serve
            either, empty when it does), ``back_s`` (seconds that it took, None when it is not known); without a way
            back, ``left`` (why the container could not be removed, empty when it was).
    """
    head = "Release %s of %s does not serve" % (story["release"], story["service"])
    back, took_s = story.get("back", ""), story.get("back_s")
    if not back and story.get("left"):
        head += ". There was no good release to go back to, and the container could not be removed."
    elif not back:
        head += ". There was no good release to go back to: the container was removed, and nothing is half up."
    elif story.get("back_problem"):
        head += ", and going back to release %s failed too: NOTHING SERVES NOW." % back
    else:
        # before Ansible 2.19 a template gives texts
        took = " after %s" % duration(float(took_s)) if took_s not in (None, "", "None") else ""
        head += "; release %s serves again%s." % (back, took)
    parts = [head, story["problem"].strip()]
    if story.get("back_problem"):
        parts.append("Release %s: %s" % (back, story["back_problem"].strip()))
    if story.get("left"):
        parts.append("Remove it by hand (docker rm -f): %s" % story["left"].strip())
    if story.get("log"):
        parts.append("Log of the failed start, on the host: %s" % story["log"])
    return "\n".join(part for part in parts if part)
