# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of the service itself: files of the host that are mounted, and the scheme by which everybody asks it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import HOST_PATH
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: Where the container has each file: one place, so that no folder of the image is hidden.
IN_CONTAINER = {
    "vllm_ssl_certfile": "/etc/vllm-tls/certfile.pem",
    "vllm_ssl_keyfile": "/etc/vllm-tls/keyfile.pem",
    "vllm_ssl_ca_certs": "/etc/vllm-tls/ca-certs.pem",
}

#: Python's ssl.CERT_REQUIRED.
_CERTIFICATE_REQUIRED = "2"


def check(v: dict, extra_options: dict, problems: Problems) -> None:
    """Note what is wrong with the files, together and each, and with options that go with them."""
    for name in IN_CONTAINER:
        if v[name] and not HOST_PATH.match(v[name]):
            problems.add(
                name, "%r is no absolute path of a file on the host. Use for example /etc/ssl/llm.pem." % v[name]
            )
    certificate, key = v["vllm_ssl_certfile"], v["vllm_ssl_keyfile"]
    if bool(certificate) != bool(key):
        # vllm/entrypoints: https is told of where both are there, and the supervisor of replicas refuses one alone
        there, lacks = ("certfile", "keyfile") if certificate else ("keyfile", "certfile")
        problems.add(
            "vllm_ssl_%s" % lacks,
            "is empty, though vllm_ssl_%s is set. Set both, to the same file where it holds certificate and key."
            % there,
        )
    elif v["vllm_ssl_ca_certs"] and not certificate:
        problems.add(
            "vllm_ssl_ca_certs",
            "%s has no effect without vllm_ssl_certfile and vllm_ssl_keyfile. Set those, or unset it."
            % v["vllm_ssl_ca_certs"],
        )
    if str(extra_options.get("ssl-cert-reqs", "")).strip() == _CERTIFICATE_REQUIRED:
        problems.add(
            "vllm_extra_options",
            "ssl-cert-reqs 2 is refused: the health check, and whoever else asks the service on its host, has no "
            "certificate of its own. Use 1, where clients may show one, or let a proxy ask for it.",
        )


def scheme(v: dict) -> str:
    """Return by which scheme the service is asked, inside its container and outside."""
    return "https" if v["vllm_ssl_certfile"] else "http"


def files(v: dict) -> dict[str, str]:
    """Return the files on the host: by path, the variable that names it."""
    return {v[name]: name for name in reversed(IN_CONTAINER) if v[name]}


def mounts(v: dict) -> list[str]:
    """Return their mounts in Compose's short form."""
    return ["%s:%s:ro" % (v[name], place) for name, place in IN_CONTAINER.items() if v[name]]


def told(v: dict) -> dict[str, str]:
    """Return what vLLM is told in place of the host's paths."""
    return {name: place for name, place in IN_CONTAINER.items() if v[name]}
