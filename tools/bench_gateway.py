# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what the gateway costs: the same streams through it and without it, in turns, beside direct against direct.

Usage: ``python tools/bench_gateway.py [--rounds N] [--streams N]`` runs the machine's haproxy with the role's
configuration before a STAND-IN that streams 50 tokens, one each 20 ms. With ``--direct URL --direct-key KEY``,
``--gateway URL --key KEY`` and ``--model NAME`` it measures a gateway that is there, and the real service behind it.

A round is one run of each kind, in an order that turns from round to round. The table has the median over the rounds of
the ratio to the first direct run of the same round; ``direct again`` is how far noise alone goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import gateway_here
from gateway_here import free_port

TOKENS, GAP_S = 50, 0.02
#: Longest time of a run in seconds.
LIMIT_S = 300
KEY, UPSTREAM_KEY = "bench-key-0123456789abcdef", "bench-upstream-key"
KINDS = ("direct", "gateway", "direct again")


async def _standin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection by a stream of tokens; a check by 200."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode("latin-1").lower().split("\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
            await reader.readexactly(length)
            if head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(TOKENS):
                await asyncio.sleep(GAP_S)
                text = b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number
                writer.write(b"%x\r\n%s\r\n" % (len(text), text))
                await writer.drain()
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def serve(port: int) -> None:
    """Run the stand-in; in a process of its own."""

    async def run() -> None:
        server = await asyncio.start_server(_standin, "127.0.0.1", port, backlog=500)
        await server.serve_forever()

    asyncio.run(run())


async def one_stream(url: str, key: str, model: str) -> tuple[float, float, list[float]]:
    """Return the time to the first token, the whole time, and the gaps between tokens, all in seconds."""
    place = urllib.parse.urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    context = ssl._create_unverified_context() if place.scheme == "https" else None
    begin_s = time.perf_counter()
    reader, writer = await asyncio.open_connection(place.hostname, port, ssl=context)
    body = {"model": model, "stream": True, "max_tokens": TOKENS, "min_tokens": TOKENS, "ignore_eos": True}
    data = json.dumps({**body, "messages": [{"role": "user", "content": "count"}]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    writer.write((head % (place.hostname, key, len(data))).encode() + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit("%s: %s" % (url, status.decode("latin-1").strip()))
    times: list[float] = []
    done = False
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
        if line.startswith(b"data: [DONE]"):
            done = True
            break
    writer.close()
    if not done:
        raise SystemExit("%s: a stream was cut" % url)
    return times[0] - begin_s, times[-1] - begin_s, [b - a for a, b in zip(times, times[1:])]


async def run(url: str, key: str, model: str, streams: int) -> dict[str, float]:
    """Return p50 and p99 of some streams at a time, in milliseconds."""
    both = asyncio.gather(*(one_stream(url, key, model) for _ in range(streams)))
    found = await asyncio.wait_for(both, LIMIT_S)
    totals = sorted(item[1] for item in found)
    gaps = sorted(gap for item in found for gap in item[2])
    return {
        "first p50": 1000 * statistics.median(item[0] for item in found),
        "total p50": 1000 * statistics.median(totals),
        "total p99": 1000 * totals[min(len(totals) - 1, int(len(totals) * 0.99))],
        "gap p50": 1000 * statistics.median(gaps),
        "gap p99": 1000 * gaps[int(len(gaps) * 0.99)],
    }


def configuration(folder: pathlib.Path, port: int, upstream: int) -> pathlib.Path:
    """Write the role's configuration for the stand-in; return the path of haproxy.cfg."""
    settings = {
        "vllm_gateway_keys": [{"name": "bench", "key": KEY}],
        "vllm_gateway_tls": "none",
        "vllm_gateway_address": "127.0.0.1",
        "vllm_gateway_port": port,
        "vllm_gateway_metrics_port": free_port(),
        "vllm_gateway_agent_port": free_port(),
    }
    service = {"name": "bench", "models": ["tiny-qwen3"], "port": upstream, "api_key": UPSTREAM_KEY}
    return gateway_here.write(folder, settings, service)


def table(rounds: list[dict[str, dict[str, float]]], about: str) -> str:
    """Return the medians as a table in Markdown."""
    lines = [
        about,
        "",
        "| | %s | ratio, gateway | ratio, direct again |" % " | ".join("%s, ms" % kind for kind in KINDS),
    ]
    lines.append("|---|---|---|---|---|---|")
    for figure in rounds[0]["direct"]:
        medians = ["%.1f" % statistics.median(item[kind][figure] for item in rounds) for kind in KINDS]
        ratios = [
            "%.3f" % statistics.median(item[kind][figure] / item["direct"][figure] for item in rounds)
            for kind in KINDS[1:]
        ]
        lines.append("| %s | %s |" % (figure, " | ".join(medians + ratios)))
    return "\n".join(lines)


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--direct", help="URL of a service")
    parser.add_argument("--direct-key", default="")
    parser.add_argument("--gateway", help="URL of the gateway before it")
    parser.add_argument("--key", default="")
    parser.add_argument("--model", default="tiny-qwen3")
    given = parser.parse_args()
    program = gateway_here.program()
    if not given.direct and not program:
        print("There is no haproxy on this machine: apt-get install haproxy", file=sys.stderr)
        return 1
    started: list = []
    with tempfile.TemporaryDirectory() as name:
        try:
            if given.direct:
                where = {"direct": (given.direct, given.direct_key), "gateway": (given.gateway, given.key)}
                behind = given.direct
            else:
                upstream, port = free_port(), free_port()
                started.append(multiprocessing.Process(target=serve, args=(upstream,), daemon=True))
                started[0].start()
                words = [program, "-db", "-f", str(configuration(pathlib.Path(name), port, upstream))]
                started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                time.sleep(3)
                where = {"direct": ("http://127.0.0.1:%d" % upstream, UPSTREAM_KEY)}
                where["gateway"] = ("http://127.0.0.1:%d" % port, KEY)
                behind = "a STAND-IN, %d tokens of %.0f ms" % (TOKENS, 1000 * GAP_S)
            where["direct again"] = where["direct"]
            rounds = []
            for number in range(-1, given.rounds):
                order = [KINDS[(number + step) % 3] for step in range(3)]
                found = {kind: asyncio.run(run(*where[kind], given.model, given.streams)) for kind in order}
                if number >= 0:  # the first warms up
                    rounds.append(found)
        finally:
            for process in started:
                process.terminate()
    about = "%d rounds of %d streams before %s, %s, %s, %d processors, one-minute load %.1f" % (
        given.rounds, given.streams, behind, time.strftime("%Y-%m-%d"), platform.machine(), os.cpu_count() or 0,
        os.getloadavg()[0],
    )  # fmt: skip
    print(table(rounds, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
