# SPDX-License-Identifier: GPL-3.0-or-later
"""The password file of Prometheus and its exporters."""

from __future__ import annotations

import re

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.monitoring import web_config


def test_a_hash_that_suits_stays() -> None:
    """A second run changes nothing; another password or user makes a new hash."""
    first = web_config.wanted("", "vllm", "secret")
    assert re.search(r'^  "vllm": "\$2b\$10\$[./A-Za-z0-9]{53}"$', first, re.MULTILINE)
    assert "secret" not in first
    assert web_config.wanted(first, "vllm", "secret") == first
    assert web_config.wanted(first, "vllm", "other") != first
    other = web_config.wanted(first, "prom", "secret")
    assert list(web_config.users_of(other)) == ["prom"]


def test_salts() -> None:
    """libcrypt takes each of them, and no two are the same."""
    salts = {web_config.new_salt() for _ in range(50)}
    assert len(salts) == 50
    for salt in list(salts)[:3]:
        found = web_config.crypt("x", salt)
        assert found.startswith(salt)
        assert web_config.crypt("x", found) == found
        assert web_config.crypt("y", found) != found


def test_a_host_without_bcrypt(monkeypatch) -> None:
    """It is said, not guessed."""
    monkeypatch.setattr(web_config.ctypes.util, "find_library", lambda _name: "no-such-library.so")
    with pytest.raises(web_config.HashError, match="libcrypt is not there"):
        web_config.crypt("x", web_config.new_salt())
