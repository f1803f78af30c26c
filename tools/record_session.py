# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command in a terminal of its own and keep what it shows as a picture (SVG).

Usage: ``python tools/record_session.py OUT.svg TITLE COMMAND...``. Each line of the picture begins with the seconds
since the command was started, so that a picture of a start shows how it went over time. The exit status is that of
the command.
"""

from __future__ import annotations

import os
import pathlib
import pty
import re
import subprocess
import sys
import time

from rich.console import Console
from rich.text import Text

#: Columns of the terminal.
COLUMNS = 132


def record(command: list[str]) -> tuple[list[tuple[float, str]], int]:
    """Return (seconds, line) for each line that the command wrote to its terminal, and its exit status."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "ANSIBLE_FORCE_COLOR": "1"}
    begun_s = time.monotonic()
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    lines, rest = [], b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # Linux says so at the end of a terminal
            break
        if not data:
            break
        *done, rest = (rest + data).replace(b"\r\n", b"\n").split(b"\n")
        lines += [(time.monotonic() - begun_s, line.decode("utf-8", "replace")) for line in done]
    return lines, process.wait()


def main() -> int:
    """Record and write."""
    out, title, command = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    lines, status = record(command)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text("       $ " + title, style="bold"))
        for seconds, line in lines:
            if line.strip():
                console.print(Text("%5.0f s " % seconds, style="dim").append_text(Text.from_ansi(line)))
        out.parent.mkdir(parents=True, exist_ok=True)
        # readers' own fonts: a picture in the docs fetches nothing
        picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)
    out.write_text(picture.replace("Fira Code", "monospace"), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
