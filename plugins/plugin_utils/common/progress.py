# SPDX-License-Identifier: GPL-3.0-or-later
"""Print one line for each change of something that takes long, readable in a terminal, in AWX and in a log file.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable

#: Shortest time between two lines of the same step, in seconds: a bar that moves every second is one line in ten.
_MIN_GAP_S = 10.0

#: Longest silence, in seconds: whoever watches wants to see that the watch itself still lives.
_STILL_S = 60.0


class ProgressLines:
    """Decide which states are worth a line."""

    def __init__(self, write: Callable[[str], None], prefix: str = "") -> None:
        """Print by ``write``; each line begins with ``prefix``, for example the host's name."""
        self._write = write
        self._prefix = "%s | " % prefix if prefix else ""
        self._step: object = None
        self._last = ""
        self._printed_s: float | None = None

    def show(self, step: object, position: str, now_s: float, *more: str) -> bool:
        """Print the state if it is a new step, if it moved and the last line is old enough, or after a long silence.

        Args:
            step: what is going on; another one is printed at once.
            position: how far it is ("3/5 shards"); the line's first text.
            now_s: a clock that only goes forward, in seconds.
            more: further texts of the line; a change of these alone is not worth a line. Empty ones are left out.

        Returns:
            Whether a line was printed.
        """
        gap_s = None if self._printed_s is None else now_s - self._printed_s
        moved = position != self._last and (gap_s is None or gap_s >= _MIN_GAP_S)
        if step == self._step and not moved and (gap_s is None or gap_s < _STILL_S):
            return False
        self.say(position, now_s, *more)
        self._step, self._last = step, position
        return True

    def say(self, text: str, now_s: float, *more: str) -> None:
        """Print a line whatever was printed before."""
        self._write(self._prefix + " | ".join(part for part in (text, *more) if part))
        self._printed_s = now_s


def duration(seconds: float) -> str:
    """Return a duration as people say it: ``48 s``, ``9 min 31 s``, ``1 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return "%d s" % whole
    if whole < 3600:
        return "%d min %d s" % divmod(whole, 60)
    return "%d h %d min" % (whole // 3600, whole % 3600 // 60)


def size(count: float) -> str:
    """Return a number of bytes in the largest unit that fits: ``512 B``, ``270.3 KiB``, ``18.02 GiB``."""
    for unit, digits in (("B", 0), ("KiB", 1), ("MiB", 1)):
        if count < 1024:
            return "%.*f %s" % (digits, count, unit)
        count /= 1024
    return "%.2f GiB" % count
