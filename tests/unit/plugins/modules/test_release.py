# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release, run as a program: stage, switch, mark good or failed, remove, and no secret in any answer."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import time

import pytest
from release_texts import COMPOSE, ENV


@pytest.fixture
def run(run_release):
    """Short for the module release."""
    return run_release


def mode(path: pathlib.Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def tree(path: pathlib.Path) -> list:
    """Everything below a folder, with what would change if somebody wrote it."""
    return sorted((str(item), item.lstat().st_mode, item.lstat().st_mtime_ns) for item in path.parent.rglob("*"))


def test_stage(run, service) -> None:
    """A new release is complete, has its modes and is not the current one yet."""
    answer = run("staged", diff=True)
    release = answer["release"]
    assert (answer["changed"], answer["problem"]) == (True, "")
    assert answer["summary"] == ["compose.yml: new", ".env: new"]
    assert (release["staged"], release["current"], release["good"], release["last_good"]) == (True, False, False, "")
    folder = pathlib.Path(release["path"])
    assert folder == service / "releases" / release["name"]
    assert {item.name: mode(item) for item in folder.iterdir()} == {
        "compose.yml": 0o640,
        ".env": 0o600,
        "release.json": 0o640,
    }
    assert [mode(path) for path in (service.parent, service, service / "releases", folder)] == [
        0o755,
        0o750,
        0o750,
        0o750,
    ]
    assert (folder / "compose.yml").read_text() == COMPOSE
    assert (folder / ".env").read_text() == ENV
    about = json.loads((folder / "release.json").read_text())
    assert about["model"] == "m"
    assert about["name"] == release["name"]
    assert release["name"].endswith("-" + about["content_hash"])
    assert "PLANTED" not in json.dumps(about)
    assert [part["before_header"] for part in answer["diff"]] == ["compose.yml", ".env"]
    assert answer["diff"][1]["after"] == "KEY=(new)\nPORT='5002'\n"


def test_same_content_is_no_change(run, service) -> None:
    """Staging again finds the release, before and after the switch, and writes nothing."""
    name = run("staged")["release"]["name"]
    before = tree(service)
    again = run("staged")
    assert (again["changed"], again["release"]["name"], again["summary"]) == (False, name, [])
    assert tree(service) == before
    run("current", name=name)
    again = run("staged")
    assert (again["changed"], again["release"]["current"]) == (False, True)


def test_changed_file_is_a_change(run, tmp_path) -> None:
    """What a file of the host holds belongs to the release, and stands in no answer."""
    secret = tmp_path / "hf-token"
    secret.write_text("hf_PLANTED1")
    asked = {"files": [str(secret)], "files_variable": "VLLM_FILES_MEDIUM"}
    first = run("staged", diff=True, **asked)
    run("current", name=first["release"]["name"])
    assert run("staged", **asked)["changed"] is False
    secret.write_text("hf_PLANTED2")
    answer = run("staged", diff=True, **asked)
    assert (answer["changed"], answer["summary"]) == (
        True, [".env: -VLLM_FILES_MEDIUM=(old)", ".env: +VLLM_FILES_MEDIUM=(new)"]
    )  # fmt: skip
    assert answer["release"]["name"] != first["release"]["name"]
    assert "PLANTED" not in json.dumps([first, answer])
    secret.unlink()
    gone = run("staged", **asked)
    assert (gone["changed"], gone["problem"]) == (False, "%s cannot be read: No such file or directory." % secret)


def test_changed_value_shows_its_name_only(run) -> None:
    """What differs is shown line by line in the Compose file, by name in .env."""
    run("current", name=run("staged")["release"]["name"])
    answer = run(
        "staged", compose=COMPOSE.replace("image: x", "image: y"), env=ENV.replace("PLANTED", "PLANTED2"), diff=True
    )
    assert answer["changed"] is True
    assert answer["summary"] == [
        "compose.yml: -    image: x",
        "compose.yml: +    image: y",
        ".env: -KEY=(old)",
        ".env: +KEY=(new)",
    ]
    assert answer["diff"][1]["before"] == "KEY=(old)\nPORT=(unchanged)\n"
    assert answer["diff"][1]["after"] == "KEY=(new)\nPORT=(unchanged)\n"


def test_check_mode_writes_nothing(run, service) -> None:
    """The same prediction, and not even the folder."""
    predicted = run("staged", check=True, diff=True)
    assert not service.parent.exists()
    assert (predicted["changed"], predicted["release"]["staged"]) == (True, False)
    answer = run("staged", diff=True)
    assert (predicted["summary"], predicted["diff"]) == (answer["summary"], answer["diff"])
    before = tree(service)
    for state, more in (
        ("current", {"name": answer["release"]["name"]}),
        ("current", {"name": "20260101T000000Z-0123456789ab"}),
        ("staged", {"env": "A='1'\n"}),
        ("absent", {}),
    ):
        assert run(state, check=True, **more)["changed"] is True
    run("current", name=answer["release"]["name"])
    before = tree(service)
    assert run("good", check=True)["changed"] is True
    assert tree(service) == before


def test_check_mode_does_not_mend(run, service) -> None:
    """A wrong mode is reported, and left."""
    folder = pathlib.Path(run("staged")["release"]["path"])
    (folder / ".env").chmod(0o644)
    assert run("staged", check=True)["changed"] is True
    assert mode(folder / ".env") == 0o644


def test_switch(run, service) -> None:
    """`current` points to the named release, and to nothing that does not exist."""
    first = run("staged")["release"]["name"]
    second = run("staged", env="A='1'\n")["release"]["name"]
    assert first != second
    answer = run("current", name=first, diff=True)
    assert (answer["changed"], answer["summary"]) == (True, ["current: none -> " + first])
    assert answer["diff"] == {"before": "current: \n", "after": "current: %s\n" % first}
    assert run("current", name=first)["changed"] is False
    answer = run("current", name=second)
    assert answer["summary"] == ["current: %s -> %s" % (first, second)]
    assert os.readlink(service / "current") == "releases/" + second
    for name in ("20260101T000000Z-0123456789ab", "../../x", ".staging"):
        answer = run("current", name=name)
        assert answer["failed"] is True
        assert first in answer["msg"]
    assert os.readlink(service / "current") == "releases/" + second


def test_good(run, service) -> None:
    """The current release is marked once, and stays the last good one until another is."""
    assert run("good")["failed"] is True
    name = run("staged")["release"]["name"]
    run("current", name=name)
    answer = run("good")
    assert (answer["changed"], answer["summary"], answer["release"]["good"]) == (True, [name + ": good"], True)
    assert run("good")["changed"] is False
    about = json.loads((service / "releases" / name / "release.json").read_text())
    assert about["model"] == "m"
    assert run("staged", env="A='1'\n")["release"]["last_good"] == name


def test_switching_back_makes_the_older_release_the_last_good_one(run, service) -> None:
    """The last good release is the one that was found good last, not the one that was made last."""
    first = run("staged")["release"]["name"]
    run("current", name=first)
    run("good")
    time.sleep(1.1)  # marks are kept in whole seconds
    second = run("staged", env="A='1'\n")["release"]["name"]
    run("current", name=second)
    assert run("good")["release"]["last_good"] == second
    time.sleep(1.1)
    run("current", name=first)
    answer = run("good")
    assert (answer["changed"], answer["release"]["last_good"]) == (True, first)
    assert run("good")["changed"] is False


@pytest.mark.parametrize("part", [".env", "compose.yml", "release.json"])
def test_wrong_modes_are_mended(part, run) -> None:
    """Somebody's chmod is taken back, and said."""
    folder = pathlib.Path(run("staged")["release"]["path"])
    wanted = mode(folder / part)
    (folder / part).chmod(0o666)
    answer = run("staged")
    assert answer["changed"] is True
    assert part in answer["summary"][0]
    assert mode(folder / part) == wanted
    assert run("staged")["changed"] is False


def test_leftovers_of_an_interrupted_run(run, service) -> None:
    """What a killed run left is taken away by the next one."""
    staging = service / "releases" / ".stagingabc"
    staging.mkdir(parents=True)
    (staging / ".env").write_text("PLANTED")
    (staging / "junk").write_text("x")
    os.utime(staging, (1, 1))
    other = service / "releases" / ".stagingdef"  # of a run that goes on beside this one
    other.mkdir()
    answer = run("staged")
    assert answer["changed"] is True
    assert not staging.exists()
    assert other.exists()
    assert sorted(os.listdir(answer["release"]["path"])) == [".env", "compose.yml", "release.json"]


def test_absent(run, service) -> None:
    """The whole folder goes; a second time there is nothing to do."""
    run("current", name=run("staged")["release"]["name"])
    assert run("absent")["changed"] is True
    assert not service.exists()
    assert service.parent.exists()
    assert run("absent")["changed"] is False


def test_absent_spares_other_folders(run, service) -> None:
    """A folder that holds no releases is somebody else's."""
    service.mkdir(parents=True)
    (service / "mine").write_text("x")
    assert run("absent")["failed"] is True
    assert (service / "mine").exists()


@pytest.mark.parametrize(
    ("state", "missing"), [("staged", "env"), ("staged", "compose"), ("current", "name"), ("failed", "name")], ids=str
)
def test_required_options(state, missing, run) -> None:
    """Each state names the option it lacks."""
    answer = run(state, **({missing: None} if state == "staged" else {}))
    assert answer["failed"] is True
    assert missing in answer["msg"]


def deploy(run, number: int, **good: object) -> str:
    """Stage a release, switch to it, and mark it good when ``good`` says anything; return its name."""
    name = run("staged", env="N='%d'\n" % number)["release"]["name"]
    run("current", name=name)
    if good:
        run("good", **good)
        time.sleep(1.1)  # marks are kept in whole seconds
    return name


def about(service: pathlib.Path, name: str) -> dict:
    """release.json of a release."""
    return json.loads((service / "releases" / name / "release.json").read_text(encoding="utf-8"))


def test_documented_keys(run, documentation) -> None:
    """RETURN names what is returned, by state."""
    documented = set(documentation("release", "RETURN"))
    own = {"changed", "diff", "invocation", "_output"}
    answer = run("staged")
    name = answer["release"]["name"]
    assert set(answer) - own == documented - {"log"}
    assert set(run("current", name=name)) - own == documented - {"log"}
    assert set(run("good")) - own == documented - {"log"}
    assert set(run("failed", name=name)) - own == documented
    assert set(run("none")) - own == documented - {"log"}
    assert set(run("absent")) - own == documented - {"kept", "kept_failed", "log", "release", "return_to"}


def test_good_with_its_container_and_start(run, service) -> None:
    """The container that was seen to work and how its start went are remembered; again is no change."""
    name = run("staged")["release"]["name"]
    run("current", name=name)
    start = {"at": "2026-01-01T00:00:00Z", "total_s": 41.5, "phases": [{"phase": "load", "duration_s": 3.0}]}
    answer = run("good", container_id="c" * 64, start=start)
    assert answer["summary"] == [name + ": good", "%s: runs in container %s" % (name, "c" * 12)]
    assert (answer["release"]["container_id"], answer["release"]["start"]) == ("c" * 64, start)
    again = run("good", container_id="c" * 64, start=start)
    assert (again["changed"], again["summary"]) == (False, [])
    assert run("good")["changed"] is False
    assert about(service, name)["container_id"] == "c" * 64
    answer = run("good", container_id="d" * 64, check=True)
    assert (answer["changed"], about(service, name)["container_id"]) == (True, "c" * 64)
    assert run("good", container_id="d" * 64)["summary"] == ["%s: runs in container %s" % (name, "d" * 12)]


def test_return_to(run) -> None:
    """The newest good release besides the one in question; none for the first deployment ever."""
    answer = run("staged")
    assert (answer["return_to"]["name"], answer["kept"], answer["kept_failed"]) == ("", 0, 1)
    first = deploy(run, 1, keep=9)
    second = deploy(run, 2, keep=9)
    answer = run("staged", env="N='3'\n")
    back = answer["return_to"]
    assert (back["name"], back["good"], back["path"][-len(second) :]) == (second, True, second)
    assert answer["release"]["last_good"] == second
    assert run("staged", env="N='2'\n")["return_to"]["name"] == first


#: A docker with a log, in which the secret stands.
LOGS = "[ \"$1\" = logs ] && printf '2026-01-01T00:00:01.000000000Z key PLANTED-key\\nthe end\\n'; exit 0"
SECRET_ENV = "VLLM_API_KEY_MEDIUM='PLANTED-key'\n"


def test_failed(run, service) -> None:
    """What it died of is noted without any secret, with the log beside it; it is not good any more."""
    name = run("staged", env=SECRET_ENV)["release"]["name"]
    run("current", name=name)
    run("good")
    diagnosis = {"id": "x", "ref": "V1", "class": "configuration", "phase": "load", "cause": "c", "certain": True,
                 "evidence": ["line", "exit code 1"], "verdict_s": 1.5, "fix": "f", "numbers": {"a": "1"}}  # fmt: skip
    answer = run("failed", name=name, diagnosis=diagnosis, container="c", docker=LOGS)
    assert (answer["changed"], answer["summary"]) == (True, [name + ": failed"])
    assert (answer["release"]["good"], answer["release"]["last_good"], answer["release"]["same_failures"]) == (
        False, "", 1)  # fmt: skip
    failure = about(service, name)["failures"][0]
    assert set(failure) == {"at", *diagnosis} - {"fix", "numbers"}
    log = pathlib.Path(answer["log"])
    assert log.parent.name == name
    assert (
        log.read_text(encoding="utf-8")
        == "2026-01-01T00:00:01.000000000Z key ***\nthe end\nmyia.vllm saw: exit code 1\n"
    )
    assert mode(log) == 0o640
    assert run("failed", name=name, diagnosis=diagnosis)["release"]["same_failures"] == 2
    answer = run("good")
    assert (answer["changed"], answer["release"]["good"], answer["release"]["failures"]) == (True, True, [])


def test_evidence_with_a_secret(run_module, run, service, bare_path) -> None:
    """What Docker itself said may hold a value of .env."""
    name = run("staged", env=SECRET_ENV)["release"]["name"]
    answer = run_module("release", path=str(service), state="failed", name=name, search=bare_path,
                        diagnosis={"id": "x", "cause": "c", "evidence": ["bad value PLANTED-key"]})  # fmt: skip
    assert answer["release"]["failures"][0]["evidence"] == ["bad value ***"]
    assert "PLANTED" not in json.dumps(about(service, name))


def test_failed_without_a_log(run) -> None:
    """No log is promised that is not there."""
    name = run("staged")["release"]["name"]
    assert run("failed", name=name)["log"] == ""


def test_failed_in_check_mode(run, service) -> None:
    """The prediction, and nothing else."""
    name = run("staged")["release"]["name"]
    before = tree(service)
    assert run("failed", name=name, container="c", docker=LOGS, check=True)["changed"] is True
    assert tree(service) == before


def test_failed_release_that_is_not_there(run) -> None:
    """A name that nobody staged is an error."""
    run("staged")
    answer = run("failed", name="20260101T000000Z-0123456789ab")
    assert answer["failed"] is True
    assert "there is no release" in answer["msg"]


def test_none(run, service) -> None:
    """After a first deployment that failed nothing is current; the release stays for people to look at."""
    name = deploy(run, 1)
    answer = run("none", check=True)
    assert (answer["changed"], os.path.lexists(service / "current")) == (True, True)
    answer = run("none")
    assert (answer["changed"], answer["summary"]) == (True, ["current: %s -> none" % name])
    assert not os.path.lexists(service / "current")
    assert (service / "releases" / name).is_dir()
    assert run("none")["changed"] is False


#: As vllm_secrets_as_files has it: the container reads the key from a file of the release.
AS_FILES = {"secret_files": {"env_KEY": "KEY"}, "files_variable": "FILES"}


@pytest.mark.parametrize("harm", ["folder gone", "file gone", "other content", "open folder", "closed file"])
def test_secrets_of_a_release_are_mended(run, service, harm) -> None:
    """A run that was killed between .env and them, or somebody; without the file Compose makes no container."""
    release = run("staged", **AS_FILES)["release"]
    folder = pathlib.Path(release["path"]) / "secrets"
    file = folder / "env_KEY"
    text = file.read_text()
    if harm == "folder gone":
        file.unlink()
        folder.rmdir()
    elif harm == "file gone":
        file.unlink()
    elif harm == "other content":
        file.write_text("other")
    else:
        (folder if harm == "open folder" else file).chmod(0o755 if harm == "open folder" else 0o400)
    predicted = run("staged", check=True, **AS_FILES)
    assert (predicted["changed"], predicted["release"]["name"]) == (True, release["name"])
    mended = run("staged", **AS_FILES)
    assert mended["changed"] and "secrets/env_KEY" in mended["summary"][0]
    assert (file.read_text(), mode(folder), mode(file)) == (text, 0o700, 0o444)
    assert run("staged", **AS_FILES)["changed"] is False
