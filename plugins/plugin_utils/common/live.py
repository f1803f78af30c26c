# SPDX-License-Identifier: GPL-3.0-or-later
"""Print while a task is still running, in every program that shows what Ansible prints.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible.utils.display import Display

#: What the callback of ansible-runner knows: it puts a function of its own in place of ``Display.display``.
_OF_RUNNER = "event_context"


def write(text: str) -> None:
    """Print a line from the process of a task.

    ansible-core hands it to the main process, which prints it. The function that ansible-runner up to 2.4.1 puts in
    place of Display.display writes marks of an event to standard output first, in the process of the task too, and
    Ansible then warns that this process "errantly sent data directly to stdout". Since 2.4.2 it leaves such processes
    alone.
    """
    display: Callable[..., None] = Display.display
    while _OF_RUNNER in getattr(display, "__globals__", {}) and hasattr(display, "__wrapped__"):
        display = display.__wrapped__
    display(Display(), text)
