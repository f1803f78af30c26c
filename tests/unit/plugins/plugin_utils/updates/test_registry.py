# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry is asked for tags and digests by its HTTP API; the registry is a STAND-IN."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.updates import registry

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("vllm/vllm-openai:v0.32.0", ("docker.io", "vllm/vllm-openai", "v0.32.0", "")),
        ("ubuntu", ("docker.io", "library/ubuntu", "", "")),
        ("r.example.org/a/b/c:1@" + DIGEST, ("r.example.org", "a/b/c", "1", DIGEST)),
        ("localhost:5000/a", ("localhost:5000", "a", "", "")),
        ("r.example.org:5000/a:1", ("r.example.org:5000", "a", "1", "")),
    ],
)
def test_reference(image, parts) -> None:
    """As Docker reads it."""
    assert registry.parse(image) == parts


def hub(asked: list):
    """A registry that wants a token, and gives its tags on two pages."""

    def fetch(url: str, headers: dict, method: str) -> tuple[int, dict, str]:
        asked.append((method, url))
        if url.startswith("https://auth.example.org/token?"):
            assert "scope=repository%3Avllm%2Fvllm-openai%3Apull" in url
            assert "service=registry" in url
            return 200, {}, json.dumps({"token": "t"})
        if headers.get("Authorization") != "Bearer t":
            return 401, {"www-authenticate": 'Bearer realm="https://auth.example.org/token",service="registry"'}, ""
        if method == "HEAD":
            assert "application/vnd.oci.image.index.v1+json" in headers["Accept"]
            return 200, {"docker-content-digest": DIGEST}, ""
        if "last=" in url:
            return 200, {}, json.dumps({"tags": ["v0.33.0"]})
        return 200, {"link": '</v2/vllm/vllm-openai/tags/list?last=x&n=1000>; rel="next"'}, json.dumps({"tags": ["a"]})

    return fetch


def test_tags() -> None:
    """Of all pages, with one token."""
    asked: list = []
    assert registry.tags("vllm/vllm-openai:v0.32.0", hub(asked)) == ["a", "v0.33.0"]
    assert [url.partition("?")[0] for _method, url in asked] == [
        "https://registry-1.docker.io/v2/vllm/vllm-openai/tags/list",
        "https://auth.example.org/token",
        "https://registry-1.docker.io/v2/vllm/vllm-openai/tags/list",
        "https://registry-1.docker.io/v2/vllm/vllm-openai/tags/list",
    ]


def test_digest() -> None:
    """Of the index, which is the same on every platform."""
    asked: list = []
    assert registry.digest("vllm/vllm-openai:v0.32.0", hub(asked)) == DIGEST
    assert asked[-1] == ("HEAD", "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/v0.32.0")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((0, {}, "no route to host"), "docker.io does not tell of vllm/vllm-openai (no route to host)"),
        ((404, {}, ""), "does not tell of vllm/vllm-openai (HTTP 404)"),
        ((401, {"www-authenticate": "Basic realm=x"}, ""), "wants a password"),
        ((200, {}, "<html>"), "gives no list of tags"),
    ],
)
def test_what_it_does_not_tell(answer, text) -> None:
    """Why is said."""
    with pytest.raises(registry.RegistryError, match=r".+") as error:
        registry.tags("vllm/vllm-openai:v0.32.0", lambda *_args: answer)
    assert text in str(error.value)


def test_a_registry_of_this_machine_needs_no_tls() -> None:
    """As with Docker; and no other does without."""
    asked: list = []

    def fetch(url: str, _headers: dict, _method: str) -> tuple[int, dict, str]:
        asked.append(url)
        return 200, {}, '{"tags": []}'

    registry.tags("127.0.0.1:5000/a", fetch)
    registry.tags("r.example.org/a", fetch)
    assert [url.partition(":")[0] for url in asked] == ["http", "https"]
