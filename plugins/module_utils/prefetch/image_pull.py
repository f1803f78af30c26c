# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull an image in a process of its own, which goes on when the connection is lost, and say how far it is.

``start`` runs this very file in the background (``background.py``): the runner. It gives ``docker pull`` a terminal, as
Docker tells bytes to terminals only, and keeps what it says in a small state, which ``inspect`` reads. Python standard
library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time

from ansible_collections.myia.vllm.plugins.module_utils.common.background import Background

#: Lines kept of what is no progress, and characters of each.
LINES, LINE_CHARS = 40, 1000

#: Seconds between two writes of the state.
_WRITE_S = 1.0

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LAYER = re.compile(
    r"^(?P<id>[0-9a-f]{8,64}): (?P<what>Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|"
    r"Extracting|Pull complete|Already exists|Retrying in \d+ seconds?)"
    r"(?:\s.*?(?P<x>[\d.]+\s?[kMGT]?i?B)/(?P<y>[\d.]+\s?[kMGT]?i?B))?"
)
_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}


class Pull:
    """What ``docker pull`` said so far, of terminals or not."""

    def __init__(self) -> None:
        self.layers: dict = {}
        self.lines: list = []
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take more output in, cut anywhere."""
        pieces = re.split(r"[\r\n]+", self._rest + text)
        self._rest = pieces.pop()[-LINE_CHARS:]
        for piece in pieces:
            self._line(_ANSI.sub("", piece).strip())

    def close(self) -> None:
        """Say that nothing more will come."""
        self.feed("\n")

    def _line(self, line: str) -> None:
        match = _LAYER.match(line)
        if match is None:
            if line and line not in self.lines:
                self.lines = [*self.lines, line[:LINE_CHARS]][-LINES:]
            return
        layer = self.layers.setdefault(match["id"], {"what": "", "x": 0, "y": 0})
        layer["what"] = match["what"]
        if match["what"] == "Downloading" and match["y"]:
            layer["x"], layer["y"] = size_of(match["x"]), size_of(match["y"])
        elif match["what"] in ("Verifying Checksum", "Download complete", "Extracting", "Pull complete"):
            layer["x"] = layer["y"]

    def progress(self) -> dict:
        """Return ``{x, y, layers, layers_done}``: bytes downloaded, and of how many (0 while that is not known)."""
        layers = list(self.layers.values())
        open_end = any(layer["what"] in ("Pulling fs layer", "Waiting", "") for layer in layers)
        return {
            "x": sum(layer["x"] for layer in layers),
            "y": 0 if open_end else sum(layer["y"] for layer in layers),
            "layers": len(layers),
            "layers_done": sum(layer["what"] in ("Pull complete", "Already exists") for layer in layers),
        }


def size_of(text: str) -> int:
    """Return the bytes of a size as Docker prints it: ``12.3MB``, in steps of 1000."""
    number, unit = re.match(r"([\d.]+)\s?([kMGT]?)i?B", text).groups()
    return int(float(number) * _UNITS[unit])


def background(folder: str) -> Background:
    """Return the runner in ``folder``."""
    return Background(folder, "pull")


def inspect(folder: str) -> dict:
    """Return ``{state, image, before, exit_code, lines, x, y, layers, layers_done, died}`` of the pull in ``folder``.

    ``state`` is absent, running or ended; ``exit_code`` None and ``died`` true for a runner that was killed;
    ``before`` the id of the image when it began.
    """
    running = background(folder).is_alive()
    found = background(folder).state()
    if not found:
        return {"state": "running" if running else "absent", "image": "", "before": "", "exit_code": None, "lines": [],
                "x": 0, "y": 0, "layers": 0, "layers_done": 0, "died": False}  # fmt: skip
    found["state"] = "running" if running and found["exit_code"] is None else "ended"
    found["died"] = found["state"] == "ended" and found["exit_code"] is None
    return found


def start(folder: str, image: str, before: str, environ: dict) -> None:
    """Begin a pull; what an earlier one left in ``folder`` goes first.

    Args:
        folder: of this pull, made with mode 0700.
        image: what to pull.
        before: id of the image that is there under this name; empty without one.
        environ: environment of ``docker``.

    Raises:
        OSError: the runner does not start.
    """
    forget(folder)
    background(folder).start(__name__, [folder, image, before], environ, bool)


def forget(folder: str) -> None:
    """Remove what a pull left; one that runs goes on and is not seen any more."""
    background(folder).forget("pull.lock")


def main() -> None:
    """Run ``docker pull`` of the folder, image and earlier id in the arguments to its end; the runner's whole work."""
    folder, image, before = sys.argv[1:]
    runner = background(folder)
    runner.hold()
    try:
        reader, writer = pty.openpty()
    except OSError:
        # without terminals there are layers, but no bytes
        reader, writer = os.pipe()
    docker = subprocess.Popen(["docker", "pull", image], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    pull, written_s = Pull(), 0.0

    def write(exit_code: int | None) -> None:
        runner.write({"image": image, "before": before, "exit_code": exit_code, "lines": pull.lines, **pull.progress()})

    write(None)
    while True:
        try:
            data = os.read(reader, 65536)
        except OSError:  # the end of a terminal
            data = b""
        if not data:
            break
        pull.feed(data.decode("utf-8", "replace"))
        if time.monotonic() - written_s >= _WRITE_S:
            written_s = time.monotonic()
            write(None)
    pull.close()
    write(docker.wait())
