# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker Compose says of a release that is being staged, returned without a value of .env."""

from __future__ import annotations

import os

import pytest
from release_texts import COMPOSE, ENV, SECRET


@pytest.fixture
def run(run_release):
    """Short for the module release."""
    return run_release


@pytest.mark.parametrize(
    ("environ", "clashes"),
    [
        pytest.param({"KEY": "other"}, True, id="other-value"),
        pytest.param({"KEY": ""}, True, id="empty-value"),
        pytest.param({"KEY": "a\nb"}, True, id="value-no-env-line-can-carry"),
        pytest.param({"KEY": SECRET}, False, id="same-value"),
        pytest.param({"UNRELATED": "x"}, False, id="other-name"),
    ],
)
def test_ambient_environment(environ, clashes, run, service) -> None:
    """Compose prefers the caller's environment to .env: a clash is refused by name, staged already or not."""
    answer = run("staged", environ=environ)
    assert bool(answer["problem"]) is clashes
    if clashes:
        assert "sets KEY," in answer["problem"]
        name = run("staged")["release"]["name"]
        again = run("staged", environ=environ)
        assert (again["release"]["name"], bool(again["problem"])) == (name, True)


@pytest.mark.parametrize(
    "complaint",
    [
        pytest.param('cat "$ENV_FILE" >&2; exit 15', id="shows-the-file"),
        pytest.param('echo "bad value PLANTED-it\'s-\\$ecret here" >&2; exit 1', id="shows-the-value"),
        pytest.param('echo "bad value PLANTED-it\'s-\\$ecret here"; exit 1', id="shows-it-on-stdout"),
    ],
)
def test_compose_refuses(complaint, run, service) -> None:
    """The complaint is returned without any value of .env, and no release is left."""
    script = 'while [ $# -gt 0 ]; do [ "$1" = --env-file ] && ENV_FILE=$2; shift; done\n' + complaint
    answer = run("staged", docker=script)
    assert (answer["changed"], answer["release"]["name"]) == (False, "")
    assert answer["problem"].startswith("docker compose config refuses the release: ")
    assert "***" in answer["problem"]
    assert os.listdir(service / "releases") == []


def test_masking_is_not_fooled_by_a_shorter_value(run) -> None:
    """A value that is part of a secret must not tear the secret apart before it is masked."""
    env = "SHORT='PLAN'\nKEY='PLANTEDmore'\nB='more'\n"
    answer = run("staged", env=env, docker="echo 'bad PLANTEDmore' >&2; exit 1")
    assert answer["problem"].endswith("bad ***")


def test_undefined_reference_is_refused(run) -> None:
    """A ${NAME} without a line in .env would start the service with an empty value."""
    warning = 'echo \'level=warning msg="The \\"X\\" variable is not set. Defaulting to a blank string."\' >&2; exit 0'
    answer = run("staged", docker=warning)
    assert "variable is not set" in answer["problem"]
    assert answer["changed"] is False


def test_without_docker(run_module, service, bare_path) -> None:
    """Said as a problem, not as a crash."""
    answer = run_module("release", path=str(service), state="staged", compose=COMPOSE, env=ENV, search=bare_path)
    assert "docker is not installed" in answer["problem"]
    assert "PLANTED" not in answer["_output"]


def test_compose_sees_no_ambient_variables(run, tmp_path) -> None:
    """The validation runs with a clean environment."""
    log = tmp_path / "environment"
    run("staged", docker="env >%s" % log, environ={"COMPOSE_PROFILES": "x"})
    assert "COMPOSE_PROFILES" not in log.read_text()


def test_real_compose(run_module, service, compose) -> None:
    """The real Docker Compose accepts a good release and refuses a broken one, without showing the secret."""
    answer = run_module("release", path=str(service), state="staged", compose=COMPOSE, env=ENV)
    assert (answer["changed"], answer["problem"]) == (True, "")
    for broken in (COMPOSE.replace("image", "imagee"), COMPOSE.replace("${KEY}", "${OTHER}"), COMPOSE + "    - x\n"):
        answer = run_module("release", path=str(service), state="staged", compose=broken, env=ENV)
        assert answer["problem"]
        assert "PLANTED" not in answer["_output"]
    assert len(os.listdir(service / "releases")) == 1


def test_real_compose_shows_no_secret_in_a_port(run_module, service, compose) -> None:
    """Compose quotes a value that it cannot use as a port."""
    text = COMPOSE + '    ports: ["${KEY}:80"]\n'
    answer = run_module("release", path=str(service), state="staged", compose=text, env="KEY='PLANTED-key'\n")
    assert answer["problem"]
    assert "PLANTED" not in answer["_output"]
