# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the monitoring of the service that ``make demo`` deployed, on this machine, without installing anything.

Usage: ``python tools/demo_monitoring.py [--address 127.0.0.1:5002] [--model NAME] [--port 9480]``. Runs Debian's
Prometheus and blackbox_exporter, unpacked by ``tools/bootstrap prometheus``, with the files that the role would write,
and a page of the alerts at http://127.0.0.1:9480/ until it is interrupted. There is no Alertmanager: Debian's reads a
file in /usr/share, so it has to be installed, and it has no page of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import yaml
from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / ".cache" / "prometheus" / "usr" / "bin"
FOLDER = ROOT / ".cache" / "demo-monitoring"
PAGE = pathlib.Path(__file__).with_name("demo_monitoring.html")
PORTS = {"prometheus": 9490, "alertmanager": 9493, "blackbox": 9491}

#: What the page asks, by path: program, path of its API.
ASKED = {
    "/alerts": ("prometheus", "/api/v1/alerts"),
    "/rules": ("prometheus", "/api/v1/rules?type=alert"),
    "/targets": ("prometheus", "/api/v1/targets?state=active"),
}


def write_files(address: str, model: str, api_key: str) -> None:
    """Write what the role would write, without passwords: everything here listens on loopback."""
    init_plugin_loader([str(ROOT / "collections")])
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options  # noqa: PLC0415 loader first
    from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import (  # noqa: PLC0415 - needs the path
        configuration,
        rules,
    )
    from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import (  # noqa: PLC0415 - needs the path
        LIMITS,
        Service,
        Timing,
    )

    shutil.rmtree(FOLDER, ignore_errors=True)
    timing = Timing(scrape_s=5, probe_s=10)
    service = Service(
        host="demo", name="medium", model=model, version=vllm_options.versions()[-1], release="demo", address=address,
        api_key_required=bool(api_key),
    )  # fmt: skip
    question = configuration.question(
        service, configuration.probe_timeout_s(timing), configuration.FOLDER + "/keys", True
    )
    head = configuration.probes_head(configuration.probe_timeout_s(timing), True)
    wanted = {
        "prometheus.yml": without_alertmanager(configuration.prometheus(timing, "demo", "127.0.0.1", PORTS, True)),
        "blackbox.yml": head + question,
        "rules/demo.medium.yml": configuration.dump(rules.of_service(service, timing, LIMITS)),
        "keys/demo.medium.key": api_key,
        "password": "",
        **{"targets/" + path: text for path, text in configuration.targets(service).items()},
    }
    for path, text in wanted.items():
        file = FOLDER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(text.replace(configuration.FOLDER, str(FOLDER)), encoding="utf-8")


def without_alertmanager(text: str) -> str:
    """Return prometheus.yml for a machine on which there is none."""
    wanted = yaml.safe_load(text)
    del wanted["alerting"]
    for job in wanted["scrape_configs"]:
        for targets in job.get("static_configs", []):
            targets["targets"] = [
                name for name in targets["targets"] if not name.endswith(":%d" % PORTS["alertmanager"])
            ]
    return yaml.safe_dump(wanted, sort_keys=False)


def commands() -> list[list[str]]:
    """Return the programs with their arguments."""
    listen = "--web.listen-address=127.0.0.1:%d"
    return [
        [str(BIN / "prometheus"), "--config.file=%s/prometheus.yml" % FOLDER, "--storage.tsdb.path=%s/data" % FOLDER,
         "--web.console.templates=%s/none" % FOLDER, listen % PORTS["prometheus"]],
        [str(BIN / "prometheus-blackbox-exporter"), "--config.file=%s/blackbox.yml" % FOLDER,
         listen % PORTS["blackbox"]],
    ]  # fmt: skip


class Page(http.server.BaseHTTPRequestHandler):
    """The page, and what it asks."""

    def do_GET(self) -> None:
        """Answer the page, or pass a question on."""
        if self.path == "/":
            self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path in ASKED:
            program, path = ASKED[self.path]
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d%s" % (PORTS[program], path), timeout=5) as answer:
                    self._send(200, "application/json", answer.read())
            except (OSError, urllib.error.URLError) as error:
                self._send(502, "application/json", json.dumps({"error": "%s: %s" % (program, error)}).encode())
        else:
            self._send(404, "text/plain", b"not here\n")

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main() -> int:
    """Run everything until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", default="127.0.0.1:5002", help="where the service answers")
    parser.add_argument("--model", default="tiny-qwen3", help="the name that it serves")
    parser.add_argument("--key-file", default="", help="file with its key")
    parser.add_argument("--port", type=int, default=9480, help="port of the page")
    wanted = parser.parse_args()
    if not (BIN / "prometheus").exists():
        print("Prometheus is not there. Run tools/bootstrap prometheus first.", file=sys.stderr)
        return 1
    key = pathlib.Path(wanted.key_file).read_text(encoding="utf-8").strip() if wanted.key_file else ""
    write_files(wanted.address, wanted.model, key)
    running = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for words in commands():
            with (FOLDER / (pathlib.Path(words[0]).name + ".log")).open("w", encoding="utf-8") as log:
                running.append(subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        print("alerts:     http://127.0.0.1:%d/" % wanted.port)
        print("Prometheus: http://127.0.0.1:%d/classic/graph" % PORTS["prometheus"])
        print("Ctrl-C ends it. What they say is in %s." % FOLDER.relative_to(ROOT), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            http.server.ThreadingHTTPServer(("127.0.0.1", wanted.port), Page).serve_forever()
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
