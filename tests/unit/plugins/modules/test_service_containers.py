# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_containers, run as a program with a STAND-IN for docker that keeps its containers in a file."""

from __future__ import annotations

import json
import os
import sys

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import releases

NAME, PROJECT = "myia-vllm", "vllm-medium"
OURS = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": "medium"}

#: Knows ps, inspect, rm, rename and start.
DOCKER = """\
exec %s - "$@" <<'EOF'
import json, re, sys
path, (verb, *rest) = %r, sys.argv[1:]
there = json.load(open(path))
if verb == "ps":
    key, _, value = rest[-1].partition("=")
    for item in there:
        label, _, wanted = value.partition("=")
        if re.search(value, "/" + item["name"]) if key == "name" else item["labels"].get(label) == wanted:
            print(item["id"])
elif verb == "inspect":
    for item in there:
        if item["id"] in rest[2:] and "Running" in rest[1]:
            print(json.dumps(item["state"] == "running"), "/" + item["name"])
        elif item["id"] in rest[2:]:
            fields = (item["id"], "/" + item["name"], item["state"], item["labels"], "i", "2026-01-01T00:00:00Z")
            print("\\t".join(map(json.dumps, fields)))
else:
    identity = rest[0] if verb == "rename" else rest[-1]
    mine = next((item for item in there if item["id"] == identity), None)
    if mine is None:
        sys.exit("Error response from daemon: No such container: " + identity)
    if verb == "start" and mine["labels"].get("broken"):
        sys.exit("Error response from daemon: port is already allocated")
    if verb == "stop" and mine["labels"].get("broken"):
        sys.exit("Error response from daemon: tried to kill container, but did not receive an exit event")
    if verb == "update" and mine["labels"].get("rm"):
        sys.exit("Restart policy cannot be updated because AutoRemove is enabled for the container")
    if verb == "stop" and mine["labels"].get("rm"):
        there.remove(mine)
    if verb == "rm":
        there.remove(mine)
    news = {"rename": {"name": rest[-1]}, "start": {"state": "running"}, "stop": {"state": "exited"}}
    mine.update(news.get(verb, {}))
    json.dump(there, open(path, "w"))
EOF
"""


@pytest.fixture
def run(run_module, tools, bare_path, tmp_path):
    """Run the module; returns its answer and what containers there are then, as (name, state)."""

    def call(there: list[tuple], state: str = "ready", docker: str | None = None, **more):
        path = tmp_path / "containers.json"
        items = [dict(zip(("id", "name", "state", "labels"), item)) for item in there]
        path.write_text(json.dumps(items), encoding="utf-8")
        folder = tools("docker", docker if docker is not None else DOCKER % (sys.executable, str(path)))
        answer = run_module(
            "service_containers", path=str(tmp_path / "medium"), state=state, project=PROJECT, service="medium",
            name=NAME, search="%s:%s" % (folder, bare_path), **more)  # fmt: skip
        left = json.loads(path.read_text(encoding="utf-8"))
        return answer, [(item["name"], item["state"]) for item in left]

    return call


HALF = ("b", "0123456789ab_" + NAME, "created", OURS)


@pytest.mark.parametrize(
    ("there", "state", "keep", "steps", "left"),
    [
        ([("a", NAME, "running", OURS), HALF], "ready", "",
         ["0123456789ab_%s removed (created)" % NAME], [(NAME, "running")]),
        ([("a", "renamed", "running", OURS)], "ready", "",
         ["%s has its name again (was renamed)" % NAME], [(NAME, "running")]),
        ([("a", NAME, "exited", OURS), HALF], "kept", "a",
         ["0123456789ab_%s removed (created)" % NAME, "%s started (was exited)" % NAME], [(NAME, "running")]),
        ([("a", NAME, "running", OURS), HALF, ("f", "web", "running", {})], "absent", "",
         ["%s removed (running)" % NAME, "0123456789ab_%s removed (created)" % NAME], [("web", "running")]),
        ([("a", NAME, "running", OURS), HALF], "checked", "", [], [(NAME, "running"), (HALF[1], "created")]),
    ],
)  # fmt: skip
def test_steps(there, state, keep, steps, left, run) -> None:
    """Predicted and then done; a second time there is nothing to do."""
    more = {"container_id": keep} if keep else {}
    answer, untouched = run(there, state, check=True, **more)
    assert (answer["steps"], answer["changed"]) == (steps, bool(steps))
    assert untouched == [item[1:3] for item in there]
    answer, found = run(there, state, **more)
    assert (answer["steps"], answer["changed"], answer["problem"], found) == (steps, bool(steps), "", left)
    assert answer["kept"] is bool(keep)


def test_foreign_container_is_never_touched(run) -> None:
    """It is named, whatever is asked for, and ours keeps what name it has."""
    there = [("f", NAME, "running", {}), ("a", "renamed", "exited", OURS)]
    for state in ("checked", "ready", "kept"):
        answer, left = run(there, state, container_id="a")
        assert answer["taken"].startswith("%s (id f, image i, running, made at 2026-01-01T00:00:00, of no" % NAME)
        assert left[0] == (NAME, "running")
        assert (left[1], answer["kept"]) == (("renamed", "running" if state == "kept" else "exited"), False)


def test_what_cannot_be_done_is_said(run) -> None:
    """The rest is done all the same, and Compose has its turn."""
    answer, left = run([("a", NAME, "exited", {**OURS, "broken": "1"}), HALF], "kept", container_id="a")
    assert answer["problem"] == "start of %s: Error response from daemon: port is already allocated" % NAME
    assert (left, answer["kept"], answer.get("failed", False)) == ([(NAME, "exited")], False, False)


@pytest.fixture
def adopted(tmp_path):
    """A service whose current release is served by the container ``h``, which was taken over."""
    service = releases.Service(str(tmp_path / "medium"))
    staging = service.begin()
    about = {"good_since": "1", "container_id": "h", "adopted": {"container_id": "h", "unit": ""}}
    for part, text in ((releases.COMPOSE, "a"), (releases.ENV, "b"), (releases.DESCRIPTION, json.dumps(about))):
        service.write(staging, part, text)
    name = "20260101T000000Z-aaaaaaaaaaaa"
    os.rename(staging, service.folder(name))
    service.switch(name)


@pytest.mark.usefixtures("adopted")
@pytest.mark.parametrize(
    ("labels", "problem", "left"),
    [
        ({}, "", [("llm-handmade", "exited")]),
        # one that Docker removes when it ends
        ({"rm": "1"}, "", []),
        # it has GPUs and port still
        ({"broken": "1"}, "aside of llm: Error response from daemon: tried to kill container", [("llm", "running")]),
    ],
)
def test_set_aside(labels, problem, left, run) -> None:
    """One that could not be stopped is not said to be, and keeps its name for whoever looks."""
    answer, found = run([("h", "llm", "running", labels)])
    assert answer["problem"].startswith(problem) and bool(answer["problem"]) is bool(problem)
    assert (found, bool(answer["steps"])) == (left, not problem)


@pytest.mark.parametrize("state", ["checked", "ready", "kept", "absent"])
def test_engine_does_not_answer(state, run) -> None:
    """Said, and left to the caller."""
    answer, _left = run([], state, docker="echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert answer["problem"] == "Docker does not say which containers there are: Cannot connect to the Docker daemon"
    assert (answer["changed"], answer.get("failed", False)) == (False, False)


def test_documented_keys(run, documentation) -> None:
    """RETURN names what is returned."""
    answer, _left = run([])
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_containers", "RETURN"))
