# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values of .env are secrets, and that none of them stays in a text."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets


def release(folder, second: int, **env: str) -> str:
    """Put a release with this .env there."""
    service = releases.Service(str(folder))
    name = releases.new_name("0123456789ab", second)
    staging = service.begin()
    text = "".join("%s=%s\n" % (key, dotenv.quote(value)) for key, value in env.items())
    service.write(staging, releases.ENV, text)
    os.rename(staging, service.folder(name))
    return name


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HUGGING_FACE_HUB_TOKEN", "hf_PLANTED", True),
        ("VLLM_API_KEY_MEDIUM", "PLANTED", True),
        ("EXTRA_ENV_AWS_SECRET_ACCESS_KEY", "PLANTED", True),
        ("EXTRA_ENV_OPENAI_KEY", "PLANTED", True),
        ("EXTRA_ENV_DB_PASSWORD", "PLANTED", True),
        ("EXTRA_ENV_DB_PASS", "PLANTED", True),
        ("EXTRA_OPTION_BYPASS", "true", False),
        ("EXTRA_ENV_WANDB_TOKEN", "PLANTED", True),
        ("EXTRA_OPTION_SSL_KEYFILE_PASSWORD", "PLANTED", True),
        ("EXTRA_ENV_HTTPS_PROXY", "http://user:PLANTED@proxy:3128", True),
        ("EXTRA_ENV_HTTPS_PROXY", "http://proxy:3128", False),
        # numbers and words that stand in every log: an error that lost them could not be named
        ("MAX_NUM_BATCHED_TOKENS_MEDIUM", "8192", False),
        ("EXTRA_OPTION_MAX_NUM_BATCHED_TOKENS", "8192", False),
        ("VLLM_MODEL_MEDIUM", "Qwen/Qwen2.5-32B-Instruct-AWQ", False),
        ("EXTRA_ENV_VLLM_LOGGING_LEVEL", "DEBUG", False),
        ("VLLM_API_KEY_MEDIUM", "abc", False),  # too short to look for
    ],
)
def test_values(name, value, secret, tmp_path) -> None:
    """Known by their names."""
    release(tmp_path / "medium", 1, **{name: value, "PORT": "5002"})
    assert service_secrets.values(str(tmp_path / "medium")) == ([value] if secret else [])


def test_of_all_releases_the_longest_first(tmp_path) -> None:
    """An older container may print an older key; a key that is part of another must not tear it apart."""
    folder = tmp_path / "medium"
    release(folder, 1, VLLM_API_KEY_MEDIUM="PLANTED")
    release(folder, 2, VLLM_API_KEY_MEDIUM="PLANTED-and-more", HUGGING_FACE_HUB_TOKEN="hf_PLANTED")
    found = service_secrets.values(str(folder))
    assert found == ["PLANTED-and-more", "hf_PLANTED", "PLANTED"]
    assert service_secrets.masked("x PLANTED-and-more y", found) == "x *** y"
    assert service_secrets.values(str(tmp_path / "none")) == []


@pytest.mark.parametrize("secret", ["PLANTED", "PLANTED-it's-$ecret", 'PLANTED"quoted', "PLANTED'both\"", "PLANTED\\n"])
@pytest.mark.parametrize(
    "write", [str, repr, lambda value: repr([value, "'"]), json.dumps], ids=["text", "repr", "list", "json"]
)
def test_masked(write, secret) -> None:
    """As it is, and as Python and JSON print it."""
    text = service_secrets.masked("api_key=%s, port 5002" % write(secret), [secret])
    assert "PLANTED" not in text
    assert "***" in text
    assert text.endswith(", port 5002")


def test_masked_all() -> None:
    """Whatever is nested."""
    value = {"evidence": ["a PLANTED", 1], "cause": "PLANTED", "certain": True, "verdict_s": None}
    assert service_secrets.masked_all(value, ["PLANTED"]) == {
        "evidence": ["a ***", 1],
        "cause": "***",
        "certain": True,
        "verdict_s": None,
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "shown"),
    [
        ("MAX_NUM_SEQS_MEDIUM", "8", "16", True),
        ("MAX_NUM_BATCHED_TOKENS_MEDIUM", "8", "16", True),
        ("TOKENIZER_MODE_MEDIUM", "auto", "slow", True),
        ("EXTRA_OPTION_LOAD_FORMAT", "auto", "dummy", True),
        ("HF_OVERRIDES_MEDIUM", '{"max_position_embeddings": 1}', '{"max_position_embeddings": 2}', True),
        ("VLLM_API_KEY_MEDIUM", "PLANTED1", "PLANTED2", False),
        ("HUGGING_FACE_HUB_TOKEN", "hf_PLANTED1", "hf_PLANTED2", False),
        # whoever sets these may call a secret what they like
        ("EXTRA_ENV_ANYTHING", "PLANTED1", "PLANTED2", False),
        ("EXTRA_OPTION_HEADERS", "PLANTED1", "PLANTED2", False),
        ("EXTRA_OPTION_KV_TRANSFER_CONFIG", "{}", '{"auth": "PLANTED2"}', False),
        ("PROXY", "http://proxy", "http://user:PLANTED@proxy", False),
        # another secret of the same file in it, and a line that looks like one of its own
        ("EXTRA_OPTION_NOTE", "x", "see hf_PLANTED0", False),
        ("EXTRA_OPTION_NOTE", "x", "y\u2028A=PLANTED", False),
    ],
)
def test_diff(name, old, new, shown) -> None:
    """Values that differ are shown, of both sides or of none; no secret is."""
    before, after = (
        "HUGGING_FACE_HUB_TOKEN='hf_PLANTED0'\nSAME='1'\n%s=%s\n" % (name, dotenv.quote(value)) for value in (old, new)
    )
    one, other = service_secrets.diff(before, after)
    assert ("SAME=(unchanged)\n" in one, "PLANTED" in one + other) == (True, False)
    wanted = (dotenv.quote(old), dotenv.quote(new)) if shown else ("(old)", "(new)")
    assert "%s=%s\n" % (name, wanted[0]) in one
    assert "%s=%s\n" % (name, wanted[1]) in other
