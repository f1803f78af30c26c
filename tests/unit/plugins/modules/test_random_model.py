# SPDX-License-Identifier: GPL-3.0-or-later
"""The module random_model, run as a program with a STAND-IN for docker."""

from __future__ import annotations

import pytest

CONFIG = {"model_type": "qwen3", "num_hidden_layers": 4, "vocab_size": 300}
MADE = '{"layers": 4, "parameters": 5, "bytes": 10, "architecture": "A", "transformers": "5.1"}'


@pytest.fixture
def run(run_module, tools, tmp_path):
    """Run the module with a docker that does ``script``; the log of its calls comes along."""

    def call(script: str = "echo noise; echo '%s'" % MADE, check: bool = False, **more):
        log = tmp_path / "docker.log"
        folder = tools("docker", 'echo "$@" >>%s\ncase "$1" in run) %s\n;; esac' % (log, script))
        given = {"image": "vllm:1", "path": str(tmp_path / "model"), "config": CONFIG, **more}
        answer = run_module("random_model", check=check, search="%s:/usr/bin:/bin" % folder, **given)
        return answer, log.read_text(encoding="utf-8") if log.exists() else ""

    return call


def test_made_once(run, documentation) -> None:
    """Made without a network, recorded, and left alone the second time; other options make it anew."""
    answer, log = run(size_gib=2.5)
    assert answer["changed"] is True
    assert set(answer["model"]) == set(documentation("random_model", "RETURN")["model"]["contains"])
    assert "--pull=never --network=none" in log
    assert '"size_gib": 2.5' in log
    again, after = run(size_gib=2.5)
    assert (again["changed"], again["model"]["layers"]) == (False, 4)
    assert after == log
    assert run(size_gib=3.5)[0]["changed"] is True


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'random-model: size_gib is 1'; exit 1", "config: size_gib is 1"),
        ("echo 'Unable to find image' >&2; exit 125", "image: vllm:1 is not on this host"),
        ("exit 137", "most likely since the host had too little memory"),
        ("exec sleep 30", "timeout_s: nothing came within 1 s"),
        ("echo boom >&2; exit 3", "ended with 3: boom"),
    ],
)
def test_failures(script, message, run) -> None:
    """What was found and the fix; a later run is not kept from trying again."""
    answer, _log = run(script, timeout_s=1.0)
    assert answer["failed"] is True
    assert message in answer["msg"]
    assert run()[0]["changed"] is True


def test_others_files_stay(run, tmp_path) -> None:
    """A folder with somebody's files is refused."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_text("weights", encoding="utf-8")
    answer, log = run()
    assert "has files" in answer["msg"]
    assert log == ""
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_a_path_that_is_no_folder(run, tmp_path) -> None:
    """Refused, in check mode as well, before a container is started."""
    (tmp_path / "model").write_text("a file", encoding="utf-8")
    for check in (True, False):
        answer, log = run(check=check)
        assert answer["failed"] and "is no folder" in answer["msg"]
        assert log == ""


def test_a_folder_that_cannot_be_removed_itself(run, tmp_path) -> None:
    """A mounted one is emptied; what cannot be written is a sentence."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    answer, log = run(path=str(tmp_path / "file" / "model"))
    assert answer["failed"] and answer["msg"].startswith("path: ") and "Not a directory" in answer["msg"]
    assert log == ""
    run(size_gib=1.0)
    before = (tmp_path / "model").stat().st_ino
    (tmp_path / "model" / "sub").mkdir()
    assert run(size_gib=2.0)[0]["changed"] is True
    assert (tmp_path / "model").stat().st_ino == before and not (tmp_path / "model" / "sub").exists()


def test_what_the_container_prints_is_no_answer(run) -> None:
    """Nothing is recorded as made then."""
    answer, _log = run("echo done")
    assert answer["failed"] and "done" in answer["msg"]
    assert run()[0]["changed"] is True
