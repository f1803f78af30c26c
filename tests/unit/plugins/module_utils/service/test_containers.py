# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers are the service's, and what brings their names and Compose's labels together."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import containers

NAME, PROJECT, SERVICE = "myia-vllm", "vllm-medium", "medium"


def container(identity: str, name: str = NAME, state: str = "running", **more) -> dict:
    """One of the service's, unless ``more`` says otherwise."""
    known = {"id": identity, "name": name, "state": state, "project": PROJECT, "service": SERVICE, "oneoff": False}
    return {**known, "image": "i", "created": "2026-01-01T00:00:00.1Z", **more}


OLD, HALF, RENAMED = container("a"), container("b", "0123456789ab_" + NAME, "created"), container("c", "renamed")
FOREIGN = container("f", project="")


@pytest.mark.parametrize(
    ("found", "keep_id", "steps"),
    [
        pytest.param([], "", [], id="nothing-there"),
        pytest.param([OLD], "", [], id="as-it-should-be"),
        pytest.param([OLD, HALF], "", ["remove b"], id="left-by-a-killed-compose"),
        pytest.param([HALF], "", ["remove b"], id="left-by-a-killed-compose-alone"),
        pytest.param([RENAMED], "", ["rename c"], id="renamed"),
        pytest.param([{**RENAMED, "state": "exited"}], "", ["rename c"], id="renamed-and-stopped"),
        pytest.param([RENAMED, HALF], "", ["remove b", "rename c"], id="renamed-and-a-leftover"),
        pytest.param([OLD, RENAMED], "", ["remove c"], id="two-of-which-one-has-the-name"),
        pytest.param(
            [{**RENAMED, "state": "exited"}, container("d", "other")], "", ["remove c", "rename d"],
            id="two-renamed-of-which-one-runs"),
        pytest.param([container("d", "before")], "", [], id="name-of-another-release"),
        pytest.param([RENAMED, FOREIGN], "", [], id="the-name-is-somebody-elses"),
        pytest.param([OLD, container("e", "run", oneoff=True)], "", [], id="docker-compose-run"),
        pytest.param([OLD, container("e", "prefetch", service="medium-prefetch")], "", [], id="another-service"),
        pytest.param([OLD], "a", [], id="keep-runs"),
        pytest.param([{**OLD, "state": "exited"}], "a", ["start a"], id="keep-is-stopped"),
        pytest.param([{**OLD, "state": "paused"}], "a", ["start a"], id="keep-is-paused"),
        pytest.param([{**OLD, "state": "exited"}, HALF], "a", ["remove b", "start a"], id="keep-and-a-leftover"),
        pytest.param(
            [{**RENAMED, "state": "exited"}, container("d")], "c", ["remove d", "rename c", "start c"],
            id="keep-was-renamed-and-the-new-one-has-its-name"),
        pytest.param(
            [container("0", "0123456789ab_x", "exited")], "0", ["rename 0", "start 0"], id="keep-looks-like-one"),
        pytest.param([container("d")], "a", [], id="keep-is-gone"),
        pytest.param([{**OLD, "state": "dead"}], "a", [], id="keep-cannot-be-started"),
        pytest.param([{**RENAMED, "state": "exited"}, FOREIGN], "c", ["start c"], id="keep-and-a-taken-name"),
    ],
)  # fmt: skip
def test_plan(found, keep_id, steps) -> None:
    """What is done, in its order; others' containers are never in it."""
    planned = containers.plan(found, PROJECT, SERVICE, NAME, ["before"], keep_id)
    assert ["%s %s" % (step, item["id"]) for step, item in planned] == steps


def test_commands() -> None:
    """By id, since names are what is wrong."""
    assert containers.command("remove", HALF, NAME)[-1] == "b"
    assert containers.command("rename", RENAMED, NAME) == ["docker", "rename", "c", NAME]
    assert containers.command("start", {**OLD, "state": "exited"}, NAME) == ["docker", "start", "a"]
    assert containers.command("start", {**OLD, "state": "paused"}, NAME) == ["docker", "unpause", "a"]


@pytest.mark.parametrize(
    ("found", "words"),
    [([OLD], None), ([RENAMED, HALF], None), ([FOREIGN], "of no Compose project"),
     ([OLD, container("f", project="web")], "of the Compose project web")],
)  # fmt: skip
def test_foreign(found, words) -> None:
    """Who else has the name, in words."""
    other = containers.foreign(found, PROJECT, NAME)
    assert bool(other) is bool(words)
    if words:
        text = "myia-vllm (id f, image i, running, made at 2026-01-01T00:00:00, %s)" % words
        assert containers.described(other) == text


def test_look() -> None:
    """By the project's label and by the name; one that has both is seen once."""
    labels = {containers.PROJECT_LABEL: PROJECT, containers.SERVICE_LABEL: SERVICE}
    fields = ["a" * 64, "/" + NAME, "running", labels, "i", "2026-01-01T00:00:00Z"]
    asked = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        asked.append(argv)
        if argv[1] == "ps":
            return 0, "aa\n" if "label=" in argv[-1] else "aa\nff\n", ""
        bare = ["f" * 64, "/x", "exited", None, "i", "2026-01-01T00:00:00Z"]
        return 1, "".join("\t".join(map(json.dumps, row)) + "\n" for row in (fields, bare)) + "torn\n", "no such object"

    first, second = containers.look(run, PROJECT, NAME)
    assert (first["project"], first["service"], first["oneoff"], first["name"]) == (PROJECT, SERVICE, False, NAME)
    assert (second["project"], second["state"]) == ("", "exited")
    assert asked[-1][-2:] == ["aa", "ff"]


@pytest.mark.parametrize(
    ("status", "err", "words"),
    [(127, "docker: not found", "docker: not found"), (1, "Cannot connect\nto Docker", "Cannot connect to Docker"),
     (1, "", "docker ps gave no answer")],
)  # fmt: skip
def test_no_answer(status, err, words) -> None:
    """That nobody answers is not that there is none."""
    with pytest.raises(containers.EngineError, match=words):
        containers.look(lambda _argv: (status, "", err), PROJECT, NAME)
