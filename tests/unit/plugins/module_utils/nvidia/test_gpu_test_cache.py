# SPDX-License-Identifier: GPL-3.0-or-later
"""A test is remembered until something changes that could undo it."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import gpu_test_cache

PROOF = {"ok": True, "gpus": [{"index": 0, "uuid": "GPU-1", "name": "NVIDIA L4"}], "error": None}
KNOWN = {
    "asked": {"access": "runtime", "devices": ["0"], "image": ""},
    "engine": {"version": "26.1.5", "runtimes": ["runc", "nvidia"], "default_runtime": "runc", "containers_running": 1},
    "engine_identity": "77:1234",
    "gpus": [{"index": 0, "uuid": "GPU-1", "name": "NVIDIA L4"}],
    "driver": "580.65.06",
}


@pytest.fixture
def root(tmp_path):
    """A host's configuration of engine and toolkit."""
    for name, text in (("etc/docker/daemon.json", "{}"), ("etc/nvidia-container-runtime/config.toml", "")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    return tmp_path


def digest(root, **changes) -> str:
    """The cache_key on a host, with some of them changed."""
    return gpu_test_cache.cache_key(**{**copy.deepcopy(KNOWN), **changes}, root=str(root))


def test_nothing_changed(root) -> None:
    """How many containers run is nobody's business."""
    before = digest(root)
    assert digest(root) == before
    assert digest(root, engine={**KNOWN["engine"], "containers_running": 5}) == before


@pytest.mark.parametrize(
    "change",
    [
        {"asked": {**KNOWN["asked"], "devices": ["0", "1"]}},
        {"asked": {**KNOWN["asked"], "access": "cdi"}},
        {"engine": {**KNOWN["engine"], "runtimes": ["runc"]}},
        {"engine": {**KNOWN["engine"], "version": "27.0"}},
        {"engine_identity": "78:9999"},
        {"gpus": []},
        {"gpus": [{"index": 0, "uuid": "GPU-2"}]},
        {"driver": "590.1"},
    ],
)
def test_something_changed(root, change) -> None:
    """Anything a container's way to the GPUs depends on."""
    assert digest(root, **change) != digest(root)


@pytest.mark.parametrize(
    "name", ["etc/docker/daemon.json", "etc/nvidia-container-runtime/config.toml", "etc/cdi/nvidia.yaml"]
)
def test_file_changed(root, name) -> None:
    """Files too, new ones as well as those that say something else."""
    before = digest(root)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("something else", encoding="ascii")
    assert digest(root) != before


def test_program_changed(root, tmp_path, monkeypatch) -> None:
    """A package that was upgraded by somebody."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-container-runtime"
    program.write_text("one", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    before = digest(root)
    program.write_text("another one", encoding="ascii")
    assert digest(root) != before


def test_remembered(tmp_path) -> None:
    """Found under the same cache_key only."""
    path = str(tmp_path / "run" / "gpu-test.json")
    assert gpu_test_cache.read("a", path) == {}
    gpu_test_cache.write("a", PROOF, path)
    assert gpu_test_cache.read("a", path) == PROOF
    assert gpu_test_cache.read("b", path) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cache_key": "a"}',
        json.dumps({"cache_key": "a", "gpu_test": {**PROOF, "ok": False}}),
    ],
)
def test_damaged_record(tmp_path, text) -> None:
    """It counts as none."""
    (tmp_path / "record").write_text(text, encoding="ascii")
    assert gpu_test_cache.read("a", str(tmp_path / "record")) == {}


def test_cannot_be_remembered(tmp_path) -> None:
    """That is no failure."""
    (tmp_path / "run").write_text("a file where the folder should be", encoding="ascii")
    gpu_test_cache.write("a", PROOF, str(tmp_path / "run" / "gpu-test.json"))
    assert gpu_test_cache.read("a", str(tmp_path / "run" / "gpu-test.json")) == {}
