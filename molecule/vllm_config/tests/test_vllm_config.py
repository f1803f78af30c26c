# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_config: a release with secrets that try to break out of .env, read back by the real Docker Compose."""

from __future__ import annotations

import json
import pathlib

import pytest

DEPLOY = str(pathlib.Path(__file__).resolve().parent.parent.parent.parent / "deploy_medium.yml")
CURRENT = "/opt/vllm/medium/releases"
TOKEN = "hf_PLANTEDtoken0123456789"
KEY = "sk-PLANTED-$HOME-'q\"#x%y"
NASTY = "a$b ${VLLM_PORT_MEDIUM} 'single' \"double\" # no comment \\x"


def release(host) -> str:
    """Return the folder of the newest release."""
    return "%s/%s" % (CURRENT, host.check_output("ls -1 %s | tail -n 1" % CURRENT))


def test_files_and_modes(host) -> None:
    """The folder is 0750, .env is 0600, all of root; nothing is left of the staging."""
    folder = release(host)
    assert host.file("/opt/vllm/medium").mode == 0o750
    assert host.file(folder).mode == 0o750
    for name, mode in ((".env", 0o600), ("compose.yml", 0o640), ("release.json", 0o640)):
        file = host.file("%s/%s" % (folder, name))
        assert (file.mode, file.user) == (mode, "root"), name
    assert host.check_output("ls -A %s | wc -l" % CURRENT) == "1"


def test_nothing_runs_and_nothing_is_current(host) -> None:
    """Staging touches no service."""
    assert host.check_output("docker ps -aq") == ""
    assert not host.file("/opt/vllm/medium/current").exists


def test_compose_reads_back_what_was_given(host) -> None:
    """Dollar signs, quotes, spaces and hashes arrive unchanged."""
    folder = release(host)
    command = "cd %s && docker compose --profile prefetch config --format json" % folder
    config = json.loads(host.check_output(command).replace("$$", "$"))
    service, prefetch = config["services"]["medium"], config["services"]["medium-prefetch"]
    # who downloads has the token, who serves has not
    assert prefetch["environment"]["HF_TOKEN"] == TOKEN
    assert "HF_TOKEN" not in service["environment"]
    assert service["environment"]["HF_HUB_OFFLINE"] == "1"
    assert service["environment"]["VLLM_API_KEY"] == KEY
    assert service["environment"]["NASTY"] == NASTY
    command = service["command"]
    assert command[command.index("--max-log-len") + 1] == "100"
    assert json.loads(command[command.index("--limit-mm-per-prompt") + 1]) == {"image": 0}


def test_secrets_stand_in_env_only(host) -> None:
    """No file but .env holds a planted secret."""
    found = host.run("grep -rlE 'PLANTED' /opt /etc /root /var/log /tmp 2>/dev/null").stdout.split()
    assert found == ["%s/.env" % release(host)]


def test_output_holds_no_secret(host, play) -> None:
    """Not even at -vvv with --diff, while the release changes."""
    run = play("-vvv", "--diff", "--check", "-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    assert ".env: new" in run.flat
    assert "PLANTED" not in run.output


def test_check_mode_writes_nothing(host, play, untouched) -> None:
    """A predicted release is not on the host."""
    run = play("--check", "-e", "vllm_max_model_len=1024")
    assert run.recap["changed"] == 1
    assert untouched() == []


@pytest.mark.full
def test_somebody_opened_the_file(host, play) -> None:
    """A mode that was changed by hand is set right."""
    host.check_output("chmod 0644 %s/.env" % release(host))
    run = play()
    assert run.recap["changed"] == 1
    assert "mode or owner of .env" in run.flat
    assert host.file("%s/.env" % release(host)).mode == 0o600


def test_refused_by_compose(host, play, untouched) -> None:
    """What Compose refuses does not become a release; the reason is shown, values are not."""
    run = play("-e", json.dumps({"vllm_publish_address": "fe80::1%eth0"}))
    assert run.status != 0
    assert "docker compose config refuses the release" in run.flat
    assert "fe80::1%eth0" in run.flat
    assert "PLANTED" not in run.output
    assert [path for path in untouched() if path != CURRENT] == []


@pytest.mark.full
def test_variable_of_the_shell_is_refused(host, play) -> None:
    """A variable of the remote shell that Compose would prefer to .env is named."""
    run = play("-e", "vllm_max_model_len=1024", roles=["myia.vllm.docker_engine", "myia.vllm.vllm_config"])
    assert run.status == 0, run.output
    script = '#!/bin/sh\\nMAX_MODEL_LEN=5 exec /usr/bin/python3 "$@"\\n'
    host.check_output("mkdir -p /root/bin && printf '%s' > /root/bin/py && chmod 0755 /root/bin/py" % script)
    run = play("-e", "ansible_python_interpreter=/root/bin/py")
    assert run.status != 0
    assert "sets MAX_MODEL_LEN, which Docker Compose would take before .env" in run.flat


# ------------------------------------------------------------------------------------- the deployment by its tags


#: A task of each part, by its tag; every run ends with a report.
PARTS = [
    ("config", "vllm_config : Stage the release"),
    ("preflight", "vllm_preflight : Inspect the host"),
    ("engine", "docker_engine : Assert that the engine is sufficient"),
    ("toolkit", "nvidia_container_toolkit : Show why no toolkit is needed"),
    ("report", "vllm_report : Write the report"),
]


@pytest.mark.parametrize(("tag", "task"), PARTS)
def test_tags(host, play, tmp_path, tag, task) -> None:
    """A part runs alone, stages at most, and says so in its report."""
    values = json.dumps({"vllm_preflight_skip": ["hub", "registry", "disk", "clock"], "vllm_report_dir": str(tmp_path)})
    run = play("--tags", tag, "-e", values, playbook=DEPLOY)
    assert run.status == 0, run.output
    assert "TASK [myia.vllm.%s]" % task in run.output
    assert {name for _tag, name in PARTS if "TASK [myia.vllm.%s]" % name in run.output} == {task, PARTS[-1][1]}
    assert host.check_output("docker ps -aq") == ""
    document = json.loads(next(tmp_path.rglob("report.json")).read_text(encoding="utf-8"))
    assert document["verdict"]["id"] == "part_done"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tags", "servcie"],
        ["--skip-tags", "always"],
        ["--skip-tags", "config"],
        ["--start-at-task", "Stage the release"],
        ["--start-at-task", "Inspect Docker Engine"],
    ],
    ids="_".join,
)
def test_refused_tags(play, untouched, arguments) -> None:
    """One message, and the host stays as it is."""
    run = play(*arguments, "-e", "vllm_max_model_len=512", playbook=DEPLOY)
    assert run.status != 0
    assert "%s %s: " % tuple(arguments) in run.flat
    assert run.flat.count("Nothing was changed.") == 1
    assert untouched() == []


def test_start_at_task_in_a_playbook_of_ones_own(play, untouched) -> None:
    """What was skipped is named by the first task that needs it."""
    run = play("--start-at-task", "Stage the release", "-e", "vllm_max_model_len=512")
    assert run.status != 0
    assert "the tasks that define the service were skipped: start at the beginning, or use --tags" in run.flat
    assert untouched() == []
