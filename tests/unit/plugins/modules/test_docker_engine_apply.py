# SPDX-License-Identifier: GPL-3.0-or-later
"""The module docker_engine_apply, run as a program with a stand-in docker; real engines are in Molecule."""

from __future__ import annotations

import json
import os

import pytest

INFO = {"ServerVersion": "26.1.5", "OperatingSystem": "Debian", "Runtimes": {"runc": {}}, "LiveRestoreEnabled": False}


@pytest.fixture
def run(run_module, tools, bare_path, tmp_path):
    """Run the module with an engine and the names of running containers, without systemd."""
    path = tmp_path / "daemon.json"
    path.write_text("{}", encoding="utf-8")

    def call(info: dict | None = None, running: tuple = (), **more):
        lines = "".join("%s\\t/%s\\timage\\tt\\ttrue\\trunc\\tnull\\n" % (name, name) for name in running)
        folder = tools(
            "docker",
            "case \"$1\" in info) cat <<'END'\n%s\nEND\n;; ps) printf \"%s\" ;; inspect) printf '%s' ;; esac"
            % (json.dumps({**INFO, **(info or {})}), "".join(name + "\\n" for name in running), lines),
        )
        return run_module("docker_engine_apply", search="%s:%s" % (folder, bare_path), path=str(path), **more)

    call.path = path
    return call


def test_none(run) -> None:
    """Nothing to do is no change."""
    answer = run(action="none", running=("web",))
    assert (answer["changed"], answer["steps"], answer["kept"]) == (False, [], ["web"])


def test_no_engine(run) -> None:
    """An engine that does not run reads the file when it starts."""
    answer = run(info={"ServerVersion": ""}, action="restart")
    assert (answer["changed"], answer["steps"]) == (False, [])


@pytest.mark.parametrize(
    ("running", "steps"), [((), ["restart"]), (("web",), ["live_restore", "reload", "restart"])], ids=["free", "busy"]
)
def test_check_mode_predicts(run, running, steps) -> None:
    """The steps are told and nothing is done, neither to the file nor to the engine."""
    answer = run(action="restart", running=running, check=True)
    assert (answer["changed"], answer["steps"]) == (True, steps)
    assert run.path.read_text() == "{}"


@pytest.mark.parametrize("check", [False, True])
def test_refused(run, check) -> None:
    """The containers are listed; the file is left as it is."""
    answer = run(action="restart", running=("web", "db"), live_restore=False, check=check)
    assert answer["failed"] is True
    assert "2 running containers: db (image), web (image)" in answer["msg"]
    assert run.path.read_text() == "{}"


def test_postponed(run) -> None:
    """A change that is harmless until the next start only says so."""
    answer = run(action="restart", running=("web",), live_restore=False, refusal="postpone")
    assert answer["changed"] is False
    assert "web (image)" in answer["postponed"]


# the module looks at the machine itself; with systemd, scenario docker_engine shows the restart
@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="this machine has systemd")
@pytest.mark.parametrize("running", [(), ("web",)], ids=["free", "busy"])
def test_restart_without_systemd(running, run) -> None:
    """Nobody here knows how: refused before the first step, and said so."""
    answer = run(action="restart", running=running)
    assert answer["failed"] is True
    assert "Docker was not touched and goes on as before" in answer["msg"]
    assert "mend it by hand" not in answer["msg"]
    assert run.path.read_text(encoding="utf-8") == "{}"


def test_containers_that_cannot_be_seen(run_module, tools, bare_path, tmp_path) -> None:
    """Containers that run and cannot be looked at are not taken for none."""
    folder = tools(
        "docker", "case \"$1\" in info) echo '%s' ;; ps) echo web ;; *) echo no >&2; exit 1 ;; esac" % json.dumps(INFO)
    )
    answer = run_module(
        "docker_engine_apply", search="%s:%s" % (folder, bare_path), path=str(tmp_path / "d.json"), action="restart"
    )
    assert answer["failed"] is True
    assert "cannot show running containers: no" in answer["msg"]
    assert "Nothing was done" in answer["msg"]


def test_broken_file(run) -> None:
    """The engine is left alone."""
    run.path.write_text("[", encoding="utf-8")
    answer = run(action="restart")
    assert answer["failed"] is True
    assert "line 1, column 2" in answer["msg"]
    assert "Nothing was done" in answer["msg"]
