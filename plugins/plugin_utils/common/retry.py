# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module although the connection may drop for a while, as it does over a flaky line or while a host boots.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import time

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact

#: First pause before another try, and the longest, in seconds; each is twice the one before.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0


class ConnectionLost(Exception):
    """The host did not come back in time; the text says what the connection said last."""


class Retry:
    """Runs modules of one action."""

    def __init__(self, action, task_vars: dict, lines: ProgressLines, limit_s: float) -> None:
        """Prepare.

        Args:
            action: the action plugin whose ``_execute_module`` is used.
            task_vars: of its ``run``.
            lines: gets one line for every time that the connection drops.
            limit_s: how long the host may be away, in seconds.
        """
        self._action, self._task_vars = action, task_vars
        self._lines, self._limit_s = lines, limit_s

    def run(self, name: str, args: dict) -> dict:
        """Return the result of module ``name``; a result with ``failed`` is returned like any other.

        Raises:
            ConnectionLost: the host was away for longer than the limit.
        """
        away_since_s, pause_s = None, _PAUSE_S
        while True:
            try:
                result = self._action._execute_module(
                    module_name=name, module_args=args, task_vars=self._task_vars, wrap_async=False
                )
                lost, said = _is_lost(result), str(result.get("module_stderr") or result.get("msg") or "")
            except AnsibleConnectionFailure as error:
                lost, said = True, str(error)
            if not lost:
                return result
            now_s = time.monotonic()
            if away_since_s is None:
                away_since_s = now_s
                last = said.strip().splitlines()[-1] if said.strip() else "no reason given"
                self._lines.say("connection lost, trying again (%s)" % redact(last)[:200], now_s)
            if now_s - away_since_s >= self._limit_s:
                raise ConnectionLost(redact(said.strip())[:300])
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            # a shared connection of ssh that died would be used again for ever
            if hasattr(self._action._connection, "reset"):
                with contextlib.suppress(AnsibleConnectionFailure, OSError):
                    self._action._connection.reset()


def message(result: dict, otherwise: str) -> str:
    """Return what a module that failed says about it; ``otherwise`` when it says nothing."""
    return str(result.get("msg") or result.get("module_stderr") or otherwise).strip()


def _is_lost(result: dict) -> bool:
    """Tell whether the host was out of reach, or the module was cut off before it could answer (no JSON, no traceback).

    127 is a shell that does not find its Python, which waiting does not mend.
    """
    if result.get("unreachable"):
        return True
    said = "%s%s" % (result.get("module_stdout") or "", result.get("module_stderr") or "")
    return "module_stdout" in result and "Traceback" not in said and result.get("rc") not in (0, 127)
