# SPDX-License-Identifier: GPL-3.0-or-later
"""The installing part of the role docker_engine by dnf and zypper, on hosts that are told to have no engine.

The packages are empty STAND-INS under the names of Docker's, since the engine of these hosts is Debian's and stays.
"""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml

WANTED = {
    "toolkit-el9": ["containerd.io", "docker-ce", "docker-ce-cli", "docker-compose-plugin"],
    "toolkit-leap15": ["docker", "docker-compose"],
}
NO_ENGINE = {
    "engine_sufficient": False,
    "compose_sufficient": False,
    "installed": False,
    "version": "",
    "compose_version": "",
    "error": "there is none",
}
REPOSITORY = "http://127.0.0.1:8999/docker"
EL_FILES = ("/etc/yum.repos.d/docker-ce-stable.repo", "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker")


@pytest.fixture
def distribution(hosts):
    """The host with zypper has a repository of the distribution; afterwards nothing is left of a test."""
    hosts["toolkit-leap15"].check_output("zypper addrepo --no-gpgcheck %s/suse distribution" % REPOSITORY)
    yield
    hosts["toolkit-leap15"].check_output("zypper removerepo distribution")
    hosts["toolkit-el9"].check_output("rm -f %s" % " ".join(EL_FILES))
    for name, host in hosts.items():
        host.run("rpm --erase %s" % " ".join(WANTED[name]))


@pytest.fixture
def install(play, tmp_path: pathlib.Path, hosts, distribution):
    """Return a function that runs the role's installation with some variables, as on a host without an engine."""
    fingerprint = hosts["toolkit-el9"].file("/srv/standin-repo/fingerprint").content_string.strip()
    tasks = [
        {"name": "Have no engine", "ansible.builtin.set_fact": {"docker_engine_result": {"engine": NO_ENGINE}}},
        {
            "name": "Install",
            "ansible.builtin.include_role": {"name": "myia.vllm.docker_engine", "tasks_from": "install"},
        },
    ]
    path = tmp_path / "install.yml"
    path.write_text(yaml.safe_dump([{"name": "Install", "hosts": "all", "gather_facts": False, "tasks": tasks}]))

    def run(*arguments: str, **variables: str):
        given = {
            "docker_engine_repository_url": REPOSITORY,
            "docker_engine_repository_key": "http://127.0.0.1:8999/gpgkey",
            "docker_engine_repository_key_fingerprint": fingerprint,
            **variables,
        }
        return play(*arguments, "-e", json.dumps(given), playbook=str(path))

    return run


def installed(host, name: str) -> list[str]:
    """Those of the wanted packages that the RPM database has."""
    out = host.run("rpm --query %s --queryformat '%%{NAME}\\n'" % " ".join(WANTED[name])).stdout
    return sorted(set(out.splitlines()) & set(WANTED[name]))


def test_packages(hosts, install) -> None:
    """EL takes Docker's packages from Docker's repository, SUSE its own from its own; --check says so before."""
    predicted = install("--check")
    assert predicted.status == 0, predicted.output
    assert "docker-ce, docker-ce-cli, containerd.io, docker-compose-plugin" in predicted.flat
    assert "msg: docker, docker-compose" in predicted.flat
    assert [installed(host, name) for name, host in hosts.items()] == [[], []]
    run = install()
    assert run.status == 0, run.output
    for name, host in hosts.items():
        assert installed(host, name) == WANTED[name]
    assert "gpgcheck = 1" in hosts["toolkit-el9"].file(EL_FILES[0]).content_string
    again = install()
    assert again.recap["changed"] == 0, again.output


@pytest.mark.full
def test_packages_that_are_not_signed(hosts, install) -> None:
    """Docker signs its packages: one without a signature is not installed."""
    run = install("--limit", "toolkit-el9", docker_engine_repository_url=REPOSITORY + "/unsigned")
    assert run.recap["failed"] == 1, run.output
    assert "Failed to validate GPG signature" in run.flat or "is not signed" in run.flat
    assert installed(hosts["toolkit-el9"], "toolkit-el9") == []


@pytest.mark.full
def test_another_key(hosts, install) -> None:
    """A key with another fingerprint stops before the repository is added."""
    run = install("--limit", "toolkit-el9", docker_engine_repository_key="http://127.0.0.1:8999/wrong.gpgkey")
    assert run.recap["failed"] == 1, run.output
    assert "docker_engine_repository_key_fingerprint" in run.flat
    assert not any(hosts["toolkit-el9"].file(path).exists for path in EL_FILES)
