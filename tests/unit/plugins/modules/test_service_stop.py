# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_stop, run as a program with a STAND-IN for docker that keeps its container in a file."""

from __future__ import annotations

import json
import sys

import pytest

#: Knows container inspect, update and stop.
DOCKER = """\
exec %s - "$@" <<'EOF'
import json, sys
path, (verb, *rest) = %r, sys.argv[1:]
mine = json.load(open(path))
mine["said"].append(" ".join(sys.argv[1:]))
if verb == "container":
    if mine["state"] == "missing":
        sys.exit("Error response from daemon: No such container: " + rest[-1])
    print(json.dumps([{"State": {"Status": mine["state"], "StartedAt": "2026-01-01T00:00:00Z"},
                       "HostConfig": {"RestartPolicy": {"Name": mine["policy"]}}}]))
elif mine.get("broken") == verb:
    sys.exit("Error response from daemon: cannot " + verb)
elif verb == "update":
    mine["policy"] = rest[1]
elif verb == "stop":
    mine["state"] = "exited"
json.dump(mine, open(path, "w"))
EOF
"""


@pytest.fixture
def run(run_module, tools, bare_path, tmp_path):
    """Run the module on a container; returns its answer and what became of the container."""
    (tmp_path / "medium").mkdir()

    def call(mine: dict, **more):
        path = tmp_path / "container.json"
        path.write_text(json.dumps({"said": [], **mine}), encoding="utf-8")
        folder = tools("docker", DOCKER % (sys.executable, str(path)))
        places = {"path": str(tmp_path / "medium"), "search": "%s:%s" % (folder, bare_path)}
        answer = run_module("service_stop", container="c", **places, **more)
        return answer, json.loads(path.read_text(encoding="utf-8"))

    return call


SERVES = {"state": "running", "policy": "unless-stopped"}


def test_stop(run, tmp_path) -> None:
    """Predicted, done, and done already; the note comes first and the policy goes before the stop."""
    note = tmp_path / "medium" / "stopped.json"
    answer, left = run(SERVES, check=True)
    assert answer["changed"]
    assert (left["state"], left["policy"], note.exists()) == ("running", "unless-stopped", False)
    answer, left = run(SERVES, grace_s=77)
    assert answer["steps"] == [
        "restart policy of c: unless-stopped -> no",
        "c stopped (was running)",
        "noted as stopped on purpose",
    ]
    assert left["said"] == ["container inspect c", "update --restart no c", "stop --time 77 c"]
    assert (left["state"], answer["stopped"]["at"][:2]) == ("exited", "20")
    answer, left = run({"state": left["state"], "policy": left["policy"]})
    assert (answer["changed"], answer["steps"], left["said"]) == (False, [], ["container inspect c"])


def test_one_that_failed_is_taken_for_stopped(run) -> None:
    """Somebody says so: it is no failure any more."""
    answer, _left = run({"state": "exited", "policy": "no"})
    assert (answer["changed"], answer["steps"]) == (True, ["noted as stopped on purpose"])


def test_without_a_note(run, tmp_path) -> None:
    """For a restart."""
    answer, left = run(SERVES, note=False)
    assert (left["state"], answer["stopped"]) == ("exited", {})
    assert not (tmp_path / "medium" / "stopped.json").exists()


@pytest.mark.parametrize(
    ("mine", "text"),
    [
        ({"state": "missing", "policy": ""}, "There is no container c on this host"),
        ({**SERVES, "broken": "stop"}, "docker stop failed (Error response from daemon: cannot stop)"),
    ],
)
def test_what_cannot_be_stopped(mine, text, run) -> None:
    """It fails, with what Docker said."""
    answer, _left = run(mine)
    assert answer["failed"]
    assert text in answer["msg"]


def test_documented_keys(run, documentation) -> None:
    """RETURN names what is returned."""
    answer, _left = run(SERVES)
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_stop", "RETURN"))
