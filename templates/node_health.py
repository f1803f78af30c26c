# SPDX-License-Identifier: GPL-3.0-or-later
# The health check of one of several hosts that serve a model together; it runs in the container of vLLM.
#
# vLLM's engine does not notice that another host is gone: the head's /health stays 200 and requests hang, the others
# wait for ever (seen with 0.32). What can be seen is the connection that each has to the head: to its rendezvous where
# the layers are split over the hosts; where each has whole replicas (shape data) that is closed after the start, and
# there are others, at ports that vLLM picks. Once all were there and one is lost for two looks, the workers here are
# ended: vLLM ends with them, and Docker starts it again, to wait for the others. Arguments: rank, number of hosts,
# address and port of the rendezvous, port of the API, timeout in seconds, shape, whether this host has an API (1 or 0).
import contextlib
import ipaddress
import os
import signal
import socket
import struct
import sys
import urllib.request

RANK, COUNT, PORT, API_PORT, TIMEOUT_S = (int(sys.argv[n]) for n in (1, 2, 4, 5, 6))
HEAD, DATA, HAS_API = sys.argv[3], sys.argv[7] == "data", sys.argv[8] == "1"
MARK = "/tmp/.vllm-nodes"
LOST_LOOKS = 2


def address(text):
    """Return an address of /proc/net/tcp, whose words of 32 bits are in the order of this machine's bytes."""
    words = [int(text[n : n + 8], 16) for n in range(0, len(text), 8)]
    found = ipaddress.ip_address(struct.pack("=%dI" % len(words), *words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def sockets():
    """Yield (own address, own port, other address, other port, state, inode) of each of this host (proc(5))."""
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            own, other = cells[1].split(":"), cells[2].split(":")
            yield address(own[0]), int(own[1], 16), address(other[0]), int(other[1], 16), cells[3], cells[9]


def held():
    """Return the inodes of the sockets of this container's processes: the host's others say nothing of vLLM."""
    found = set()
    for process in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            for number in os.listdir("/proc/%s/fd" % process) if process.isdigit() else ():
                with contextlib.suppress(OSError):
                    found.add(os.readlink("/proc/%s/fd/%s" % (process, number)))
    return set(name[8:-1] for name in found if name.startswith("socket:["))


def established():
    """Yield (own address, own port, other address, other port) of each connection that may be to another host."""
    mine = held() if DATA else ()
    rows = [row for row in sockets() if not DATA or row[5] in mine]
    # a client of the API is no node, and neither is whom vLLM calls itself
    ports = set(row[1] for row in rows if row[4] == "0A") - set([API_PORT]) if DATA else set([PORT])
    for own, own_port, other, port, state, _inode in rows:
        if state == "01" and (own_port in ports if RANK == 0 else port != API_PORT if DATA else port == PORT):
            yield own, own_port, other, port


def there(host):
    """Tell whether a host answers at all: one that refuses a connection does."""
    try:
        socket.create_connection((host, PORT), timeout=3).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def others():
    """Return the other hosts that are connected to the rendezvous, or the head where this is none."""
    if RANK == 0:
        joined = set(other for own, _own_port, other, _port in established() if other != own)
    else:
        heads = set(item[4][0] for item in socket.getaddrinfo(HEAD, PORT))
        joined = set(other for _own, _own_port, other, _port in established() if other in heads)
    return [host for host in joined if there(host)]


def start_of_vllm():
    """Return when process 1 was started: what is marked of a run before does not count."""
    with open("/proc/1/stat") as file:
        return file.read().rpartition(")")[2].split()[19]


def look():
    """Return how many looks in a row have missed a host since all were there; None where they were not yet."""
    try:
        with open(MARK) as file:
            start, missed = file.read().split()
    except (OSError, ValueError):
        start, missed = "", 0
    if len(others()) >= (COUNT - 1 if RANK == 0 else 1):
        missed = 0
    elif start != start_of_vllm():
        return None
    else:
        missed = int(missed) + 1
    with open(MARK, "w") as handle:
        handle.write("%s %d" % (start_of_vllm(), missed))
    return missed


def end_workers():
    """End every process of the container but vLLM's first, which follows, and this one."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(int(name), signal.SIGKILL)


MISSED = look()
if MISSED is None:
    sys.exit("not all of the %d hosts have joined yet" % COUNT)
if MISSED >= LOST_LOOKS:
    end_workers()
    sys.exit("a host of the %d was lost: vLLM is ended here, to begin again with it" % COUNT)
if MISSED:
    sys.exit("a host of the %d is missing" % COUNT)
if HAS_API:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(dict()))
    opener.open("http://127.0.0.1:%d/health" % API_PORT, timeout=TIMEOUT_S)
