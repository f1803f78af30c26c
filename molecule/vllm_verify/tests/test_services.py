# SPDX-License-Identifier: GPL-3.0-or-later
"""Three services on one host, real ones: what happens to one, the clients of the others do not notice."""

from __future__ import annotations

import json

import pytest

KEY = "PLANTED-key-7c31e2"

#: What an entry has instead of what the scenario says for its own service.
OWN = {
    "vllm_container_name": None,
    "vllm_compile_cache": None,
    "vllm_max_model_len": None,
    "vllm_extra_options": None,
}
SERVICES = [
    {
        **OWN,
        "vllm_name": "chat",
        "vllm_served_model_name": "chat",
        "vllm_port": 5021,
        "vllm_tensor_parallel_size": 2,
        "vllm_cpu_omp_threads_bind": "0|1",
        "vllm_max_model_len": 1024,
    },
    {
        **OWN,
        "vllm_name": "embed",
        "vllm_model": "/srv/models/tiny-kinds/embed",
        "vllm_served_model_name": "embed",
        "vllm_port": 5022,
    },
    {
        **OWN,
        "vllm_name": "rerank",
        "vllm_model": "/srv/models/tiny-kinds/rerank",
        "vllm_served_model_name": "rerank",
        "vllm_port": 5023,
    },
]
PORTS = {entry["vllm_name"]: entry["vllm_port"] for entry in SERVICES}

#: Asks each given port every half second until told to stop, and notes each answer.
POLL = """
rm -f /tmp/poll-stop; : > /tmp/poll
while [ ! -e /tmp/poll-stop ]; do
    for port in %s; do
        echo "$port $(curl -s -o /dev/null -m 5 -w '%%{http_code}' http://127.0.0.1:$port/health)" >> /tmp/poll
    done
    sleep 0.5
done
"""


@pytest.fixture(name="run")
def run_of(play):
    """Run a playbook with the three services."""

    def run(playbook: str, name: str = "", **more: object):
        values = {"vllm_services": SERVICES, "vllm_benchmark_on_deploy": False, "vllm_hosts": "medium", **more}
        if name:
            values["vllm_name"] = name
        return play("-e", json.dumps(values), playbook=playbook)

    return run


@pytest.fixture(name="polled")
def polled_of(host):
    """Run something while the other services are asked all the time; returns what they answered."""

    def polled(act, *names: str) -> dict[str, set[str]]:
        host.check_output("cat > /tmp/poll.sh <<'END'\n%s\nEND" % (POLL % " ".join(str(PORTS[name]) for name in names)))
        host.check_output("setsid sh /tmp/poll.sh </dev/null >/dev/null 2>&1 &")
        try:
            act()
        finally:
            host.check_output("touch /tmp/poll-stop; sleep 1")
        lines = [line.split() for line in host.check_output("cat /tmp/poll").splitlines()]
        found = {name: [code for port, code in lines if port == str(PORTS[name])] for name in names}
        assert all(len(codes) > 3 for codes in found.values())
        return {name: set(codes) for name, codes in found.items()}

    return polled


def started(host, name: str) -> str:
    """When a service's container was started, and which it is."""
    return host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' vllm-%s" % name)


@pytest.mark.full
def test_three_services(host, run, polled) -> None:
    """All are deployed and verified; one is redeployed, fails and comes back, is removed, and the others answer."""
    done = run("playbooks/deploy.yml")
    assert done.status == 0, done.output
    assert [name for name in PORTS if "ok: [verify-trixie-%s]" % name not in done.output] == []
    # the models' volume is everybody's: Compose warned of it with each service but the one that had made it
    assert "already exists but was" not in done.flat
    declared = "grep -A 1 'name: \"vllm-hf-cache\"' /opt/vllm/%s/current/compose.yml"
    assert [name for name in PORTS if "external: true" not in host.check_output(declared % name)] == []
    before = {name: started(host, name) for name in PORTS}

    again = run("playbooks/deploy.yml")
    assert (again.status, again.recap["changed"]) == (0, 0), again.output
    assert {name: started(host, name) for name in PORTS} == before

    outcome = []
    answers = polled(lambda: outcome.append(run("deploy_medium.yml", "chat", vllm_max_num_seqs=8)), "embed", "rerank")
    assert outcome.pop().status == 0
    assert answers == {"embed": {"200"}, "rerank": {"200"}}
    assert started(host, "chat") != before["chat"]

    wrong = [{**entry, **({"vllm_model": entry["vllm_model"] + "-wrong"} if entry["vllm_name"] == "rerank" else {})}
             for entry in SERVICES if entry["vllm_name"] != "chat"]  # fmt: skip
    answers = polled(lambda: outcome.append(run("deploy_medium.yml", "rerank", vllm_services=wrong)), "chat", "embed")
    failed = outcome.pop()
    assert failed.status != 0
    assert "/rerank puts text" in failed.flat
    assert answers == {"chat": {"200"}, "embed": {"200"}}
    served = host.check_output("curl -s -H 'Authorization: Bearer %s' 127.0.0.1:5023/v1/models" % KEY)
    assert json.loads(served)["data"][0]["root"] == "/srv/models/tiny-kinds/rerank"

    remove = {"vllm_service_remove_volumes": True}
    answers = polled(lambda: outcome.append(run("remove_medium.yml", "embed", **remove)), "chat", "rerank")
    removed = outcome.pop()
    assert removed.status == 0, removed.output
    assert answers == {"chat": {"200"}, "rerank": {"200"}}
    volumes = host.check_output("docker volume ls -q").split()
    assert "vllm-embed-compile-cache" not in volumes
    assert {"vllm-hf-cache", "vllm-chat-compile-cache", "vllm-rerank-compile-cache"} <= set(volumes)
    assert "The volume vllm-hf-cache stays" in removed.flat
    assert not host.file("/opt/vllm/embed").exists
    for name in ("chat", "rerank"):
        assert run("remove_medium.yml", name, **remove).status == 0


@pytest.mark.full
def test_container_of_somebody_else(host, run) -> None:
    """A name that is taken is refused before anything is stopped or downloaded."""
    host.check_output(
        "docker create --name vllm-embed --label com.docker.compose.project=hand-made myia-vllm-cpu:0.32.0"
    )
    try:
        done = run("deploy_medium.yml", "embed")
        assert done.status != 0
        assert "container_name: found container vllm-embed, the Compose project hand-made" in done.flat
        assert not host.file("/opt/vllm/embed").exists
    finally:
        host.run("docker rm -f vllm-embed")
