# SPDX-License-Identifier: GPL-3.0-or-later
"""The module docker_daemon_config, run as a program on real files."""

from __future__ import annotations

import json
import os
import stat

import pytest

NVIDIA = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
FOREIGN = {"features": {"buildkit": True}, "runtimes": {"kata": {"path": "kata"}}, "log-driver": "json-file"}
MERGED = {**FOREIGN, "runtimes": {**FOREIGN["runtimes"], **NVIDIA["runtimes"]}}


@pytest.fixture
def file(tmp_path):
    """A daemon.json with settings of somebody else."""
    path = tmp_path / "etc" / "daemon.json"
    path.parent.mkdir()
    path.write_text(json.dumps(FOREIGN), encoding="utf-8")
    return path


@pytest.fixture
def run(run_module, bare_path):
    """Run the module, on a host without dockerd unless ``search`` says otherwise."""
    return lambda path, search="", **more: run_module(
        "docker_daemon_config", **{"config": NVIDIA, "path": str(path), "search": search or bare_path, **more}
    )


def state(path) -> tuple:
    """What would change if somebody wrote the file."""
    found = os.lstat(path)
    return path.read_bytes(), found.st_ino, found.st_mtime_ns, found.st_mode


def test_creates(run, tmp_path) -> None:
    """Without a file, one is made, folders included."""
    path = tmp_path / "etc" / "docker" / "daemon.json"
    answer = run(path)
    assert answer["changed"] is True
    assert answer["action_needed"] == "reload"
    assert "backup_file" not in answer
    assert json.loads(path.read_text()) == NVIDIA
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert sorted(os.listdir(path.parent)) == ["daemon.json", "daemon.json.myia-vllm"]


def test_merges_and_keeps_foreign_keys(run, file) -> None:
    """Foreign keys, `features` and other runtimes stay; the old file is kept as a backup."""
    before = file.read_text()
    answer = run(file)
    assert answer["changed"] is True
    assert answer["changed_keys"] == ["runtimes"]
    assert json.loads(file.read_text()) == MERGED
    with open(answer["backup_file"], encoding="utf-8") as handle:
        assert handle.read() == before


def test_second_run_touches_nothing(run, file) -> None:
    """Parsed values are compared: not even the time of the file changes."""
    run(file)
    before, files = state(file), sorted(os.listdir(file.parent))
    answer = run(file)
    assert answer["changed"] is False
    assert (answer["action_needed"], answer["changed_keys"]) == ("none", [])
    assert state(file) == before
    assert sorted(os.listdir(file.parent)) == files


def test_other_layout_is_no_change(run, file) -> None:
    """The same values in another layout are left alone."""
    file.write_text('{"runtimes":{"nvidia":{"args":[],"path":"nvidia-container-runtime"}}}')
    before = state(file)
    assert run(file)["changed"] is False
    assert state(file) == before


def test_check_mode_predicts_and_writes_nothing(run, file, tmp_path) -> None:
    """The same answer and diff as the real run; nothing on the disk."""
    before, files = state(file), os.listdir(file.parent)
    predicted = run(file, check=True, diff=True)
    assert predicted["changed"] is True
    assert state(file) == before
    assert os.listdir(file.parent) == files
    run(tmp_path / "new" / "daemon.json", check=True)
    assert not (tmp_path / "new").exists()
    answer = run(file, diff=True)
    assert predicted["diff"] == answer["diff"]
    assert predicted["action_needed"] == answer["action_needed"]
    assert answer["diff"]["before"] == json.dumps(FOREIGN)
    assert answer["diff"]["after"] == file.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("\ufeff{}", "BOM", id="bom"),
        pytest.param('{\n  // no\n  "a": 1\n}', "line 2, column 3", id="comment"),
        pytest.param("", "empty", id="empty"),
        pytest.param("null", "null", id="null"),
        pytest.param('{"runtimes": []}', "runtimes", id="runtimes-list"),
        pytest.param('{"a": 1} x', "line 1, column 10", id="trailing-garbage"),
        pytest.param('{"a": 1,\n', "line 2, column 1", id="cut"),
        pytest.param('{"a": 1, "a": 2}', "'a'", id="twice"),
    ],
)
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_broken_files_are_left_alone(content, words, check, run, file) -> None:
    """The message names the file and the place; nothing is written."""
    file.write_text(content, encoding="utf-8")
    before, files = state(file), os.listdir(file.parent)
    answer = run(file, check=check)
    assert answer["failed"] is True
    assert str(file) in answer["msg"]
    assert words in answer["msg"]
    assert "The file was left as it is" in answer["msg"]
    assert state(file) == before
    assert os.listdir(file.parent) == files


def test_symbolic_link_stays(run, file, tmp_path) -> None:
    """The link's target is changed, the link is kept."""
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert run(link)["changed"] is True
    assert link.is_symlink()
    assert json.loads(file.read_text()) == MERGED


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644], ids=oct)
def test_mode_stays(mode, run, file) -> None:
    """A file that only root may read stays so, and its backup is not wider."""
    file.chmod(mode)
    answer = run(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert stat.S_IMODE(os.stat(answer["backup_file"]).st_mode) == mode


def test_absent(run, file) -> None:
    """Only the named keys go; a second run changes nothing, nor does it without a file."""
    run(file)
    assert run(file, state="absent")["changed"] is True
    assert json.loads(file.read_text()) == FOREIGN
    before = state(file)
    assert run(file, state="absent")["changed"] is False
    assert state(file) == before
    assert run(file.parent / "none.json", state="absent")["changed"] is False
    assert not (file.parent / "none.json").exists()


def test_restart_needed(run, file) -> None:
    """What dockerd takes over only when it starts."""
    assert run(file, config={"exec-opts": ["x"]})["action_needed"] == "restart"


def test_letters_survive(run, file) -> None:
    """Letters beyond ASCII, and bytes that are no UTF-8, come out as they went in."""
    file.write_bytes('{"labels": ["größe"], "x": "'.encode() + b'\xff"}')
    assert run(file)["changed"] is True
    assert "größe".encode() in file.read_bytes()
    assert b"\xff" in file.read_bytes()


@pytest.mark.parametrize(
    ("version", "status", "asked", "refused"),
    [
        pytest.param("26.1.5+dfsg1", 1, True, True, id="26-refuses"),
        pytest.param("26.1.5+dfsg1", 0, True, False, id="26-accepts"),
        pytest.param("20.10.24+dfsg1", 1, False, False, id="20-cannot-say"),
    ],
)
def test_dockerd_validates(version, status, asked, refused, run, file, tools, bare_path, tmp_path) -> None:
    """From 23.0 on dockerd has the last word, before anything is written."""
    log = tmp_path / "asked"
    folder = tools(
        "dockerd",
        'if [ "$1" = --version ]; then echo "Docker version %s, build x"; exit 0; fi\n'
        'echo "$@" >>%s; echo "unable to configure: nonsense" >&2; exit %d' % (version, log, status),
    )
    before = state(file)
    answer = run(file, search="%s:%s" % (folder, bare_path))
    assert log.exists() is asked
    assert bool(answer.get("failed")) is refused
    if refused:
        assert "nonsense" in answer["msg"]
        assert state(file) == before
    else:
        assert json.loads(file.read_text()) == MERGED


@pytest.mark.parametrize(
    "original",
    [
        pytest.param(None, id="no-file"),
        pytest.param('{"log-driver":"json-file",\n\t"features": {"buildkit": true}}', id="own-layout"),
        pytest.param('{"runtimes": {"nvidia": {"path": "/opt/own"}}}', id="own-runtime"),
    ],
)
def test_absent_gives_back_the_bytes_of_before(original, run, tmp_path) -> None:
    """In one step or in several, whatever stood there comes back to the byte, and no record is left."""
    path = tmp_path / "docker" / "daemon.json"
    path.parent.mkdir()
    if original is not None:
        path.write_text(original, encoding="utf-8")
    assert run(path)["changed"] is True
    more = {"live-restore": True, "features": {"cdi": True}}
    answer = run(path, config=more)
    assert answer["recorded"] == {**NVIDIA, **more}
    predicted = run(path, config=more, state="absent", check=True, diff=True)
    assert run(path, config=more, state="absent", diff=True)["diff"] == predicted["diff"]
    assert run(path, state="absent")["recorded"] == {}
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == original
    assert not (path.parent / "daemon.json.myia-vllm").exists()


def test_absent_keeps_what_others_changed_meanwhile(run, file) -> None:
    """Keys that somebody else added or changed since then stay as they are."""
    run(file)
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "log-driver": "journald", "debug": True}), encoding="utf-8")
    run(file, state="absent")
    assert json.loads(file.read_text()) == {**FOREIGN, "log-driver": "journald", "debug": True}


def test_recorded_only(run, file) -> None:
    """What this collection did not put there is left alone."""
    file.write_text('{"live-restore": true}', encoding="utf-8")
    run(file)
    both = {**NVIDIA, "live-restore": True}
    assert run(file, config=both, state="absent", recorded_only=True)["changed"] is True
    assert json.loads(file.read_text()) == {"live-restore": True}
    assert run(file, config=both, state="absent", recorded_only=True)["changed"] is False


def test_record_is_for_the_same_eyes(run, file) -> None:
    """The record holds the old text, so it has the file's mode."""
    file.chmod(0o600)
    run(file)
    assert stat.S_IMODE(os.stat(str(file) + ".myia-vllm").st_mode) == 0o600


def test_damaged_record_is_named(run, file) -> None:
    """Nothing is changed while nobody knows what stood there before."""
    (file.parent / "daemon.json.myia-vllm").write_text("{", encoding="utf-8")
    before = state(file)
    answer = run(file)
    assert answer["failed"] is True
    assert "daemon.json.myia-vllm" in answer["msg"]
    assert state(file) == before
