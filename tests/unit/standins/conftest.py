# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the tests of the stand-ins: the scripts as modules, and a state folder of their own."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STANDINS = Path(__file__).resolve().parents[3] / "molecule" / "resources" / "standins"


def load_script(name: str) -> ModuleType:
    """Load a script without a .py suffix; no bytecode may appear beside it."""
    path = STANDINS / name
    loader = SourceFileLoader(f"standin_test_{path.name.replace('-', '_')}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def standins() -> Path:
    """Folder of the stand-ins."""
    return STANDINS


@pytest.fixture(scope="session")
def smi() -> ModuleType:
    """The stand-in nvidia-smi."""
    return load_script("bin/nvidia-smi")


@pytest.fixture(scope="session")
def runtime() -> ModuleType:
    """The stand-in nvidia-container-runtime."""
    return load_script("bin/nvidia-container-runtime")


@pytest.fixture(scope="session")
def hook() -> ModuleType:
    """The stand-in nvidia-container-runtime-hook."""
    return load_script("bin/nvidia-container-runtime-hook")


@pytest.fixture(scope="session")
def ctk() -> ModuleType:
    """The stand-in nvidia-ctk."""
    return load_script("bin/nvidia-ctk")


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder in place of /etc/myia-standin."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setenv("MYIA_STANDIN_ETC", str(folder))
    monkeypatch.setenv("MYIA_STANDIN_DEV", str(tmp_path / "dev"))
    monkeypatch.setenv("MYIA_STANDIN_CONFIG", str(tmp_path / "config.toml"))
    return folder


@pytest.fixture
def write_gpus(etc: Path) -> Callable[[Any], None]:
    """Write gpus.json."""

    def write(content: Any) -> None:
        (etc / "gpus.json").write_text(json.dumps(content), encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def hub_script() -> ModuleType:
    """The stand-in hub as a module."""
    return load_script("hub")
