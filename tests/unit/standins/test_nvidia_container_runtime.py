# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in runtime: what it does to a container's spec for each value of NVIDIA_VISIBLE_DEVICES."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

UUID = "GPU-57a4d140-0000-4000-8000-00000000000{}"


def make_spec(*env: str) -> dict[str, Any]:
    """The parts of an OCI spec that matter here, as an engine writes them."""
    return {
        "process": {"env": ["PATH=/usr/bin", *env]},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "hooks": {"prestart": [{"path": "/usr/bin/nvidia-container-runtime-hook"}, {"path": "/proc/self/exe"}]},
        "linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}]}},
    }


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An empty bundle folder."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


def put(bundle: Path, spec: dict[str, Any]) -> None:
    """Write the bundle's spec."""
    (bundle / "config.json").write_text(json.dumps(spec), encoding="utf-8")


def get(bundle: Path) -> dict[str, Any]:
    """Read the bundle's spec."""
    return json.loads((bundle / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("env", "minors"),
    [
        ([], None),
        (["NVIDIA_VISIBLE_DEVICES="], None),
        (["NVIDIA_VISIBLE_DEVICES=void"], None),
        (["NVIDIA_VISIBLE_DEVICES=none"], []),
        (["NVIDIA_VISIBLE_DEVICES=all"], [0, 1, 2]),
        (["NVIDIA_VISIBLE_DEVICES=1"], [1]),
        (["NVIDIA_VISIBLE_DEVICES=2,0"], [0, 2]),
        (["NVIDIA_VISIBLE_DEVICES=1,1"], [1]),
        ([f"NVIDIA_VISIBLE_DEVICES={UUID.format(2)}"], [2]),
        ([f"NVIDIA_VISIBLE_DEVICES=0,{UUID.format(2)}"], [0, 2]),
        (["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=1"], [1]),
        (["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=all"], [0, 1, 2]),
        (["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"], [1]),
        (["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void"], None),
        (["CUDA_VERSION=9.0"], [0, 1, 2]),
        (["CUDA_VERSION=13.0", "NVIDIA_REQUIRE_CUDA=cuda>=13.0"], None),
    ],
)
def test_visible_devices(
    runtime: ModuleType,
    write_gpus: Callable[[Any], None],
    bundle: Path,
    env: list[str],
    minors: list[int] | None,
) -> None:
    """Each value injects exactly its GPUs; unset, empty and void leave the spec as it is."""
    write_gpus([{}, {}, {}])
    spec = make_spec(*env)
    put(bundle, spec)
    assert runtime.prepare_bundle(bundle) is (minors is not None)
    edited = get(bundle)
    if minors is None:
        assert edited == spec
        assert not (bundle / runtime.SUBSET_NAME).exists()
        return
    nodes = [f"/dev/nvidia{minor}" for minor in minors]
    devices = edited["linux"]["devices"]
    assert [d["path"] for d in devices] == [*nodes, *(runtime.CONTROL_NODES if nodes else ())]
    assert all((d["type"], d["major"], d["minor"], d["fileMode"]) == ("c", 1, 3, 0o666) for d in devices)
    rules = edited["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    allow = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
    assert rules[1:] == ([allow] if nodes else [])
    assert [m["destination"] for m in edited["mounts"]] == [
        "/proc",
        "/etc/myia-standin/gpus.json",
        "/usr/bin/nvidia-smi",
        "/usr/lib/myia-standin/nvidia-smi",
    ]
    assert all("ro" in m["options"] for m in edited["mounts"][1:])
    subset = json.loads((bundle / runtime.SUBSET_NAME).read_text(encoding="utf-8"))
    assert [gpu["minor"] for gpu in subset["gpus"]] == minors
    # The engine's own hook stays, the toolkit's goes: the GPUs are in already.
    assert edited["hooks"]["prestart"] == [{"path": "/proc/self/exe"}]


def test_container_sees_its_subset(
    runtime: ModuleType, smi: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, etc: Path
) -> None:
    """nvidia-smi with the injected gpus.json lists the injected GPU alone, as GPU 0."""
    write_gpus(True)
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=1"))
    runtime.prepare_bundle(bundle)
    (bundle / runtime.SUBSET_NAME).replace(etc / "gpus.json")
    assert smi.run(["-L"])[0] == f"GPU 0: NVIDIA GeForce RTX 4090 (stand-in) (UUID: {UUID.format(1)})"


@pytest.mark.parametrize(
    ("value", "has_smi"), [(None, True), ("", True), ("all", True), ("compute,utility", True), ("compute", False)]
)
def test_capabilities(
    runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, value: str | None, has_smi: bool
) -> None:
    """nvidia-smi comes with the capability `utility`."""
    write_gpus(True)
    extra = [] if value is None else [f"NVIDIA_DRIVER_CAPABILITIES={value}"]
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=all", *extra))
    runtime.prepare_bundle(bundle)
    assert ("/usr/bin/nvidia-smi" in [m["destination"] for m in get(bundle)["mounts"]]) is has_smi


def test_existing_node_is_not_added_twice(runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path) -> None:
    """A privileged container's spec lists the host's nodes already."""
    write_gpus(True)
    spec = make_spec("NVIDIA_VISIBLE_DEVICES=0")
    spec["linux"]["devices"] = [{"path": "/dev/nvidia0", "type": "c", "major": 1, "minor": 3}]
    put(bundle, spec)
    runtime.prepare_bundle(bundle)
    assert [d["path"] for d in get(bundle)["linux"]["devices"]].count("/dev/nvidia0") == 1


@pytest.mark.parametrize("value", ["7", "0,7", "GPU-unknown", "MIG-1", "-1", "0x1"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_unknown_device(
    standins: Path, write_gpus: Callable[[Any], None], bundle: Path, tmp_path: Path, value: str, log_format: str
) -> None:
    """The runtime ends non-zero, says it where containerd looks, and never reaches runc."""
    write_gpus(True)
    spec = make_spec(f"NVIDIA_VISIBLE_DEVICES={value}")
    put(bundle, spec)
    log = tmp_path / "log.json"
    words = ["--root", "r", "--log", str(log), "--log-format", log_format, "create", "--bundle", str(bundle), "id"]
    done = subprocess.run(
        [sys.executable, standins / "bin" / "nvidia-container-runtime", *words],
        env={**os.environ, "MYIA_STANDIN_RUNC": "/bin/true"},
        capture_output=True,
        text=True,
        check=False,
    )
    name = value.rpartition(",")[2]
    expected = f"nvidia-container-cli: device error: {name}: unknown device"
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(expected)
    if log_format == "json":
        entry = json.loads(log.read_text(encoding="utf-8"))
        assert entry["level"] == "error"
        assert entry["msg"].endswith(expected)
    else:
        assert expected in log.read_text(encoding="utf-8")
    assert get(bundle) == spec


def test_unknown_device_in_cdi_mode(
    runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, tmp_path: Path
) -> None:
    """In the mode `cdi` the registry's wording is used."""
    write_gpus(True)
    (tmp_path / "config.toml").write_text('[nvidia-container-runtime]\nmode = "cdi"\n', encoding="utf-8")
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=7"))
    with pytest.raises(runtime.InjectionError, match=r"unresolvable CDI devices nvidia\.com/gpu=7$"):
        runtime.prepare_bundle(bundle)


def test_legacy_mode_adds_the_hook(
    runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, tmp_path: Path
) -> None:
    """In the mode `legacy` the spec gets the hook, once, and nothing else."""
    write_gpus(True)
    (tmp_path / "config.toml").write_text('[nvidia-container-runtime]\nmode = "legacy"\n', encoding="utf-8")
    spec = make_spec("NVIDIA_VISIBLE_DEVICES=0")
    del spec["hooks"]
    put(bundle, spec)
    for _time in range(2):
        assert runtime.prepare_bundle(bundle) is True
        edited = get(bundle)
        [hook] = edited.pop("hooks")["prestart"]
        assert Path(hook["path"]).name == "nvidia-container-runtime-hook"
        assert hook["args"] == ["nvidia-container-runtime-hook", "prestart"]
        assert edited == spec


@pytest.mark.parametrize(("minors", "listed"), [([0, 1], [0, 1]), ([1], [1]), ([], [])])
def test_list_without_python(
    runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, tmp_path: Path, minors: list, listed: list
) -> None:
    """In a container without Python the script lists the GPUs whose nodes are there, as nvidia-smi -L does."""
    write_gpus(True)
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=all"))
    runtime.prepare_bundle(bundle)
    script, _program = runtime.smi_files(bundle)
    text = Path(script).read_text(encoding="utf-8")
    dev = tmp_path / "dev"
    dev.mkdir()
    for minor in minors:
        (dev / f"nvidia{minor}").touch()
    text = text.replace("/dev/nvidia", f"{dev}/nvidia").replace(
        "/etc/myia-standin/gpus.json", str(bundle / runtime.SUBSET_NAME)
    )
    done = subprocess.run(
        ["/bin/sh", "-c", text, "nvidia-smi", "-L"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert (done.returncode == 0) is bool(listed)
    found = [line for line in done.stdout.splitlines() if line.startswith("GPU")]
    assert found == [
        f"GPU {number}: NVIDIA GeForce RTX 4090 (stand-in) (UUID: {UUID.format(minor)})"
        for number, minor in enumerate(listed)
    ]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("mismatch", "nvml error: driver/library version mismatch"),
        ("not-loaded", "nvml error: driver not loaded"),
        ("nvml-unknown", "nvml error: unknown error"),
        ("no-devices", "device error: 0: unknown device"),
    ],
)
def test_driver_faults(
    runtime: ModuleType, write_gpus: Callable[[Any], None], bundle: Path, etc: Path, fault: str, text: str
) -> None:
    """A broken driver stops the container with the real text."""
    write_gpus(True)
    (etc / "nvidia-smi.fault").write_text(fault, encoding="utf-8")
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=0"))
    with pytest.raises(runtime.InjectionError, match=text):
        runtime.prepare_bundle(bundle)


@pytest.mark.parametrize(
    ("argv", "command", "bundle_path"),
    [
        (["--root", "R", "--log", "L", "--log-format", "json", "create", "--bundle", "/b", "x"], "create", "/b"),
        (["--root=R", "--systemd-cgroup", "create", "--bundle=/b", "--pid-file", "p", "x"], "create", "/b"),
        (["create", "-b", "/b", "x"], "create", "/b"),
        (["create", "x"], "create", ""),
        (["--root", "create", "start", "x"], "start", ""),
        (["--version"], "", ""),
        ([], "", ""),
    ],
)
def test_command_line(runtime: ModuleType, argv: list[str], command: str, bundle_path: str) -> None:
    """Options with a value are not taken for the command; the bundle defaults to the current folder."""
    _options, found, words = runtime.split_command(argv)
    assert found == command
    assert runtime.find_bundle(words) == (Path(bundle_path) if bundle_path else Path.cwd())


@pytest.mark.parametrize("command", ["start", "state", "kill", "delete", "features"])
def test_other_commands_pass_through(standins: Path, bundle: Path, command: str) -> None:
    """Anything but `create` goes to the low-level runtime word for word, with its exit code."""
    fake = bundle / "runc"
    fake.write_text('#!/bin/sh\necho "$@"\nexit 7\n', encoding="utf-8")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, standins / "bin" / "nvidia-container-runtime", "--root", "r", command, "id"],
        env={**os.environ, "MYIA_STANDIN_RUNC": str(fake)},
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == (f"--root r {command} id\n", 7)


def test_version(standins: Path) -> None:
    """--version names the stand-in and goes on to the low-level runtime."""
    done = subprocess.run(
        [sys.executable, standins / "bin" / "nvidia-container-runtime", "--version"],
        env={**os.environ, "MYIA_STANDIN_RUNC": "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "NVIDIA Container Runtime version 1.20.1"
    assert "stand-in" in lines[1]
    assert len(lines) > 2


def test_hook_injects(
    hook: ModuleType,
    runtime: ModuleType,
    write_gpus: Callable[[Any], None],
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hook enters the container's mount namespace and puts the asked-for GPU alone below its root."""
    write_gpus(True)
    put(bundle, make_spec("NVIDIA_VISIBLE_DEVICES=1"))
    seen: dict[str, Any] = {}

    def record(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        seen.update(command=command, script=kwargs["input"])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(hook.subprocess, "run", record)
    assert hook.prestart({"pid": 42, "bundle": str(bundle)}, runtime) == 0
    assert seen["command"][:4] == ["nsenter", "-t", "42", "-m"]
    assert f"mknod -m 666 {bundle}/rootfs/dev/nvidia1 c 1 3" in seen["script"]
    assert "/dev/nvidia0" not in seen["script"]
    assert f"mount --bind {bundle / runtime.SUBSET_NAME} {bundle}/rootfs/etc/myia-standin/gpus.json" in seen["script"]
