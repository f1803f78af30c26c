#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a service for completions: URL KEY CLIENTS SECONDS TOKENS."""

import json
import ssl
import sys
import threading
import time
import urllib.request

url, key, clients, seconds, tokens = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
end = time.monotonic() + seconds
self_signed = ssl._create_unverified_context()


def ask(number: int) -> None:
    """Ask again and again."""
    while time.monotonic() < end:
        body = {
            "model": "tiny-qwen3",
            "prompt": "Say %d and " % number * 20,
            "max_tokens": tokens,
            "ignore_eos": True,
        }
        request = urllib.request.Request(
            url + "/v1/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": "Bearer " + key},
        )
        try:
            with urllib.request.urlopen(request, timeout=120, context=self_signed) as answer:
                answer.read()
        except OSError:
            time.sleep(0.2)


threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(clients)]
for thread in threads:
    thread.start()
time.sleep(seconds)
