# SPDX-License-Identifier: GPL-3.0-or-later
"""What is downloaded before the switch, and by whom."""

from __future__ import annotations

import pytest
from definition_cases import messages

MODEL = {"id": "Qwen/Qwen2.5-32B-Instruct-AWQ", "revision": "", "load_format": "auto"}


def test_prefetch_of_the_medium_service(define) -> None:
    """The model is downloaded before the switch, by a container beside the service's own."""
    found, _problems, _warnings = define()
    assert found["prefetch"] == {
        "models": [MODEL],
        "service": "medium-prefetch",
        "container_name": "myia-vllm-medium-qwen3-prefetch",
        "environment": {},
        "entrypoint": ["python3"],
    }


@pytest.mark.parametrize(
    ("changes", "offline", "token", "models"),
    [
        pytest.param({}, "HF_HUB_OFFLINE", False, 1, id="usual"),
        pytest.param({"vllm_prefetch": False}, None, True, 0, id="off"),
        pytest.param({"vllm_prefetch": "no"}, None, True, 0, id="off-as-text"),
        pytest.param(
            {"vllm_extra_env": {"HF_HUB_OFFLINE": 0}}, "EXTRA_ENV_HF_HUB_OFFLINE", True, 1, id="online-wished"
        ),
        pytest.param({"vllm_extra_env": {"HF_HUB_OFFLINE": 1}}, "EXTRA_ENV_HF_HUB_OFFLINE", False, 1, id="offline-own"),
        pytest.param({"vllm_extra_env": {"VLLM_USE_MODELSCOPE": "True"}}, None, True, 0, id="modelscope"),
        pytest.param({"vllm_model": "/srv/m"}, None, True, 0, id="folder"),
        pytest.param({"vllm_model": "/srv/m", "vllm_prefetch_models": ["a/b"]}, None, True, 1, id="folder-and-more"),
    ],
)
def test_who_asks_the_hub(changes, offline, token, models, define, env_of, planted) -> None:
    """A service that serves offline gets no token; who downloads does. The token stands in .env either way."""
    found, problems, _warnings = define(**planted, **changes)
    assert problems == []
    assert found["environment"].get("HF_HUB_OFFLINE") == offline
    assert ("HF_TOKEN" in found["environment"]) is token
    assert len(found["prefetch"]["models"]) == models
    assert found["prefetch"]["environment"]["HF_TOKEN"] == "HUGGING_FACE_HUB_TOKEN"
    assert env_of(**planted, **changes)["HUGGING_FACE_HUB_TOKEN"] == planted["vllm_hf_token"]


def test_further_repositories_are_found(define) -> None:
    """What options name is downloaded too, each once; folders and methods without a model are not."""
    found, problems, _warnings = define(
        vllm_model_revision="v1",
        vllm_extra_options={
            "load-format": "safetensors",
            "tokenizer": "a/tokenizer",
            "tokenizer-revision": "t1",
            "hf-config-path": "/srv/config",
            "speculative-config": '{"model": "a/draft", "num_speculative_tokens": 3}',
            "lora-modules": ["x=a/adapter", "y=/srv/adapter", {"name": "z", "path": "a/other"}],
        },
        vllm_prefetch_models=["a/draft", "a/code@refs/pr/1"],
    )
    assert problems == []
    assert [tuple(model.values()) for model in found["prefetch"]["models"]] == [
        (MODEL["id"], "v1", "safetensors"),
        ("a/tokenizer", "t1", "auto"),
        ("a/draft", "", "auto"),
        ("a/adapter", "", "auto"),
        ("a/other", "", "auto"),
        ("a/code", "refs/pr/1", "auto"),
    ]
    for speculation in ({"method": "ngram", "model": "ngram"}, "no JSON", {"method": "mtp"}):
        found, _problems, _warnings = define(
            vllm_extra_options={"speculative-config": speculation}, vllm_check_options=False
        )
        assert found["prefetch"]["models"] == [MODEL]


@pytest.mark.parametrize("given", ["a/b/c", "a b", "", "a/b@", "/srv/x", 5, {"id": "a/b"}], ids=str)
def test_prefetch_models_that_are_none(given, define) -> None:
    """Refused with the form that is expected."""
    _found, problems, _warnings = define(vllm_prefetch_models=[given])
    assert "vllm_prefetch_models: %r is no Hugging Face id" % (given,) in messages(problems)


def test_what_the_download_needs_of_the_environment(define) -> None:
    """The hub's own variables, proxies and certificates; nothing else, as it may be a secret of the service."""
    names = ("HF_ENDPOINT", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    others = ("AWS_SECRET_ACCESS_KEY", "NCCL_DEBUG", "MY_HF_THING")
    found, _problems, _warnings = define(vllm_extra_env=dict.fromkeys((*names, *others), "x"))
    assert found["prefetch"]["environment"] == {name: "EXTRA_ENV_" + name for name in names}
