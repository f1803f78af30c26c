# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Screen output that leaves phases, changes, warnings and the closing message of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: brief
type: stdout
short_description: Phases, changes, warnings and one closing message
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Prints a line for each role that a run comes to, for each change and for each failure, warnings as they come, and
    after the recap the closing message of each host, whole. Nothing is printed of a task that had nothing to do.
  - A failure that the playbook itself takes care of is one line; the closing message has its text.
  - With C(-v) it is P(ansible.builtin.default#callback), so that nothing is hidden from who looks for more.
requirements:
  - C(stdout_callback=myia.vllm.brief) in C(ansible.cfg), as in a checkout of this collection
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default

#: The role whose last task tells what a run came to.
_CLOSING_ROLE = "vllm_report"


class CallbackModule(Default):
    """Ansible's entry point."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "myia.vllm.brief"

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self._phase = ""
        self._closing: dict[str, tuple[str, str | None]] = {}

    @property
    def _whole(self) -> bool:
        return self._display.verbosity > 0

    def _say(self, text: str, color: str | None = None) -> None:
        self._display.display(text, color=color)

    def v2_playbook_on_play_start(self, play) -> None:
        """Print the name of the play."""
        if self._whole:
            super().v2_playbook_on_play_start(play)
            return
        self._play, self._phase = play, ""
        self._say("\n%s" % play.get_name().strip())

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        """Print the role of the task, where it is another than before."""
        if self._whole:
            super().v2_playbook_on_task_start(task, is_conditional)
            return
        role = role_of(task)
        if role and role != self._phase:
            self._say("  %s" % role)
        self._phase = role or self._phase

    def v2_playbook_on_include(self, included_file) -> None:
        """Print nothing of a file that is included."""
        if self._whole:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_ok(self, result) -> None:
        """Print a change, what a task was to show, and warnings."""
        if self._whole:
            super().v2_runner_on_ok(result)
            return
        self._handle_warnings(result.result)
        if result.task.action in C._ACTION_DEBUG:
            told = result.result.get("msg", "")
            self._show(result, "\n    ".join(map(str, told)) if isinstance(told, list) else str(told), None)
        elif result.result.get("changed") and not result.task.loop:
            self._say("    changed: [%s] %s" % (self.host_label(result), name_of(result.task)), C.COLOR_CHANGED)

    def v2_runner_item_on_ok(self, result) -> None:
        """Print a change of an item."""
        if self._whole:
            super().v2_runner_item_on_ok(result)
            return
        self._handle_warnings(result.result)
        if result.result.get("changed"):
            label = self._get_item_label(result.result)
            text = "    changed: [%s] %s (%s)" % (self.host_label(result), name_of(result.task), label)
            self._say(text, C.COLOR_CHANGED)

    def v2_runner_on_failed(self, result, ignore_errors: bool = False) -> None:
        """Print a failure: a line where the playbook takes care of it, all that is known otherwise."""
        if self._whole:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._handle_warnings(result.result)
        text = str(result.result.get("msg") or result.result.get("stderr") or "no reason given").strip()
        if ignore_errors:
            return
        if role_of(result.task) == _CLOSING_ROLE:
            self._show(result, text, C.COLOR_ERROR)
            return
        head = "    failed: [%s] %s: " % (self.host_label(result), name_of(result.task))
        if is_rescued(result.task):
            self._say(head + text.splitlines()[0], C.COLOR_ERROR)
            return
        more = [str(result.result[key]) for key in ("stdout", "stderr", "module_stderr") if result.result.get(key)]
        self._say("\n".join([head + text, *(item for item in more if item.strip() != text)]), C.COLOR_ERROR)

    def v2_runner_item_on_failed(self, result) -> None:
        """Print an item that failed."""
        if self._whole:
            super().v2_runner_item_on_failed(result)
            return
        self._handle_warnings(result.result)
        label, text = self._get_item_label(result.result), str(result.result.get("msg") or "no reason given")
        head = "    failed: [%s] %s (%s): " % (self.host_label(result), name_of(result.task), label)
        self._say(head + text, C.COLOR_ERROR)

    def v2_runner_on_skipped(self, result) -> None:
        """Print nothing of a task that was skipped."""
        if self._whole:
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_skipped(self, result) -> None:
        """Print nothing of an item that was skipped."""
        if self._whole:
            super().v2_runner_item_on_skipped(result)

    def v2_playbook_on_stats(self, stats) -> None:
        """Print the recap, and after it what the run came to on each host."""
        if not self._whole:
            self._say("")
        super().v2_playbook_on_stats(stats)
        for host, (text, color) in self._closing.items():
            self._say(text if len(self._closing) == 1 else "%s: %s" % (host, text), color)

    def _show(self, result, text: str, color: str | None) -> None:
        """Print a text; what a run came to waits for its end."""
        if role_of(result.task) == _CLOSING_ROLE:
            self._closing[result.host.get_name()] = (text, color or C.COLOR_OK)
        else:
            self._say("    %s" % text, color)


def role_of(task) -> str:
    """Return the short name of the role of a task; empty for one that is in none."""
    role = getattr(task, "_role", None)
    return role.get_name().rpartition(".")[2] if role else ""


def name_of(task) -> str:
    """Return the name of a task without its role's."""
    return task.get_name().rpartition(" : ")[2].strip()


def is_rescued(task) -> bool:
    """Tell whether a failure of the task is taken care of: it stands in a block with a rescue, not in the rescue."""
    child, parent = task, getattr(task, "_parent", None)
    while parent is not None:
        rescue = getattr(parent, "rescue", None) or []
        others = [item._uuid for item in [*rescue, *(getattr(parent, "always", None) or [])]]
        if rescue and child._uuid not in others:
            return True
        child, parent = parent, getattr(parent, "_parent", None)
    return False
