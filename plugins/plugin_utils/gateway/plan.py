# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a gateway gets: what its configuration is rendered with, its maps and its answers for errors.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import errors, keys, maps, pools

#: Folder on the gateway with all that belongs to HAProxy's configuration, secrets among it.
FOLDER = "/etc/haproxy/vllm"
#: Certificate and key in one file; apart, since they are not the configuration's but their owner's.
CERTIFICATE = "/etc/haproxy/vllm-tls/gateway.pem"
#: Of module_utils/gateway/server_states.py.
STATE_FILE = "/var/lib/haproxy/server-state"

#: Smallest value of each number; HAProxy takes 0 for no limit at some of them.
_LEAST = {
    "vllm_gateway_port": 1,
    "vllm_gateway_metrics_port": 1,
    "vllm_gateway_agent_port": 1,
    "vllm_gateway_stall_s": 0,
    "vllm_gateway_body_limit_kib": 16,
    "vllm_gateway_hold_s": 0,
    "vllm_gateway_hold_requests": 1,
    "vllm_gateway_retry_after_s": 1,
    "vllm_gateway_longest_request_s": 1,
    "vllm_gateway_queue_s": 1,
    "vllm_gateway_requests_per_host": 1,
    "vllm_gateway_max_connections": 10,
    "vllm_gateway_check_interval_s": 1,
    "vllm_gateway_check_fall": 1,
    "vllm_gateway_balance_factor": 101,
}
#: How long a token is waited for at least, in seconds; a busy engine has others to serve.
_LEAST_PROBE_S = 10
#: The longest Retry-After that the openai client obeys, in seconds (its release 3: 120; older ones: 60).
_LONGEST_RETRY_AFTER_S = 60


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
    """Return which number is too small or too large."""
    wrong = [
        "%s is %s; expected %d or more." % (name, values[name], least)
        for name, least in _LEAST.items()
        if values[name] is not None and values[name] < least
    ]
    if values["vllm_gateway_retry_after_s"] > _LONGEST_RETRY_AFTER_S:
        wrong.append(
            "vllm_gateway_retry_after_s is %d; expected at most %d: clients do not wait longer, and fail at once."
            % (values["vllm_gateway_retry_after_s"], _LONGEST_RETRY_AFTER_S)
        )
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
        "agent_port",
        "balance",
        "balance_factor",
        "check_fall",
        "check_interval_s",
        "hold_requests",
        "hold_s",
        "longest_request_s",
        "max_connections",
        "queue_s",
        "requests_per_host",
        "retry_after_s",
        "session_header",
        "stall_s",
        "upstream_ca",
        "usage",
    )
    return {
        **{name: v[name] for name in same},
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
