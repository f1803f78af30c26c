# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_drain``: see plugins/modules/service_drain.py for its docs."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry

#: Pause between two looks, in seconds.
POLL_S = 2.0


class ActionModule(ActionBase):
    """Look by the module ``service_load_info`` until nothing is left to wait for."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("container", "url", "timeout_s", "connection_timeout_s"))
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the last look; requests that are left after the time are a warning, not a failure."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "container": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "timeout_s": {"type": "float", "default": 300.0},
                "connection_timeout_s": {"type": "float", "default": 120.0},
            }
        )
        result["changed"] = False
        lines = ProgressLines(live.write, "%s: %s" % (task_vars["inventory_hostname"], args["container"]))
        retry = Retry(self, task_vars, lines, args["connection_timeout_s"])
        begin_s = time.monotonic()
        while True:
            try:
                look = retry.run("myia.vllm.service_load_info", {"container": args["container"], "url": args["url"]})
            except ConnectionLost as error:
                result["unreachable"] = True
                result["msg"] = "The host did not answer while its requests were waited for: %s." % error
                return result
            if look.get("failed"):
                result.update(look)
                return result
            waited_s, left = time.monotonic() - begin_s, look["requests"] or 0
            if look["drains"] or not left or waited_s >= args["timeout_s"]:
                break
            words = "waiting for %d request%s to end" % (left, "" if left == 1 else "s")
            lines.show("drain", words, time.monotonic(), duration(waited_s))
            time.sleep(POLL_S)
        result.update({key: look[key] for key in ("healthy", "drains", "requests", "now_s")})
        result["waited_s"] = round(waited_s, 1)
        if left and not look["drains"]:
            result["warnings"] = [
                "%s still has %d request%s after %.0f s (vllm_shutdown_timeout_s); what is not done yet is cut off."
                % (args["container"], left, "" if left == 1 else "s", waited_s)
            ]
        return result
