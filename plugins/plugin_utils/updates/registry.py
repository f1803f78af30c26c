# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a container registry which tags an image has, and the digest of one, by its HTTP API.

The API is that of the OCI's distribution specification (``/v2/<name>/tags/list`` and
``/v2/<name>/manifests/<reference>``); a registry that wants a token for public images says where to get one
(``WWW-Authenticate: Bearer``), and gives it to everybody. Nothing is sent but names.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

#: Where Docker Hub answers, under the name that an image without a registry has (distribution/reference, normalize.go).
_HUB, _HUB_ADDRESS = "docker.io", "registry-1.docker.io"

#: What a manifest may be: an index of several platforms, or one platform's; of OCI and of Docker.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)

#: Tags a page, and most pages: vllm/vllm-openai has some thousand with those of its nightly builds.
_PAGE, _PAGES = 1000, 20

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")

#: (address, headers, method) -> (HTTP status, headers in lower case, body); status 0 with why in the body when nothing
#: answered.
Fetch = Callable[[str, dict, str], "tuple[int, dict, str]"]


class RegistryError(Exception):
    """A registry does not tell; the text says why."""


class Reference(NamedTuple):
    """An image reference in its parts."""

    registry: str
    repository: str
    tag: str
    digest: str


def parse(image: str) -> Reference:
    """Return the parts of an image reference; what it leaves out is as Docker takes it, the tag stays empty."""
    name, _at, digest = image.partition("@")
    head, slash, rest = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = _HUB, name
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        path, tag = rest, ""
    if head == _HUB and "/" not in path:
        path = "library/" + path
    return Reference(head, path, tag, digest)


def tags(image: str, fetch: Fetch) -> list[str]:
    """Return all tags of the repository of an image.

    Raises:
        RegistryError: the registry does not tell.
    """
    reference = parse(image)
    found: list[str] = []
    path, token = "/v2/%s/tags/list?n=%d" % (reference.repository, _PAGE), ""
    for _page in range(_PAGES):
        headers, body, token = _ask(reference, path, "GET", "application/json", token, fetch)
        try:
            found += [str(tag) for tag in json.loads(body)["tags"] or []]
        except (ValueError, KeyError, TypeError):
            raise RegistryError("%s gives no list of tags" % reference.registry) from None
        following = re.match(r'<([^>]+)>; *rel="?next', headers.get("link", ""))
        if not following:
            break
        target = urllib.parse.urlsplit(following[1])
        path = "%s?%s" % (target.path, target.query)
    return found


def digest(image: str, fetch: Fetch) -> str:
    """Return the digest that the tag of an image has now.

    Raises:
        RegistryError: the registry does not tell.
    """
    reference = parse(image)
    path = "/v2/%s/manifests/%s" % (reference.repository, reference.tag or "latest")
    headers, _body, _token = _ask(reference, path, "HEAD", _MANIFESTS, "", fetch)
    found = headers.get("docker-content-digest", "")
    if not _DIGEST.match(found):
        raise RegistryError("%s gives no digest for %s" % (reference.registry, image))
    return found


def _ask(
    reference: Reference, path: str, method: str, accept: str, token: str, fetch: Fetch
) -> tuple[dict, str, str]:  # fmt: skip
    """Return (headers, body, token) of an answer, with a token where the registry wants one."""
    host = _HUB_ADDRESS if reference.registry == _HUB else reference.registry
    # as Docker does: only a registry on this machine may go without TLS
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = "%s://%s%s" % (scheme, host, path)
    headers = {"Accept": accept, **({"Authorization": "Bearer " + token} if token else {})}
    status, answered, body = fetch(url, headers, method)
    if status == 401 and not token:
        token = _token(answered.get("www-authenticate", ""), reference, fetch)
        status, answered, body = fetch(url, {**headers, "Authorization": "Bearer " + token}, method)
    if status != 200:
        said = body[:200] if status == 0 else "HTTP %d" % status
        raise RegistryError("%s does not tell of %s (%s)" % (reference.registry, reference.repository, said))
    return answered, body, token


def _token(challenge: str, reference: Reference, fetch: Fetch) -> str:
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.lower().startswith("bearer") or not fields.get("realm"):
        raise RegistryError("%s wants a password for %s" % (reference.registry, reference.repository))
    query = {
        "scope": "repository:%s:pull" % reference.repository,
        **{key: fields[key] for key in ("service",) if key in fields},
    }
    status, _headers, body = fetch("%s?%s" % (fields["realm"], urllib.parse.urlencode(query)), {}, "GET")
    try:
        data = json.loads(body) if status == 200 else {}
    except ValueError:
        data = {}
    token = str(data.get("token") or data.get("access_token") or "")
    if not token:
        raise RegistryError("%s wants a password for %s" % (reference.registry, reference.repository))
    return token
