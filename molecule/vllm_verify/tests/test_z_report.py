# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of real runs, opened in headless Chromium: the other tests here have left some of each kind."""

from __future__ import annotations

import json
import re
import tarfile

import browser
import pytest

from .conftest import REPORTS

SECTIONS = (
    "access", "changes", "plan", "start", "gpu", "endpoints", "functional", "benchmark", "failure", "rollback",
    "versions",
)  # fmt: skip
PLANTED = b"PLANTED"
#: Folder of the scenario's own service; other tests have deployed more on its host.
SERVICE = "verify-trixie/medium"


@pytest.fixture(scope="module")
def page():
    """One Chromium for all pages."""
    with browser.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def documents() -> dict[str, list]:
    """What was written up to now of the service of the scenario, by verdict: (folder, document), the newest last."""
    found: dict[str, list] = {}
    for path in sorted((REPORTS / SERVICE).glob("*/report.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(document["verdict"]["id"], []).append((path.parent, document))
    return found


@pytest.mark.full
def test_runs_of_all_kinds(documents) -> None:
    """The tests before these have led to every verdict that the next test shall see."""
    assert {"deployed", "failed_went_back", "verification_failed", "benchmark_failed"} <= set(documents)


def test_every_page(page, documents) -> None:
    """Whatever became of the run, its page is whole, complains about nothing and asks nobody for anything."""
    assert {"deployed", "benchmark_failed"} <= set(documents)
    for verdict, reports in documents.items():
        folder, document = reports[-1]
        page.open(folder / "index.html")
        browser.assert_report(page, SECTIONS)
        (title,) = page.texts("h1")
        assert document["verdict"]["title"] in title
        page.screenshot("molecule-%s.png" % verdict)
        page.open(folder / "index.html", size=browser.PHONE)
        assert page.overflow() <= 0


def test_deployment(page, documents) -> None:
    """The page of the first deployment has what was deployed, how it started, what was checked and measured."""
    folder, document = documents["deployed"][0]
    page.open(folder / "index.html")
    assert "tiny-qwen3" in page.texts("#access")[0]
    assert document["start"]["total_s"] > 0
    assert document["start"]["phases"][0]["phase"] == "container_up"
    assert document["functional"]["counts"]["passed"] == 8
    assert document["versions"]["vllm"].startswith("0.32.0")
    assert document["versions"]["image_id"].startswith("sha256:")
    assert document["plan"]["rows"][0]["reported"] > 0
    assert document["benchmark"]["runs"][0]["completed"] == 10
    # a plot, with a name for those who do not see it
    assert page.run(
        "return document.querySelectorAll('#benchmark svg[role=img][aria-label], #benchmark svg title').length"
    )
    assert document["standins"] is False


@pytest.mark.full
def test_failed_run(page, documents) -> None:
    """A model with other answers: what failed, with what was seen, and what serves now."""
    folder, document = documents["failed_went_back"][-1]
    page.open(folder / "index.html")
    assert "lacks 'Paris'" in page.texts("#functional")[0]
    assert document["failure"]["message"]
    assert "lacks 'Paris'" in (folder / "report.md").read_text(encoding="utf-8")


def test_index_lists_all(page, documents) -> None:
    """Newest first; every entry leads to a page that is there."""
    page.open(REPORTS / "index.html")
    assert not page.complaints()
    assert not [url for url in page.requests() if not url.startswith(("file:", "data:"))]
    links = page.run("return [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))")
    pages = [link for link in links if link.endswith("/index.html")]
    assert len([link for link in pages if link.startswith(SERVICE)]) == sum(map(len, documents.values()))
    assert all((REPORTS / link).is_file() for link in pages)
    stamps = [re.search(r"\d{8}T\d{6}Z", link)[0] for link in pages]
    assert stamps == sorted(stamps, reverse=True)
    assert page.overflow() <= 0
    page.screenshot("molecule-index.png")


def test_summary_for_automation(reported) -> None:
    """AWX reads the artefacts of a job from set_stats."""
    run = reported("--check", env={"ANSIBLE_SHOW_CUSTOM_STATS": "true"})
    assert run.status == 0, run.output
    assert run.document["check_mode"] is True
    stats = run.output[run.output.index("CUSTOM STATS") :]
    assert "vllm_reports" in stats
    assert "verify-trixie" in stats
    assert str(run.folder) in "".join(stats.split())


def test_folder_that_cannot_be_written(play, tmp_path) -> None:
    """A by-product must not fail a deployment."""
    (tmp_path / "reports").write_text("in the way", encoding="utf-8")
    run = play("-e", json.dumps({"vllm_report_dir": str(tmp_path)}), playbook="deploy_medium.yml")
    assert run.status == 0, run.output
    assert "could not be written" in run.flat


def test_old_reports_go(reported) -> None:
    """The newest are kept, and the index knows only what is there."""
    run = reported("-e", "vllm_report_keep=3")
    kept = sorted(path.name for path in run.folder.parent.iterdir() if path.is_dir())
    assert len(kept) == 3
    assert kept[-1] == run.folder.name
    links = re.findall(r'href="([^"]+/index\.html)"', (REPORTS / "index.html").read_text(encoding="utf-8"))
    ours = [link for link in links if link.startswith(SERVICE)]
    assert ours == ["%s/%s/index.html" % (SERVICE, name) for name in kept[::-1]]
    # other services have their own number
    assert all((REPORTS / link).is_file() for link in links)


def test_no_secret_in_any_report() -> None:
    """All three forms of all runs."""
    files = {str(path): path.read_bytes() for path in REPORTS.rglob("*") if path.is_file()}
    for path in [path for path in files if path.endswith(".tar.gz")]:
        with tarfile.open(path) as tar:
            files.update({"%s:%s" % (path, name): tar.extractfile(name).read() for name in tar.getnames()})
    assert len(files) > 6
    assert not [path for path, content in files.items() if PLANTED in content]
