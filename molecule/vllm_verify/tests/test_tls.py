# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that speaks TLS itself, with a certificate that nobody knows and that does not name 127.0.0.1."""

from __future__ import annotations

import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY = "PLANTED-key-7c31e2"
CONTAINER = "vllm-tls"
CERTIFICATE, PRIVATE = "/srv/tls/llm.pem", "/srv/tls/llm.key"

SERVICE = {
    "vllm_name": "tls",
    "vllm_container_name": None,
    "vllm_compile_cache": None,
    "vllm_max_model_len": None,
    "vllm_extra_options": None,
    "vllm_model": "/srv/models/tiny-kinds/embed",
    "vllm_served_model_name": "embed",
    "vllm_port": 5031,
    "vllm_container_port": 8000,
    "vllm_ssl_certfile": CERTIFICATE,
    "vllm_ssl_keyfile": PRIVATE,
}
SMALL = {
    "vllm_benchmark_profile": "small",
    "vllm_benchmark_extra_profiles": {
        "small": [{"name": "small", "num_prompts": 5, "max_concurrency": 1, "input_tokens": 16, "output_tokens": 1}]
    },
}


def new_certificate(host) -> None:
    """Put a certificate and its key on the host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "llm.example.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("llm.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    host.check_output("mkdir -p /srv/tls")
    for path, text in (
        (CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM)),
        (PRIVATE, key.private_bytes(*form)),
    ):
        # replaced, as a renewal does it
        host.check_output("umask 077; cat > %s.new <<'END'\n%sEND\nmv %s.new %s" % (path, text.decode(), path, path))


@pytest.fixture(name="run")
def run_of(reported, play):
    """Run a playbook about this service."""

    def run(playbook: str, **more: object):
        values = {"vllm_services": [SERVICE], "vllm_name": "tls", "vllm_hosts": "medium",
                  "vllm_benchmark_on_deploy": False, **more}  # fmt: skip
        runner = play if playbook in ("remove_medium.yml", "watch_medium.yml") else reported
        return runner("-e", json.dumps(values), playbook=playbook)

    return run


def asked_by_clients(host) -> str:
    """What a client that knows the certificate is told, by the name in it."""
    return host.check_output(
        "curl -s -o /dev/null -w '%%{http_code}' --cacert %s --resolve llm.example.com:5031:127.0.0.1 "
        "https://llm.example.com:5031/health" % CERTIFICATE
    )


@pytest.mark.full
def test_tls(host, run) -> None:
    """Refused without its files; deployed, verified, measured and watched with them; a renewed one is taken over."""
    host.run("rm -rf /srv/tls")
    refused = run("deploy_medium.yml")
    assert refused.status != 0
    assert "missing, or no file" in " ".join(refused.output.split())
    assert not host.file("/opt/vllm/tls").exists
    try:
        new_certificate(host)
        done = run("deploy_medium.yml")
        assert done.status == 0, done.output
        assert "https://127.0.0.1:5031/v1" in done.output
        checks = {item["id"]: item for item in done.document["endpoints"]["checks"]}
        assert checks["endpoint-published"]["evidence"] == "HTTP 200 by TLS; the certificate was not looked at"
        assert asked_by_clients(host) == "200"
        state = host.check_output("docker inspect -f '{{.State.Health.Status}}' %s" % CONTAINER)
        assert state == "healthy"
        before = host.check_output("docker inspect -f '{{.Id}}' %s" % CONTAINER)
        assert run("deploy_medium.yml").status == 0
        assert host.check_output("docker inspect -f '{{.Id}}' %s" % CONTAINER) == before

        measured = run("benchmark_medium.yml", **SMALL)
        assert measured.status == 0, measured.output
        assert run("watch_medium.yml").status == 0

        new_certificate(host)
        renewed = run("deploy_medium.yml")
        assert renewed.status == 0, renewed.output
        assert host.check_output("docker inspect -f '{{.Id}}' %s" % CONTAINER) != before
        assert asked_by_clients(host) == "200"
    finally:
        run("remove_medium.yml", vllm_service_remove_volumes=True)
