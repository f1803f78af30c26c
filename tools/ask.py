# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an OpenAI-compatible service one question and show the answer: ``python tools/ask.py URL TEXT``."""

from __future__ import annotations

import sys

import requests


def main(url: str, text: str) -> None:
    """Ask the first model that the service names; raises requests.HTTPError when it refuses."""
    models = requests.get(url + "/v1/models", timeout=30)
    models.raise_for_status()
    model = models.json()["data"][0]["id"]
    body = {
        "model": model,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": text}],
        # a model that can think does it at length
        "chat_template_kwargs": {"enable_thinking": False},
    }
    answer = requests.post(url + "/v1/chat/completions", json=body, timeout=300)
    answer.raise_for_status()
    reply = answer.json()
    print("  %s/v1/chat/completions  (model %s)" % (url, model))
    print("  you:    %s" % text)
    print("  model:  %s" % " ".join(reply["choices"][0]["message"]["content"].split()))
    print("  usage:  %(prompt_tokens)d prompt + %(completion_tokens)d completion tokens" % reply["usage"])


if __name__ == "__main__":
    main(*sys.argv[1:])
