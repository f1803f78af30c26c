# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nvidia_container_toolkit on Debian 12 and 13. The packages, the runtime and the GPUs are STAND-INS."""

from __future__ import annotations

import json

import pytest

PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
SOURCE = "/etc/apt/sources.list.d/nvidia-container-toolkit.sources"
KEY = "/etc/apt/keyrings/nvidia-container-toolkit.asc"
CONFIG = "/etc/nvidia-container-runtime/config.toml"
REPOSITORY = "http://127.0.0.1:8999"


@pytest.fixture(scope="class")
def without_toolkit(host):
    """Take packages, source and key away for the time of one class of tests."""
    host.check_output("mkdir -p /tmp/saved; cp %s /tmp/saved/source; cp %s /tmp/saved/key" % (SOURCE, KEY))
    host.check_output("apt-get purge --yes --quiet %s 2>&1; rm -f %s %s" % (" ".join(PACKAGES), SOURCE, KEY))
    yield
    host.check_output(
        "cd /srv/standin-repo/stable/deb/*/ && "
        "apt-get install --yes --quiet --allow-downgrades ./*_1.20.1-1_*.deb 2>&1; "
        "cp /tmp/saved/source %s; cp /tmp/saved/key %s" % (SOURCE, KEY)
    )
    assert versions(host) == {"1.20.1-1"}


def versions(host) -> set[str]:
    """The versions of the four packages ("" for one that is missing)."""
    form = "${db:Status-Status}=${Version}\\n"
    lines = host.run("dpkg-query --show --showformat '%s' %s" % (form, " ".join(PACKAGES))).stdout.split()
    found = [line.partition("=")[2] for line in lines if line.startswith("installed=")]
    return {*found, *([""] if len(found) < len(PACKAGES) else [])}


def info(host) -> dict:
    """What the engine says of itself."""
    return json.loads(host.check_output("docker info --format '{{json .}}'"))


def listed(host, options: str) -> list[str]:
    """The GPUs that a container lists, by their UUIDs."""
    image = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}' myia-vllm-gpu-test").split()[0]
    out = host.check_output("docker run --rm %s --entrypoint /bin/sh %s -c 'nvidia-smi -L'" % (options, image))
    return [line.rpartition("UUID: ")[2].rstrip(")") for line in out.splitlines()]


def compose_lists(host) -> list[str]:
    """The GPUs that a container lists which Compose gives the second one, by their UUIDs."""
    image = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}' myia-vllm-gpu-test").split()[0]
    devices = [{"driver": "nvidia", "device_ids": ["1"], "capabilities": ["gpu"]}]
    service = {
        "image": image,
        "entrypoint": ["/bin/sh", "-c", "nvidia-smi -L"],
        "deploy": {"resources": {"reservations": {"devices": devices}}},
    }
    host.check_output("printf '%%s' '%s' > /tmp/compose.yml" % json.dumps({"services": {"list": service}}))
    out = host.check_output("docker compose --project-name proof --file /tmp/compose.yml run --rm list")
    host.run("docker compose --project-name proof --file /tmp/compose.yml down")
    return [line.rpartition("UUID: ")[2].rstrip(")") for line in out.splitlines() if "UUID: " in line]


class TestInstallation:
    """Packages, key and source."""

    def test_four_packages_at_one_version(self, host) -> None:
        """All four are there, at the pinned version."""
        assert versions(host) == {"1.20.1-1"}

    def test_key_is_readable_by_apt(self, host) -> None:
        """The key has the mode that apt's unprivileged user needs, and so has the source."""
        assert host.file(KEY).mode == 0o644
        assert host.file(SOURCE).mode == 0o644

    @pytest.mark.full
    def test_each_choice_of_version_and_source(self, host, run_role) -> None:
        """A mirror, an older version, files, the experimental channel: each is taken over, and the defaults again."""

        def became(source: str, version: str, **variables: object) -> None:
            run = run_role(**variables)
            assert run.status == 0, run.output
            assert versions(host) == {version}
            assert source in host.file(SOURCE).content_string

        files = host.check_output("ls /srv/standin-repo/stable/deb/*/*_1.19.1-1_*.deb").split()
        try:
            # a source that is set later, though no package changes
            mirror = "http://localhost:8999"
            became(mirror + "/stable/deb/", "1.20.1-1", nvidia_container_toolkit_repository_url=mirror)
            # down, all four, and back to the usual source
            became(
                REPOSITORY + "/stable/deb/",
                "1.18.2-1",
                nvidia_container_toolkit_version="1.18.2",
                nvidia_container_toolkit_allow_vulnerable=True,
            )
            # files replace all four, though each needs the others at exactly its own version
            became(REPOSITORY + "/stable/deb/", "1.19.1-1", nvidia_container_toolkit_package_files=files)
            # the experimental part of the repository, up
            became(
                REPOSITORY + "/experimental/deb/",
                "1.21.0-1",
                nvidia_container_toolkit_repository_channel="experimental",
                nvidia_container_toolkit_version="1.21.0",
            )
        finally:
            # the pinned version again
            became(REPOSITORY + "/stable/deb/", "1.20.1-1")

    @pytest.mark.full
    def test_old_sources_and_packages_go(self, host, run_role) -> None:
        """Lists that would break every apt update, and nvidia-docker2, are cleared away."""
        legacy = "/etc/apt/sources.list.d/nvidia-docker.list"
        host.check_output("echo 'deb %s/stable/deb/amd64 /' > %s" % (REPOSITORY, legacy))
        host.check_output(
            "mkdir -p /tmp/old/DEBIAN && printf 'Package: nvidia-docker2\\nVersion: 2.13\\nArchitecture: all\\n"
            "Maintainer: stand-in <stand-in@localhost>\\nDescription: STAND-IN\\n' > /tmp/old/DEBIAN/control && "
            "dpkg-deb --build /tmp/old /tmp/old.deb && dpkg --install /tmp/old.deb"
        )
        assert host.run("apt-get update 2>&1 | grep -i -e signed-by -e 'multiple times'").rc == 0, (
            "the list does no harm"
        )
        run = run_role()
        assert run.status == 0, run.output
        assert not host.file(legacy).exists
        assert not host.package("nvidia-docker2").is_installed
        assert host.run("apt-get update 2>&1 | grep -i -e signed-by -e 'multiple times'").rc != 0


class TestHostWithoutToolkit:
    """The role on a host that has no toolkit, and still has none after each test but the last."""

    @pytest.mark.full
    @pytest.mark.parametrize(
        ("variables", "words"),
        [
            pytest.param(
                {"nvidia_container_toolkit_key": REPOSITORY + "/wrong.gpgkey"},
                "nvidia_container_toolkit_key_fingerprint",
                id="wrong-fingerprint",
            ),
            pytest.param(
                {"nvidia_container_toolkit_repository_url": REPOSITORY + "/nowhere"},
                "nvidia_container_toolkit_repository_url",
                id="404",
            ),
            pytest.param(
                {"nvidia_container_toolkit_repository_url": REPOSITORY + "/unsigned"}, "not signed", id="unsigned"
            ),
            pytest.param({"nvidia_container_toolkit_repository_url": REPOSITORY + "/expired"}, "expired", id="expired"),
            pytest.param(
                {"nvidia_container_toolkit_version": "1.20.0"}, "libnvidia-container1", id="one-of-four-missing"
            ),
        ],
    )
    def test_unusable_repository(self, host, run_role, without_toolkit, untouched, variables, words) -> None:
        """The right error, and the host is as before: no package, no source, no key."""
        run = run_role(**variables)
        assert run.status != 0
        assert words in run.flat
        assert versions(host) == {""}
        assert not host.file(SOURCE).exists
        assert not host.file(KEY).exists
        left = [path for path in untouched() if not path.startswith(("/etc/apt", "/var/lib/dpkg"))]
        assert left == []

    @pytest.mark.full
    def test_local_package_files(self, host, run_role, without_toolkit) -> None:
        """Without any repository: the four files, all at once; a second run changes nothing."""
        files = host.check_output("ls /srv/standin-repo/stable/deb/*/*_1.20.1-1_*.deb").split()
        run = run_role(nvidia_container_toolkit_package_files=files)
        assert run.status == 0, run.output
        assert versions(host) == {"1.20.1-1"}
        assert not host.file(SOURCE).exists
        assert run_role(nvidia_container_toolkit_package_files=files).recap["changed"] == 0


class TestDaemonJson:
    """What Docker is told, and what becomes of running containers."""

    def test_docker_info_shows_the_runtime(self, host) -> None:
        """The engine that runs knows the runtime, and runc is still the default."""
        assert "nvidia" in info(host)["Runtimes"]
        assert info(host)["DefaultRuntime"] == "runc"

    def test_foreign_keys_are_kept(self, run_role, daemon_json) -> None:
        """Keys of others, features among them, survive the merge, and a repeated run changes nothing."""
        mine = json.loads(daemon_json.text())["runtimes"]
        foreign = {
            "log-opts": {"max-size": "10m"},
            "features": {"buildkit": True},
            "runtimes": {"other": {"path": "/usr/bin/runc"}},
        }
        daemon_json.write(json.dumps(foreign))
        first = run_role()
        assert first.status == 0, first.output
        assert json.loads(daemon_json.text()) == {**foreign, "runtimes": {**foreign["runtimes"], **mine}}
        assert run_role().recap["changed"] == 0

    @pytest.mark.full
    def test_interrupted_before_the_reload(self, host, run_role, daemon_json) -> None:
        """A run that died after the merge is mended by the next: the engine decides, not what changed this time."""
        config = daemon_json.text()
        # a reload does not take a runtime away, only a restart does
        daemon_json.write("{}", "systemctl restart docker")
        assert "nvidia" not in info(host)["Runtimes"]
        daemon_json.write(config)
        run = run_role()
        assert run.status == 0, run.output
        assert "nvidia" in info(host)["Runtimes"]

    def test_running_container_is_not_disturbed(self, host, run_role, daemon_json, sleeper) -> None:
        """A container keeps its id and start time through other packages, merge and reload, and a whole re-run."""
        before = sleeper()
        assert before.endswith("running")
        daemon_json.write("{}")
        assert run_role(nvidia_container_toolkit_version="1.19.1").status == 0
        assert versions(host) == {"1.19.1-1"}
        assert "nvidia" in json.loads(daemon_json.text())["runtimes"]
        assert run_role().status == 0
        assert versions(host) == {"1.20.1-1"}
        assert sleeper() == before


class TestModes:
    """The three ways of a container to its GPUs, each proved by a container."""

    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            ("--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all", [0, 1]),
            ("--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=1", [1]),
            ("--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=UUID1", [1]),
        ],
    )
    def test_runtime(self, host, options, wanted, uuids) -> None:
        """By the runtime: all, by index, by UUID."""
        assert len(uuids) == 2
        assert listed(host, options.replace("UUID1", uuids[1])) == [uuids[number] for number in wanted]

    @pytest.mark.full
    def test_legacy_hook(self, host, run_role, daemon_json, sleeper, uuids) -> None:
        """vllm_gpu_access deploy: the engine is restarted once so that it finds the hook, and no container stops.

        Compose's list of devices gives the same GPUs as --gpus.
        """
        # an engine that was started before the hook came
        host.check_output(
            "mv /usr/bin/nvidia-container-runtime-hook /root/hook && systemctl restart docker && "
            "mv /root/hook /usr/bin/nvidia-container-runtime-hook && docker start sleeper"
        )
        before = sleeper()
        first = run_role(vllm_gpu_access="deploy")
        assert first.status == 0, first.output
        assert sleeper() == before
        assert info(host)["LiveRestoreEnabled"] is True
        assert listed(host, "--gpus all") == uuids
        assert listed(host, "--gpus '\"device=1\"'") == uuids[1:]
        if host.run("docker compose version").rc == 0:
            assert compose_lists(host) == uuids[1:]
        else:
            assert host.system_info.codename == "bookworm", "Debian 13 brings Compose"
        assert run_role(vllm_gpu_access="deploy").recap["changed"] == 0

    @pytest.mark.full
    def test_runtime_in_legacy_mode(self, host, run_role) -> None:
        """A runtime set to legacy injects by the hook; containers get the same GPUs."""
        host.check_output("nvidia-ctk config --set nvidia-container-runtime.mode=legacy --in-place")
        try:
            run = run_role()
            assert run.status == 0, run.output
            warned = "takes the GPUs away from running containers" in run.flat
            assert warned == (info(host)["CgroupDriver"] == "systemd")
        finally:
            host.check_output("nvidia-ctk config --set nvidia-container-runtime.mode=auto --in-place")

    def test_cdi(self, host, run_role, daemon_json, sleeper, uuids) -> None:
        """CDI: refused by name where the engine has none, else switched on with every container running on."""
        before = sleeper()
        run = run_role(vllm_gpu_access="cdi")
        if host.system_info.codename == "bookworm":
            assert run.status != 0
            assert "found Docker 20.10" in run.flat
            assert "needed Docker 25.0 or later for CDI" in run.flat
            return
        assert run.status == 0, run.output
        assert json.loads(daemon_json.text())["features"] == {"cdi": True}
        assert sleeper() == before
        assert listed(host, "--device nvidia.com/gpu=1") == uuids[1:]
        assert listed(host, "--device nvidia.com/gpu=all") == uuids
        assert run_role(vllm_gpu_access="cdi").recap["changed"] == 0
        # a specification that no longer fits: as after a change of MIG, or of a card
        host.check_output("sed -i 's/GPU-[0-9a-f-]*/GPU-gone/' /var/run/cdi/nvidia.yaml")
        again = run_role(vllm_gpu_access="cdi")
        assert again.status == 0, again.output
        assert "GPU-gone" not in host.file("/var/run/cdi/nvidia.yaml").content_string


#: Not as this collection writes it: the bytes must come back.
BEFORE = '{"log-driver":"json-file",\n\t"features": {"buildkit": true}}'


class TestRemoval:
    """nvidia_container_toolkit_state absent."""

    @pytest.mark.full
    def test_refused_while_a_container_uses_a_gpu(self, host, run_role, untouched) -> None:
        """The container is named, and nothing changes."""
        host.run("docker rm -f user")
        image = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}' myia-vllm-gpu-test").split()[0]
        host.check_output(
            "docker run -d --name user --runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=0 --entrypoint /bin/sh %s "
            "-c 'while :; do read -r line </dev/zero; done'" % image
        )
        host.check_output("touch /tmp/myia-mark; sleep 1.1")
        try:
            run = run_role(nvidia_container_toolkit_state="absent")
            changed = untouched()
        finally:
            host.run("docker rm -f user")
        assert run.status != 0
        assert "use a GPU through the toolkit: user" in run.flat
        assert versions(host) == {"1.20.1-1"}
        assert changed == []

    @pytest.mark.full
    def test_gives_back_the_daemon_json_of_before(self, host, run_role, daemon_json, sleeper) -> None:
        """To the byte, or none; packages, source, key are gone, containers run on, a second removal changes nothing."""
        try:
            for before in (BEFORE, None):
                daemon_json.forget()
                daemon_json.write(before, "systemctl restart docker && docker start sleeper")
                kept = sleeper()
                assert run_role().status == 0
                assert "nvidia" in info(host)["Runtimes"]
                predicted = run_role("--check", nvidia_container_toolkit_state="absent")
                assert predicted.status == 0, predicted.output
                assert versions(host) == {"1.20.1-1"}
                run = run_role(nvidia_container_toolkit_state="absent")
                assert run.status == 0, run.output
                assert daemon_json.text() == before
                assert versions(host) == {""}
                assert not host.file(SOURCE).exists
                assert not host.file(KEY).exists
                assert "nvidia" not in info(host)["Runtimes"]
                assert sleeper() == kept
                assert run_role(nvidia_container_toolkit_state="absent").recap["changed"] == 0
        finally:
            assert run_role().status == 0
