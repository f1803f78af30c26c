# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service can be reached, and what guards it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import exposure

HOST = {"addresses": ["192.0.2.7", "10.0.0.5", "2001:db8::7"]}
ANY4, ANY6 = {"vllm_publish_address": "0.0.0.0"}, {"vllm_publish_address": "::"}
KEY = {"vllm_api_key": "key-of-the-tests"}


@pytest.mark.parametrize(
    ("changes", "ok", "found"),
    [
        ({}, True, "127.0.0.1:5002, from the host itself only"),
        ({"vllm_publish": False}, True, "no port on the host"),
        (ANY4, False, "192.0.2.7:5002, 10.0.0.5:5002, guarded by nothing"),
        (ANY6, False, "[2001:db8::7]:5002, guarded by nothing"),
        ({"vllm_publish_address": "10.0.0.5"}, False, "10.0.0.5:5002, guarded by nothing"),
        (
            KEY,
            True,
            "192.0.2.7:5002, 10.0.0.5:5002, guarded by the key, for /v1 (not for /health, /metrics and others)",
        ),
        ({**ANY4, "vllm_allowed_sources": ["10.0.0.0/8"]}, True, "guarded by vllm_allowed_sources (10.0.0.0/8)"),
        ({**ANY4, "vllm_ssl_certfile": "/c.pem", "vllm_ssl_keyfile": "/k.pem"}, False, "guarded by TLS"),
    ],
)
def test_exposure(define, changes, ok, found) -> None:
    """The addresses are the host's own; TLS alone keeps nobody out."""
    definition, problems, _warnings = define(**changes)
    assert problems == []
    told = exposure.check(definition, HOST)
    assert (told["ok"], told["severity"]) == (ok, "warning")
    assert found in told["found"]
    assert ok or "vllm_allowed_sources" in told["fix"]


def test_a_host_that_tells_no_addresses(define) -> None:
    assert exposure.addresses(define(**ANY4)[0], {}) == ["0.0.0.0:5002"]
