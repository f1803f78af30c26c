# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watches of several hosts tell each other: that one of them has failed.

Ansible runs a task on each host in a process of its own, on one controller, with one temporary folder of the run.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import pathlib

from ansible import constants


class FailedNodes:
    """The hosts of a service whose start has failed, as one of them sees it."""

    def __init__(self, me: str, nodes: list[str], attempt: str, folder: str = "") -> None:
        """Know the hosts.

        Args:
            me: this host.
            nodes: names of all hosts of the service, the head first; empty for a service of one.
            attempt: what is the same for all of them and for no other start of this run.
            folder: where to tell; the temporary folder of this run where nothing is said.
        """
        self._me, self._nodes = me, nodes
        self._heard = False
        named = hashlib.sha256("\n".join([attempt, *nodes]).encode()).hexdigest()[:16]
        self._folder = pathlib.Path(folder or constants.DEFAULT_LOCAL_TMP) / ("vllm-nodes-" + named)

    def tell(self, problem: str, again: str) -> None:
        """Say that the start on this host has failed, and whether another one may get over it.

        Nothing is said by a host that has heard of another one: it only ends, and others would take it for the culprit.
        """
        if not self._nodes or self._heard:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rank = self._nodes.index(self._me)
        draft = self._folder / (".%d" % rank)
        draft.write_text(json.dumps({"problem": problem, "again": again}), encoding="utf-8")
        draft.replace(self._folder / str(rank))

    def first(self) -> dict:
        """Return what failed on another host, ``{problem, again}`` with its name; empty while nothing has."""
        for rank, name in enumerate(self._nodes):
            if name == self._me:
                continue
            try:
                told = json.loads((self._folder / str(rank)).read_text(encoding="utf-8"))
            except OSError:
                continue
            self._heard = True
            return {**told, "problem": "%s (rank %d) failed: %s" % (name, rank, told["problem"])}
        return {}
