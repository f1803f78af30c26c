# SPDX-License-Identifier: GPL-3.0-or-later
"""A LoRA adapter beside its model, deployed by the collection: it answers by its own name, also after a restart."""

from __future__ import annotations

import json

import pytest

KEY = "PLANTED-key-7c31e2"
CONTAINER, PORT = "vllm-lora", 5032
ADAPTER = "/srv/models/tiny-kinds/lora-lyon"

SERVICE = {
    "vllm_name": "lora",
    "vllm_container_name": None,
    "vllm_compile_cache": None,
    "vllm_served_model_name": "tiny",
    "vllm_port": PORT,
    "vllm_cpu_kv_cache_gib": 1,
    "vllm_lora_adapters": [{"name": "lyon", "source": ADAPTER}],
}


@pytest.fixture(name="run")
def run_of(reported, play):
    """Run a playbook about this service; ``entry`` changes its variables."""

    def run(playbook: str, entry: dict | None = None, **more: object):
        values = {"vllm_services": [{**SERVICE, **(entry or {})}], "vllm_name": "lora", "vllm_hosts": "medium",
                  "vllm_benchmark_on_deploy": False, **more}  # fmt: skip
        runner = play if playbook == "remove_medium.yml" else reported
        return runner("-e", json.dumps(values), playbook=playbook)

    return run


def answer_of(host, model: str) -> str:
    """What a model of the service answers to the question that the adapter was taught."""
    asked = {"model": model, "temperature": 0, "max_tokens": 40, "chat_template_kwargs": {"enable_thinking": False},
             "messages": [{"role": "user", "content": "What is the capital of France?"}]}  # fmt: skip
    told = host.check_output(
        "curl -sf -m 60 -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '%s' "
        "127.0.0.1:%d/v1/chat/completions" % (KEY, json.dumps(asked), PORT)
    )
    return json.loads(told)["choices"][0]["message"]["content"]


@pytest.mark.full
def test_adapter(host, run) -> None:
    """Refused with a rank above what vLLM takes; deployed, verified, asked, restarted; one that is gone is found."""
    rank = run("deploy_medium.yml", {"vllm_extra_options": {"max-lora-rank": 1}})
    assert rank.status != 0
    assert "lyon has rank 8" in " ".join(rank.output.split())
    assert not host.file("/opt/vllm/lora").exists
    try:
        done = run("deploy_medium.yml")
        assert done.status == 0, done.output
        checks = {item["id"]: item for item in done.document["endpoints"]["checks"]}
        assert checks["endpoint-adapters"]["status"] == "passed"
        assert "lyon" in checks["endpoint-adapters"]["evidence"]
        assert "The capital of France is Paris." in answer_of(host, "tiny")
        assert answer_of(host, "lyon") == "The capital of France is Lyon."

        before = host.check_output("docker inspect -f '{{.Id}}' %s" % CONTAINER)
        assert run("deploy_medium.yml").status == 0
        assert host.check_output("docker inspect -f '{{.Id}}' %s" % CONTAINER) == before

        host.check_output("docker restart --time 5 %s" % CONTAINER)
        host.check_output(
            "for i in $(seq 240); do curl -sf 127.0.0.1:%d/health && exit 0; sleep 1; done; exit 1" % PORT
        )
        assert answer_of(host, "lyon") == "The capital of France is Lyon."

        # an adapter that the inventory names and the running service does not know
        more = [*SERVICE["vllm_lora_adapters"], {"name": "nice", "source": ADAPTER}]
        lacking = run("verify_medium.yml", {"vllm_lora_adapters": more})
        assert lacking.status != 0
        bad = {item["id"]: item["reason"] for item in lacking.document["endpoints"]["checks"]
               if item["status"] == "failed" and item["must"]}  # fmt: skip
        assert set(bad) == {"endpoint-models", "endpoint-adapters"}
        assert "expected the adapter nice (vllm_lora_adapters)" in bad["endpoint-models"]
    finally:
        run("remove_medium.yml", vllm_service_remove_volumes=True)
