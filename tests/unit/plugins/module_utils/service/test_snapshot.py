# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report takes from Docker, vLLM and the releases."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.hub import cache as hub_cache
from ansible_collections.myia.vllm.plugins.module_utils.service import releases
from ansible_collections.myia.vllm.plugins.module_utils.service import snapshot as service_snapshot

#: As vLLM 0.32 on a CPU writes it, the labels that do not count left out.
METRICS = (
    "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
    "# TYPE vllm:cache_config_info gauge\n"
    'vllm:cache_config_info{block_size="128",cache_dtype="auto",engine="0",kv_cache_max_concurrency="1024.0",'
    'kv_cache_size_tokens="2097152",num_gpu_blocks="16384",num_gpu_blocks_override="None"} 1.0\n'
    'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0\n'
)
#: As older releases write it, which have no label for the tokens.
OLDER = 'vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="%s"} 1.0\n'


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        (METRICS, {"tokens": 2097152, "blocks": 16384, "block_size": 128}),
        (OLDER % 9894, {"tokens": 158304, "blocks": 9894, "block_size": 16}),
        (OLDER % None, {"tokens": 0, "blocks": 0, "block_size": 16}),
        # of several engines the smallest decides
        (OLDER % 100 + OLDER % 90, {"tokens": 1440, "blocks": 90, "block_size": 16}),
        ("", {"tokens": 0, "blocks": 0, "block_size": 0}),
        ("<html>", {"tokens": 0, "blocks": 0, "block_size": 0}),
    ],
)  # fmt: skip
def test_kv_cache(metrics, found) -> None:
    """Tokens, as vLLM says them or from its blocks."""
    assert service_snapshot.kv_cache(metrics) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("1.5GiB / 31.2GiB", 1610612736), ("512MiB / 1GiB", 536870912), ("0B / 0B", 0), ("", 0), ("-- / --", 0),
     ("812.3KiB / 2GiB", 831795)],
)  # fmt: skip
def test_memory_bytes(text, found) -> None:
    """As docker stats writes it."""
    assert service_snapshot.memory_bytes(text) == found


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", "no json", "null"])
def test_first_of_nothing(text) -> None:
    """No answer is an empty one."""
    assert service_snapshot.first(text) == {}


def test_image() -> None:
    """Of its variables only CUDA_VERSION."""
    found = service_snapshot.image({
        "Id": "sha256:1", "RepoDigests": ["vllm/vllm-openai@sha256:2"], "Created": "2026-01-01T00:00:00Z", "Size": 5,
        "Config": {"Env": ["PATH=/bin", "CUDA_VERSION=13.0.1", "SECRET=PLANTED"]},
    })  # fmt: skip
    assert found == {
        "id": "sha256:1", "digests": ["vllm/vllm-openai@sha256:2"], "created": "2026-01-01T00:00:00Z", "size_bytes": 5,
        "cuda_version": "13.0.1",
    }  # fmt: skip
    assert service_snapshot.image({}) == service_snapshot.EMPTY["image"]


def test_container() -> None:
    """None of its variables."""
    found = service_snapshot.container({
        "Id": "ab", "Name": "/vllm", "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
        "RestartCount": 2, "HostConfig": {"RestartPolicy": {"Name": "no"}}, "Config": {"Env": ["TOKEN=PLANTED"]},
    }, 2**30)  # fmt: skip
    assert found == {
        "name": "vllm", "id": "ab", "state": "running", "started_at": "2026-01-01T00:00:00Z", "restart_count": 2,
        "restart_policy": "no", "memory_bytes": 2**30,
    }  # fmt: skip
    assert service_snapshot.container({}) == service_snapshot.EMPTY["container"]


@pytest.fixture
def service(tmp_path):
    """A service with a good release and one that failed."""
    service = releases.Service(str(tmp_path / "medium"))
    for second, about in ((1, {"good_since": "2026-01-01T00:10:00Z", "start": {"total_s": 9}}), (2, {})):
        staging = service.begin()
        service.write(staging, releases.DESCRIPTION, releases.describe({"image": "i", "unknown": "x", **about}))
        os.rename(staging, service.folder(releases.new_name("0123456789ab", second)))
    good, bad = service.names()
    service.switch(good)
    service.failed(bad, {"id": "first"})
    service.failed(bad, {"id": "last"})
    service.write(service.folder(bad), releases.FAILED_LOG, "log")
    return service


def test_kept_releases(service) -> None:
    """The newest first; the last failure and its log of one that failed."""
    good, bad = service.names()
    newer, older = service_snapshot.kept_releases(service.path)
    assert (newer["name"], newer["good"], newer["current"]) == (bad, False, False)
    assert newer["failure"] == {"id": "last"}
    assert newer["log"] == os.path.join(service.folder(bad), releases.FAILED_LOG)
    assert (older["name"], older["good"], older["current"], older["failure"], older["log"]) == (
        good,
        True,
        True,
        {},
        "",
    )
    assert older["start"] == {"total_s": 9}
    assert "unknown" not in json.dumps(newer)


def test_no_releases(tmp_path) -> None:
    """A host without the service."""
    assert service_snapshot.kept_releases(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("revision", "name", "text", "found"),
    [
        ("", "main", "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c\n", "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c"),
        ("v1", "v1", "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c", "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c"),
        ("", "main", "not a commit", ""),
        ("", "other", "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c", ""),
        ("0" * 40, "other", "", "0" * 40),
    ],
)
def test_model_commit(revision, name, text, found, tmp_path) -> None:
    """As the hub's cache notes it."""
    refs = tmp_path / "hub" / "models--Qwen--Qwen3" / "refs"
    refs.mkdir(parents=True)
    (refs / name).write_text(text, encoding="ascii")
    inspected = {"Mounts": [{"Destination": hub_cache.MOUNTED_AT[0], "Source": str(tmp_path)}]}
    assert service_snapshot.model_commit(inspected, "Qwen/Qwen3", revision) == found


def test_model_commit_without_a_cache(tmp_path, monkeypatch) -> None:
    """Nothing is read from where the module happens to run."""
    refs = tmp_path / "hub" / "models--m" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("0" * 40, encoding="ascii")
    monkeypatch.chdir(tmp_path)
    assert service_snapshot.model_commit({}, "m", "") == ""
