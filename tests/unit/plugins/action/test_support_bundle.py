# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin support_bundle: what it reads, what it writes, and that nothing leaks."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib
import tarfile

import pytest
from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.plugin_utils.common import anonymizer

KEY = "PLANTED-key-7c31e2"
PARTS = {
    "service/inspect.json": json.dumps([{"State": {"Status": "exited"}, "Config": {"Env": ["K=" + KEY]}}]),
    "service/log.txt": "asked by gpu01 at 10.9.8.7: Authorization: Bearer %s\n" % KEY,
    "host/kernel.log": "gpu01.corp.lan kernel: NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.\n",
}  # fmt: skip


@pytest.fixture
def run(action, monkeypatch, tmp_path):
    """Run the plugin on a host that answers with ``parts``."""

    def call(parts: dict = PARTS, answer: dict | None = None, **args) -> dict:
        given = {"container": "c", "url": "http://127.0.0.1:5002", "folder": "/opt/vllm/medium", "dir": str(tmp_path)}
        plugin = action("support_bundle", args={**given, **args})
        packed = base64.b64encode(gzip.compress(json.dumps(parts).encode())).decode()
        said = answer or {"content_gz": packed, "names": ["gpu01.corp.lan"], "users": ["alice"]}
        monkeypatch.setattr(plugin, "_execute_module", lambda **_more: dict(said))
        task_vars = {
            "inventory_hostname": "gpu01",
            "groups": {"all": ["gpu01", "gpu02"]},
            "vllm_api_key": KEY,
            "vllm_definition": {
                "name": "medium",
                "model": "Qwen/Qwen3-8B",
                "sources": {"x": {"value": KEY, "from": "you"}},
            },
        }
        return plugin.run(task_vars=task_vars)

    return call


def test_findings_and_archive(run, tmp_path) -> None:
    """The worst comes first, the archive says what is in it, and nobody can tell of whom it is."""
    result = run()
    assert (result["changed"], result.get("failed"), result["left_out"]) == (False, None, [])
    assert [item["id"] for item in result["findings"]][:2] == ["not_running", "kernel_xid_79"]
    path = pathlib.Path(result["path"])
    assert path.parent == tmp_path / "reports" / "support"
    with tarfile.open(path) as tar:
        texts = {name.partition("/")[2]: tar.extractfile(name).read().decode() for name in tar.getnames()}
    assert sorted(texts) == result["files"]
    assert {"CONTENTS.md", "findings.md", "findings.json", "about.json", "service/log.txt"} <= set(texts)
    whole = "\n".join(texts.values())
    assert not [word for word in (KEY, "gpu01", "10.9.8.7", "corp.lan") if word in whole]
    assert "Qwen/Qwen3-8B" in texts["about.json"]
    for name in set(texts) - {"CONTENTS.md"}:
        assert name in texts["CONTENTS.md"]
    assert not [line for line in result["text"][:-1] if "gpu01" in line]
    assert str(path) in result["text"][-1]


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    assert set(run()) - {"changed"} == set(documentation("support_bundle", "RETURN"))


def test_a_folder_that_cannot_be_written(run, tmp_path) -> None:
    """It is a warning: the findings are there all the same."""
    (tmp_path / "reports").write_text("no folder")
    result = run()
    assert result["path"] == "" and "vllm_report_dir" in result["warnings"][0] and result["findings"]


def test_what_still_shows_a_secret_is_left_out(run, monkeypatch) -> None:
    """The last look is another one than the replacing."""
    monkeypatch.setattr(anonymizer.Anonymizer, "text", lambda self, text: text)
    result = run()
    assert "service/log.txt" in result["left_out"] and "service/log.txt" not in result["files"]


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "no"}, {"unreachable": True, "msg": "gone"}])
def test_a_host_that_does_not_answer(run, answer) -> None:
    result = run(answer=answer)
    assert {key: result[key] for key in answer} == answer and "findings" not in result


def test_a_wrong_catalogue(run) -> None:
    with pytest.raises(AnsibleError, match=r"id"):
        run(extra_failures=[{"nonsense": 1}])
