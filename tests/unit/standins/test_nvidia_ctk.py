# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in nvidia-ctk against the recorded behaviour of the real one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CONTRACT = json.loads((Path(__file__).parent / "ctk_contract.json").read_text(encoding="utf-8"))["rows"]


def configure(ctk: ModuleType, path: Path, *args: str) -> int:
    """Run `runtime configure` on a file."""
    return int(ctk.main(["runtime", "configure", "--runtime=docker", f"--config={path}", *args]))


@pytest.mark.parametrize("row", CONTRACT, ids=[row["name"] for row in CONTRACT])
def test_contract(ctk: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any]) -> None:
    """Exit code, file and messages are those recorded."""
    path = tmp_path / "docker" / "daemon.json"
    if row["before"] is not None:
        path.parent.mkdir()
        path.write_text(row["before"], encoding="utf-8")
    assert configure(ctk, path, *row.get("args", [])) == row["rc"]
    stderr = capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    if row["rc"] != 0:
        assert text == row["before"]
        assert row["stderr"] in stderr
        return
    assert "Wrote updated config" in stderr
    assert "It is recommended that docker daemon be restarted." in stderr
    if "text" in row:
        assert text == row["text"]
    if "after" in row:
        assert json.loads(text) == row["after"]


@pytest.mark.parametrize("row", CONTRACT, ids=[row["name"] for row in CONTRACT])
def test_dry_run(ctk: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any]) -> None:
    """A dry run prints what would be written, ends with the same code and writes nothing."""
    path = tmp_path / "docker" / "daemon.json"
    if row["before"] is not None:
        path.parent.mkdir()
        path.write_text(row["before"], encoding="utf-8")
    assert configure(ctk, path, "--dry-run", *row.get("args", [])) == row["rc"]
    output = capsys.readouterr()
    assert "Wrote updated config" not in output.err
    assert path.exists() is (row["before"] is not None)
    if row["before"] is not None:
        assert path.read_text(encoding="utf-8") == row["before"]
    if "after" in row:
        assert json.loads(output.out) == row["after"]


def test_new_file_modes(ctk: ModuleType, tmp_path: Path) -> None:
    """A new folder is 0755 and a new file 0644."""
    before = os.umask(0o022)
    try:
        configure(ctk, tmp_path / "docker" / "daemon.json")
    finally:
        os.umask(before)
    assert (tmp_path / "docker").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "docker" / "daemon.json").stat().st_mode & 0o777 == 0o644


def test_second_run_rewrites(ctk: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run leaves the same bytes, moves the time stamp and claims a change again."""
    path = tmp_path / "daemon.json"
    configure(ctk, path)
    first = path.read_bytes()
    os.utime(path, (1, 1))
    capsys.readouterr()
    assert configure(ctk, path) == 0
    assert path.read_bytes() == first
    assert path.stat().st_mtime > 1
    assert "Wrote updated config" in capsys.readouterr().err


def test_link_is_followed(ctk: ModuleType, tmp_path: Path) -> None:
    """A symbolic link stays one; the file behind it keeps its mode and its inode, and there is no backup."""
    target = tmp_path / "real.json"
    target.write_text("{}", encoding="utf-8")
    target.chmod(0o600)
    inode = target.stat().st_ino
    link = tmp_path / "daemon.json"
    link.symlink_to(target)
    assert configure(ctk, link) == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["daemon.json", "real.json"]


def test_repaired_features(ctk: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault with the features can be switched off."""
    monkeypatch.setenv("MYIA_STANDIN_KEEP_FEATURES", "1")
    path = tmp_path / "daemon.json"
    path.write_text('{"features": {"buildkit": false}}', encoding="utf-8")
    configure(ctk, path, "--enable-cdi")
    assert json.loads(path.read_text(encoding="utf-8"))["features"] == {"buildkit": False, "cdi": True}


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("nvidia-container-cli.no-cgroups", "no-cgroups = true"),
        ("nvidia-container-cli.no-cgroups=false", "no-cgroups = false"),
        ("nvidia-container-runtime.mode=cdi", 'mode = "cdi"'),
        ("nvidia-container-runtime.runtimes=crun,runc", 'runtimes = ["crun", "runc"]'),
        ("features.disable-cuda-compat-lib-hook", "disable-cuda-compat-lib-hook = true"),
        (
            "accept-nvidia-visible-devices-as-volume-mounts=true",
            "accept-nvidia-visible-devices-as-volume-mounts = true",
        ),
    ],
)
def test_config_set(ctk: ModuleType, tmp_path: Path, setting: str, line: str) -> None:
    """--set writes the option once, in its section, and leaves the others alone."""
    path = tmp_path / "config.toml"
    assert ctk.main(["config", f"--config-file={path}", "--set", setting, "--in-place"]) == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines.count(line) == 1
    assert len(lines) - len(ctk.DEFAULT_CONFIG.splitlines()) == (3 if setting.startswith("features") else 0)
    assert ctk.main(["config", f"--config-file={path}", "--set", setting, "--in-place"]) == 0
    assert path.read_text(encoding="utf-8").splitlines() == lines


@pytest.mark.parametrize("setting", ["nope=1", "nvidia-container-cli.no-cgroups=maybe", "nvidia-ctk.path"])
def test_config_set_refused(ctk: ModuleType, tmp_path: Path, setting: str) -> None:
    """Unknown options and wrong values are errors and write nothing."""
    path = tmp_path / "config.toml"
    assert ctk.main(["config", f"--config-file={path}", "--set", setting, "--in-place"]) == 1
    assert not path.exists()


@pytest.mark.parametrize(("version", "kept"), [("1.20.1", True), ("1.19.1", False)])
def test_postinst_keeps_options(
    ctk: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, kept: bool
) -> None:
    """What the package's postinst runs reverts changed options before 1.20.0."""
    monkeypatch.setattr(ctk, "VERSION", version)
    path = tmp_path / "config.toml"
    ctk.main(["config", f"--config-file={path}", "--set", "nvidia-container-cli.no-cgroups", "--in-place"])
    assert ctk.main(["--quiet", "config", f"--config-file={path}", "--in-place"]) == 0
    assert ("\nno-cgroups = true\n" in path.read_text(encoding="utf-8")) is kept


@pytest.mark.parametrize(("version", "spec_version"), [("1.20.1", "0.7.0"), ("1.18.2", "0.5.0")])
def test_cdi(
    ctk: ModuleType,
    tmp_path: Path,
    write_gpus: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    spec_version: str,
) -> None:
    """`cdi generate` and `cdi list` agree; the version of the specification follows the toolkit's."""
    monkeypatch.setattr(ctk, "VERSION", version)
    write_gpus([{}, {}])
    folder = tmp_path / "cdi"
    assert ctk.main(["cdi", "list", f"--spec-dir={folder}"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "Found 0 CDI devices" in output.err
    assert ctk.main(["cdi", "generate", f"--output={folder}/nvidia.yaml"]) == 0
    assert f"cdiVersion: {spec_version}\n" in (folder / "nvidia.yaml").read_text(encoding="utf-8")
    capsys.readouterr()
    assert ctk.main(["cdi", "list", f"--spec-dir={folder}"]) == 0
    output = capsys.readouterr()
    uuids = [f"nvidia.com/gpu=GPU-57a4d140-0000-4000-8000-00000000000{n}" for n in (0, 1)]
    assert output.out.splitlines() == ["nvidia.com/gpu=0", "nvidia.com/gpu=1", *uuids, "nvidia.com/gpu=all"]
    assert "Found 5 CDI devices" in output.err


def test_cdi_without_driver(ctk: ModuleType, etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a working driver nothing is generated."""
    (etc / "nvidia-smi.fault").write_text("not-loaded", encoding="utf-8")
    assert ctk.main(["cdi", "generate", f"--output={tmp_path}/nvidia.yaml"]) == 1
    assert "failed to initialize NVML" in capsys.readouterr().err
    assert not (tmp_path / "nvidia.yaml").exists()


def test_version(ctk: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """--version has the real first line and names the stand-in in the second."""
    assert ctk.main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "NVIDIA Container Toolkit CLI version 1.20.1"
    assert "stand-in" in lines[1]
