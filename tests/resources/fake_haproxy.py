# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for HAProxy's runtime sockets: it answers the commands that this collection gives, as 2.6 writes them."""

from __future__ import annotations

import pathlib
import socket
import threading

#: Bits of srv_admin_state by the word of ``set server``.
ADMIN = {"ready": 0, "maint": 1, "drain": 8}

STATES = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n"
STATS = "# pxname,svname,qcur,qmax,scur,smax,status\n"


class FakeHaproxy:
    """Listens on ``admin.sock`` and ``master.sock`` in a folder; its state is changed by tests while it runs."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.admin_path, self.master_path = str(folder / "admin.sock"), str(folder / "master.sock")
        #: backend -> server -> admin word, status, open requests
        self.servers = {"vllm_medium": {name: ["ready", "UP", 0] for name in ("node-1", "node-2")}}
        #: pid of an old worker -> server -> open requests
        self.old: dict[int, dict[str, int]] = {}
        self.said: list[str] = []
        #: beginning of a command that is refused
        self.refused = ""
        self.maps: dict[str, str] = {}
        self._sockets = []
        for path, answer in ((self.admin_path, self.admin), (self.master_path, self.master)):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path)
            listener.listen(16)
            self._sockets.append(listener)
            threading.Thread(target=self._serve, args=(listener, answer), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        for listener in self._sockets:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve(self, listener, answer) -> None:
        while True:
            try:
                link, _peer = listener.accept()
            except OSError:
                return
            with link:
                text = link.recv(1_000_000).decode("utf-8")
                while "<<\n" in text and not text.endswith("\n\n"):
                    text += link.recv(1_000_000).decode("utf-8")
                self.said.append(text.strip())
                link.sendall(answer(text.strip()).encode("utf-8"))

    def admin(self, command: str) -> str:
        """Answer as the worker that takes new connections."""
        if self.refused and command.startswith(self.refused):
            return "Permission denied\n\n"
        if command == "show servers state":
            rows = [
                "3 %s 1 %s 192.0.2.1 2 %d 1 1\n" % (backend, name, ADMIN[state[0]])
                for backend, servers in self.servers.items()
                for name, state in servers.items()
            ]
            return STATES + "".join(rows) + "\n"
        if command == "show stat":
            return STATS + self._rows(lambda _name, state: state[2])
        if command.startswith("set server "):
            return self._set(*command.split()[2:5])
        head = "# table: st_hold, type: string, size:1024, used:1\n"
        held = "0x55: key=vllm_medium use=1 exp=9 shard=0 conn_cur=3\n"
        answers = {"show table": head + "\n", "show table st_hold": head + held + "\n"}
        return answers.get(command, "Unknown command.\n")

    def _set(self, target: str, _state: str, word: str) -> str:
        backend, _slash, name = target.partition("/")
        if name not in self.servers.get(backend, {}):
            return "No such server.\n\n"
        self.servers[backend][name][0] = word
        self.servers[backend][name][1] = {"drain": "DRAIN", "maint": "MAINT", "ready": "UP"}[word]
        return "\n"

    def _rows(self, count) -> str:
        rows = []
        for backend, servers in self.servers.items():
            rows += [
                "%s,%s,0,0,%d,0,%s\n" % (backend, name, count(name, state), state[1]) for name, state in servers.items()
            ]
            rows.append("%s,BACKEND,0,0,0,0,UP\n" % backend)
        return "f,FRONTEND,,,0,0,OPEN\n" + "".join(rows) + "\n"

    def master(self, command: str) -> str:
        """Answer as the master process."""
        if command == "show proc":
            old = "".join("%d  worker  1  0d00h00m30s  2.6.12\n" % pid for pid in self.old)
            return (
                "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
                "100             master          %d [failed: 0]   0d00h00m07s     2.6.12-1+deb12u4\n"
                "# workers\n101             worker          0               0d00h00m07s     2.6.12-1+deb12u4\n%s"
                "# programs\n\n" % (len(self.old), "# old workers\n" + old if old else "")
            )
        pid, _space, rest = command.partition(" ")
        worker = self.old.get(int(pid.lstrip("@!")))
        if worker is None:
            return "Can't find the target CLI!\n"
        if rest == "show stat":
            return STATS + self._rows(lambda name, _state: worker.get(name, 0))
        return STATES if rest == "show servers state" else "\n"
