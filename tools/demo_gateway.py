# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the gateway before the service that ``make demo`` deployed, on this machine, without installing anything.

Usage: ``python tools/demo_gateway.py [--address 127.0.0.1:5002] [--port 5443] [--folder DIR] [--once]``. Runs the
machine's haproxy with the files that the role would write, asks what a client would, and goes on until it is
interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import gateway_here

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: For what the role has in /etc/haproxy.
FOLDER = ROOT / ".cache" / "demo-gateway"
#: Requests that the second key may ask in a minute.
LIMIT = 3
#: Longest time in seconds until HAProxy has seen that the service answers, and for one answer.
START_S, ANSWER_S = 30, 120


class Client:
    """Asks the gateway as its clients do, and trusts its certificate alone."""

    def __init__(self, url: str, certificate: pathlib.Path) -> None:
        self.url = url
        context = ssl.create_default_context(cafile=str(certificate))
        # no proxy of the environment: it is this machine
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        ).open

    def ask(self, path: str, key: str = "", body: dict | None = None) -> tuple[int, dict, dict]:
        """Return status, headers and body of an answer; raises OSError where none comes."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        if key:
            request.add_header("Authorization", "Bearer " + key)
        try:
            answer = self._open(request, timeout=ANSWER_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            return answer.status, dict(answer.headers), json.loads(text) if text.startswith(b"{") else {}


def served(address: str, key: str) -> list[str]:
    """Return the models of the service; raises OSError where it does not answer."""
    request = urllib.request.Request("http://%s/v1/models" % address)
    if key:
        request.add_header("Authorization", "Bearer " + key)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return [model["id"] for model in json.load(answer)["data"]]


def wait(client: Client, process: subprocess.Popen, key: str, log: pathlib.Path) -> None:
    """Wait until the gateway answers; raises SystemExit with the way to HAProxy's words where it does not."""
    until_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until_s:
        with contextlib.suppress(OSError):
            if client.ask("/v1/models", key)[0] == 200:
                return
        time.sleep(0.3)
    raise SystemExit("HAProxy did not answer. What it says: %s" % log)


def show(client: Client, model: str, you: str, guest: str) -> None:
    """Ask what a client would, and print what came back."""
    question = "What is the capital of France?"
    body = {
        "model": model,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": question}],
        "chat_template_kwargs": {"enable_thinking": False},
    }

    def line(what: str, status: int, text: str) -> None:
        print("  %-46s %d  %s" % (what, status, " ".join(text.split())), flush=True)

    def refusal(answer: dict) -> str:
        return str(answer.get("error", {}).get("message", ""))

    status, _headers, answer = client.ask("/v1/chat/completions", you, body)
    text = answer["choices"][0]["message"]["content"] if status == 200 else refusal(answer)
    line("the key demo: " + question, status, text)
    for what, path, key, asked in (
        ("without a key", "/v1/chat/completions", "", body),
        ("/metrics of vLLM, which is not offered", "/metrics", you, None),
        ("a model that nobody serves", "/v1/chat/completions", you, {**body, "model": "nobodys"}),
    ):
        status, _headers, answer = client.ask(path, key, asked)
        line(what, status, refusal(answer))
    for number in range(1, LIMIT + 2):
        status, headers, answer = client.ask("/v1/chat/completions", guest, {**body, "max_tokens": 1})
        if status != 200 or number > LIMIT:
            after = headers.get("Retry-After") or headers.get("retry-after") or "?"
            line(
                "the key guest, question %d in a minute" % number,
                status,
                "%s Retry-After: %s" % (refusal(answer), after),
            )
            break


def main() -> int:
    """Run the gateway until it is interrupted; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", default="127.0.0.1:5002", help="where the service answers, on 127.0.0.1")
    parser.add_argument("--key-file", default="", help="file with its key")
    parser.add_argument("--port", type=int, default=5443, help="port of the gateway")
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help="for its files; what is there goes")
    parser.add_argument("--once", action="store_true", help="end when everything was shown")
    wanted = parser.parse_args()
    key = pathlib.Path(wanted.key_file).read_text(encoding="utf-8").strip() if wanted.key_file else ""
    program = gateway_here.program()
    if not program:
        print("There is no haproxy on this machine: apt-get install haproxy", file=sys.stderr)
        return 1
    try:
        models = served(wanted.address, key)
    except (OSError, ValueError, KeyError) as error:
        print("Nothing serves on %s (%s). Run make demo first." % (wanted.address, error), file=sys.stderr)
        return 1
    folder = wanted.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    you, guest = secrets.token_hex(16), secrets.token_hex(16)
    certificate = gateway_here.certificate(folder, "localhost")
    metrics = gateway_here.free_port()
    settings = {
        "vllm_gateway_keys": [
            {"name": "demo", "key": you},
            {"name": "guest", "key": guest, "requests_per_minute": LIMIT},
        ],
        "vllm_gateway_address": "127.0.0.1",
        "vllm_gateway_port": wanted.port,
        "vllm_gateway_metrics_port": metrics,
        "vllm_gateway_agent_port": gateway_here.free_port(),
    }
    service = {"name": "medium", "models": models, "port": int(wanted.address.rpartition(":")[2]), "api_key": key}
    path = gateway_here.write(folder, settings, service, log="stdout len 4096 format raw local0")
    url = "https://localhost:%d" % wanted.port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (folder / "haproxy.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([program, "-db", "-f", str(path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        client = Client(url, certificate)
        wait(client, process, you, folder / "haproxy.log")
        print("\nThe gateway answers on %s:\n" % url, flush=True)
        show(client, models[0], you, guest)
        place = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
        print(
            "\nWhere to look\n"
            "  curl --cacert %s/gateway.pem -H 'Authorization: Bearer %s' %s/v1/models\n"
            "  curl http://127.0.0.1:%d/metrics/keys        requests and tokens of each key\n"
            "  tail -f %s/haproxy.log       a line of JSON a request, without prompt and key\n"
            "  docs/gateway.md                               on hosts of your own: deploy_gateway.yml"
            % (place, you, url, metrics, place),
            flush=True,
        )
        if not wanted.once:
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    finally:
        process.terminate()
        process.wait(timeout=20)
        # the keys were for this run
        shutil.rmtree(folder / "vllm", ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
