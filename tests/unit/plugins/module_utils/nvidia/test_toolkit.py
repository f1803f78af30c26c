# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of the container toolkit, and what follows from it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import toolkit as container_toolkit

ENGINE = {
    "answering": True,
    "version": "26.1.5",
    "rootless": False,
    "runtimes": ["runc", "nvidia"],
    "cgroup_driver": "systemd",
    "cdi_spec_dirs": [],
}
WANTED = {
    "version": "1.20.1",
    "revision": "1",
    "min_version": "1.19.1",
    "allow_vulnerable": False,
    "access": "runtime",
    "package_files": [],
}
SPEC = """\
---
cdiVersion: 0.7.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
- name: GPU-aaaa
  containerEdits: {}
- name: all
  containerEdits: {}
containerEdits:
  hooks:
  - hookName: createContainer
    args:
    - name: not-a-device
"""
ALL_FOUR = list(container_toolkit.PACKAGES)

#: Installation from files, as an option.
FILES = {"package_files": ["x"]}

GPUS = [{"index": 0, "uuid": "GPU-aaaa", "name": "X"}]


def facts(**changes) -> dict:
    """A host with the four packages, as look() tells it."""
    return {
        "packages": dict.fromkeys(container_toolkit.PACKAGES, "1.20.1-1"),
        "old_packages": [],
        "old_sources": [],
        "source": "",
        "files": [],
        "runtime_config": {"mode": "auto", "no_cgroups": False},
        "cdi_specs": [],
        **changes,
    }


def files(*versions: str) -> list[dict]:
    """Package files, one version for each of the four (the last for the rest; "" is a file that cannot be read)."""
    names = container_toolkit.PACKAGES
    given = [*versions, *[versions[-1]] * (len(names) - len(versions))]
    return [
        {
            "path": "/f/" + name,
            "name": name if version else "",
            "version": version,
            "error": "" if version else "broken",
        }
        for name, version in zip(names, given)
    ]


def test_package_versions_debian() -> None:
    """Only installed ones have a version; one that is merely known does not."""

    def run(argv):
        assert argv[0] == "dpkg-query"
        return 1, "a\tinstalled\t1.2-1\nb\tconfig-files\t1.0-1\n", "dpkg-query: no packages found matching c"

    assert container_toolkit.package_versions(run, "debian", ("a", "b", "c")) == {"a": "1.2-1", "b": "", "c": ""}


def test_package_versions_rpm() -> None:
    """rpm says of a missing one that it is not installed."""

    def run(argv):
        assert argv[0] == "rpm"
        return 1, "a\tinstalled\t1.2-1\npackage b is not installed\n", ""

    assert container_toolkit.package_versions(run, "rpm", ("a", "b")) == {"a": "1.2-1", "b": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"mode": "auto", "no_cgroups": False}),
        ('[nvidia-container-runtime]\nmode = "legacy"\n', {"mode": "legacy", "no_cgroups": False}),
        ("[nvidia-container-cli]\nno-cgroups = true\n", {"mode": "auto", "no_cgroups": True}),
        ("[nvidia-container-cli]\n#no-cgroups = true\n", {"mode": "auto", "no_cgroups": False}),
        ('[other]\nmode = "x"\nno-cgroups = true\n', {"mode": "auto", "no_cgroups": False}),
    ],
)
def test_runtime_config(text, expected) -> None:
    """Two settings, each only in its own section."""
    assert container_toolkit.runtime_config(text) == expected


@pytest.mark.parametrize(
    ("text", "version", "devices"),
    [
        pytest.param(SPEC, "0.7.0", ["0", "GPU-aaaa", "all"], id="yaml"),
        pytest.param(SPEC.replace("- name", "  - name").replace("  containerEdits", "    containerEdits"),
                     "0.7.0", ["0", "GPU-aaaa", "all"], id="indented"),
        pytest.param('{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "1"}]}', "0.5.0", ["1"],
                     id="json"),
        pytest.param(SPEC.replace("nvidia.com/gpu", "example.com/nic"), "", [], id="other-kind"),
        pytest.param("", "", [], id="empty"),
    ],
)  # fmt: skip
def test_cdi_spec(text, version, devices) -> None:
    """Version and device names; hooks and other kinds do not count."""
    found = container_toolkit.cdi_spec(text)
    assert found["devices"] == devices
    assert found["version"] == version


def test_look(tmp_path) -> None:
    """Old sources, specifications and configuration are read below the root given."""
    for path, text in {
        "etc/apt/sources.list.d/nvidia-docker.list": "deb x /",
        "etc/apt/sources.list.d/nvidia-container-toolkit.sources": "URIs: http://mirror/stable/deb/amd64/",
        "etc/cdi/nvidia.yaml": SPEC,
        "etc/nvidia-container-runtime/config.toml": "[nvidia-container-cli]\nno-cgroups = true\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    line = "nvidia-docker2\tinstalled\t2.13-1\nlibnvidia-container1\tinstalled\t1.13.5-1\n"
    found = container_toolkit.inspect(lambda _argv: (1, line, ""), "debian", [], str(tmp_path))
    assert found["old_packages"] == ["nvidia-docker2"]
    assert found["old_sources"] == ["/etc/apt/sources.list.d/nvidia-docker.list"]
    assert "http://mirror/stable" in found["source"]
    assert found["packages"]["libnvidia-container1"] == "1.13.5-1"
    assert found["runtime_config"]["no_cgroups"] is True
    assert found["cdi_specs"][0]["devices"] == ["0", "GPU-aaaa", "all"]


@pytest.mark.parametrize(
    ("access", "engine", "config", "lacks"),
    [
        ("runtime", {}, {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}, "none"),
        ("runtime", {"runtimes": ["runc"]}, {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}},
         "reload"),
        ("deploy", {"runtimes": ["runc"]}, {}, "none"),
        ("cdi", {}, {"features": {"cdi": True}}, "restart"),
        ("cdi", {"cdi_spec_dirs": ["/etc/cdi"]}, {"features": {"cdi": True}}, "none"),
        # on by itself from 28.2 on, unless somebody turned it off
        ("cdi", {"version": "28.3.0", "cdi_spec_dirs": ["/etc/cdi"]}, {}, "none"),
        ("cdi", {"version": "28.3.0"}, {"features": {"cdi": True}}, "restart"),
        ("cdi", {"answering": False, "version": "", "cdi_spec_dirs": None}, {"features": {"cdi": True}}, "none"),
    ],
)  # fmt: skip
def test_daemon_config(access, engine, config, lacks) -> None:
    """What daemon.json needs for each way, and what the running engine lacks."""
    engine = {**ENGINE, **engine}
    assert container_toolkit.wanted_daemon_config(access, engine) == config
    assert container_toolkit.engine_lacks(access, engine) == lacks


@pytest.mark.parametrize(
    ("devices", "specs", "words"),
    [
        pytest.param(["0"], [], "no CDI specification", id="none"),
        pytest.param(["0"], [["0", "GPU-aaaa", "all"]], "", id="fits"),
        pytest.param(["1"], [["0", "GPU-aaaa"]], "lacks nvidia.com/gpu=1", id="too-few"),
        pytest.param(["0"], [["0", "GPU-old"]], "names GPU-old", id="another-card"),
        pytest.param(["0"], [["0", "all"]], "", id="without-uuids"),
    ],
)
def test_stale_cdi(devices, specs, words) -> None:
    """A specification must name the GPUs that are there and those asked for."""
    specs = [{"path": "/x", "version": "0.7.0", "devices": d, "drivers": []} for d in specs]
    found = container_toolkit.stale_cdi(specs, GPUS, devices, "580.95.05")
    assert bool(found) == bool(words)
    assert words in found


@pytest.mark.parametrize(
    ("mounted", "driver", "words"),
    [
        pytest.param("libcuda.so.580.95.05", "580.95.05", "", id="the-same"),
        pytest.param("libcuda.so.580.95.05", "", "", id="driver-not-known"),
        pytest.param("libcuda.so.1", "580.95.05", "", id="no-version-in-it"),
        pytest.param("libcuda.so.570.133.20", "580.95.05", "of driver 570.133.20, and this host has", id="cuda"),
        pytest.param("libnvidia-ml.so.570.133.20", "580.95.05", "of driver 570.133.20, and this host", id="nvml"),
    ],
)
def test_cdi_of_another_driver(mounted, driver, words) -> None:
    """A specification of the driver of before mounts libraries that are gone, or do not fit the module."""
    text = SPEC + "  mounts:\n  - hostPath: /usr/lib/x86_64-linux-gnu/%s\n" % mounted
    found = container_toolkit.stale_cdi(
        [{"path": "/etc/cdi/nvidia.yaml", **container_toolkit.cdi_spec(text)}], GPUS, ["0"], driver
    )
    assert bool(found) is bool(words)
    assert words in found


@pytest.mark.parametrize(
    ("changes", "wanted", "engine", "ids"),
    [
        pytest.param({}, {}, {}, [], id="fine"),
        pytest.param({}, {"version": "1.19.0"}, {}, ["toolkit_version"], id="cve"),
        pytest.param({}, {"version": "1.19.0", "allow_vulnerable": True}, {}, [], id="cve-accepted"),
        pytest.param({}, {"version": "1.19.1"}, {}, [], id="floor"),
        pytest.param({"files": files("1.20.1-1")}, {"package_files": ["x"], "version": "1"}, {}, [], id="files"),
        pytest.param({"files": files("1.18.2-1")}, FILES, {}, ["toolkit_version"], id="files-cve"),
        pytest.param({"files": files("1.20.1-1")[1:]}, FILES, {}, ["package_files"], id="file-missing"),
        pytest.param({"files": files("1.20.1-1", "1.19.1-1")}, FILES, {}, ["package_files"], id="mixed"),
        pytest.param({"files": files("", "1.20.1-1")}, FILES, {}, ["package_files"], id="unreadable"),
        pytest.param({}, {}, {"rootless": True}, ["rootless"], id="rootless"),
        pytest.param({"runtime_config": {"mode": "auto", "no_cgroups": True}}, {}, {}, ["no_cgroups"], id="no-cgroups"),
        pytest.param({}, {"access": "cdi"}, {"version": "20.10.24"}, ["cdi_engine"], id="no-cdi"),
        pytest.param({}, {"access": "cdi"}, {"version": "25.0.5"}, [], id="spec-to-come-may-be-old-enough"),
        pytest.param({"cdi_specs": [{"path": "/x", "version": "0.7.0", "devices": ["0"]}]}, {"access": "cdi"},
                     {"version": "25.0.5"}, ["cdi_spec_version"], id="spec-too-new"),
        pytest.param({}, {"access": "cdi"}, {}, [], id="cdi"),
        pytest.param({"cdi_specs": [{"path": "/x", "version": "0.5.0", "devices": ["0"]}]}, {"access": "cdi"},
                     {"version": "25.0.5"}, [], id="old-spec-old-engine"),
        pytest.param({}, {"access": "cdi"}, {"version": "", "answering": False}, [], id="no-engine-yet"),
    ],
)  # fmt: skip
def test_problems(changes, wanted, engine, ids) -> None:
    """Each with what was found, what is needed and the fix."""
    found = container_toolkit.problems(facts(**changes), {**ENGINE, **engine}, {**WANTED, **wanted})
    assert [item["id"] for item in found] == ids
    assert all(item["found"] and item["needed"] and item["fix"] and not item["ok"] for item in found)


@pytest.mark.parametrize(
    ("mode", "wanted", "engine", "warned"),
    [
        pytest.param("auto", {}, {}, False, id="jit-cdi"),
        pytest.param("auto", {"version": "1.17.9"}, {}, True, id="runtime-before-1.18"),
        pytest.param("legacy", {}, {}, True, id="legacy-mode"),
        pytest.param("legacy", {}, {"cgroup_driver": "cgroupfs"}, False, id="cgroupfs"),
        pytest.param("auto", {"access": "deploy"}, {}, True, id="hook"),
        pytest.param("auto", {"access": "deploy"}, {"version": "29.2.0"}, False, id="hook-by-cdi"),
        pytest.param("legacy", {"access": "cdi"}, {}, False, id="cdi"),
    ],
)
def test_warnings(mode, wanted, engine, warned) -> None:
    """GPUs that a daemon-reload would take away are announced."""
    found = container_toolkit.warnings(
        facts(runtime_config={"mode": mode, "no_cgroups": False}), {**ENGINE, **engine}, {**WANTED, **wanted}
    )
    assert bool(found) is warned
    assert all("daemon-reload" in text for text in found)


@pytest.mark.parametrize(
    ("changes", "wanted", "expected"),
    [
        pytest.param({}, {}, [], id="there"),
        pytest.param({}, {"revision": "2"}, ALL_FOUR, id="revision"),
        pytest.param({"packages": {**facts()["packages"], ALL_FOUR[1]: ""}}, {}, [ALL_FOUR[1]], id="one"),
        pytest.param({"files": files("1.20.1-1")}, {"package_files": ["x"], "version": "9"}, [], id="files-there"),
        pytest.param({"files": files("1.21.0-1")}, FILES, ALL_FOUR, id="files-new"),
    ],
)  # fmt: skip
def test_to_install(changes, wanted, expected) -> None:
    """Whatever is not exactly at the version."""
    assert container_toolkit.to_install(facts(**changes), {**WANTED, **wanted}) == expected


def test_report() -> None:
    """All of it in one text."""
    found = container_toolkit.problems(
        facts(runtime_config={"mode": "auto", "no_cgroups": True}), ENGINE, {**WANTED, "version": "1.0"}
    )
    text = container_toolkit.report(found)
    assert text.startswith(
        "2 problems keep the GPUs from working in containers; nothing was changed.\n- toolkit_version"
    )
    assert "\n- no_cgroups: found no-cgroups = true" in text
