# SPDX-License-Identifier: GPL-3.0-or-later
"""Speak with a running HAProxy by its sockets: servers, open requests, maps.

Python standard library only; runs on target hosts.

Names of fields are those of HAProxy's management guide (2.6 and 3.0), sections 9.1 and 9.3.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import csv
import re
import socket
import time

#: Where Debian's packages and this collection put the sockets.
ADMIN_SOCKET = "/run/haproxy/admin.sock"
MASTER_SOCKET = "/run/haproxy-master.sock"

#: Stick table that counts, by backend, the requests that wait while no server is usable.
HOLD_TABLE = "st_hold"

#: Bits of ``srv_admin_state`` (management guide, "show servers state"): maintenance of any origin, drain of any origin.
_MAINT_BITS = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
_DRAIN_BITS = 0x08 | 0x10

#: Rows of ``show stat`` that are no server.
_NO_SERVER = ("FRONTEND", "BACKEND")

#: How long after a dropped connection the question is put again; a reload takes some tenths of a second.
_AGAIN_S = 0.1

#: A command that changes nothing, with or without the worker it is for.
_READS = re.compile(r"(@\S+ )?show ")

#: A server in these conditions gets no new request.
_OUT = ("DOWN", "MAINT", "DRAIN", "NOLB")


class GatewayError(Exception):
    """HAProxy refused a command, or cannot be asked; the text says why and holds no value of a map."""


class NotRunning(GatewayError):
    """Nothing listens on the socket."""


class Runtime:
    """The runtime API of the worker that takes new connections."""

    def __init__(self, path: str = ADMIN_SOCKET, timeout_s: float = 10.0) -> None:
        """Take the path of the socket, and the longest time for one answer in seconds."""
        self.path, self.timeout_s = path, timeout_s

    def ask(self, command: str, payload: str = "") -> str:
        """Return the answer to a command.

        Args:
            command: one command.
            payload: lines that follow it; an empty one would end them, so there must be none.

        Raises:
            NotRunning: nobody listens.
            GatewayError: the socket cannot be used, or the answer did not come in time.
        """
        text = command + "\n"
        if payload:
            lines = [line for line in payload.splitlines() if line.strip()]
            text = "%s <<\n%s\n\n" % (command, "\n".join(lines))
        # a master that reloads executes itself anew and drops who was asking; what only reads may be asked again
        again_until_s = time.monotonic() + (self.timeout_s if _READS.match(command) else 0)
        while True:
            try:
                return self._ask_once(text)
            except (FileNotFoundError, ConnectionRefusedError):
                raise NotRunning("HAProxy does not run: nothing listens on %s." % self.path) from None
            except OSError as error:
                is_dropped = isinstance(error, (ConnectionResetError, BrokenPipeError))
                if is_dropped and time.monotonic() < again_until_s:
                    time.sleep(_AGAIN_S)
                    continue
                reason = error.strerror or type(error).__name__
                raise GatewayError("HAProxy cannot be asked on %s: %s." % (self.path, reason)) from None

    def _ask_once(self, text: str) -> str:
        """Send a command on a connection of its own and return the answer; errors are those of the system."""
        found = bytearray()
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
            link.settimeout(self.timeout_s)
            link.connect(self.path)
            link.sendall(text.encode("utf-8"))
            # the master of 2.6 keeps the connection until then
            link.shutdown(socket.SHUT_WR)
            while True:
                part = link.recv(65536)
                if not part:
                    return found.decode("utf-8", "replace")
                found += part

    def order(self, command: str, payload: str = "", expected: str = "") -> None:
        """Give a command whose answer is empty, or holds ``expected``.

        Raises:
            GatewayError: with HAProxy's own words.
        """
        answer = self.ask(command, payload).strip()
        if answer and not (expected and expected in answer):
            words = " ".join(answer.splitlines()[:3])
            raise GatewayError("HAProxy refused %r: %s" % (" ".join(command.split()[:4]), words))


class OldWorker(Runtime):
    """A worker that only ends its requests since a reload; it is asked by the master's socket."""

    def __init__(self, pid: int, path: str = MASTER_SOCKET, timeout_s: float = 10.0) -> None:
        """Take its process id."""
        super().__init__(path, timeout_s)
        self.pid = pid

    def ask(self, command: str, payload: str = "") -> str:
        """Return its answer."""
        return super().ask("@!%d %s" % (self.pid, command), payload)


def servers(runtime: Runtime) -> dict[str, dict[str, dict]]:
    """Return the servers of each backend: ``{backend: {server: {admin, status, open, queued}}}``.

    ``admin`` is ready, drain or maint, ``status`` HAProxy's own word, ``open`` how many requests the server works on.
    """
    admin: dict[tuple[str, str], str] = {}
    for line in runtime.ask("show servers state").splitlines():
        fields = line.split()
        if len(fields) > 6 and fields[0].isdigit() and fields[6].isdigit():
            bits = int(fields[6])
            word = "maint" if bits & _MAINT_BITS else "drain" if bits & _DRAIN_BITS else "ready"
            admin[fields[1], fields[3]] = word
    found: dict[str, dict[str, dict]] = {}
    for row in stats(runtime):
        if row["svname"] not in _NO_SERVER:
            key = (row["pxname"], row["svname"])
            found.setdefault(key[0], {})[key[1]] = {
                "admin": admin.get(key, "ready"),
                "status": row["status"],
                "open": int(row["scur"] or 0),
                "queued": int(row["qcur"] or 0),
            }
    return found


def stats(runtime: Runtime) -> list[dict[str, str]]:
    """Return the rows of ``show stat`` of frontends, backends and servers."""
    text = runtime.ask("show stat").lstrip("# ")
    rows = list(csv.DictReader(text.splitlines()))
    needed = {"pxname", "svname", "status", "scur", "qcur"}
    return [row for row in rows if needed <= set(row) and row["svname"]]


def is_usable(server: dict) -> bool:
    """Tell whether a server of `servers` gets new requests."""
    return server["admin"] == "ready" and not server["status"].startswith(_OUT)


def tables(runtime: Runtime) -> list[str]:
    """Return the names of the stick tables."""
    return re.findall(r"^# table: ([^,\s]+),", runtime.ask("show table"), re.MULTILINE)


def held(runtime: Runtime, table: str) -> dict[str, int]:
    """Return how many requests wait for a server of each service, from the table that counts them."""
    answer = runtime.ask("show table %s" % table)
    return {name: int(count) for name, count in re.findall(r"key=(\S+) .*?conn_cur=(\d+)", answer) if count != "0"}


def processes(path: str = MASTER_SOCKET, timeout_s: float = 10.0) -> dict:
    """Return what the master says of its workers: ``reloads``, ``failed``, ``worker`` (pid), ``old`` (pids).

    All empty where there is no master to ask.
    """
    found: dict = {"reloads": None, "failed": None, "worker": None, "old": []}
    try:
        text = Runtime(path, timeout_s).ask("show proc")
    except NotRunning:
        return found
    is_old = False
    for line in text.splitlines():
        if line.startswith("#"):
            is_old = "old" in line
        fields = line.split()
        if len(fields) > 2 and fields[0].isdigit():
            if fields[1] == "master":
                # "3 [failed: 1]" in 2.6 and 3.0
                found["reloads"] = int(re.sub(r"\D.*", "", fields[2]) or 0)
                wrong = re.search(r"\[failed: (\d+)\]", line)
                found["failed"] = int(wrong.group(1)) if wrong else 0
            elif fields[1] == "worker" and is_old:
                found["old"].append(int(fields[0]))
            elif fields[1] == "worker":
                found["worker"] = int(fields[0])
    return found


def open_requests(workers: list[Runtime], backend: str, server: str) -> int:
    """Return how many requests a server works on, of all workers; one that is gone has none."""
    count = 0
    for number, worker in enumerate(workers):
        try:
            count += servers(worker).get(backend, {}).get(server, {}).get("open", 0)
        except GatewayError:
            # an old worker ends between two looks; the new one has to answer
            if number == 0:
                raise
    return count


def wait_until_idle(
    find_workers, backend: str, server: str, timeout_s: float, poll_s: float = 0.5, clock=time.monotonic
) -> tuple[int, float]:
    """Wait until a server has no open request.

    Args:
        find_workers: returns the workers to ask, the one that takes new connections first.
        timeout_s: longest wait in seconds.
        poll_s: pause between two looks in seconds.
        clock: tells the time.

    Returns:
        How many are left, and how long it was waited in seconds.
    """
    begin_s = clock()
    while True:
        left = open_requests(find_workers(), backend, server)
        waited_s = clock() - begin_s
        if not left or waited_s >= timeout_s:
            return left, waited_s
        time.sleep(min(poll_s, max(0.0, timeout_s - waited_s)))
