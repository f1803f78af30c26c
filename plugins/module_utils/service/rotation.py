# SPDX-License-Identifier: GPL-3.0-or-later
"""Which secrets a release changes, and whether the old ones are dead. Python standard library only; runs on hosts.

The values are looked up in the ``.env`` files of the releases and never leave the host but in a request that tries
them.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases, service_http
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Where the hub tells whose a token is (huggingface_hub, hf_api.py: whoami).
_WHOAMI = "/api/whoami-v2"

HUB = "https://huggingface.co"

_TOKEN, _KEY, _FILES = "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY_", "VLLM_FILES_"


def compare(service: releases.Service, name: str) -> dict:
    """Return what release ``name`` changes against the current one.

    Returns:
        ``secrets``, the names in ``.env`` of secrets that differ; ``others``, further names that differ, and
        compose.yml where that does.
    """
    current = service.current()
    before, after = (dotenv.items(service.read(item, releases.ENV)) for item in (current, name))
    changed = [item for item in sorted({*before, *after}) if before.get(item) != after.get(item)]
    secrets = [item for item in changed if _is_secret(item, before.get(item, "") + after.get(item, ""))]
    # what files hold, secrets among them, is one number
    others = [item for item in changed if item not in secrets and not item.startswith(_FILES)]
    if service.read(current, releases.COMPOSE) != service.read(name, releases.COMPOSE):
        others.append(releases.COMPOSE)
    return {"secrets": secrets, "others": others}


def _is_secret(name: str, value: str) -> bool:
    return bool(service_secrets.among([(name, value + "....")]))


def old_values(service: releases.Service) -> dict[str, list[str]]:
    """Return by name in ``.env`` the secrets of releases that the current one has otherwise, or no more."""
    current = dotenv.items(service.read(service.current(), releases.ENV))
    now = set(current.values())
    found: dict[str, list[str]] = {}
    for release in [*service.names(), *service.strange()]:
        for name, value in dotenv.items(service.read(release, releases.ENV)).items():
            if value and value not in now and _is_secret(name, value) and value not in found.setdefault(name, []):
                found[name].append(value)
    return {name: values for name, values in found.items() if values}


def prove(service: releases.Service, url: str, endpoint: str, timeout_s: float) -> dict:
    """Try the secrets of the current release and those of before.

    Args:
        service: the service.
        url: where the service answers, as seen from the host.
        endpoint: address of the hub, empty for Hugging Face's.
        timeout_s: longest time for each answer, in seconds.

    Returns:
        ``key`` and ``token``, each with ``new`` (HTTP status of the present one, None without one, 0 for no answer),
        ``old`` (those of the ones before) and ``other``, names of old secrets that nobody here can try.
    """
    current, old = dotenv.items(service.read(service.current(), releases.ENV)), old_values(service)

    def service_says(key: str) -> int:
        headers = {"Authorization": "Bearer " + key.partition(",")[0]} if key else {}
        return service_http.query(url + "/v1/models", timeout_s, headers=headers)[0]

    def hub_says(token: str) -> int:
        return _status((endpoint or HUB).rstrip("/") + _WHOAMI, token, timeout_s)

    keys = [value for name, values in old.items() if name.startswith(_KEY) for value in values]
    new_key = next((value for name, value in current.items() if name.startswith(_KEY)), "")
    new_token = current.get(_TOKEN, "")
    return {
        "key": {"new": service_says(new_key), "old": [service_says(value) for value in keys]},
        "token": {
            "new": hub_says(new_token) if new_token and old.get(_TOKEN) else None,
            "old": [hub_says(value) for value in old.get(_TOKEN, [])],
        },
        "other": sorted(name for name in old if name != _TOKEN and not name.startswith(_KEY)),
    }


def _status(url: str, token: str, timeout_s: float) -> int:
    """Return the HTTP status of an answer of the hub, by the host's proxies; 0 without one."""
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.build_opener().open(request, timeout=timeout_s) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def forget(service: releases.Service, check: bool) -> list[str]:
    """Delete ``.env`` of the releases that hold an old secret, which cannot be returned to then; return their names.

    Args:
        service: the service.
        check: only say which they are.
    """
    old = {value for values in old_values(service).values() for value in values}
    gone = []
    for name in service.names():
        values = dotenv.values(service.read(name, releases.ENV))
        if name != service.current() and old.intersection(values) and (check or service.drop_env(name)):
            gone.append(name)
    return gone
