# SPDX-License-Identifier: GPL-3.0-or-later
"""Thirty secrets in the shapes in which they stand in logs and files, none of which may be seen afterwards."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.common import disguises
from ansible_collections.myia.vllm.plugins.plugin_utils.common.anonymizer import Anonymizer

#: A key that the collection knows, with signs that encodings change.
KEY = "PLANTED/k+y=5'7c31e2&Zq"
TOKEN = "hf_PlantedTokenOfThirtySevenSigns0123"
PERCENT = urllib.parse.quote(KEY, safe="")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: By shape: the text, and what must not be seen of it. Of the first half the values are known, of the others not.
KNOWN = {
    "env": ("VLLM_API_KEY=%s\n" % KEY, [KEY]),
    "url": ("GET http://h/x?k=%s HTTP/1.1" % KEY, [KEY]),
    "json": (json.dumps({"a": KEY}), [KEY]),
    "json in json": (json.dumps(json.dumps({"a": 'x"' + KEY})), [KEY]),
    "base64": ("blob %s end" % b64(KEY), [b64(KEY)]),
    "base64 within more": ("blob %s end" % b64("user:" + KEY + "@x"), [b64("user:" + KEY + "@x")[8:20]]),
    "base64 shifted": ("blob %s end" % b64("u" + KEY), [b64("u" + KEY)[2:-4]]),
    "header": ("Authorization: Bearer %s" % KEY, [KEY]),
    "traceback": ("  File \"x.py\", line 3\n    f(%r)\nValueError: %r" % (KEY, KEY), ["PLANTED", "7c31e2"]),
    "split by a wrap": ("value PLANTED/k+y=5\n    '7c31e2&Zq end", ["7c31e2"]),
    "split in a log": (
        "2026-11-29T10:00:00.1Z (APIServer pid=1) INFO 11-29 key hf_PlantedTokenOf\n"
        "2026-11-29T10:00:00.2Z (APIServer pid=1) INFO 11-29 ThirtySevenSigns0123 end",
        ["PlantedTokenOf", "ThirtySevenSigns"],
    ),
    "split in source": ('x = ("hf_PlantedTokenOf"\n     "ThirtySevenSigns0123")', ["PlantedTokenOf", "ThirtySeven"]),
    "percent-encoded": ("/v1?x=" + urllib.parse.quote(KEY, safe=""), ["PLANTED", "7c31e2"]),
    "percent-encoded, small": ("/v1?x=" + PERCENT.lower(), [PERCENT.lower()]),
    "hexadecimal": ("dump " + KEY.encode().hex(), [KEY.encode().hex()]),
}  # fmt: skip

UNKNOWN = {
    "env of another program": ("DB_PASSWORD=sw0rdf1sh\nAWS_SECRET_ACCESS_KEY=abc/def+ghi\n", ["sw0rdf1sh", "abc/def"]),
    "password in a url": ("proxy http://alice:pa55word@proxy.corp.lan:3128/ used", ["alice", "pa55word", "proxy.corp"]),
    "token in a url": ("git clone https://tok3nvalue@git.corp.lan/x", ["tok3nvalue", "git.corp"]),
    "json key": (json.dumps({"client_secret": "s3cr3t-value-1", "n": 1}, indent=1), ["s3cr3t-value-1"]),
    "header of a dict": ("headers={'X-Auth-Token': 'zz-top-9981', 'Cookie': 'sid=aa11bb22'}", ["zz-top", "aa11bb22"]),
    "basic": ("Proxy-Authorization: Basic %s" % b64("alice:pa55word"), [b64("alice:pa55word")]),
    "traceback's locals": ("    token = 'zzz-9182-qqq'\n    password='hunter22'", ["zzz-9182", "hunter22"]),
    "pem": ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhki\n-----END PRIVATE KEY-----\nok", ["MIIE", "kqh"]),
    "pem in json": (json.dumps({"k": "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"}), ["MIIE"]),
    "jwt": ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4 here", ["eyJhbG", "SflKxw"]),
    "hub token cut by a line": ("key hf_QwErTyUiOp\nAsDfGhJkLzXcVbNm", ["QwErTyUiOp", "AsDfGh"]),
    "argument": ("argv: ['vllm', 'serve', '--api-key', 'argkey-5512']", ["argkey-5512"]),
    "command line": ("vllm serve m --api-key argkey-5512 --port 8000", ["argkey-5512"]),
    "list of keys": ("args: {'api_key': ['first-key-1', 'second-key-2'], 'port': 1}", ["first-key", "second-key"]),
    "percent-encoded, unknown": ("/cb?next=%2Fx%3Fpassword%3Dhunter2222", ["hunter2222"]),
    "base64 of a config": ("auth: %s" % b64('{"auths":{"r":{"auth":"eA=="}}}'), [b64('{"auths"')[:8]]),
    "random": ("using Zk3Qp9Xv2Lm7Rt5Wn8Bc4Yd as it is", ["Zk3Qp9Xv2"]),
    "yaml block": ("registry_password: |\n  hunter-three\n", ["hunter-three"]),
    "signed address": ("https://hf.co/f?X-Amz-Signature=abcdef012345&Policy=eyJTdGF0", ["abcdef01", "eyJTdGF0"]),
    "cloud key": ("key AKIAIOSFODNN7EXAMPLE used", ["AKIAIOSFODNN7"]),
}  # fmt: skip


@pytest.fixture
def stranger() -> Anonymizer:
    return Anonymizer([KEY, TOKEN], ["gpu-7.corp.lan", "gpu-7", "localhost"], ["alice"])


@pytest.mark.parametrize("shape", [*KNOWN, *UNKNOWN])
def test_a_planted_secret_is_not_seen(stranger, shape) -> None:
    """In whatever shape it stands."""
    text, forbidden = {**KNOWN, **UNKNOWN}[shape]
    assert all(piece in text for piece in forbidden), "the test plants what it looks for"
    shown = stranger.text("before\n%s\nafter\n" % text)
    assert not [piece for piece in forbidden if piece in shown], shown
    assert shown.startswith("before\n") and shown.endswith("after\n")


def test_there_are_thirty_shapes() -> None:
    assert len(KNOWN) + len(UNKNOWN) >= 30


def test_the_same_value_has_the_same_name_everywhere(stranger) -> None:
    """A reader can follow it from text to text; other values have other names."""
    one, other = (
        stranger.text("from 10.1.2.3 on gpu-7"),
        stranger.text("to 10.1.2.3 not 10.1.2.4 on GPU-7 and %s" % KEY),
    )
    assert one == "from <address-1> on <host-1>"
    assert other == "to <address-1> not <address-2> on <host-1> and <secret-1>"
    assert stranger.counts() == {"address": 2, "host": 1, "secret": 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.168.7.9:5123, fe80::1c2:3ff:fe4:5, 02:42:ac:11:00:02", "<address-2>:5123, <address-3>, <address-1>"),
        ("mail alice.b@corp.example", "mail <email-1>"),
        ("/home/alice/models", "/home/<user-1>/models"),
        ("asked https://llm.corp.lan:8443/v1 and https://huggingface.co/Qwen", "asked https://<host-1>:8443/v1 and https://huggingface.co/Qwen"),
        ("GPU-8f3b2a1c-1111-2222-3333-444455556666", "GPU-<uuid-1>"),
    ],
)  # fmt: skip
def test_addresses_and_people(stranger, text, shown) -> None:
    assert stranger.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "INFO 11-29 14:19:54 [core.py:123] # GPU blocks: 12345, # CPU blocks: 512",
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
        "Qwen/Qwen2.5-32B-Instruct-AWQ with FlashAttentionV2Backend on 127.0.0.1:8000, max_num_batched_tokens=8192",
        "vllm/vllm-openai@sha256:%s" % ("0123456789abcdef" * 4),
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. tokenizer_mode='auto', tokens=12",
        "2026-11-29T14:19:54.123456789Z NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.",
        'vllm:kv_cache_usage_perc{engine="0",model_name="tiny-qwen3"} 0.93',
        "image: ${IMAGE}\n  VLLM_API_KEY: ${VLLM_API_KEY_MEDIUM}",
    ],
)
def test_what_a_reader_needs_stays(stranger, text) -> None:
    """A bundle that hides everything helps nobody."""
    assert stranger.text(text) == text


PROMPTS = {
    "vLLM's log": "Received request c: prompt: 'my secret plan\\nit\\'s', params: P(n=1), prompt_token_ids: [1, 333]",
    "body": json.dumps({"model": "m", "messages": [{"role": "user", "content": "my secret plan \"x\""}]}),
    "pydantic": "{'type': 'missing', 'input': {'messages': [{'role': 'user', 'content': \"my secret plan\"}]}}",
    "answer": "Generated response chatcmpl-1: output: 'my secret plan', output_token_ids: [22, 333]",
    "embedding": json.dumps({"input": ["my secret plan", "other"], "model": "m"}),
    "in json": json.dumps({"log": json.dumps({"prompt": "my secret plan"})}),
    "several lines": 'prompt: "first\nmy secret plan\nlast", params',
}  # fmt: skip


@pytest.mark.parametrize("place", PROMPTS)
def test_a_prompt_is_not_seen(stranger, place) -> None:
    shown = stranger.text(PROMPTS[place])
    assert "secret plan" not in shown and "333" not in shown, shown
    assert "<prompt-1>" in shown


def test_container_variables_are_hidden_unless_known(stranger) -> None:
    """``docker inspect`` and Compose files: what is not known to be harmless has its value hidden, its name stays."""
    seen = stranger.data(
        {
            "Config": {"Env": ["VLLM_LOGGING_LEVEL=DEBUG", "FOO=plain words", "EMPTY=", "N=12"]},
            "services": {
                "m": {"environment": {"VLLM_API_KEY": "${VLLM_API_KEY_M}", "BAR": "x y", "NCCL_DEBUG": "INFO"}}
            },
            "apiKey": "short1",
            "Labels": {"note": "call 10.9.8.7"},
        }
    )
    assert seen["Config"]["Env"] == ["VLLM_LOGGING_LEVEL=DEBUG", "FOO=<value-1>", "EMPTY=", "N=12"]
    assert seen["services"]["m"]["environment"] == {
        "VLLM_API_KEY": "${VLLM_API_KEY_M}", "BAR": "<value-2>", "NCCL_DEBUG": "INFO"}  # fmt: skip
    assert seen["apiKey"] == "<secret-1>"
    assert seen["Labels"] == {"note": "call <address-1>"}


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_base64_hides_a_secret_wherever_it_begins(before) -> None:
    assert disguises.holds(b64(before + KEY + "tail"), [KEY])
    assert not disguises.holds(b64(before + "something else entirely"), [KEY])


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64," + "iVBORw0KGgo" * 5_000,
        "0" * 50_000,
        "module.name." * 4_000,
        '"\\' * 20_000,
        "prompt_token_ids: [" + "1" * 60 + "x",
        "prompt_token_ids: [" + "12, " * 10_000 + "x",
        "%41b" * 10_000,
        "/a/b:c" * 10_000,
        "a-" * 20_000,
    ],
    ids=["image", "digits", "dots", "escapes", "token", "tokens", "percent", "path", "dashes"],
)
def test_long_texts_end(text) -> None:
    """A picture in a request's log is one word of a megabyte: the time must grow with the text, and no faster."""
    begin_s = time.monotonic()
    Anonymizer(["PLANTED-key"], ["gpu-1"], ["ann"]).text(text)
    assert time.monotonic() - begin_s < 20
