# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's configuration and size, from folders and from a real HTTP server that answers as the hub does."""

from __future__ import annotations

import base64
import http.server
import json
import pathlib
import socket
import threading
from typing import ClassVar

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.hub import model_source

CONFIG = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
#: What the hub answers for a repository: (status, X-Error-Code).
REFUSALS = {
    "org/private": (401, "RepoNotFound"),
    "org/gated-no-token": (401, "GatedRepo"),
    "org/gated": (403, "GatedRepo"),
    "org/gone": (404, "RepoNotFound"),
    "org/no-config": (404, "EntryNotFound"),
    "org/broken": (503, ""),
}


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub: refusals by name, else config.json and the files' sizes."""

    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        """Answer one request."""
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        for name, (status, code) in REFUSALS.items():
            if "/%s/" % name in self.path:
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.end_headers()
                return
        if "org/moved" in self.path and "cache" not in self.path:
            self.send_response(307)
            self.send_header("Location", "/cache" + self.path)
            self.end_headers()
            return
        if "org/elsewhere" in self.path and self.headers["Host"].startswith("127.0.0.1"):
            self.send_response(302)
            self.send_header("Location", "http://localhost:%d%s" % (self.server.server_port, self.path))
            self.end_headers()
            return
        if "org/leads-home" in self.path:
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        if "org/circle" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        body = {"siblings": [{"rfilename": "model-1.safetensors", "size": 700}, {"rfilename": "README.md", "size": 9}]}
        if self.path.endswith("config.json"):
            body = CONFIG if "org/text" not in self.path else []
        elif "org/files-only" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_args) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def hub():
    """Address of the server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield "http://127.0.0.1:%d" % server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch) -> None:
    """No proxy stands before the server of the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def folder(tmp_path: pathlib.Path):
    """Make a model folder of files with sizes, or with JSON contents."""

    def make(files: dict) -> str:
        for name, content in {"config.json": CONFIG, **files}.items():
            data = b"x" * content if isinstance(content, int) else json.dumps(content).encode()
            (tmp_path / name).write_bytes(data)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("files", "size", "source"),
    [
        pytest.param({"model.safetensors": 500}, 500, "files", id="one-file"),
        pytest.param({"model-1.safetensors": 500, "model-2.safetensors": 300}, 800, "files", id="shards"),
        pytest.param({"model-1.safetensors": 500, "consolidated.safetensors": 499}, 500, "files", id="not-twice"),
        pytest.param({"model-1.safetensors": 500, "adapter.safetensors": 3}, 500, "files", id="no-adapter"),
        pytest.param({"consolidated.safetensors": 499}, 499, "files", id="consolidated-only"),
        pytest.param({"pytorch_model.bin": 400, "tokenizer.json": 70}, 400, "files", id="pytorch"),
        pytest.param({"model.safetensors": 500, "pytorch_model.bin": 501}, 500, "files", id="safetensors-first"),
        pytest.param(
            {"model.safetensors.index.json": {"metadata": {"total_size": 777}}, "model-1.safetensors": 5},
            777,
            "index",
            id="index",
        ),
        pytest.param(
            {"model.safetensors.index.json": {}, "model-1.safetensors": 5}, 5, "files", id="index-without-size"
        ),
        pytest.param({}, None, "", id="no-weights"),
    ],
)
def test_local(files, size, source, folder) -> None:
    """The index's size, else the sizes of the files that vLLM loads."""
    path = folder(files)
    for model in (path, path + "/config.json"):
        found = model_source.read(model)
        assert (found["weights_bytes"], found["weights_source"]) == (size, source)
        assert found["config"] == {**CONFIG, "_name_or_path": model}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(None, "missing", id="missing"),
        pytest.param("{", "invalid", id="no-json"),
        pytest.param("[]", "invalid", id="list"),
    ],
)
def test_local_refused(content, kind, tmp_path) -> None:
    """A folder without a usable config.json is named."""
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(model_source.SourceError, match=r"config\.json") as caught:
        model_source.read(str(tmp_path))
    assert caught.value.kind == kind


def test_hub(hub) -> None:
    """Configuration, sizes, token and revision."""
    Hub.seen.clear()
    found = model_source.read("org/model", endpoint=hub + "/", token="hf_PLANTED", revision="refs/pr/1")
    assert found == {"config": {**CONFIG, "_name_or_path": "org/model"}, "weights_bytes": 700, "weights_source": "hub"}
    assert Hub.seen == [
        ("/org/model/resolve/refs%2Fpr%2F1/config.json", "Bearer hf_PLANTED"),
        ("/api/models/org/model/revision/refs%2Fpr%2F1?blobs=true", "Bearer hf_PLANTED"),
    ]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        pytest.param("org/moved", ["Bearer hf_PLANTED"] * 4, id="same-host"),
        pytest.param("org/elsewhere", ["Bearer hf_PLANTED", "", "Bearer hf_PLANTED", ""], id="other-host"),
    ],
)
def test_redirects(model, tokens, hub) -> None:
    """A redirect is followed, and takes the token along only on the same host."""
    Hub.seen.clear()
    assert model_source.read(model, endpoint=hub, token="hf_PLANTED")["weights_bytes"] == 700
    assert [token for _path, token in Hub.seen] == tokens


def test_hub_by_environment(hub, monkeypatch) -> None:
    """HF_ENDPOINT names the hub; a mirror without the API still gives the configuration."""
    monkeypatch.setenv("HF_ENDPOINT", hub)
    assert model_source.read("org/model")["weights_bytes"] == 700
    assert model_source.read("org/files-only") == {
        "config": {**CONFIG, "_name_or_path": "org/files-only"},
        "weights_bytes": None,
        "weights_source": "",
    }


@pytest.mark.parametrize(
    ("model", "token", "kind", "text"),
    [
        pytest.param("org/private", "", "unauthorized", "private or does not exist .HTTP 401., and no token", id="401"),
        pytest.param("org/private", "t", "unauthorized", "the token given is not valid", id="401-with-token"),
        pytest.param("org/gated-no-token", "", "unauthorized", "gated .HTTP 401., and no token", id="401-gated"),
        pytest.param("org/gated", "t", "gated", "has not been granted access", id="403"),
        pytest.param("org/gone", "t", "not_found", "the model is not on the hub", id="404"),
        pytest.param("org/no-config", "t", "missing", "the file config.json is not on the hub", id="404-file"),
        pytest.param("org/broken", "", "unreachable", "answers HTTP 503", id="503"),
        pytest.param("org/circle", "", "unreachable", "redirects without end", id="circle"),
        pytest.param("org/text", "", "invalid", "the JSON is no object", id="no-object"),
        pytest.param("not a model", "", "invalid", "neither an absolute path nor a Hugging Face id", id="no-id"),
        pytest.param("a/b/c", "", "invalid", "neither an absolute path", id="too-deep"),
    ],
)
def test_hub_refused(model, token, kind, text, hub) -> None:
    """Every refusal has its kind, and says what to do; the token is in no message."""
    with pytest.raises(model_source.SourceError, match=text) as caught:
        model_source.read(model, endpoint=hub, token=token and "hf_PLANTED")
    assert caught.value.kind == kind
    assert "PLANTED" not in str(caught.value)


def test_headers_are_handed_on(hub) -> None:
    """Of answers and of refusals, since the date in them tells about the clock."""
    dates = []
    model_source.hub_config("org/model", endpoint=hub, on_answer=lambda headers: dates.append(headers["Date"]))
    with pytest.raises(model_source.SourceError):
        model_source.hub_config("org/gone", endpoint=hub, on_answer=lambda headers: dates.append(headers["Date"]))
    assert [date[-3:] for date in dates] == ["GMT", "GMT"]


def test_redirect_to_a_file(hub) -> None:
    """A hub cannot have files of the host read."""
    with pytest.raises(model_source.SourceError, match=r"file:///etc/passwd is no address of a hub"):
        model_source.hub_config("org/leads-home", endpoint=hub)


def test_password_is_sent(hub) -> None:
    """The user name and password in HF_ENDPOINT, unless there is a token."""
    endpoint = hub.replace("http://", "http://user:pass%20word@")
    Hub.seen.clear()
    model_source.hub_config("org/model", endpoint=endpoint)
    assert Hub.seen[-1][1] == "Basic " + base64.b64encode(b"user:pass word").decode()
    model_source.hub_config("org/model", endpoint=endpoint, token="hf_PLANTED")
    assert Hub.seen[-1][1] == "Bearer hf_PLANTED"


@pytest.mark.parametrize("model", ["org/gone", "org/broken"])
def test_password_of_the_endpoint(model, hub) -> None:
    """A user name and password in HF_ENDPOINT are in no message."""
    endpoint = hub.replace("http://", "http://user:PLANTED@")
    with pytest.raises(model_source.SourceError, match=r"127\.0\.0\.1") as caught:
        model_source.hub_config(model, endpoint=endpoint)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    ("revision", "drop", "there"),
    [
        pytest.param("", "", True, id="main"),
        pytest.param("main", "", True, id="branch"),
        pytest.param("c0ffee", "", True, id="commit"),
        pytest.param("v2", "", False, id="other-revision"),
        pytest.param("", "snapshots/c0ffee/model.safetensors", False, id="no-weights"),
        pytest.param("", "snapshots/c0ffee/config.json", False, id="no-config"),
        pytest.param("", "+blobs/abc.incomplete", False, id="half-downloaded"),
    ],
)
def test_cached_folder(revision, drop, there, tmp_path) -> None:
    """What huggingface_hub downloaded in full is found by branch and by commit."""
    base = tmp_path / "hub" / "models--org--model"
    for name, text in {
        "refs/main": "c0ffee",
        "snapshots/c0ffee/config.json": json.dumps(CONFIG),
        "snapshots/c0ffee/model.safetensors": "x",
        "blobs/abc": "x",
    }.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text, encoding="utf-8")
    if drop.startswith("+"):
        (base / drop[1:]).write_text("", encoding="utf-8")
    elif drop:
        (base / drop).unlink()
    found = model_source.cached_folder(str(tmp_path), "org/model", revision)
    assert found == (str(base / "snapshots/c0ffee") if there else "")
    assert model_source.cached_folder(str(tmp_path / "none"), "org/model") == ""


@pytest.mark.parametrize("answer", [pytest.param(False, id="closed"), pytest.param(True, id="silent")])
def test_hub_unreachable(answer) -> None:
    """A port that nobody holds, and one that never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answer:
            server.listen()
        with pytest.raises(model_source.SourceError, match="does not answer") as caught:
            model_source.read("org/model", endpoint="http://127.0.0.1:%d" % server.getsockname()[1], timeout_s=0.3)
    assert caught.value.kind == "unreachable"


def test_adapter_config(tmp_path) -> None:
    """The rank of a folder's adapter, or of one that was downloaded, and why there is none."""
    (tmp_path / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
    assert model_source.adapter_config(str(tmp_path), "") == {"rank": 8, "error": None}
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert model_source.adapter_config(str(tmp_path), "") == {"rank": None, "error": None}
    missing = model_source.adapter_config(str(tmp_path / "nowhere"), "")["error"]
    assert (missing["kind"], "correct the source" in missing["text"]) == ("missing", True)
    repository = tmp_path / "hub" / "models--org--sql"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "adapter_config.json").write_text('{"r": 32}', encoding="utf-8")
    assert model_source.adapter_config("org/sql", str(tmp_path), query=False) == {"rank": 32, "error": None}
    unasked = model_source.adapter_config("org/other", str(tmp_path), query=False)
    assert unasked["error"]["kind"] == "unreachable"


def test_on_disk(tmp_path) -> None:
    """What lies there counts, not what an index says; a link into nothing is no file."""
    assert model_source.on_disk(str(tmp_path / "none")) == {"files_bytes": None, "missing_files": []}
    (tmp_path / "model-1.safetensors").write_bytes(b"1234")
    (tmp_path / "model-2.safetensors").symlink_to(tmp_path / "gone")
    index = {"metadata": {"total_size": 999}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert model_source.on_disk(str(tmp_path)) == {"files_bytes": 4, "missing_files": ["model-2.safetensors"]}
    (tmp_path / "gone").write_bytes(b"56")
    assert model_source.on_disk(str(tmp_path)) == {"files_bytes": 6, "missing_files": []}
    (tmp_path / "model.safetensors.index.json").write_text("{", encoding="utf-8")
    assert model_source.on_disk(str(tmp_path)) == {"files_bytes": 6, "missing_files": []}
