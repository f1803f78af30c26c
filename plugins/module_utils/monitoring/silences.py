# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences of an Alertmanager, by its API v2. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.request

#: Longest time for one answer in seconds; the Alertmanager is on this host.
TIMEOUT_S = 10


class SilenceError(Exception):
    """Alertmanager did not do it; the text says why."""


class Alertmanager:
    """One Alertmanager.

    Args:
        url: its address.
        user: of the basic authentication; empty for none.
        password: its password.
    """

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        self.url = url.rstrip("/")
        self.headers = {"Content-Type": "application/json"}
        if user:
            token = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
            self.headers["Authorization"] = "Basic " + token

    def _ask(self, method: str, path: str, body: dict | None = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=self.headers, method=method)
        # a proxy in the environment has no business between a host and itself
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:200]
            raise SilenceError("%s answers %d to %s: %s" % (self.url, error.code, path, said)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SilenceError("%s does not answer: %s" % (self.url, getattr(error, "reason", error))) from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise SilenceError("%s is no Alertmanager: it answers %r" % (self.url, text[:60])) from None

    def ours(self, author: str, labels: dict[str, str | list[str]]) -> list[dict]:
        """Return the silences of an author for exactly these labels that have not ended."""
        wanted = {item["name"]: (item["value"], item["isRegex"]) for item in matchers(labels)}
        found = self._ask("GET", "/api/v2/silences")
        return [
            item
            for item in (found if isinstance(found, list) else [])
            if item.get("status", {}).get("state") != "expired"
            and item.get("createdBy") == author
            and {one["name"]: (one["value"], one.get("isRegex", False)) for one in item.get("matchers", [])} == wanted
        ]

    def put(
        self, author: str, labels: dict[str, str | list[str]], comment: str, seconds: float, identity: str = ""
    ) -> str:
        """Make a silence that ends by itself, or give one another end; return its id.

        Its end is set, never "until removed": a run that dies must not keep a service silent.
        """
        now = time.time()
        body: dict = {
            "matchers": matchers(labels),
            "startsAt": stamp(now),
            "endsAt": stamp(now + seconds),
            "createdBy": author,
            "comment": comment,
        }
        if identity:
            body["id"] = identity
        found = self._ask("POST", "/api/v2/silences", body)
        return str(found.get("silenceID", "")) if isinstance(found, dict) else ""


def matchers(labels: dict[str, str | list[str]]) -> list[dict]:
    """Return labels as the API wants them; one with a list has to have one of its values."""
    return [
        {
            "name": str(name),
            # the program is in Go, whose expressions are anchored here and know these escapes
            "value": "|".join(re.escape(str(one)) for one in value) if isinstance(value, list) else str(value),
            "isRegex": isinstance(value, list),
            "isEqual": True,
        }
        for name, value in sorted(labels.items())
    ]


def stamp(seconds: float) -> str:
    """Return a time as the API wants it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%03dZ" % (seconds % 1 * 1000)
