# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a model hub and an image registry at the same time, within a time limit. Standard library; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import email.utils
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.myia.vllm.plugins.module_utils.hub import model_source

#: Seconds that one answer may take.
TIMEOUT_S = 3.0
#: Seconds that all of them together may take: they run side by side, and a redirect may follow an answer.
DEADLINE_S = 4.5

#: Where images without a registry in their name come from.
_DOCKER_HUB = "registry-1.docker.io"


def start(tasks: dict) -> dict:
    """Run functions side by side in threads that nobody has to wait for; give the result to :func:`collect`.

    Args:
        tasks: functions without arguments by name.
    """
    results: dict = {}

    def work(name: str, function) -> None:
        results[name] = function()

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in tasks.items()]
    for thread in threads:
        thread.start()
    return {"threads": threads, "results": results, "deadline": time.monotonic() + DEADLINE_S}


def collect(started: dict) -> dict:
    """Return the results that are there at the deadline, by name; what is late is missing."""
    for thread in started["threads"]:
        thread.join(max(0.0, started["deadline"] - time.monotonic()))
    return dict(started["results"])


def skew_s(headers) -> float | None:
    """Return by how many seconds this host's clock is ahead of an answer's Date header; None without a usable one."""
    try:
        return time.time() - email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (TypeError, ValueError):
        return None


def registry_of(image: str) -> str:
    """Return the host (and port) from which Docker pulls an image."""
    first, slash, _rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return _DOCKER_HUB if first in ("docker.io", "index.docker.io") else first
    return _DOCKER_HUB


def query_registry(registry: str, note_skew, timeout_s: float = TIMEOUT_S) -> dict:
    """Ask a registry for ``/v2/``: it answers 200, or 401 where pulling needs a login or an anonymous token.

    Args:
        registry: host, with a port where there is one.
        note_skew: called with the clock's skew in seconds, or None.
        timeout_s: longest wait in seconds.

    Returns:
        ``registry``, ``ok`` and ``text`` (what it answered).
    """
    loopback = registry.rpartition(":")[0] or registry
    # as Docker does: a registry on this host needs no TLS
    schemes = ["https", "http"] if loopback in ("localhost", "[::1]") or loopback.startswith("127.") else ["https"]
    text = ""
    for scheme in schemes:
        request = urllib.request.Request("%s://%s/v2/" % (scheme, registry))
        try:
            # an opener of its own: open_url, which asks the hub meanwhile, replaces the common one
            with urllib.request.build_opener().open(request, timeout=timeout_s) as answer:
                note_skew(skew_s(answer.headers))
                return {"registry": registry, "ok": True, "text": "HTTP %d" % answer.status}
        except urllib.error.HTTPError as error:
            note_skew(skew_s(error.headers))
            return {"registry": registry, "ok": error.code == 401, "text": "HTTP %d" % error.code}
        except (OSError, ValueError) as error:
            text = str(getattr(error, "reason", None) or error)
    return {"registry": registry, "ok": False, "text": text}


def query_hub(model: str, note_skew, **asked) -> dict:
    """Return ``config``, or ``error`` (``kind`` and ``text``), for a model on the hub.

    Args:
        model: id of the repository.
        note_skew: as in :func:`query_registry`.
        asked: ``endpoint``, ``token``, ``revision``, ``timeout_s`` of :func:`model_source.hub_config`.
    """
    try:
        config = model_source.hub_config(model, on_answer=lambda headers: note_skew(skew_s(headers)), **asked)
    except model_source.SourceError as error:
        return {"config": None, "error": {"kind": error.kind, "text": str(error)}}
    return {"config": {**config, "_name_or_path": model}, "error": None}


def late(what: str) -> dict:
    """Return the error of an answer that did not come in time."""
    text = "%s gave no complete answer in %.1f seconds. Check network, proxy and HF_ENDPOINT." % (what, DEADLINE_S)
    return {"kind": "unreachable", "text": text}
