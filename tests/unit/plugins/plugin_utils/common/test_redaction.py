# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret gets through, and ordinary text does."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact


@pytest.mark.parametrize(
    "text",
    [
        "token hf_PLANTED0123456789 was refused",
        "Authorization: Bearer PLANTED0123456789",
        "headers={'authorization': 'Bearer PLANTED0123456789'}",
        "non-default args: {'api_key': ['PLANTED0123456789', 'PLANTED2'], 'port': 1}",
        "vllm serve --api-key PLANTED0123456789 --port 1",
        "VLLM_API_KEY=PLANTED0123456789",
        "HF_TOKEN: PLANTED0123456789",
        "password='PLANTED0123456789'",
        "secret_access_key=PLANTED0123456789",
        "https://user:PLANTED0123456789@proxy.example.org/",
        "https://cdn.example.org/file?X-Amz-Signature=PLANTED0123456789&x=1",
        "key sk-PLANTED0123456789",
    ],
)
def test_secrets(text) -> None:
    """Known shapes are masked."""
    assert "PLANTED" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens=2048, tokenizer='own/model', skip_tokenizer_init=False",
        "GPU KV cache size: 86,176 tokens",
        "To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed",
        "Route: /tokenize, Methods: POST",
    ],
)
def test_ordinary(text) -> None:
    """What vLLM says about tokens is no secret."""
    assert redact(text) == text


def test_given() -> None:
    """Given values are masked, the longest first; one too short to be a secret is not."""
    assert redact("a=abcdef b=abcd c=ab", ["abcd", "abcdef", "ab", ""]) == "a=*** b=*** c=ab"
