# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of plugins need to know of the differences between the supported versions of ansible-core."""

from __future__ import annotations

import pytest
from ansible.parsing import vault

try:
    from ansible.template import trust_as_template

    #: makes a text of braces that is no template
    literal = str
except ImportError:  # before 2.19 a text is a template unless somebody says that it is none
    from ansible.utils.unsafe_proxy import AnsibleUnsafeText as literal

    trust_as_template = str

__all__ = ["give_vault_secrets", "literal", "trust_as_template"]


def give_vault_secrets(monkeypatch: pytest.MonkeyPatch, loader, secrets: list) -> None:
    """Let vaulted values be opened with ``secrets``: pairs of an id and a ``VaultSecret``."""
    if hasattr(vault, "VaultSecretsContext"):
        monkeypatch.setattr(vault.VaultSecretsContext, "_current", vault.VaultSecretsContext(secrets))
    loader.set_vault_secrets(secrets)
