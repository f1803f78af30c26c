# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_log``: see plugins/modules/service_log.py for its docs."""

from __future__ import annotations

import base64
import gzip
import re

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS


class ActionModule(ActionBase):
    """Read a window of the log by the module ``service_log_info``, take secrets out of it, and print it."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("container", "folder", "since", "up_to", "lines", "match"))
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return how many lines there were, and the closing message."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "container": {"type": "str", "required": True},
                "folder": {"type": "path", "required": True},
                "since": {"type": "str", "default": ""},
                "up_to": {"type": "str", "default": ""},
                "lines": {"type": "int", "default": 200},
                "match": {"type": "str", "default": ""},
            }
        )
        match = args.pop("match")
        try:
            wanted = re.compile(match)
        except re.error as error:
            result.update(failed=True, msg="vllm_logs_match: %r is no regular expression (%s)." % (match, error))
            return result
        answer = self._execute_module("myia.vllm.service_log_info", module_args=args, task_vars=task_vars)
        if answer.get("failed") or answer.get("unreachable"):
            result.update(answer)
            return result
        packed = base64.b64decode(answer["log_gz"])
        text = gzip.decompress(packed).decode("utf-8", "replace") if packed else ""
        # what the host has in its .env it has masked itself; these may be others by now
        secrets = [str(self._templar.template(task_vars[name])) for name in SECRETS if task_vars.get(name)]
        lines = redact(text, secrets).splitlines()
        shown = [line for line in lines if wanted.search(line)]
        result.update(changed=False, state=answer["state"], read=len(lines), shown=len(shown))
        result["closing"] = closing(args, match, answer, len(lines), len(shown))
        live.write("\n" + "\n".join(shown) if shown else "")
        return result


def closing(args: dict, match: str, answer: dict, read: int, shown: int) -> str:
    """Return what was shown, and where more is.

    Args:
        args: of the module ``service_log_info``.
        match: the regular expression; empty for all lines.
        answer: what that module returned.
        read: number of lines that were read.
        shown: number of those that were printed.
    """
    name = args["container"]
    if answer["state"] == "missing":
        text = "There is no container %s, so it has no log." % name
    else:
        span = " since %s" % args["since"] if args["since"] else ""
        span += " until %s" % args["up_to"] if args["up_to"] else ""
        of_them = " that match %s, of %d" % (match, read) if match else ""
        text = "%d line%s%s of %s (%s)%s." % (shown, "" if shown == 1 else "s", of_them, name, answer["state"], span)
    if answer["cut"] or read >= args["lines"]:
        text += " There may be more before them: raise vllm_logs_lines, or set vllm_logs_since and vllm_logs_until."
    if answer.get("late"):
        text += " The window was not read to its end, since that took too long: set a later vllm_logs_since."
    if answer["failed_logs"]:
        text += " Logs of releases that did not start, on the host: %s." % ", ".join(answer["failed_logs"])
    return text
