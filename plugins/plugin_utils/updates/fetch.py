# SPDX-License-Identifier: GPL-3.0-or-later
"""Send one HTTP request from the controller, by its proxies and certificates.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import urllib.error

from ansible.module_utils.urls import open_url

#: Longest silence of a server, in seconds; the whole may take some of them.
TIMEOUT_S = 20


def fetch(url: str, headers: dict, method: str = "GET") -> tuple[int, dict, str]:
    """Return (HTTP status, headers in lower case, body); status 0 with why in the body when nothing answered."""
    try:
        try:
            answer = open_url(url, method=method, headers=headers, timeout=TIMEOUT_S, http_agent="myia.vllm")
            status = answer.status
        except urllib.error.HTTPError as error:
            answer, status = error, error.code
        text = answer.read().decode("utf-8", "replace")
    # whatever a proxy, a resolver or a certificate makes of it, and an answer that breaks off
    except Exception as error:
        return 0, {}, str(getattr(error, "reason", "") or error)
    return status, {key.lower(): value for key, value in answer.headers.items()}, text
