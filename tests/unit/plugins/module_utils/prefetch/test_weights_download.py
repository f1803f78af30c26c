# SPDX-License-Identifier: GPL-3.0-or-later
"""The download of weights: which files, what counts as complete, and real downloads.

These are made by the real huggingface_hub from the stand-in hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from importlib.machinery import SourceFileLoader

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.prefetch import weights_download

SOURCE = inspect.getsource(weights_download)
STANDIN = pathlib.Path(__file__).resolve().parents[5] / "molecule" / "resources" / "standins" / "hub"
TOKEN = "hf_PLANTEDtoken0123456789"
#: Larger than the 10 MiB in which huggingface_hub writes, so that a part of it is on disk when it breaks off.
LARGE = os.urandom(1 << 20) * 24


def names(*found: str) -> dict:
    """Sizes by name."""
    return dict.fromkeys(found, 1)


@pytest.mark.parametrize(
    ("load_format", "files", "expected"),
    [
        pytest.param("", "config.json model.safetensors pytorch_model.bin model.gguf", "config.json model.safetensors",
                     id="safetensors-first"),
        pytest.param("auto", "config.json pytorch_model.bin x.pt m.h5", "config.json pytorch_model.bin", id="bin"),
        pytest.param("", "a.pt b.pth config.json", "a.pt b.pth config.json", id="pt"),
        pytest.param("", "config.json model.safetensors original/params.json original/c.00.pth original/x.safetensors",
                     "config.json model.safetensors original/params.json", id="copies"),
        pytest.param("", "model.safetensors 2_Dense/pytorch_model.bin 2_Dense/config.json onnx/model.onnx onnx/w.bin",
                     "2_Dense/config.json 2_Dense/pytorch_model.bin model.safetensors", id="folders-of-their-own"),
        pytest.param("", "consolidated.safetensors model-1.safetensors params.json",
                     "consolidated.safetensors model-1.safetensors params.json", id="both-layouts-as-vllm"),
        pytest.param("safetensors", "consolidated.safetensors model-1.safetensors", "model-1.safetensors",
                     id="safetensors"),
        pytest.param("safetensors", "consolidated.safetensors", "consolidated.safetensors", id="only-there"),
        pytest.param("mistral", "consolidated.safetensors model-1.safetensors params.json",
                     "consolidated.safetensors params.json", id="mistral"),
        pytest.param("dummy", "config.json model.safetensors x.bin", "config.json", id="dummy"),
        pytest.param("gguf", "config.json m.gguf model.safetensors", "config.json m.gguf", id="gguf"),
        pytest.param("", "README.md a.py tokenizer.model x.png v.mp4 model.bin.index.json",
                     "README.md a.py model.bin.index.json tokenizer.model", id="small-files"),
    ],
)  # fmt: skip
def test_selected(load_format, files, expected) -> None:
    """What vLLM reads, and one copy of the weights."""
    assert weights_download.selected(names(*files.split()), load_format) == expected.split()


def test_disk_arithmetic(tmp_path) -> None:
    """Refused with all three figures, in words that the failure catalogue knows; the folder need not exist."""
    folder = str(tmp_path / "not" / "yet")
    weights_download.check_space(folder, 0, 0)
    with pytest.raises(OSError, match="No space left on device for the download") as refused:
        weights_download.check_space(folder, 1 << 60, (1 << 60) + (1 << 30))
    figures = r": it needs [\d.]+ GiB \([\d.]+ GiB less 1\.00 GiB that are there\), and [\d.]+ \w+ are free in (.+)\.$"
    assert re.search(figures, str(refused.value))[1] == str(tmp_path)


MODEL = {"id": "own/model", "revision": "", "load_format": "auto"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path) -> pathlib.Path:
    """A cache with one repository as huggingface_hub leaves it, without a record."""
    repo = tmp_path / "hub" / "models--own--model"
    snapshot = repo / "snapshots" / COMMIT
    for folder in (snapshot, repo / "blobs", repo / "refs"):
        folder.mkdir(parents=True)
    for name, text in (("config.json", "{}"), ("model-1.safetensors", "weights")):
        (repo / "blobs" / name).write_text(text, encoding="utf-8")
        (snapshot / name).symlink_to("../../blobs/" + name)
    (repo / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return repo


def test_recorded(cache) -> None:
    """Complete when recorded and still there with its size, under the same revision and format."""
    hub = str(cache.parent)
    assert weights_download.recorded(hub, MODEL) == {}
    files = {
        "config.json": {"size": 2, "blob": "", "lfs": False},
        "model-1.safetensors": {"size": 7, "blob": "", "lfs": 0},
    }
    record = weights_download.Download(hub, MODEL, COMMIT, files).finish()
    assert record == {"commit": COMMIT, "files": {"config.json": 2, "model-1.safetensors": 7}}
    assert weights_download.recorded(hub, MODEL) == record
    assert weights_download.recorded(hub, {**MODEL, "revision": "v1"}) == {}
    assert weights_download.recorded(hub, {**MODEL, "load_format": "dummy"}) == {}
    # the branch was moved by somebody
    (cache / "refs" / "main").write_text("f" * 40, encoding="utf-8")
    assert weights_download.recorded(hub, MODEL) == {}
    (cache / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    (cache / "blobs" / "model-1.safetensors").write_text("weig", encoding="utf-8")
    assert weights_download.recorded(hub, MODEL) == {}
    (cache / "blobs" / "model-1.safetensors").unlink()
    assert weights_download.recorded(hub, MODEL) == {}


@pytest.mark.parametrize(
    ("damage", "complete"),
    [
        pytest.param(lambda repo: None, True, id="good"),
        pytest.param(lambda repo: (repo / "blobs" / "x.incomplete").touch(), False, id="still-downloading"),
        pytest.param(lambda repo: (repo / "blobs" / "model-1.safetensors").unlink(), False, id="blob-gone"),
        pytest.param(
            lambda repo: (repo / "snapshots" / COMMIT / "model-1.safetensors").unlink(), False, id="no-weights"
        ),
        pytest.param(lambda repo: (repo / "refs" / "main").unlink(), False, id="no-branch"),
        pytest.param(
            lambda repo: (repo / "snapshots" / COMMIT / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}), encoding="utf-8"
            ),
            False,
            id="shard-missing",
        ),
    ],
)
def test_looks_complete(damage, complete, cache) -> None:
    """A cache that somebody else filled is taken for complete only if nothing hints at a gap."""
    damage(cache)
    assert bool(weights_download.looks_complete(str(cache.parent), MODEL)) is complete


def test_broken_files_go(cache) -> None:
    """A file with the wrong size, as a crash of the host leaves one, is taken away with its blob."""
    files = {
        "config.json": {"size": 2, "blob": "config.json", "lfs": False},
        "model-1.safetensors": {"size": 9, "blob": "model-1.safetensors", "lfs": True},
    }
    download = weights_download.Download(str(cache.parent), MODEL, COMMIT, files)
    download.drop_broken()
    assert sorted(os.listdir(cache / "blobs")) == ["config.json"]
    assert download.present() == (2, 1)
    assert not download.linked()


# ---------------------------------------------------------------------- real downloads


@pytest.fixture(scope="module")
def hub_script():
    """The stand-in hub as a module."""
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.fail("huggingface_hub is not installed in .venv. Run `make tools`.")
    loader = SourceFileLoader("standin_hub", str(STANDIN))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


class Hub:
    """The stand-in hub, and downloads from it into a cache of their own."""

    def __init__(self, script, tmp_path: pathlib.Path) -> None:
        self.model = tmp_path / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}", encoding="utf-8")
        (self.model / "tokenizer.json").write_text("tokens", encoding="utf-8")
        (self.model / "model.safetensors").write_bytes(LARGE)
        (self.model / "pytorch_model.bin").write_bytes(b"not wanted")
        self.log, self.home, self._script, self._server = tmp_path / "log", tmp_path / "cache", script, None
        self.repo = self.home / "hub" / "models--own--model"
        self.start()

    def start(self) -> None:
        """Serve what the folder holds now."""
        self.stop()
        repos = ["own/model=%s" % self.model, "own/gated=%s,gated" % self.model]
        self._server = self._script.make_server("127.0.0.1", 0, repos, [TOKEN], str(self.log))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = "http://127.0.0.1:%d" % self._server.server_port
        self.commit = self._server.repos["own/model"].commit

    def stop(self) -> None:
        """Be a hub that is down."""
        if self._server:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def begin(self, fault: str = "", model: str = "own/model", refresh: bool = False, token: str = TOKEN):
        """Start a download."""
        models = [{"id": model, "revision": "", "load_format": "auto"}]
        environ = {
            **os.environ,
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": self.address + ("/fault/" + fault if fault else ""),
            "HF_TOKEN": token,
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        }
        arguments = json.dumps({"models": models, "refresh": refresh})
        return subprocess.Popen(
            [sys.executable, "-c", SOURCE, arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args, **more) -> tuple[int, list[dict], str]:
        """Download to the end; returns (exit status, events, standard error)."""
        process = self.begin(*args, **more)
        out, err = process.communicate(timeout=60)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def requests(self) -> list[dict]:
        """What was asked since the last call."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.write_text("", encoding="utf-8")
        return [json.loads(line) for line in lines]


@pytest.fixture
def hub(hub_script, tmp_path):
    """A running stand-in."""
    hub = Hub(hub_script, tmp_path)
    yield hub
    hub.stop()


def test_download(hub) -> None:
    """Everything that vLLM reads and no more, with the token; the branch is there at the end; then nothing to do."""
    status, events, err = hub.run()
    assert (status, err) == (0, "")
    assert [event["event"] for event in events][:2] == ["start", "progress"]
    total = len(LARGE) + 8
    assert events[1] == {"event": "progress", "x": 0, "y": total, "files": 0, "of": 3}
    assert events[-1] == {
        "event": "done",
        "warnings": [],
        "downloaded": total,
        "models": [{"id": "own/model", "revision": "", "commit": hub.commit, "bytes": total, "files": 3,
                    "downloaded": total}],
    }  # fmt: skip
    snapshot = hub.repo / "snapshots" / hub.commit
    assert (snapshot / "model.safetensors").read_bytes() == LARGE
    assert sorted(os.listdir(snapshot)) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (hub.repo / "refs" / "main").read_text(encoding="utf-8") == hub.commit
    assert all(request["authorization"] for request in hub.requests())
    status, events, _err = hub.run()
    assert (status, events[-1]["downloaded"], events[-1]["models"][0]["commit"]) == (0, 0, hub.commit)
    assert hub.requests() == []


def test_served_offline(hub) -> None:
    """The library itself, offline and asked for everything, takes the snapshot for whole."""
    hub.run()
    code = "import huggingface_hub as h; print(h.snapshot_download('own/model', local_files_only=True))"
    environ = {**os.environ, "HF_HOME": str(hub.home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(hub.repo / "snapshots" / hub.commit), done.stderr


def test_newer_commit(hub) -> None:
    """Asked for by refresh only; the files that are the same are not downloaded again."""
    hub.run()
    (hub.model / "config.json").write_text('{"new": 1}', encoding="utf-8")
    hub.start()
    assert hub.run()[1][-1]["downloaded"] == 0
    hub.requests()
    status, events, _err = hub.run(refresh=True)
    assert (status, events[-1]["downloaded"]) == (0, 10)
    assert (hub.repo / "refs" / "main").read_text(encoding="utf-8") == hub.commit
    gets = [
        request["path"] for request in hub.requests() if request["method"] == "GET" and "resolve" in request["path"]
    ]
    assert [path.rpartition("/")[2] for path in gets] == ["config.json"]


def test_branch_moves_last(hub) -> None:
    """While a file of the new commit is missing, a service that restarts from the cache finds the old one."""
    hub.run()
    old = hub.commit
    (hub.model / "tokenizer.json").write_text("other tokens", encoding="utf-8")
    hub.start()
    assert hub.commit != old
    assert hub.run("status=403,match=tokenizer", refresh=True)[0] == 1
    assert (hub.repo / "refs" / "main").read_text(encoding="utf-8") == old
    assert weights_download.recorded(str(hub.repo.parent), MODEL)["commit"] == old


def test_killed_and_gone_on(hub) -> None:
    """After SIGKILL the next run goes on where it stopped, and the branch never pointed to half a model."""
    process = hub.begin("rate=12000000,match=safetensors")
    partial = hub.repo / "blobs" / (hashlib.sha256(LARGE).hexdigest() + ".incomplete")
    end = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < end, "nothing was written"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = partial.stat().st_size
    assert 0 < there < len(LARGE)
    assert not (hub.repo / "refs").exists()
    hub.requests()
    status, events, _err = hub.run()
    assert (status, events[1]["x"]) == (0, there)
    assert events[-1]["downloaded"] == len(LARGE) + 8 - there
    ranges = [request["range"] for request in hub.requests() if request["range"]]
    assert ranges == ["bytes=%d-" % there]
    assert (hub.repo / "snapshots" / hub.commit / "model.safetensors").read_bytes() == LARGE


@pytest.mark.parametrize("fault", ["", "no_range=1"])
def test_wrong_part_is_fetched_anew(fault, hub) -> None:
    """A part that is not of this file, or a server that knows no ranges, gives the right file all the same."""
    blob = hub.repo / "blobs" / (hashlib.sha256(LARGE).hexdigest() + ".incomplete")
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * 1000)
    assert hub.run(fault)[0] == 0
    assert (hub.repo / "snapshots" / hub.commit / "model.safetensors").read_bytes() == LARGE


def test_breaks_off(hub) -> None:
    """A connection that breaks: it goes on in the same run. Some older huggingface_hubs leave that to the watch."""
    assert hub.run("cut_after=11000000,match=safetensors")[0] == 0
    assert len([request for request in hub.requests() if request["range"]]) >= 1


@pytest.mark.parametrize(
    ("how", "text"),
    [
        pytest.param({"fault": "status=500"}, "500", id="500"),
        pytest.param({"fault": "status=429"}, "429", id="429"),
        pytest.param({"token": "hf_wrong0000000000"}, "Invalid credentials in Authorization header", id="401"),
        pytest.param({"model": "own/gated"}, "GatedRepoError", id="403"),
        pytest.param({"model": "own/none"}, "RepositoryNotFoundError", id="404"),
    ],
)
def test_refused(how, text, hub) -> None:
    """The hub's refusal is in the text, the token is not; nothing points to half a model."""
    status, events, err = hub.run(**how)
    assert status == 1
    assert "Traceback" in err
    assert text in err
    assert "hf_" not in err.replace("hf_hub", "").replace("hf_api", "").replace("hf_raise", "")
    assert events[-1]["event"] != "done"
    assert not (hub.repo / "refs").exists()


def test_hub_down(hub) -> None:
    """What is complete is used, with a warning, whether this or another program downloaded it; what is not fails."""
    hub.run()
    hub.stop()
    (hub.repo / weights_download.RECORD).unlink()
    status, events, _err = hub.run()
    assert status == 0
    assert "own/model: the hub could not be asked (" in events[-1]["warnings"][0]
    assert events[-1]["models"][0]["commit"] == hub.commit
    status, _events, err = hub.run(model="own/gated")
    assert status == 1
    assert "Connect" in err
