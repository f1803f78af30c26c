# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA adapters: how vLLM is told, what is downloaded and mounted, and what is refused."""

from __future__ import annotations

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SQL, TONE = {"name": "sql", "source": "org/sql-adapter"}, {"name": "tone", "source": "/srv/adapters/tone"}
PINNED = {"name": "pinned", "source": "org/pinned", "revision": COMMIT}


def test_rendered(define, env_of) -> None:
    """Declared, so that they are there after every start; downloaded before the switch, or mounted."""
    changes = {"vllm_lora_adapters": [SQL, TONE, PINNED], "vllm_extra_options": {"max-lora-rank": 32}}
    found, problems, _notices = define(**changes)
    assert problems == []
    entries = env_of(**changes)
    at = found["command"].index("--lora-modules")
    assert found["command"][at - 1] == "--enable-lora"
    assert [entries[part[2:-1]] for part in found["command"][at + 1 :]] == [
        "sql=org/sql-adapter",
        "tone=/srv/adapters/tone",
        "pinned=/root/.cache/huggingface/hub/models--org--pinned/snapshots/" + COMMIT,
    ]
    assert [(item["id"], item["revision"]) for item in found["prefetch"]["models"][1:]] == [
        ("org/sql-adapter", ""), ("org/pinned", COMMIT),
    ]  # fmt: skip
    assert "/srv/adapters/tone:/srv/adapters/tone:ro" in found["volumes"]
    assert [item["name"] for item in found["lora_adapters"]] == ["sql", "tone", "pinned"]
    assert found["max_lora_rank"] == 32


def test_none(define) -> None:
    """Nothing of it without any; vLLM's own largest rank."""
    found, _problems, _notices = define()
    assert not [part for part in found["command"] if "lora" in part]
    assert (found["lora_adapters"], found["max_lora_rank"]) == ([], 16)


@pytest.mark.parametrize(
    ("changes", "variable", "words"),
    [
        ({"vllm_lora_adapters": ["sql"]}, "vllm_lora_adapters", "entry 1 has no name and source"),
        ({"vllm_lora_adapters": [{"name": "a"}]}, "vllm_lora_adapters", "entry 1 has no name and source"),
        ({"vllm_lora_adapters": [SQL, SQL]}, "vllm_lora_adapters", "entry 2 (sql): another model or adapter"),
        (
            {"vllm_lora_adapters": [{**SQL, "name": "Qwen2.5-32B-Instruct-AWQ"}]},
            "vllm_lora_adapters", "another model or adapter has this name",
        ),
        ({"vllm_lora_adapters": [{**SQL, "name": "a=b"}]}, "vllm_lora_adapters", "the name may have letters"),
        ({"vllm_lora_adapters": [{**SQL, "source": "./x"}]}, "vllm_lora_adapters", "neither a Hugging Face id"),
        ({"vllm_lora_adapters": [{**SQL, "source": "/a b"}]}, "vllm_lora_adapters", "cannot be mounted safely"),
        ({"vllm_lora_adapters": [{**SQL, "revision": "v2"}]}, "vllm_lora_adapters", "'v2' is no commit"),
        ({"vllm_lora_adapters": [{**TONE, "revision": COMMIT}]}, "vllm_lora_adapters", "a folder has no revision"),
        ({"vllm_lora_adapters": [{**SQL, "rank": 8}]}, "vllm_lora_adapters", "there is no rank"),
        ({"vllm_lora_adapters": [PINNED], "vllm_prefetch": False}, "vllm_lora_adapters", "a revision needs"),
        (
            {"vllm_lora_adapters": [SQL], "vllm_extra_options": {"enable-lora": True}},
            "vllm_extra_options", "enable-lora follows from vllm_lora_adapters",
        ),
    ],
)  # fmt: skip
def test_refused(changes, variable, words, define) -> None:
    """With the entry, and what is wrong with it."""
    _found, problems, _notices = define(**changes)
    assert [item["variable"] for item in problems] == [variable]
    assert words in problems[0]["message"]


def test_draft_model_of_speculation(define) -> None:
    """It is downloaded as well, however it is named: the service runs without the hub."""
    for options in ({"spec-model": "org/draft"}, {"speculative-config": {"model": "org/draft"}}):
        found, _problems, _notices = define(vllm_extra_options=options, vllm_check_options=False)
        assert [item["id"] for item in found["prefetch"]["models"]][1:] == ["org/draft"]
