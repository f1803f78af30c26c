#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""STAND-IN for whoever is told: writes what Alertmanager sends, a line of JSON an alert, with the time it came."""

import http.server
import json
import sys
import time


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every POST."""

    def do_POST(self) -> None:
        """Write the alerts down."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2], "a", encoding="utf-8") as out:
            for alert in body["alerts"]:
                seen = {"at": time.time(), "status": alert["status"], **alert["labels"], "startsAt": alert["startsAt"]}
                out.write(json.dumps(seen) + "\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments) -> None:
        """Say nothing."""


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
