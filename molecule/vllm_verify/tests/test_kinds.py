# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of other kinds than chat, real ones: each passes its checks, and its twin that was taught wrong fails one.

They run beside the service of the scenario, in the same engine, and are verified by variables: that a deployment does
the same is shown by ``test_verify.py``.
"""

from __future__ import annotations

import json

import pytest

KEY = "PLANTED-key-7c31e2"
IMAGE = "myia-vllm-cpu:0.32.0"
PORTS = {"right": 5011, "wrong": 5012}
#: What a check of the role's own cannot know of a classifier.
LABEL = [{"id": "label", "kind": "classify", "prompt": "The cat sleeps on the sofa.", "expect": {"label": "animals"}}]
#: Tokens that a model takes where they are not the 128 of the encoders.
LENGTHS = {"base": 2048, "reward": 2048, "vision": 2048, "transcription": 448}
#: What the role only mentions where it fails, as a must: that a worse answer is rated lower, which words are heard.
ORDER = [{"id": "reward-order", "must": True}]
WORDS = [{"id": "transcription-words", "must": True, "expect": {"contains": ["la la"]}}]
SEEN = [{"id": "image-color", "must": True}]
#: What a tiny model that only names colors cannot do.
NO_CHAT = ["chat", "arithmetic", "structured-output", "concurrency", "long-context"]
#: What a twin fails beside what it was taught wrong: numbers that are none are no answer of an endpoint either.
FAILS_TOO = {"token_classify": ["endpoint-pooling"]}
#: Python packages that the image may lack, for models that hear or see (tools/images).
PACKAGES = "/srv/models/tiny-kinds/python"
#: What the seconds of a start may be on two cores that do other work, too.
STARTS_S = 600


def start(host, kind: str, which: str) -> dict:
    """Begin a service of a kind, the right one or its twin; return the variables that verify it."""
    model = "/srv/models/tiny-kinds/%s%s" % (kind, "-wrong" if which == "wrong" else "")
    name, port = "kind-%s" % which, PORTS[which]
    host.check_output(
        "docker rm -f %(name)s >/dev/null 2>&1; docker run -d --name %(name)s --memory 2g --shm-size 512m "
        "-v /srv/models:/srv/models:ro -v kinds-cache:/root/.cache/vllm -p 127.0.0.1:%(port)d:%(port)d "
        "-e HF_HUB_OFFLINE=1 -e VLLM_NO_USAGE_STATS=1 -e VLLM_API_KEY=%(key)s %(packages)s "
        "%(image)s %(model)s --port %(port)d "
        "--served-model-name %(kind)s --enforce-eager --kv-cache-memory-bytes 134217728"
        % {"name": name, "port": port, "key": KEY, "image": IMAGE, "model": model, "kind": kind,
           "packages": "-e PYTHONPATH=%s" % PACKAGES if kind in ("transcription", "vision") else ""}
    )  # fmt: skip
    return {
        "vllm_model": model,
        "vllm_served_model_name": kind,
        "vllm_container_name": name,
        "vllm_port": port,
        "vllm_max_model_len": LENGTHS.get(kind, 128),
        "vllm_extra_options": {},
    }


def wait(host, variables: dict) -> None:
    """Wait until a service answers."""
    done = host.run(
        "for i in $(seq %d); do curl -sf 127.0.0.1:%d/health && exit 0; "
        "[ $(docker inspect -f '{{.State.Status}}' %s) = running ] || break; sleep 1; done; "
        "docker logs %s 2>&1 | tail -20; exit 1"
        % (STARTS_S, variables["vllm_port"], *[variables["vllm_container_name"]] * 2)
    )
    assert done.rc == 0, done.stdout


@pytest.fixture
def pair(host):
    """Return a function that starts a service of a kind and its twin at the same time; returns their variables."""

    def both(kind: str) -> tuple[dict, dict]:
        right, wrong = (start(host, kind, which) for which in PORTS)
        wait(host, right)
        wait(host, wrong)
        return right, wrong

    yield both
    host.run("docker rm -f kind-right kind-wrong; docker volume rm kinds-cache")


def verified(reported, variables: dict, **more: object):
    """Run verify_medium.yml; return the run, and the checks by id."""
    run = reported("-e", json.dumps({**variables, **more}), playbook="verify_medium.yml")
    checks = [item for part in ("endpoints", "functional") for item in run.document[part].get("checks", [])]
    return run, {item["id"]: item for item in checks}


@pytest.mark.parametrize(
    ("kind", "check", "evidence", "reason", "more"),
    [
        ("rerank", "ranking", "the right text first; scores 0.0", "/rerank puts text", {}),
        pytest.param("embed", "embedding", "64 numbers; cosines: 0.9", "are not nearer", {}, marks=pytest.mark.full),
        pytest.param("classify", "label", "label animals", "found label weather, expected animals",
                     {"vllm_verify_extra_checks": LABEL}, marks=pytest.mark.full),
        pytest.param("base", "completion", "goes on: Paris.", "lacks 'Paris'", {}, marks=pytest.mark.full),
        # the twin answers with what is no number
        pytest.param("token_classify", "token-classification", "17 tokens, 4 labels", "found HTTP 400, expected 200",
                     {}, marks=pytest.mark.full),
        pytest.param("reward", "reward-order", "rated ", "the worse answer is not rated lower",
                     {"vllm_verify_extra_checks": ORDER}, marks=pytest.mark.full),
        pytest.param("transcription", "transcription-words", "words: ' la la la'", "the answer lacks 'la la'",
                     {"vllm_verify_extra_checks": WORDS}, marks=pytest.mark.full),
        pytest.param("vision", "image-color", "says: Blue.", "the answer lacks 'blue'",
                     {"vllm_verify_extra_checks": SEEN, "vllm_verify_skip": NO_CHAT}, marks=pytest.mark.full),
    ],
)  # fmt: skip
def test_kind(host, reported, pair, kind, check, evidence, reason, more) -> None:
    """The kind is told, all that it must do is done, and the twin fails what it was taught wrong, and only that."""
    right, wrong = pair(kind)
    run, checks = verified(reported, right, **more)
    assert run.status == 0, run.output
    bad = [item for item in checks.values() if item["status"] == "failed" and item["id"] != "access-unguarded"]
    assert bad == []
    assert checks["endpoint-kind"]["evidence"].startswith("%s, by the log line 'Supported tasks: [" % kind)
    assert (checks[check]["status"], checks["endpoint-models"]["status"]) == ("passed", "passed")
    assert checks[check]["evidence"].startswith(evidence)
    # what is for other kinds is not asked; a model without a template is told that it has none
    assert ("image" in checks) == (kind == "vision")
    assert checks.get("chat", {}).get("reason", "") == ("the model has no chat template" if kind == "base" else "")
    run, checks = verified(reported, wrong, **more)
    assert run.status != 0
    bad = [item for item in checks.values() if item["status"] == "failed" and item["id"] != "access-unguarded"]
    assert [item["id"] for item in bad] == [*FAILS_TOO.get(kind, []), check]
    assert reason in bad[-1]["reason"]


@pytest.mark.full
def test_length_is_left_to_vllm(host, reported) -> None:
    """Without a length of one's own the service's is what counts, and a check of endpoints can be left out."""
    variables = start(host, "embed", "right")
    try:
        wait(host, variables)
        run, checks = verified(reported, variables, vllm_max_model_len=64)
        assert run.status != 0
        assert "found 128 tokens, expected 64" in checks["endpoint-models"]["reason"]
        run, checks = verified(reported, variables, vllm_max_model_len=64, vllm_verify_skip=["endpoint-models"])
        assert run.status == 0, run.output
        assert "endpoint-models" not in checks
    finally:
        host.run("docker rm -f kind-right")


@pytest.mark.full
@pytest.mark.parametrize(("kind", "measured"), [("embed", True), ("rerank", True), ("classify", False)])
def test_benchmark(host, play, kind, measured) -> None:
    """What vLLM's benchmark can measure is measured, with the profile that comes with the role; the rest is said."""
    variables = start(host, kind, "right")
    try:
        wait(host, variables)
        run = play("-e", json.dumps(variables), playbook="benchmark_medium.yml")
        assert (run.status == 0) == measured, run.output
        if measured:
            assert "10 of 10 requests in" in run.output
            assert "a request of 120 tokens in" in run.output
        else:
            assert "A service of kind classify is not measured" in run.flat
    finally:
        host.run("docker rm -f kind-right")
