# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the service on this host by HTTP, past any proxy. Python standard library only; runs on hosts.

ansible.module_utils.urls can do more than is needed here, and is compiled anew each time a module that imports it
arrives at a host: half of the time of a look at a service.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.parse


def seen_from_host(url: str, container: str, run) -> str:
    """Return where the host itself asks for ``url``.

    A service without a port on the host has the name of its container in its address. The host asks it at the address
    that Docker gave the container.

    Args:
        url: address of the service.
        container: name of its container.
        run: function of an argument list that returns (exit status, standard output, standard error).
    """
    parts = urllib.parse.urlsplit(url)
    if not container or (parts.hostname or "") != container.lower():
        return url
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    status, out, _err = run(["docker", "container", "inspect", "--format", form, container])[:3]
    addresses = out.split() if status == 0 else []
    # nobody answers at port 0: a container that does not run has no address
    place = (
        "%s:%d" % (addresses[0], parts.port or (443 if parts.scheme == "https" else 80)) if addresses else "0.0.0.0:0"
    )
    return urllib.parse.urlunsplit(parts._replace(netloc=place))


def _connection(parts: urllib.parse.SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to an address. With TLS the certificate is not looked at: it may be of an authority that this
    host does not know, and names what clients ask for, which is not this address."""
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=context)


def query(
    url: str, timeout_s: float, body: bytes | None = None, headers: dict | None = None, most_bytes: int | None = None
) -> tuple[int, bytes, str]:
    """Send one request, a POST when it has a body.

    Args:
        url: an http or https address.
        timeout_s: longest silence, in seconds.
        body: what to send.
        headers: more headers.
        most_bytes: how much of the answer is read; all of it without.

    Returns:
        (HTTP status, answer, what is wrong). Status and answer are 0 and empty when nothing answered, or not to its
        end; what is wrong is empty with status 200.
    """
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    wrong = "no answer from %s" % url
    try:
        connection = _connection(parts, timeout_s)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            response = connection.getresponse()
            wrong = "the answer broke off"
            text = response.read(most_bytes)
        finally:
            connection.close()
    # an engine that dies within its answer; an address that is none
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, b"", "%s: %s" % (wrong, str(error) or type(error).__name__)
    wrong = "" if response.status == 200 else "HTTP %d %s" % (response.status, response.reason)
    return response.status, text, wrong
