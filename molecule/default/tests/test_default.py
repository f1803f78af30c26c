# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole deployment on Debian 13, with a real vLLM in tensor parallel 2. GPUs and toolkit packages are STAND-INS."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
NAME = "myia-vllm-medium-qwen3"
BASE = "http://127.0.0.1:5002"


@pytest.fixture(scope="module")
def api_key(tmp_path_factory) -> str:
    """The key of the vaulted file of inventories/medium."""
    vault = ROOT / "inventories/medium/group_vars/medium/vault.yml"
    text = subprocess.run(
        ["ansible-vault", "view", "--vault-id", "medium@%s" % (ROOT / "molecule/resources/vault-password"), str(vault)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return yaml.safe_load(text)["vllm_api_key"]


def query(host, api_key: str, path: str, body: dict | None = None) -> dict:
    """Ask the API on the host, with the key in a header file so that it appears in no process list."""
    host.check_output("umask 077; cat > /root/header <<'END'\nAuthorization: Bearer %s\nEND" % api_key)
    data = "-H 'Content-Type: application/json' -d '%s'" % json.dumps(body) if body else ""
    try:
        return json.loads(host.check_output("curl -fsS -H @/root/header %s %s%s" % (data, BASE, path)))
    finally:
        host.run("rm -f /root/header")


def test_health(host) -> None:
    """/health answers 200."""
    assert host.check_output("curl -s -o /dev/null -w '%%{http_code}' %s/health" % BASE) == "200"


def test_key_is_needed(host) -> None:
    """Without the key the API refuses."""
    assert host.check_output("curl -s -o /dev/null -w '%%{http_code}' %s/v1/models" % BASE) == "401"


def test_models(host, api_key: str) -> None:
    """/v1/models names the served model with the length that YaRN stretches it to."""
    model = query(host, api_key, "/v1/models")["data"][0]
    assert (model["id"], model["max_model_len"]) == ("tiny-qwen3", 4096)


def test_chat_completion(host, api_key: str) -> None:
    """One chat completion is answered."""
    answer = query(
        host, api_key, "/v1/chat/completions",
        {"model": "tiny-qwen3", "max_tokens": 64,
         "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0,
         "chat_template_kwargs": {"enable_thinking": False}},
    )  # fmt: skip
    assert "Paris" in answer["choices"][0]["message"]["content"]


def test_report_of_the_deployment(api_key: str) -> None:
    """It was written by the first run, says that the GPUs are stand-ins, in all three forms, and holds no key."""
    reports = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports" / "gpu-host-1" / "medium"
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(reports.glob("*/report.json"))]
    verdicts = [document["verdict"]["id"] for document in documents]
    # check mode, converge, idempotence
    assert verdicts[:3] == ["would_change", "deployed", "nothing_to_do"], verdicts
    folder = sorted(reports.iterdir())[1]
    assert documents[1]["standins"] is True
    assert documents[1]["gpu"]["standin"] is True
    for name in ("index.html", "report.md"):
        assert "stand-in for a GPU took part" in (folder / name).read_text(encoding="utf-8")
    assert not [path for path in reports.parent.rglob("*") if path.is_file() and api_key in path.read_text("utf-8")]
    checks = {item["id"]: item["status"] for item in documents[1]["functional"]["checks"]}
    assert {checks[name] for name in ("chat", "arithmetic", "concurrency", "structured-output")} == {"passed"}
    assert {checks[name] for name in ("reasoning", "tool-call")} == {"skipped"}


def test_tensor_parallel_2(host) -> None:
    """Two workers share the model."""
    log = host.check_output("docker logs %s 2>&1" % NAME)
    assert "world_size=2 rank=0" in log
    assert "world_size=2 rank=1" in log


def test_started_by_the_nvidia_runtime(host) -> None:
    """The container went through the (stand-in) nvidia runtime and sees exactly the two GPUs asked for."""
    assert host.check_output("docker inspect -f '{{.HostConfig.Runtime}}' %s" % NAME) == "nvidia"
    listed = host.check_output("docker exec %s nvidia-smi -L" % NAME).splitlines()
    assert len(listed) == 2
    assert all("stand-in" in line for line in listed)


def test_healthcheck(host) -> None:
    """Docker's own health check passes, and would have had patience for a 535 s graph capture."""
    state = json.loads(host.check_output("docker inspect %s" % NAME))[0]
    assert state["State"]["Health"]["Status"] in ("healthy", "starting")
    assert state["Config"]["Healthcheck"]["StartPeriod"] / 1e9 > 535
    assert host.run("docker exec %s python3 -c 'import sys'" % NAME).rc == 0


def test_second_deployment_changes_nothing(host, play) -> None:
    """changed=0, also under --check, and the container is the same."""
    before = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME)
    for arguments in ([], ["--check", "--diff"]):
        run = play(*arguments)
        assert run.status == 0, run.output
        assert run.recap["changed"] == 0
    assert host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME) == before


@pytest.mark.parametrize("playbook", ["playbooks/deploy_medium.yml", "myia.vllm.deploy_medium"])
def test_other_ways_to_call_it(play, playbook: str) -> None:
    """In the playbooks folder, and by the name it has where the collection is installed."""
    run = play("--check", playbook=playbook)
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0


def test_installed_collection(tmp_path, inventory) -> None:
    """The built artefact, installed somewhere else, deploys by its name."""
    binaries = pathlib.Path(sys.executable).parent
    galaxy = str(binaries / "ansible-galaxy")
    subprocess.run(
        [galaxy, "collection", "build", str(ROOT), "--output-path", str(tmp_path)], check=True, capture_output=True
    )
    artefact = next(tmp_path.glob("myia-vllm-*.tar.gz"))
    target = tmp_path / "installed"
    subprocess.run(
        [galaxy, "collection", "install", str(artefact), "-p", str(target), "--no-deps", "--offline", "--force"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(target),
        "ANSIBLE_VAULT_IDENTITY_LIST": "medium@%s" % (ROOT / "molecule/resources/vault-password"),
    }
    done = subprocess.run(
        [str(binaries / "ansible-playbook"), "-i", inventory, "--check", "myia.vllm.deploy_medium"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
