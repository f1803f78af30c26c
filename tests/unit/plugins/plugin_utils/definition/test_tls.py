# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of the service itself: what is refused, and where its scheme and files stand."""

from __future__ import annotations

import pytest

CERTIFICATE, KEY, AUTHORITIES = "/etc/ssl/llm.pem", "/etc/ssl/private/llm.key", "/etc/ssl/clients.pem"
BOTH = {"vllm_ssl_certfile": CERTIFICATE, "vllm_ssl_keyfile": KEY}


@pytest.mark.parametrize(
    ("changes", "variable", "words"),
    [
        ({"vllm_ssl_certfile": CERTIFICATE}, "vllm_ssl_keyfile", "Set both"),
        ({"vllm_ssl_keyfile": KEY}, "vllm_ssl_certfile", "Set both"),
        ({"vllm_ssl_ca_certs": AUTHORITIES}, "vllm_ssl_ca_certs", "no effect"),
        ({**BOTH, "vllm_ssl_keyfile": "llm.key"}, "vllm_ssl_keyfile", "no absolute path"),
        ({**BOTH, "vllm_ssl_certfile": "/a b.pem"}, "vllm_ssl_certfile", "no absolute path"),
        ({**BOTH, "vllm_extra_options": {"ssl-cert-reqs": "2"}}, "vllm_extra_options", "has no certificate"),
        ({"vllm_extra_options": {"ssl-keyfile": KEY}}, "vllm_extra_options", "set vllm_ssl_keyfile"),
        (
            {**BOTH, "vllm_extra_volumes": ["/srv/tls:/etc/vllm-tls"]},
            "vllm_extra_volumes",
            "would hide what TLS needs",
        ),
        ({**BOTH, "vllm_compose_override": {"tmpfs": "/etc/vllm-tls/keyfile.pem"}}, "vllm_compose_override", "TLS"),
    ],
)
def test_refused(changes, variable, words, define) -> None:
    """Each with its variable, once."""
    _found, problems, _warnings = define(**changes)
    assert [item["variable"] for item in problems] == [variable]
    assert words in problems[0]["message"]


@pytest.mark.parametrize(
    ("changes", "base_url"),
    [
        ({}, "https://127.0.0.1:5002"),
        ({"vllm_publish_address": "192.0.2.7", "vllm_api_key": "k"}, "https://192.0.2.7:5002"),
        ({"vllm_publish_address": "::"}, "https://[::1]:5002"),
        ({"vllm_publish": False, "vllm_container_name": "llm", "vllm_container_port": 8000}, "https://llm:8000"),
        ({"vllm_network_mode": "host"}, "https://127.0.0.1:5002"),
    ],
)
def test_scheme(changes, base_url, define) -> None:
    """It is told once, and the address has it."""
    found, problems, _warnings = define(**BOTH, **changes)
    assert problems == []
    assert (found["scheme"], found["base_url"]) == ("https", base_url)
    plain = define(**changes)[0]
    assert (plain["scheme"], plain["base_url"]) == ("http", base_url.replace("https", "http"))


def test_files(define, env_of) -> None:
    """vLLM gets the container's paths, read-only; what the host's files hold belongs to the release."""
    changes = {**BOTH, "vllm_ssl_ca_certs": AUTHORITIES, "vllm_extra_options": {"ssl-cert-reqs": 1}}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["volumes"][-3:] == [
        CERTIFICATE + ":/etc/vllm-tls/certfile.pem:ro",
        KEY + ":/etc/vllm-tls/keyfile.pem:ro",
        AUTHORITIES + ":/etc/vllm-tls/ca-certs.pem:ro",
    ]
    assert found["files"] == {
        CERTIFICATE: "vllm_ssl_certfile", KEY: "vllm_ssl_keyfile", AUTHORITIES: "vllm_ssl_ca_certs",
    }  # fmt: skip
    assert (found["ssl_certfile"], found["ssl_keyfile"]) == (CERTIFICATE, KEY)
    lines = env_of(**changes)
    assert lines["VLLM_SSL_CERTFILE_MEDIUM"] == "/etc/vllm-tls/certfile.pem"
    assert lines["VLLM_SSL_KEYFILE_MEDIUM"] == "/etc/vllm-tls/keyfile.pem"
    assert lines["VLLM_SSL_CA_CERTS_MEDIUM"] == "/etc/vllm-tls/ca-certs.pem"
    command = found["command"]
    assert command[command.index("--ssl-keyfile") + 1] == "${VLLM_SSL_KEYFILE_MEDIUM}"


def test_one_file_for_both(define) -> None:
    """A file may hold certificate and key."""
    found, problems, _warnings = define(vllm_ssl_certfile=CERTIFICATE, vllm_ssl_keyfile=CERTIFICATE)
    assert problems == []
    assert found["files"] == {CERTIFICATE: "vllm_ssl_certfile"}


def test_user(define) -> None:
    """A user of one's own must be able to read the key."""
    caches = {"vllm_user": "2000", "vllm_hf_cache": "/srv/hf", "vllm_compile_cache": "/srv/compile"}
    assert "vllm_ssl_keyfile %s as user 2000" % KEY in define(**BOTH, **caches)[2][-1]
    assert not [text for text in define(**caches)[2] if "ssl" in text]
