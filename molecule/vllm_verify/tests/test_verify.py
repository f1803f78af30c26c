# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of vllm_verify against a real vLLM: all pass for the right reason, and each can fail."""

from __future__ import annotations

import json

import pytest

#: Checks of the role that a model which was taught other answers fails, each.
TAUGHT = ("chat", "arithmetic", "reasoning", "tool-call", "structured-output", "concurrency", "long-context")
KEY = "PLANTED-key-7c31e2"
WRONG_MODEL = {"vllm_model": "/srv/models/tiny-qwen3-wrong"}
#: A service that gives vectors.
EMBED = {
    "vllm_model": "/srv/models/tiny-kinds/embed",
    "vllm_served_model_name": "embed",
    "vllm_max_model_len": 128,
    "vllm_extra_options": {},
}


def verify(reported, **variables):
    """Run verify_medium.yml; return the run and the checks by id."""
    run = reported("-e", json.dumps(variables), playbook="verify_medium.yml")
    return run, by_id(run)


def by_id(run) -> dict[str, dict]:
    checks = [item for part in ("endpoints", "functional") for item in run.document[part].get("checks", [])]
    return {item["id"]: item for item in checks}


def test_every_check_passes(host, reported) -> None:
    """Only vLLM's own doors without a key are a warning; nothing is skipped."""
    run, checks = verify(reported)
    assert run.status == 0, run.output
    assert [item["id"] for item in checks.values() if item["status"] != "passed"] == ["access-unguarded"]
    assert checks["endpoint-kind"]["evidence"].startswith("chat, by the log line 'Supported tasks: [generate]'")
    assert "/invocations" in checks["access-unguarded"]["reason"]
    assert set(TAUGHT) < set(checks)
    assert "Paris" in checks["chat"]["evidence"]
    assert "thinks: " in checks["reasoning"]["evidence"]
    assert "get_weather(" in checks["tool-call"]["evidence"]
    assert "18" in checks["tool-call"]["evidence"].partition("; then ")[2]
    assert checks["endpoint-models"]["evidence"] == "tiny-qwen3, 2048 tokens"


@pytest.mark.full
def test_other_configuration_is_seen(reported) -> None:
    """The service is held against the variables, not against itself."""
    run, checks = verify(reported, vllm_max_model_len=1024, vllm_version="0.31.0", vllm_publish_address="127.0.0.2")
    assert run.status != 0
    bad = {item["id"]: item["reason"] for item in checks.values() if item["status"] == "failed" and item["must"]}
    assert set(bad) == {"endpoint-models", "endpoint-version", "endpoint-published"}
    assert "found 2048 tokens, expected 1024" in bad["endpoint-models"]
    assert "found 0.32.0" in bad["endpoint-version"]
    assert "3 of %d checks failed" % len(checks) in run.output


@pytest.mark.full
def test_own_checks(reported) -> None:
    """They come in addition, change those of the role, and fail the play only when they must."""
    extra = [
        {"id": "own", "kind": "chat", "prompt": "What is 17 plus 25?", "expect": {"matches": "42"}},
        {
            "id": "own-wrong",
            "kind": "chat",
            "prompt": "What is 17 plus 25?",
            "must": False,
            "expect": {"contains": "41"},
        },
        {"id": "latency", "first_token_s": 0},
        {"id": "chat", "expect": {"contains": ["Berlin"]}},
    ]
    run, checks = verify(reported, vllm_verify_extra_checks=extra, vllm_verify_skip=["reasoning"])
    assert run.status != 0
    assert "1 of %d checks failed" % len(checks) in run.output
    status = {name: checks[name]["status"] for name in ("own", "own-wrong", "latency", "chat")}
    assert status == {"own": "passed", "own-wrong": "failed", "latency": "failed", "chat": "failed"}
    assert "lacks 'Berlin'" in checks["chat"]["reason"]
    assert "reasoning" not in checks
    run, checks = verify(reported, vllm_verify_extra_checks=extra, vllm_verify_fail=False)
    assert run.status == 0, run.output


def test_bad_checks_are_refused(host, play, untouched) -> None:
    """Before anything is asked, and by a deployment before anything is changed."""
    run = play(
        "-e", json.dumps({"vllm_verify_extra_checks": [{"id": "a", "kind": "chta"}]}), playbook="verify_medium.yml"
    )
    assert run.status != 0
    assert "vllm_verify_extra_checks, entry 1 (a): kind is 'chta'; choose one of chat" in run.flat
    run = play("-e", json.dumps({**WRONG_MODEL, "vllm_verify_skip": ["nothing"]}), playbook="deploy_medium.yml")
    assert run.status != 0
    assert "vllm_verify_skip: there is no check nothing" in run.flat
    assert untouched() == []


@pytest.mark.full
def test_model_with_other_answers_goes_back(host, reported) -> None:
    """Each check of the model's answers fails by itself, the release is not kept, and the one before serves again."""
    before = host.check_output("readlink /opt/vllm/medium/current")
    run = reported("-e", json.dumps(WRONG_MODEL))
    assert run.status != 0
    checks = by_id(run)
    failed = [item["id"] for item in checks.values() if item["status"] == "failed" and item["id"] != "access-unguarded"]
    assert failed == list(TAUGHT), {name: checks[name]["reason"] for name in checks}
    assert all(checks[name]["evidence"] for name in TAUGHT)
    assert host.check_output("readlink /opt/vllm/medium/current") == before
    assert "serves again" in run.output
    newest = sorted(host.check_output("ls /opt/vllm/medium/releases").split())[-1]
    given_up = json.loads(host.file("/opt/vllm/medium/releases/%s/release.json" % newest).content_string)
    assert given_up["failures"][-1]["id"] == "verification-failed"
    run, checks = verify(reported)
    assert run.status == 0, run.output


@pytest.mark.full
def test_service_that_is_stopped(host, reported) -> None:
    """Nobody can be asked: said so, with what to do, and reported."""
    host.check_output("docker stop --time 5 myia-vllm-medium-qwen3")
    try:
        run, checks = verify(reported)
        assert run.status != 0
        assert checks == {}
        assert "is not running" in run.output
        assert "Run watch_medium.yml" in " ".join(run.output.split())
    finally:
        host.check_output("docker start myia-vllm-medium-qwen3")
    assert reported(playbook="deploy_medium.yml").status == 0


@pytest.mark.full
def test_model_that_gives_vectors(host, reported) -> None:
    """It must refuse to chat, is asked for vectors in place of chats, and is measured."""
    run = reported("-e", json.dumps(EMBED))
    assert run.status == 0, run.output
    checks = by_id(run)
    assert checks["endpoint-embeddings"]["evidence"] == "64 numbers"
    assert checks["endpoint-chat"]["what"].endswith("this is a service of kind embed")
    assert checks["embedding"]["status"] == "passed"
    assert not set(TAUGHT) & set(checks)
    assert "10 of 10 requests in" in run.output
    # a profile that does not fit turns no good deployment into a failed one
    profiles = {"latency": [{"num_prompts": 1, "input_tokens": 4096, "output_tokens": 16}]}
    run = reported("-e", json.dumps({"vllm_benchmark_extra_profiles": profiles}))
    assert run.status == 0, run.output
    assert "was not measured" in run.output
    assert by_id(run)["chat"]["status"] == "passed"
