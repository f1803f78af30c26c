# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a gateway gets: what its configuration is rendered with, its maps and its answers for errors.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import knob_limits
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems
from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import errors, keys, maps, pools

#: Folder on the gateway with all that belongs to HAProxy's configuration, secrets among it.
FOLDER = "/etc/haproxy/vllm"
#: Certificate and key in one file; apart, since they are not the configuration's but their owner's.
CERTIFICATE = "/etc/haproxy/vllm-tls/gateway.pem"
#: Of module_utils/gateway/server_states.py.
STATE_FILE = "/var/lib/haproxy/server-state"

#: How long a token is waited for at least, in seconds; a busy engine has others to serve.
_LEAST_PROBE_S = 10


def make(values: dict, found: list[dict], gateway: dict) -> tuple[dict, list[str], list[str]]:
    """Return the plan, what is wrong, and what the operator should know.

    Args:
        values: each ``vllm_gateway_*`` variable of the role in its type.
        found: of `pools.read`.
        gateway: of `pools.read`.

    Returns:
        ``settings`` for the template, and ``files``: text by path of the maps (which hold vLLM's keys) and the errors.
    """
    served, problems, warnings = pools.read(found, gateway)
    models = [model for pool in served for model in pool["models"]]
    known, wrong, told = keys.read(values["vllm_gateway_keys"], models)
    problems += wrong + maps.path_problems(values["vllm_gateway_paths"]) + _limits(values)
    warnings += told
    if not found:
        problems.append(
            "vllm_gateway_service_hosts: no host of %r has a service, so there is nothing to send requests to."
            % values["vllm_gateway_service_hosts"]
        )
    if not known and not wrong:
        warnings.append("vllm_gateway_keys is empty: everybody gets 401 until it has a key.")
    if values["vllm_gateway_tls"] == "none":
        warnings.append("vllm_gateway_tls: keys and prompts cross the network in clear.")
    if problems:
        return {}, problems, warnings
    error_files = errors.files(values["vllm_gateway_retry_after_s"])
    files = {"%s/errors/%s" % (FOLDER, name): text for name, text in error_files.items()}
    texts = maps.of(known, served, values["vllm_gateway_paths"])
    files.update({"%s/%s.map" % (FOLDER, name): text for name, text in texts.items()})
    shown = [{key: value for key, value in pool.items() if key != "api_key"} for pool in served]
    return {"settings": _settings(values, shown, list(error_files)), "files": files}, [], warnings


def _limits(values: dict) -> list[str]:
    """Return which number is too small or too large, and which address or file is none."""
    found = Problems()
    knob_limits.check(values, found)
    wrong = [item["message"] for item in found.found]
    for name in ("vllm_gateway_address", "vllm_gateway_metrics_address"):
        try:
            ipaddress.ip_address(values[name] or "0.0.0.0")
        except ValueError:
            wrong.append("%s is %r; expected an IP address of the gateway." % (name, values[name]))
    if values["vllm_gateway_tls"] == "files":
        wrong += [
            "%s is not set; vllm_gateway_tls is files, which needs a certificate and its key on the gateway." % name
            for name in ("vllm_gateway_tls_certificate", "vllm_gateway_tls_key")
            if not values[name]
        ]
    return wrong


def _bind(address: str, port: int) -> str:
    return "%s:%d" % (address or "*", port) if ":" not in (address or "") else "[%s]:%d" % (address, port)


def _settings(values: dict, served: list[dict], error_files: list[str]) -> dict:
    """Return what the template of the configuration uses, without a secret."""
    v = {name.removeprefix("vllm_gateway_"): value for name, value in values.items()}
    same = (
        "vllm_gateway_agent_port",
        "vllm_gateway_balance",
        "vllm_gateway_balance_factor",
        "vllm_gateway_check_fall",
        "vllm_gateway_check_interval_s",
        "vllm_gateway_hold_requests",
        "vllm_gateway_hold_s",
        "vllm_gateway_longest_request_s",
        "vllm_gateway_max_connections",
        "vllm_gateway_queue_s",
        "vllm_gateway_requests_per_host",
        "vllm_gateway_retry_after_s",
        "vllm_gateway_session_header",
        "vllm_gateway_stall_s",
        "vllm_gateway_upstream_ca",
        "vllm_gateway_usage",
    )
    return {
        **{name.removeprefix("vllm_gateway_"): values[name] for name in same},
        "folder": FOLDER,
        "probe_s": max(_LEAST_PROBE_S, v["stall_s"] // 2),
        "state_file": STATE_FILE,
        "certificate": CERTIFICATE,
        "bind": _bind(v["address"], v["port"]),
        "metrics_bind": _bind(v["metrics_address"], v["metrics_port"]),
        "tls": v["tls"] != "none",
        "body_limit": v["body_limit_kib"] * 1024,
        "no_limit": maps.NO_LIMIT,
        "errors": errors.returns(),
        "error_files": error_files,
        "pools": [
            {**pool, "servers": [{**server, "has_name": not _is_ip(server["address"])} for server in pool["servers"]]}
            for pool in served
        ],
    }


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
