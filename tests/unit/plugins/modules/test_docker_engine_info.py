# SPDX-License-Identifier: GPL-3.0-or-later
"""The module docker_engine_info, run as a program with a stand-in docker."""

from __future__ import annotations

import json
import os

import pytest

INFO = {"ServerVersion": "20.10.24+dfsg1", "OperatingSystem": "Debian", "Runtimes": {"runc": {}}, "SecurityOptions": []}


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module with a docker of a version."""

    def call(version: str = "20.10.24+dfsg1", compose: str = "2.26.1-4", **more):
        info = json.dumps({**INFO, "ServerVersion": version})
        plugin = "echo '%s'" % compose if compose else "echo 'not a docker command' >&2; exit 1"
        folder = tools("docker", "if [ \"$1\" = compose ]; then %s; else cat <<'END'\n%s\nEND\nfi" % (plugin, info))
        return run_module("docker_engine_info", search="%s:%s" % (folder, bare_path), **more)

    return call


@pytest.mark.parametrize(
    ("version", "compose", "engine_ok", "compose_ok"),
    [
        pytest.param("20.10.24+dfsg1", "2.26.1-4", True, True, id="debian-12"),
        pytest.param("19.03.15", "2.22.0", False, True, id="old-engine"),
        pytest.param("26.1.5", "2.21.0", True, False, id="old-compose"),
        pytest.param("26.1.5", "", True, False, id="no-compose"),
        pytest.param("", "2.26.1", False, True, id="dead-engine"),
    ],
)
def test_sufficient(version, compose, engine_ok, compose_ok, run) -> None:
    """Both are judged against the oldest versions that are good enough."""
    engine = run(version, compose)["engine"]
    assert (engine["engine_sufficient"], engine["compose_sufficient"]) == (engine_ok, compose_ok)
    assert engine["wsl"] is ("microsoft" in os.uname().release.lower())


def test_other_minimum(run) -> None:
    """The minimum versions are options."""
    engine = run(min_version="23.0", compose_min_version="2.30")["engine"]
    assert (engine["engine_sufficient"], engine["compose_sufficient"]) == (False, False)


def test_without_docker(run_module, bare_path) -> None:
    """A host without Docker is an answer, no failure."""
    answer = run_module("docker_engine_info", search=bare_path)
    assert "failed" not in answer
    engine = answer["engine"]
    assert (engine["installed"], engine["engine_sufficient"], engine["compose_sufficient"]) == (False, False, False)


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    assert set(run()["engine"]) == set(documentation("docker_engine_info", "RETURN")["engine"]["contains"])
