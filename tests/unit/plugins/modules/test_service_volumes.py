# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_volumes, run as a program with a STAND-IN for docker that keeps its volumes in a file."""

from __future__ import annotations

import json
import sys

import pytest

#: Knows volume inspect, create and rm, and ps, which shows one container of another project that has the volume hub.
DOCKER = """\
exec %s - "$@" <<'EOF'
import json, sys
path, (verb, *rest) = %r, sys.argv[1:]
volumes = json.load(open(path))
if verb == "ps":
    print("somebody\\tother\\n" if "volume=hub" in rest else "", end="")
elif rest[0] == "inspect" and rest[1] not in volumes:
    sys.exit("Error response from daemon: get %%s: no such volume" %% rest[1])
elif rest[0] == "create" and rest[-1] == "broken":
    sys.exit("Error response from daemon: no space left on device")
elif rest[0] == "create":
    volumes[rest[-1]] = [word for word in rest[1:-1] if word != "--label"]
elif rest[0] == "rm":
    del volumes[rest[1]]
json.dump(volumes, open(path, "w"))
EOF
"""


@pytest.fixture
def run(run_module, tools, bare_path, tmp_path):
    """Run the module on volumes; returns its answer and the volumes afterwards."""

    def call(there: dict, **more):
        path = tmp_path / "volumes.json"
        path.write_text(json.dumps(there), encoding="utf-8")
        folder = tools("docker", DOCKER % (sys.executable, str(path)))
        given = {"path": str(tmp_path / "chat"), "project": "vllm-chat", "search": "%s:%s" % (folder, bare_path)}
        answer = run_module("service_volumes", **given, **more)
        return answer, json.loads(path.read_text(encoding="utf-8"))

    return call


def test_present(run) -> None:
    """Predicted, made with the owner's labels, and left as it is where it is there."""
    wanted = {"state": "present", "volumes": ["hub", "models"], "owners": {"hub": "vllm-medium", "models": ""}}
    answer, left = run({}, check=True, **wanted)
    assert (answer["changed"], answer["created"], left) == (True, ["hub", "models"], {})
    answer, left = run({"own": []}, **wanted)
    assert (answer["changed"], answer["created"]) == (True, ["hub", "models"])
    assert left == {
        "own": [],
        "hub": ["com.docker.compose.project=vllm-medium", "com.docker.compose.volume=hub"],
        "models": [],
    }
    there = {"hub": ["com.docker.compose.project=somebody"], "models": []}
    answer, left = run(there, **wanted)
    assert (answer["changed"], answer["created"], left) == (False, [], there)


def test_engine_refuses(run) -> None:
    """What the engine says is told."""
    answer, _left = run({}, state="present", volumes=["broken"])
    assert answer["failed"]
    assert answer["msg"] == ("docker volume create broken failed: Error response from daemon: no space left on device")


def test_absent(run) -> None:
    """Removed but for what others use; what is not there is no change."""
    answer, left = run({"own": [], "hub": []}, volumes=["own", "hub", "gone"])
    assert (answer["removed"], answer["kept"], left) == (["own"], {"hub": ["container somebody"]}, {"hub": []})
    answer, _left = run(left, volumes=["own", "hub"])
    assert answer["changed"] is False
