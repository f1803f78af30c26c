# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nvidia_container_toolkit by dnf and zypper. What is real here and what is not: see molecule.yml.

Each test runs the play once, on both hosts at a time, and looks at both.
"""

from __future__ import annotations

import json

import pytest

PACKAGES = (
    "libnvidia-container-tools",
    "libnvidia-container1",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
)
OLD = ("nvidia-container-runtime", "nvidia-docker2")
KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia-container-toolkit"
FOLDERS = {"toolkit-el9": "/etc/yum.repos.d", "toolkit-leap15": "/etc/zypp/repos.d"}
MIRROR = "/srv/standin-repo/stable/rpm/$(uname -m)"
RELEASE = "standin-release 1-1"
DAEMON_JSON = "/etc/docker/daemon.json"
#: Folders whose changes count; what a mere look writes (caches, logs, locks) lies elsewhere.
WATCHED = "/etc /opt /srv /usr /root /var/lib/docker/containers"


def rpms(host, *names: str) -> list[str]:
    """What the RPM database holds, sorted; trusted keys are in it too."""
    query = "--query %s" % " ".join(names) if names else "--query --all"
    return sorted(host.run("rpm %s --queryformat '%%{NAME} %%{VERSION}-%%{RELEASE}\\n'" % query).stdout.splitlines())


def four(version: str) -> list[str]:
    """The four packages at one version, as rpms() lists them."""
    return sorted("%s %s-1" % (name, version) for name in PACKAGES)


def repository(name: str) -> str:
    """Path of the file that describes the repository."""
    return FOLDERS[name] + "/nvidia-container-toolkit.repo"


def clear(host, name: str) -> None:
    """Take away everything the role has installed."""
    erase = "rpm --erase --allmatches --nodeps"
    host.check_output("rpm --query --all | grep --invert-match standin-release | xargs --no-run-if-empty %s" % erase)
    host.check_output("rm -f %s %s/*.repo" % (KEY, FOLDERS[name]))
    assert rpms(host) == [RELEASE]


@pytest.fixture
def bare(hosts) -> None:
    """Hosts on which the role has never run."""
    for name, host in hosts.items():
        clear(host, name)


@pytest.fixture
def old(hosts) -> None:
    """Hosts with an old toolkit: its packages, the repositories of that time, and a daemon.json that was edited."""
    for name, host in hosts.items():
        clear(host, name)
        host.check_output("rm -f %s*" % DAEMON_JSON)
        host.check_output("rpm --install %s/{*-1.18.2-1.*,nvidia-docker2-*,nvidia-container-runtime-*}.rpm" % MIRROR)
        config = {**json.loads(host.file(DAEMON_JSON).content_string), "log-opts": {"max-size": "10m"}}
        host.check_output("printf '%%s' '%s' > %s; chmod 0600 %s" % (json.dumps(config), DAEMON_JSON, DAEMON_JSON))
        for stale in ("nvidia-docker", "libnvidia-container", "nvidia-container-runtime"):
            host.check_output(
                "printf '[%s]\\nname=%s\\nbaseurl=http://127.0.0.1:8999/gone\\nenabled=1\\n' > %s/%s.repo"
                % (stale, stale, FOLDERS[name], stale)
            )


@pytest.fixture
def offline(hosts):
    """Hosts that reach no repository."""
    for host in hosts.values():
        host.check_output("systemctl stop standin-apt-repo")
    yield
    for host in hosts.values():
        host.check_output("systemctl start standin-apt-repo")


@pytest.fixture
def unchanged(hosts):
    """Return a function that asserts that no file and no package of either host has changed since."""
    before = {name: rpms(host) for name, host in hosts.items()}
    for host in hosts.values():
        host.check_output("touch /tmp/myia-mark; sleep 1.1")

    def check() -> None:
        for name, host in hosts.items():
            find = "find %s -newer /tmp/myia-mark ! -path '*/.ansible*' ! -path /root" % WATCHED
            found = host.run(find).stdout.split()
            assert found == [], name
            assert rpms(host) == before[name]
            assert host.run("ls -d /tmp/myia-vllm-*").stdout == "", "a trial was left behind"

    return check


def test_four_packages_at_one_version(hosts) -> None:
    """What converge has installed: the four packages, and their programs run."""
    for host in hosts.values():
        assert rpms(host, *PACKAGES) == four("1.20.1")
        assert "1.20.1" in host.check_output("nvidia-ctk --version")


def test_key_and_repository(hosts) -> None:
    """The key is there and readable; metadata must be signed with it, packages need not be, as NVIDIA has it."""
    for name, host in hosts.items():
        assert host.file(KEY).mode == 0o644
        assert host.file(KEY).content == host.file("/srv/standin-repo/gpgkey").content
        assert host.file(repository(name)).mode == 0o644
        lines = host.file(repository(name)).content_string.splitlines()
        assert "baseurl=http://127.0.0.1:8999/stable/rpm/$basearch" in lines
        assert {"repo_gpgcheck=1", "gpgcheck=0", "gpgkey=file://%s" % KEY} <= set(lines)


def test_package_managers_take_the_repository(hosts) -> None:
    """An administrator's own dnf or zypper works with it afterwards, and asks nothing."""
    by_dnf = "dnf --assumeno repoquery --available nvidia-container-toolkit </dev/null"
    assert "nvidia-container-toolkit-0:1.20.1-1" in hosts["toolkit-el9"].check_output(by_dnf)
    by_zypper = "zypper --non-interactive refresh --force && zypper --non-interactive search --details nvidia"
    assert "1.20.1-1" in hosts["toolkit-leap15"].check_output(by_zypper)


def test_docker_info_shows_the_runtime(hosts) -> None:
    """The rest of the role works on these systems too."""
    for host in hosts.values():
        assert "nvidia" in json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))


def test_another_run_needs_no_network(play, offline) -> None:
    """A host that has everything fetches neither key nor metadata."""
    run = play()
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0


@pytest.mark.full
def test_downgrade(hosts, play, unchanged) -> None:
    """An older version is predicted under --check, then installed, all four at a time."""
    predicted = play("--check", "-e", "nvidia_container_toolkit_version=1.19.1")
    assert predicted.status == 0, predicted.output
    assert predicted.flat.count("nvidia-container-toolkit-base, nvidia-container-toolkit 1.19.1-1") == 2
    assert predicted.recap["changed"] == 2
    unchanged()
    run = play("-e", "nvidia_container_toolkit_version=1.19.1")
    assert run.status == 0, run.output
    for host in hosts.values():
        assert rpms(host, *PACKAGES) == four("1.19.1")


#: extra variables (with {} for the fingerprint of the other key), what the message must contain
REFUSED = {
    "another key": (
        {"nvidia_container_toolkit_key": "http://127.0.0.1:8999/wrong.gpgkey"},
        ["has the fingerprint", "nvidia_container_toolkit_key_fingerprint", "Nothing was installed"],
    ),
    "metadata of another key": (
        {
            "nvidia_container_toolkit_key": "http://127.0.0.1:8999/wrong.gpgkey",
            "nvidia_container_toolkit_key_fingerprint": "{}",
        },
        ["stable/rpm/$basearch cannot be used", "ignature", "nvidia_container_toolkit_key", "Nothing was changed"],
    ),
    "metadata without signature": (
        {"nvidia_container_toolkit_repository_url": "http://127.0.0.1:8999/unsigned"},
        ["unsigned/stable/rpm/$basearch cannot be used", "repomd.xml", "Nothing was changed"],
    ),
    "no repository there, found by --check": (
        {"nvidia_container_toolkit_repository_url": "http://127.0.0.1:8999/nowhere"},
        ["nowhere/stable/rpm/$basearch cannot be used", "toolkit_repository_url", "Nothing was changed"],
    ),
    "one of the four is missing": (
        {"nvidia_container_toolkit_version": "1.20.0"},
        ["lacks libnvidia-container1 1.20.0-1; all four packages", "Nothing was changed"],
    ),
    "package files without one of the four": (
        {"nvidia_container_toolkit_package_files": ["/srv/package-files/%s.rpm" % name for name in PACKAGES[1:]]},
        ["no file of libnvidia-container-tools", "nvidia_container_toolkit_package_files", "nothing was changed"],
    ),
}


@pytest.fixture(scope="module")
def package_files(hosts) -> list[str]:
    """The four packages as files on the hosts."""
    for host in hosts.values():
        for name in PACKAGES:
            source = "%s/%s-1.20.1-1.*.rpm" % (MIRROR, name)
            host.check_output("install -D -m 0644 %s /srv/package-files/%s.rpm" % (source, name))
    return ["/srv/package-files/%s.rpm" % name for name in PACKAGES]


@pytest.mark.full
@pytest.mark.parametrize("case", REFUSED)
def test_refused(hosts, play, bare, package_files, unchanged, case: str) -> None:
    """What cannot be trusted or is not whole is named, and both hosts stay as they were: nothing half done."""
    variables, expected = REFUSED[case]
    fingerprint = next(iter(hosts.values())).file("/srv/standin-repo/wrong.fingerprint").content_string.strip()
    given = {key: fingerprint if value == "{}" else value for key, value in variables.items()}
    run = play("-e", json.dumps(given), *(["--check"] if "--check" in case else []))
    assert run.recap["failed"] == 2, run.output
    assert run.recap["changed"] == 0
    for text in expected:
        assert run.flat.count(text) >= 2, "%r is not in:\n%s" % (text, run.output)
    unchanged()


@pytest.mark.full
def test_package_files(hosts, play, bare, package_files, offline) -> None:
    """Without any network: the files are installed, and neither a repository nor a key is added."""
    files = json.dumps({"nvidia_container_toolkit_package_files": package_files})
    run = play("-e", files)
    assert run.status == 0, run.output
    for name, host in hosts.items():
        assert rpms(host) == [*four("1.20.1"), RELEASE]
        assert not host.file(KEY).exists
        assert not host.file(repository(name)).exists
    again = play("-e", files)
    assert again.status == 0, again.output
    assert again.recap["changed"] == 0


@pytest.mark.full
def test_old_toolkit(hosts, play, old) -> None:
    """Packages and repositories of older toolkits go; daemon.json, which nvidia-docker2 owned, stays with its keys."""
    before = {name: json.loads(host.file(DAEMON_JSON).content_string) for name, host in hosts.items()}
    predicted = play("--check")
    assert predicted.status == 0, predicted.output
    assert predicted.flat.count("nvidia-docker2, nvidia-container-runtime") == 2
    for host in hosts.values():
        assert len(rpms(host, *OLD)) == 2
        assert rpms(host, *PACKAGES) == four("1.18.2")
    run = play()
    assert run.status == 0, run.output
    for name, host in hosts.items():
        # nothing but the four and, where zypper needs it, the key
        assert [entry for entry in rpms(host) if not entry.startswith("gpg-pubkey ")] == [*four("1.20.1"), RELEASE]
        assert host.check_output("ls %s/*.repo" % FOLDERS[name]) == repository(name)
        after = json.loads(host.file(DAEMON_JSON).content_string)
        assert after.pop("log-opts") == before[name]["log-opts"]
        assert set(after["runtimes"]) == {"nvidia"}
        assert host.file(DAEMON_JSON).mode == 0o600
        for leftover in ("before-removal", "rpmsave"):
            assert not host.file("%s.%s" % (DAEMON_JSON, leftover)).exists
    again = play()
    assert again.status == 0, again.output
    assert again.recap["changed"] == 0
