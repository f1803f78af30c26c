# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of modules share: the module release, run with a stand-in for Docker."""

from __future__ import annotations

import pathlib

import pytest
from release_texts import ACCEPTS, COMPOSE, ENV


@pytest.fixture
def service(tmp_path) -> pathlib.Path:
    """Folder of the service; it does not exist yet."""
    return tmp_path / "vllm" / "medium"


@pytest.fixture
def run_release(run_module, service, tools, bare_path):
    """Run the module with a docker that answers ``docker``; every answer is searched for the secret."""

    def call(state: str, docker: str = ACCEPTS, **more):
        folder = tools("docker", docker)
        args = {"compose": COMPOSE, "env": ENV, "description": {"model": "m"}} if state == "staged" else {}
        args.update(path=str(service), state=state, search="%s:%s" % (folder, bare_path), **more)
        answer = run_module("release", **{key: value for key, value in args.items() if value is not None})
        assert "PLANTED" not in answer["_output"]
        assert "ecret'" not in answer["_output"]
        return answer

    return call
