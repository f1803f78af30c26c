# SPDX-License-Identifier: GPL-3.0-or-later
"""The module prefetch_step, run as a program with a stand-in docker."""

from __future__ import annotations

import json
import os
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock

TOKEN = "hf_PLANTEDtoken0123456789"


@pytest.fixture
def run(run_module, tools, tmp_path):
    """Run the module with a docker that is this shell script; its arguments are kept in a file."""

    def call(script: str, **more) -> dict:
        folder = tools("docker", 'printf "%%s " "$@" >> %s/asked\n%s' % (tmp_path, script))
        search = "%s:%s" % (folder, os.environ["PATH"])
        return run_module(
            "prefetch_step",
            search=search,
            **{"image": "own/image:1", "project": "vllm-medium", "run_dir": str(tmp_path / "run"), **more},
        )

    return call


@pytest.fixture
def asked(tmp_path):
    """Everything that docker was asked so far."""
    return lambda: (tmp_path / "asked").read_text(encoding="utf-8") if (tmp_path / "asked").exists() else ""


PULLS = 'case "$1" in image) test -e "$0.pulled" || exit 1; echo sha256:new;; pull) touch "$0.pulled";; esac'


def test_pull_over_several_calls(run, documentation) -> None:
    """Begun by one call, seen by the next ones, cleaned up by the last; each answers what is documented."""
    assert run(PULLS, step="image")["state"] == "absent"
    answer = run(PULLS, step="image", do="start")
    assert (answer["state"], answer["changed"]) == ("running", False)
    end = time.monotonic() + 10
    while (answer := run(PULLS, step="image"))["state"] == "running":
        assert time.monotonic() < end
    assert (answer["state"], answer["exit_code"], answer["problem"]) == ("done", 0, "")
    assert answer["facts"] == {"image": "own/image:1", "id": "sha256:new", "changed": True, "bytes": 0}
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("prefetch_step", "RETURN"))
    assert run(PULLS, step="image", do="clean")["state"] == "absent"
    assert run(PULLS, step="image", do="start")["state"] == "complete"


@pytest.mark.parametrize("do", ["start", "clean"])
def test_check_mode(do, run, asked) -> None:
    """Looks only."""
    assert run(PULLS, step="image", do=do, check=True)["state"] == "absent"
    assert "pull" not in asked()


def test_lock(run, asked, tmp_path) -> None:
    """Each call is a sign of life; with somebody else's lock nothing is touched."""
    lock = service_lock.Lock(str(tmp_path))
    lock.take("mine", {"who": "me"}, [])
    os.utime(lock.path, (1, 1))
    given = {"folder": str(tmp_path), "token": "mine"}
    assert run(PULLS, step="image", lock=given)["state"] == "absent"
    assert os.stat(lock.path).st_mtime > 1
    before = asked()
    lock.release("mine")
    lock.take("other", {"who": "somebody"}, [])
    answer = run(PULLS, step="image", do="start", lock=given)
    assert answer["state"] == "lost"
    assert "was taken over by somebody" in answer["problem"]
    assert asked() == before


def test_weights(run, asked, tmp_path) -> None:
    """The text that is handed to the container is the download itself; the token stands nowhere."""
    (tmp_path / ".env").write_text("HUGGING_FACE_HUB_TOKEN='%s'\n" % TOKEN, encoding="utf-8")
    script = 'case "$1 $2" in "container inspect") echo "Error: No such container: c" >&2; exit 1;; esac\n'
    script += 'case "$*" in *"--detach"*) echo "refused: %s" >&2; exit 1;; esac' % TOKEN
    answer = run(
        script,
        step="weights",
        do="start",
        release=str(tmp_path),
        service="s",
        container="c",
        models=[{"id": "own/model", "revision": "", "load_format": "auto"}],
        hf_cache="volume",
    )
    assert (answer["state"], answer["log"]) == ("failed", ["refused: ***"])
    assert "def prefetch(" in asked()
    assert json.dumps("own/model") in asked()
    assert TOKEN not in answer["_output"] + asked()
