# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in hub: what clients of the real one rely on, its refusals, and its faults."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time

import pytest

WEIGHTS = bytes(range(256)) * 400


@pytest.fixture
def serve(hub_script, tmp_path):
    """Run the stand-in with one folder as an open, a gated and a private repository; returns (get, log, faults)."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "sub" / "model.safetensors").write_bytes(WEIGHTS)
    log, faults = tmp_path / "log.jsonl", tmp_path / "faults.json"
    repos = ["own/open=%s", "own/gated=%s,gated=hf_granted", "own/closed=%s,gated", "own/private=%s,private"]
    server = hub_script.make_server(
        "127.0.0.1", 0, [text % folder for text in repos], ["hf_good", "hf_granted"], str(log), str(faults)
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def get(path: str, token: str = "", method: str = "GET", **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        if token:
            headers["Authorization"] = "Bearer " + token
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    yield get, log, faults
    server.shutdown()
    thread.join()
    server.server_close()


def test_model_and_tree(serve) -> None:
    """Sizes and hashes as the hub gives them: SHA-256 of weights, git's own of small files."""
    get, _log, _faults = serve
    model = json.loads(get("/api/models/own/open?blobs=true")[2])
    small, large = model["siblings"]
    assert small == {"rfilename": "config.json", "size": 2, "blobId": "9e26dfeeb6e641a33dae4961196235bdb965b21b"}
    assert large["lfs"] == {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "size": len(WEIGHTS), "pointerSize": 134}
    assert len(model["sha"]) == 40
    assert "size" not in json.loads(get("/api/models/own/open")[2])["siblings"][0]
    tree = json.loads(get("/api/models/own/open/tree/%s?recursive=true" % model["sha"])[2])
    assert [row["path"] for row in tree] == ["config.json", "sub/model.safetensors"]


def test_files_and_ranges(serve) -> None:
    """Whole, from somewhere on, and beyond the end; HEAD says the same without the bytes."""
    get, _log, _faults = serve
    path = "/own/open/resolve/main/sub/model.safetensors"
    status, headers, body = get(path)
    assert (status, body) == (200, WEIGHTS)
    assert headers["ETag"] == '"%s"' % hashlib.sha256(WEIGHTS).hexdigest()
    assert len(headers["X-Repo-Commit"]) == 40
    status, headers, body = get(path, Range="bytes=100-")
    assert (status, body, headers["Content-Range"]) == (206, WEIGHTS[100:], "bytes 100-102399/102400")
    assert get(path, Range="bytes=5-9")[2] == WEIGHTS[5:10]
    assert get(path, Range="bytes=102400-")[0] == 416
    status, headers, body = get(path, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "102400", b"")


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/api/models/own/none", "", 401, "RepoNotFound"),
        ("/api/models/own/none", "hf_good", 404, "RepoNotFound"),
        ("/api/models/own/private", "", 401, "RepoNotFound"),
        ("/api/models/own/private", "hf_good", 200, None),
        ("/api/models/own/open", "hf_bad", 401, None),
        ("/api/models/own/gated", "", 200, None),
        ("/own/gated/resolve/main/config.json", "", 401, "GatedRepo"),
        ("/own/gated/resolve/main/config.json", "hf_good", 403, "GatedRepo"),
        ("/own/gated/resolve/main/config.json", "hf_granted", 200, None),
        ("/own/closed/resolve/main/config.json", "hf_granted", 403, "GatedRepo"),
        ("/api/models/own/open/revision/v9", "", 404, "RevisionNotFound"),
        ("/own/open/resolve/v9/config.json", "", 404, "RevisionNotFound"),
        ("/own/open/resolve/main/none.json", "", 404, "EntryNotFound"),
        ("/nonsense", "", 404, None),
    ],
)
def test_refusals(path, token, status, code, serve) -> None:
    """Status and X-Error-Code, by which huggingface_hub tells them apart."""
    answer = serve[0](path, token)
    assert (answer[0], answer[1].get("X-Error-Code")) == (status, code)


def test_faults(serve) -> None:
    """By the file, for as many times as it says, and by the address."""
    get, _log, faults = serve
    faults.write_text(json.dumps([{"match": "api", "status": 429, "times": 2, "retry_after": 7}]), encoding="utf-8")
    answers = [get("/api/models/own/open") for _ in range(3)]
    assert [answer[0] for answer in answers] == [429, 429, 200]
    assert answers[0][1]["Retry-After"] == "7"
    faults.unlink()
    assert get("/fault/status=503,match=resolve/own/open/resolve/main/config.json")[0] == 503
    assert get("/fault/status=503,match=resolve/api/models/own/open")[0] == 200
    path = "/own/open/resolve/main/sub/model.safetensors"
    with pytest.raises(http.client.IncompleteRead) as broken:
        get("/fault/cut_after=50000" + path)
    assert broken.value.partial == WEIGHTS[:50000]
    assert get("/fault/no_range=1" + path, Range="bytes=100-")[0] == 200
    began = time.monotonic()
    get("/fault/rate=200000" + path)
    get("/fault/delay_s=0.2" + path)
    assert time.monotonic() - began > 0.6


def test_log(serve) -> None:
    """Each request, with whether it carried a token and never which."""
    get, log, _faults = serve
    get("/api/models/own/open", "hf_good")
    get("/own/open/resolve/main/config.json", Range="bytes=1-")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(line["method"], line["status"], line["authorization"], line["range"]) for line in lines] == [
        ("GET", 200, True, ""),
        ("GET", 206, False, "bytes=1-"),
    ]
    assert "hf_good" not in log.read_text(encoding="utf-8")
