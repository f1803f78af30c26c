# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in a few fields how a service is: one row of the table, and one entry of its JSON.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import calendar
import re
import time

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import nodes

#: The states of a service, the worst first. Those of the first line are worth a look at once.
STATES = (
    "unreachable", "refused", "failed", "no answer", "starting", "not deployed",
    "stopped", "serves",
)  # fmt: skip
WELL = ("stopped", "serves")

#: Addresses that stand for all of a host, and those that only the host itself reaches.
_ANY, _LOOPBACK = ("", "0.0.0.0", "::"), ("127.0.0.1", "::1", "localhost")

#: Beginning of the guard that vllm_allowed_sources is.
_ONLY_FROM = "only from "

#: How nvidia-smi names a whole GPU: by its index or its UUID.
_GPU = re.compile(r"\d+\Z|GPU-")


def made(about: dict, definition: dict, snapshot: dict, vitals: dict, config: dict, failure: str) -> dict:
    """Return the row of a service.

    Args:
        about: ``host`` (in the inventory), ``address`` and ``service`` (its name).
        definition: the ``vllm_definition``; empty where the variables are no service.
        snapshot: what the module ``service_snapshot_info`` returned.
        vitals: what the module ``service_vitals_info`` returned.
        config: what the module ``release`` said, in check mode, of a release that the inventory would stage.
        failure: why the host could not be looked at to the end; empty without one.

    Returns:
        ``state`` (one of `STATES`), ``words`` (more of it), and what is known: see the module ``service_status``.
    """
    release = next((item for item in snapshot.get("releases") or [] if item.get("current")), {})
    container, now_s = snapshot.get("container") or {}, vitals.get("now_s") or 0.0
    state, words = _state(definition, snapshot, vitals, failure, release)
    runs = container.get("state") == "running"
    load = vitals.get("load") or {}
    return {
        **about,
        "state": state,
        "words": words,
        "release": release.get("name", ""),
        "deployed_at": release.get("good_since", ""),
        "model": release.get("model") or definition.get("model", ""),
        "served_model_name": release.get("served_model_name") or definition.get("served_model_name", ""),
        "vllm_version": snapshot.get("vllm_version") or release.get("vllm_version", ""),
        "uptime_s": round(now_s - vitals["started_s"]) if runs and vitals.get("started_s") else None,
        "restarts": container.get("restart_count") if container.get("id") else None,
        "requests_running": load.get("running"),
        "requests_waiting": load.get("waiting"),
        "kv_cache_usage": load.get("kv_cache_usage"),
        "kv_cache_tokens": (snapshot.get("kv_cache") or {}).get("tokens") or None,
        "gpus": _of_service(vitals.get("gpus") or [], definition.get("gpu_devices") or []),
        "drift": drift(definition, snapshot, release, config),
        "image": release.get("image", ""),
        "image_age_s": _age_s((snapshot.get("image") or {}).get("created", ""), now_s),
        "model_commit": snapshot.get("model_commit", ""),
        "weights_age_s": round(now_s - vitals["weights_s"]) if vitals.get("weights_s") else None,
        "reached": reached(definition, vitals, about["address"], runs),
        "stopped": snapshot.get("stopped") or {},
        "lock": vitals.get("lock") or {},
    }


def _state(definition: dict, snapshot: dict, vitals: dict, failure: str, release: dict) -> tuple[str, str]:
    """Return the state, and more of it in words."""
    container = snapshot.get("container") or {}
    if snapshot.get("unreachable"):
        state, words = "unreachable", _line(snapshot.get("msg"))
    elif not definition:
        # the first line counts the problems
        state, words = "refused", " ".join(str(failure or "no reason given").split("\n")[:2])
    elif not snapshot or snapshot.get("failed"):
        state, words = "no answer", "could not be looked at: %s" % _line(failure or snapshot.get("msg"))
    elif snapshot.get("healthy") and (nodes.is_asked(definition) or container.get("state") == "running"):
        # the head of several hosts says that all is well when another one is gone
        state, words = "serves", ""
    elif snapshot.get("stopped"):
        by = snapshot["stopped"]
        state, words = "stopped", "by %s at %s" % (by.get("who") or "somebody", by.get("at") or "?")
    else:
        state, words = _not_healthy(container.get("state", ""), snapshot, vitals, release)
    return state, words


def _not_healthy(docker: str, snapshot: dict, vitals: dict, release: dict) -> tuple[str, str]:
    if docker == "running" and (vitals.get("lock") or not release.get("good")):
        # what vLLM does before it answers takes minutes
        return "starting", "the container runs and does not answer yet; watch_medium.yml tells how far it is"
    if docker == "running":
        return "no answer", "the container runs and /health does not answer; diagnose_medium.yml tells why"
    if docker:
        code = vitals.get("exit_code")
        ended = " with exit code %s" % code if docker in ("exited", "dead") and code is not None else ""
        return "failed", "the container is %s%s; diagnose_medium.yml tells why" % (docker, ended)
    if not release:
        return "not deployed", snapshot.get("problem", "")
    return "failed", snapshot.get("problem") or "its container is gone; deploy_medium.yml makes one"


def _line(text: object) -> str:
    """Return the first line of what somebody said."""
    return (str(text or "no reason given").strip().splitlines() or [""])[0]


def drift(definition: dict, snapshot: dict, release: dict, config: dict) -> dict:
    """Return in what a service differs from what the inventory says.

    Returns:
        ``known`` (whether that could be compared) and ``lines``, each a difference or, where it could not, why.
    """
    if not definition or not snapshot or snapshot.get("unreachable"):
        return {"known": False, "lines": []}
    if not release:
        return {"known": True, "lines": ["nothing is deployed"]}
    problem = config.get("problem") or (config.get("msg") if config.get("failed") else "")
    if problem or "summary" not in config:
        return {"known": False, "lines": ["cannot be compared: %s" % _line(problem)]}
    lines = list(config["summary"])
    staged = config.get("release") or {}
    if not lines and staged and not staged.get("current"):
        lines.append("the inventory means release %s, which the host has and which is not current" % staged.get("name"))
    container = snapshot.get("container") or {}
    if container.get("id") and release.get("container_id") not in (None, "", container["id"]):
        lines.append("the container was made anew since the release was accepted")
    policy = container.get("restart_policy")
    if snapshot.get("healthy") and policy != definition.get("restart_policy"):
        lines.append("restart policy is %s, not %s" % (policy, definition.get("restart_policy")))
    return {"known": True, "lines": lines}


def reached(definition: dict, vitals: dict, address: str, runs: bool) -> list[dict]:
    """Return where a service can be reached and what guards it there: ``{url, by, guards}``.

    Args:
        definition: the ``vllm_definition``.
        vitals: what the module ``service_vitals_info`` returned.
        address: of the host in the inventory.
        runs: whether the container runs; otherwise nothing is reached.
    """
    if not runs or not definition or not nodes.is_asked(definition):
        return []
    said = vitals.get("guards") or {}
    guards = ["API key" if said.get("api_key") else "no key", "TLS" if said.get("tls") else "no TLS"]
    scheme = "https" if said.get("tls") else "http"
    networks = vitals.get("networks") or []
    places = [(item["address"], item["port"]) for item in vitals.get("ports") or []]
    if "host" in networks:
        # nothing is published: vLLM listens there itself
        places = [(definition.get("publish_address") or "0.0.0.0", definition["container_port"])]
    allowed = definition.get("allowed_sources")
    found: list[dict] = []
    for place, port in places:
        guards_here = (
            guards if place in _LOOPBACK or not allowed else [*guards, _ONLY_FROM + ", ".join(map(str, allowed))]
        )
        if place in _ANY:
            # one line for both families
            urls = [address, *[item for item in vitals.get("host_addresses") or [] if item != address]]
            by = "whoever reaches an address of the host"
        else:
            urls = [place]
            by = "this host only" if place in _LOOPBACK else "whoever reaches this address"
        for url in urls:
            shown = "[%s]" % url if ":" in url else url
            item = {"url": "%s://%s:%d" % (scheme, shown, port), "by": by, "guards": guards_here}
            if item not in found:
                found.append(item)
    if not places:
        by = "containers of the network %s" % ", ".join(networks or ["?"])
        found.append({"url": definition.get("base_url", ""), "by": by, "guards": guards})
    return found


def is_open(place: dict) -> bool:
    """Tell whether somebody beside the host reaches an address of :func:`reached` without a key."""
    guards = place["guards"]
    return (
        place["by"].startswith("whoever") and "no key" in guards and not any(g.startswith(_ONLY_FROM) for g in guards)
    )


def _of_service(gpus: list[dict], devices: list) -> list[dict]:
    """Return the GPUs that a service is given; all where they are not named by index or UUID."""
    names = [str(name) for name in devices]
    if not names or not all(_GPU.match(name) for name in names):
        return gpus
    return [gpu for gpu in gpus if str(gpu["index"]) in names or gpu["uuid"] in names]


def _age_s(text: str, now_s: float) -> int | None:
    """Return how long ago a time as Docker writes it was; None where it is not known (some images have none)."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    if not found or not now_s or text.startswith(("0001", "1970")):
        return None
    return max(0, round(now_s - calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))))
