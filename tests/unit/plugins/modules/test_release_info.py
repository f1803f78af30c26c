# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release_info, run as a program: what there is, and which one to go back to."""

from __future__ import annotations

import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import releases

NAMES = ["2026010%dT000000Z-%s" % (day, digest * 4) for day, digest in enumerate(["abc", "bcd", "cde", "def"], 1)]


@pytest.fixture
def service(tmp_path) -> releases.Service:
    """Four releases: the first and third were good, the second failed; the fourth is current and not good."""
    found = releases.Service(str(tmp_path / "medium"))
    for number, name in enumerate(NAMES):
        staging = found.begin()
        found.write(staging, releases.ENV, "VLLM_API_KEY_MEDIUM='PLANTED-%d'\n" % number)
        about = {"served_model_name": "model-%d" % number, "container_name": "c"}
        if number in (0, 2):
            about["good_since"] = "2026-01-0%dT01:00:00Z" % (number + 1)
        if number == 1:
            about["failures"] = [{"id": "gpu-out-of-memory", "class": "configuration", "certain": True}]
        found.write(staging, releases.DESCRIPTION, releases.describe(about))
        os.rename(staging, found.folder(name))
    found.switch(NAMES[3])
    return found


@pytest.fixture
def run(run_module, service):
    """Run the module; every answer is searched for the secrets."""

    def call(choose: str | None = None, **more) -> dict:
        args = {} if choose is None else {"choose": choose}
        answer = run_module("release_info", **{"path": service.path, **args, **more})
        assert "PLANTED" not in answer["_output"]
        return answer

    return call


def test_list(run) -> None:
    """All, oldest first, without choosing one."""
    answer = run()
    assert (answer["current"], answer["changed"]) == (NAMES[3], False)
    assert [about["name"] for about in answer["releases"]] == NAMES
    assert [about["good"] for about in answer["releases"]] == [True, False, True, False]
    assert answer["releases"][1]["same_failures"] == 1
    assert {"release", "return_to"} & set(answer) == set()


@pytest.mark.parametrize(
    ("choose", "current", "chosen", "back"),
    [
        pytest.param("", 3, 2, 0, id="newest-good-one"),
        pytest.param("", 2, 0, 2, id="newest-good-one-but-the-current"),
        pytest.param("abc", 2, 0, 2, id="part-of-a-name"),
        pytest.param("20260102", 2, 1, 2, id="by-its-day-though-it-failed"),
        pytest.param(NAMES[0], 3, 0, 2, id="whole-name-current-is-not-good"),
        pytest.param(NAMES[2], 2, 2, 0, id="the-current-one"),
        pytest.param("", None, 2, 0, id="nothing-is-current"),
    ],
)
def test_choose(choose, current, chosen, back, run, service) -> None:
    """The release that is meant, and the one to go back to when it fails: the current one if that was good."""
    service.leave()
    if current is not None:
        service.switch(NAMES[current])
    answer = run(choose)
    release = answer["release"]
    assert (release["name"], release["current"], release["staged"]) == (NAMES[chosen], chosen == current, True)
    assert (release["last_good"], release["path"]) == (NAMES[2], service.folder(NAMES[chosen]))
    assert release["served_model_name"] == "model-%d" % chosen
    assert answer["return_to"]["name"] == NAMES[back]
    # the current one counts as good: it may serve
    assert (answer["kept"], answer["kept_failed"]) == ({3: (3, 1)}.get(current, (2, 2)))


def test_failed_release_without_its_secrets(run, service) -> None:
    """It cannot be started, and that is said."""
    service.drop_env(NAMES[1])
    answer = run("20260102")
    assert answer["failed"] is True
    assert "its secrets were deleted with its .env; deploy it by its variables" in answer["msg"]


def test_only_one_good_release(run, service) -> None:
    """There is nothing to return to, and that is no error."""
    service.drop(NAMES[0])
    assert run(NAMES[2])["return_to"]["name"] == ""


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        ("xyz", "There is no release with xyz in its name."),
        ("2026", "There are 4 releases with 2026 in their names."),
    ],
)
def test_not_one(choose, words, run) -> None:
    """Refused, with all there are to choose from."""
    answer = run(choose)
    assert answer["failed"] is True
    assert answer["msg"].startswith(words)
    lines = answer["msg"].splitlines()
    assert lines[0].endswith("Name one of these by vllm_service_rollback_to:")
    assert lines[1:] == [
        NAMES[0] + "  model-0  good since 2026-01-01T01:00:00Z",
        NAMES[1] + "  model-1  failed: gpu-out-of-memory",
        NAMES[2] + "  model-2  good since 2026-01-03T01:00:00Z",
        NAMES[3] + "  model-3  not good  (current)",
    ]


def test_nothing_to_go_back_to(run, service) -> None:
    """Said as it is."""
    service.drop(NAMES[0])
    service.switch(NAMES[2])
    assert run("")["msg"].startswith("No release besides the current one was ever good")


def test_no_service(run, tmp_path) -> None:
    """A host without any release."""
    answer = run(path=str(tmp_path / "none"))
    assert (answer["current"], answer["releases"]) == ("", [])
    assert run("", path=str(tmp_path / "none"))["msg"].endswith(":\nnone")


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    assert set(run("")) - {"changed", "invocation", "_output"} == set(documentation("release_info", "RETURN"))
