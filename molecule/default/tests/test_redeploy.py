# SPDX-License-Identifier: GPL-3.0-or-later
"""A second deployment with one changed value, after everything in test_default.py: what it restarts, what it shows."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

#: A start of vLLM with two workers goes before them.
pytestmark = pytest.mark.full

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
NAME = "myia-vllm-medium-qwen3"
#: one tunable with another value than host_vars gives it
CHANGED = "vllm_max_model_len=3072"


def git(*arguments: str) -> str:
    """Return what git prints in the checkout (`git grep` exits with 1 when it finds nothing)."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def changed_run(host, play, tmp_path_factory):
    """Deploy one changed tunable, as loudly as Ansible can; return the run, its fact cache and both container ids."""
    ids = "docker inspect -f '{{.Id}}' %s" % NAME
    cache, before = tmp_path_factory.mktemp("facts"), host.check_output(ids)
    run = play(
        "-vvv", "--diff", "-e", CHANGED,
        env={"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache)},
    )  # fmt: skip
    assert run.status == 0, run.output
    return run, cache, before, host.check_output(ids)


def test_one_changed_tunable_recreates_the_container_once(host, play, changed_run) -> None:
    """A changed value recreates the container, and the next run with it changes nothing."""
    _run, _cache, before, after = changed_run
    assert after != before
    assert play("-e", CHANGED).recap["changed"] == 0
    assert host.check_output("docker inspect -f '{{.Id}}' %s" % NAME) == after


def test_no_secret_in_what_the_run_leaves(changed_run) -> None:
    """The planted secrets: neither in what a run with changes prints at -vvv --diff, nor in cached facts."""
    run, cache, _before, _after = changed_run
    assert run.recap["changed"] > 0
    assert "PLANTED" not in run.output
    for path in cache.glob("*"):
        assert "PLANTED" not in path.read_text(encoding="utf-8"), path


def test_no_secret_for_other_users_of_the_host(host, changed_run) -> None:
    """Nothing that a non-root user can read holds them, process lists included."""
    env_file = "/opt/vllm/medium/current/.env"
    assert "PLANTED" in host.file(env_file).content_string  # so the searches below could find it
    host.check_output("id tester >/dev/null 2>&1 || useradd --create-home tester")
    as_tester = "runuser -u tester -- sh -c"
    assert host.run("%s 'cat %s'" % (as_tester, env_file)).rc != 0
    search = "grep -rIlE PLANTE[D] / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev 2>/dev/null; true"
    assert host.check_output("%s '%s'" % (as_tester, search)) == ""
    lists = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\\\0' '\\\\n' | grep -c PLANTE[D]; true"
    assert host.check_output('%s "%s"' % (as_tester, lists)) == "0"


def test_no_secret_where_it_has_no_business(host, changed_run) -> None:
    """Not in process arguments, container log, Compose file or release.json, even for root; git sees no .env."""
    assert host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c PLANTE[D]; true") == "0"
    assert host.check_output("docker logs %s 2>&1 | grep -c PLANTE[D]; true" % NAME) == "0"
    for name in ("compose.yml", "release.json"):
        assert "PLANTED" not in host.file("/opt/vllm/medium/current/%s" % name).content_string
    assert not [line for line in git("status", "--porcelain").splitlines() if line.endswith(".env")]
    tracked = git("grep", "-lI", "PLANTED").split()
    assert [path for path in tracked if not path.startswith(("molecule/", "tests/"))] == []
