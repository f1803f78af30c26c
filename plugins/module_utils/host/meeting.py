# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts try whether they reach each other: each listens, each calls all others, at the same time.

A call tells the caller's name and clock, gets the answerer's, and then sends a block of data that comes back: packets
of full size must get through in both directions.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time

#: What is sent both ways, in bytes: many full packets, of jumbo frames too.
BLOCK_BYTES = 256 * 1024

#: Longest time for one step of a call that has begun, in seconds.
_STEP_S = 4.0

#: Pause between two tries to call, in seconds: the other may not listen yet.
_PAUSE_S = 0.25

#: Largest greeting that is read, in bytes.
_GREETING_BYTES = 4096


def resolve(name: str) -> list[str]:
    """Return the addresses of a host's name in the system's order; none when it has none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    # a text that can be no name is a UnicodeError
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(item[4][0] for item in found))


def interfaces(listing: str) -> dict[str, list[str]]:
    """Return the addresses of each network interface that is up, by the text of ``ip -o addr show up``."""
    found: dict[str, list[str]] = {}
    for line in listing.splitlines():
        # 2: eth0    inet 10.0.0.1/24 brd ...; a part of one is shown as eth0.5@eth0
        cells = line.split()
        if len(cells) > 3 and cells[2] in ("inet", "inet6"):
            found.setdefault(cells[1].partition("@")[0], []).append(cells[3].partition("/")[0])
    return found


def own_name() -> dict:
    """Return the ``name`` of this host and the ``addresses`` that it takes itself for; Gloo listens at the first."""
    name = socket.gethostname()
    return {"name": name, "addresses": resolve(name)}


def _receive(connection: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = connection.recv(min(65536, count - len(parts)))
        if not part:
            raise OSError("the connection was closed")
        parts += part
    return parts


def _send_greeting(connection: socket.socket, name: str) -> None:
    text = json.dumps({"name": name, "now_s": time.time()}).encode()
    connection.sendall(struct.pack("!I", len(text)) + text)


def _read_greeting(connection: socket.socket) -> dict:
    length = struct.unpack("!I", _receive(connection, 4))[0]
    if length > _GREETING_BYTES:
        raise OSError("another program answers there")
    try:
        found = json.loads(_receive(connection, length).decode())
    except ValueError:
        raise OSError("another program answers there") from None
    if not isinstance(found, dict):
        raise OSError("another program answers there")
    return found


class Meeting:
    """One host's part."""

    def __init__(self, name: str, port: int, address: str = "") -> None:
        """Listen on ``port`` of every address, or of one; raises OSError when that is impossible.

        Args:
            name: this host, as the others know it.
            port: TCP port; 0 for any, which ``port`` then tells.
            address: address to listen on.
        """
        self.name = name
        self.heard: set[str] = set()
        family = socket.AF_INET6 if not address and socket.has_dualstack_ipv6() else socket.AF_INET
        if ":" in address:
            family = socket.AF_INET6
        self._server = socket.create_server(
            (address, port), family=family, dualstack_ipv6=not address and family == socket.AF_INET6
        )
        self._server.settimeout(_PAUSE_S)
        self.port = self._server.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._thread.join(_STEP_S)
        self._server.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _address = self._server.accept()
            except OSError:
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(_STEP_S)
            caller = str(_read_greeting(connection).get("name", ""))
            _send_greeting(connection, self.name)
            connection.sendall(_receive(connection, BLOCK_BYTES))
            self.heard.add(caller)

    def call(self, address: str, end_s: float, port: int | None = None) -> dict:
        """Call another host until it answers: ``{connected, whole, offset_s, error}``.

        Args:
            address: name or address of the host.
            end_s: until when to try, of ``time.monotonic``.
            port: its port; the same as here where nothing is said.
        """
        found: dict = {"connected": False, "whole": False, "offset_s": None, "error": "it was not tried"}
        while True:
            try:
                left_s = max(0.5, min(_STEP_S, end_s - time.monotonic()))
                with socket.create_connection((address, self.port if port is None else port), left_s) as connection:
                    found["connected"] = True
                    connection.settimeout(_STEP_S)
                    before_s = time.time()
                    _send_greeting(connection, self.name)
                    told = _read_greeting(connection)
                    found["offset_s"] = round(float(told["now_s"]) - (before_s + time.time()) / 2, 3)
                    threading.Thread(target=_push, args=(connection,), daemon=True).start()
                    _receive(connection, BLOCK_BYTES)
                found.update(whole=True, error="")
                return found
            except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
                found["error"] = str(error) or type(error).__name__
            if found["connected"] or time.monotonic() + _PAUSE_S >= end_s:
                return found
            time.sleep(_PAUSE_S)

    def wait_for(self, names: list[str], end_s: float) -> None:
        """Wait until all of ``names`` have called, or until ``end_s`` of ``time.monotonic``."""
        while set(names) - self.heard and time.monotonic() < end_s:
            time.sleep(_PAUSE_S / 2)


def _push(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(b"\0" * BLOCK_BYTES)
