# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the controller's disk."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import pathlib
import stat

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files
from ansible_collections.myia.vllm.plugins.plugin_utils.report import index as report_index


@pytest.fixture
def document(report_cases):
    """A document, with changes to its head."""
    built = report_document.build(*report_cases.case("failed_unseen"), [])
    return lambda **head: {**built, **head}


def test_layout(document, tmp_path) -> None:
    """Three forms in a folder that others may read, and the list beside the hosts."""
    folder = report_files.write(str(tmp_path), document(), 50)
    assert folder == tmp_path / "reports" / "gpu01" / "medium" / "20260131T121455Z"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json", "report.md"]
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["host"] == "gpu01"
    mode = stat.S_IMODE(folder.stat().st_mode)
    assert mode & 0o700 == 0o700
    assert mode == 0o777 & ~report_files._umask()
    listed = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert 'href="gpu01/medium/20260131T121455Z/index.html"' in listed


def test_same_second(document, tmp_path) -> None:
    """Neither overwrites the other, and the second is the newer one."""
    names = [report_files.write(str(tmp_path), document(), 50).name for _ in range(3)]
    assert names == ["20260131T121455Z", "20260131T121455Z-2", "20260131T121455Z-3"]


@pytest.mark.parametrize(("keep", "left"), [(2, ["20260103T000000Z", "20260104T000000Z"]), (0, 4), (50, 4), (1, 1)])
def test_prune(keep, left, document, tmp_path) -> None:
    """The oldest go; other services and what is no report stay."""
    other = report_files.write(str(tmp_path), document(service="mini"), keep)
    service = other.parent.parent / "medium"
    service.mkdir()
    (service / "notes.txt").write_text("mine", encoding="utf-8")
    for day in range(1, 5):
        report_files.write(str(tmp_path), document(at="2026-01-%02dT00:00:00Z" % day), keep)
    found = [path.name for path in report_index.reports_of(service)]
    assert found == left if isinstance(left, list) else len(found) == left
    assert (service / "notes.txt").exists()
    assert other.exists()


def test_leftover_of_a_run_that_was_killed(document, tmp_path) -> None:
    """It is swept, and never listed."""
    service = report_files.write(str(tmp_path), document(), 50).parent
    (service / ".stagingx").mkdir()
    (service / ".stagingx" / "report.json").write_text("{", encoding="utf-8")
    report_files.write(str(tmp_path), document(), 50)
    assert sorted(path.name for path in service.iterdir()) == ["20260131T121455Z", "20260131T121455Z-2"]


@pytest.mark.parametrize("part", ["as_html", "as_markdown", "as_json"])
def test_complete_or_not_there(part, document, tmp_path, monkeypatch) -> None:
    """A form that cannot be written leaves nothing behind."""

    def broken(_document):
        raise OSError("no space left on device")

    monkeypatch.setattr(report_files.report_render, part, broken)
    with pytest.raises(OSError, match="no space"):
        report_files.write(str(tmp_path), document(), 50)
    assert list((tmp_path / "reports" / "gpu01" / "medium").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [("gpu01", "gpu01"), ("../../etc", "_.._etc"), ("..", "_"), ("", "_"), ("a b/c", "a_b_c"), (".hidden", "hidden"),
     ("gpu-01.example.org", "gpu-01.example.org")],
)  # fmt: skip
def test_folder_name(text, name) -> None:
    """A name never leads out of its parent."""
    assert report_files.folder_name(text) == name


def write_some(folder: str, document: dict, count: int) -> None:
    """Write several reports, as one host of a play would."""
    for _ in range(count):
        report_files.write(folder, document, 3)


def test_several_hosts_at_a_time(document, tmp_path) -> None:
    """Nothing is lost, and the list is complete when all are through."""
    context = multiprocessing.get_context("fork")
    hosts = ["gpu%02d" % number for number in range(6)]
    workers = [context.Process(target=write_some, args=(str(tmp_path), document(host=host), 5)) for host in hosts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    found = report_index.entries(tmp_path / "reports")
    assert sorted(entry["host"] for entry in found) == sorted(hosts * 3)
    listed = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert all(entry["path"] in listed for entry in found)
    assert not [path for path in (tmp_path / "reports").rglob("*") if ".staging" in path.name or path.suffix == ".new"]


def test_lock_is_held(document, tmp_path, monkeypatch) -> None:
    """While the forms are written, pruned and listed nobody else does."""
    seen = []

    def watched(operation):
        def run(*arguments):
            with (tmp_path / "reports" / ".lock").open() as handle, pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(operation.__name__)
            return operation(*arguments)

        return run

    for place, name in ((report_files.report_render, "as_html"), (report_files, "prune"), (report_index, "entries")):
        monkeypatch.setattr(place, name, watched(getattr(place, name)))
    report_files.write(str(tmp_path), document(), 50)
    assert seen == ["as_html", "prune", "entries"]


def test_folder_that_may_not_be_written(document, tmp_path) -> None:
    """The caller is told."""
    (tmp_path / "reports").write_text("a file", encoding="utf-8")
    with pytest.raises(OSError):
        report_files.write(str(tmp_path), document(), 50)


def test_relative_folder(document, tmp_path, monkeypatch) -> None:
    """From where Ansible was started, and the answer is absolute."""
    monkeypatch.chdir(tmp_path)
    assert report_files.write("x", document(), 50).is_relative_to(tmp_path / "x")
    assert isinstance(report_files.write(".", document(), 50), pathlib.Path)
