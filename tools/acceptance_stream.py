# SPDX-License-Identifier: GPL-3.0-or-later
"""Have one long answer streamed, and say in one line whether it came whole. Runs on the host, by tools/acceptance.py.

Python 3.9 and its standard library only. Usage: ``acceptance_stream.py URL MODEL TOKENS``
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

#: Longest time without a token, in seconds.
SILENT_S = 60.0


def parts(lines):
    """Yield what each event of a stream of server-sent events has; ``None`` for its end."""
    for line in lines:
        text = line.decode("utf-8", "replace").strip()
        if text == "data: [DONE]":
            yield None
        elif text.startswith("data: "):
            yield json.loads(text[len("data: ") :])


def main(argv: list[str]) -> int:
    """Ask, and read to the end; what breaks off is told, not raised."""
    url, model, tokens = argv[0], argv[1], int(argv[2])
    asked = {
        "model": model, "prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": True, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    request = urllib.request.Request(url, json.dumps(asked).encode(), {"Content-Type": "application/json"})
    count, finish, done, problem = 0, "none", 0, ""
    try:
        # no proxy stands before the host itself
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SILENT_S) as answer:
            for part in parts(answer):
                if part is None:
                    done = 1
                    break
                if part.get("usage"):
                    count = part["usage"]["completion_tokens"]
                for choice in part.get("choices") or []:
                    finish = choice.get("finish_reason") or finish
                if "error" in part:
                    problem = str(part["error"])
    except (OSError, ValueError, urllib.error.URLError) as error:
        problem = str(error)
    print("streamed tokens=%d finish=%s done=%d ended_s=%.3f" % (count, finish, done, time.time()))
    if problem:
        print("problem: %s" % problem[:500])
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
