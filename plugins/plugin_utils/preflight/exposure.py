# SPDX-License-Identifier: GPL-3.0-or-later
"""At which addresses a service can be reached, and by what it is guarded. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Addresses that stand for all of one family, with what its addresses have.
_ALL = {"0.0.0.0": ".", "::": ":"}


def addresses(definition: dict, host: dict) -> list[str]:
    """Return where the port is open on the host, as ``address:port``.

    Args:
        definition: the ``vllm_definition``.
        host: what the module ``host_info`` returned; what it lacks is not told.
    """
    if not definition.get("published", True):
        return []
    address = str(definition.get("publish_address", ""))
    found = [address]
    if address in _ALL:
        # where the host's own are not known, all of them
        found = [item for item in host.get("addresses") or [] if _ALL[address] in item] or [address]
    return ["%s:%s" % ("[%s]" % item if ":" in item else item, definition["port"]) for item in found]


def guards(definition: dict) -> list[str]:
    """Return by what the port is guarded, in words."""
    found = []
    if definition.get("allowed_sources"):
        found.append("vllm_allowed_sources (%s)" % ", ".join(definition["allowed_sources"]))
    if definition.get("api_key_required"):
        found.append("the key, for /v1 (not for /health, /metrics and others)")
    if definition.get("scheme") == "https":
        found.append("TLS")
    return found


def check(definition: dict, host: dict) -> dict:
    """Somebody guards what others can reach. Docker's ports go past ufw and firewalld."""
    places = addresses(definition, host)
    open_to_all = bool(places) and str(definition.get("publish_address", "")) not in LOOPBACK
    kept = guards(definition)
    by = "guarded by " + ", ".join(kept) if kept else "guarded by nothing"
    # TLS alone keeps nobody out
    safe = not open_to_all or bool(definition.get("allowed_sources")) or bool(definition.get("api_key_required"))
    found = "%s, %s" % (", ".join(places), by if open_to_all else "from the host itself only") if places else (
        "no port on the host"
    )  # fmt: skip
    return finding(
        "exposure",
        safe,
        found,
        "a key or vllm_allowed_sources where others reach the port, which goes past ufw and firewalld",
        "Set vllm_api_key, vllm_allowed_sources, or vllm_publish_address: 127.0.0.1.",
        severity="warning",
    )
