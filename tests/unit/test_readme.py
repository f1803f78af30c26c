# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md is read on Galaxy too, where nothing lies beside it, and its first screen says what runs."""

from __future__ import annotations

import pathlib
import re
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import docs_site  # noqa: E402 - needs the path above

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Targets of Markdown links and pictures; nested ones (badges) too.
TARGETS = re.findall(r"\]\(([^)\s]+)\)", README)
CODE = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_there_are_links() -> None:
    """The tests below look at something."""
    assert len(TARGETS) > 30
    assert README.count("![") > 5


def test_nothing_is_relative() -> None:
    """Galaxy and ansible-galaxy's page of an installed collection resolve relative ones against nothing."""
    assert [target for target in TARGETS if not target.startswith("https://")] == []
    assert not re.findall(r"""(?:href|src)=["'](?!https://)""", README)


@pytest.mark.parametrize("target", sorted({target for target in TARGETS if docs_site.REPOSITORY[8:] in target}))
def test_inside(target) -> None:
    """What leads into the repository is there; pictures come from where files are served as they are."""
    for start in (docs_site.FILES, docs_site.PICTURES):
        if target.startswith(start):
            path = ROOT / target.removeprefix(start).partition("#")[0]
            assert path.is_file()
            assert (path.suffix in {".svg", ".png"}) == (start == docs_site.PICTURES)
            return
    workflow = re.fullmatch(r".*/actions/workflows/(\w+\.yml)(?:/badge\.svg)?", target)
    assert workflow or target == docs_site.REPOSITORY + "/issues"
    assert not workflow or (ROOT / ".github" / "workflows" / workflow[1]).is_file()


def test_the_site_has_the_same_page() -> None:
    """There its links stay within the site, and nothing is asked of other servers."""
    page = docs_site.start_page(README)
    assert "badge" not in page
    assert docs_site.FILES not in page.replace("git+" + docs_site.REPOSITORY, "")
    assert docs_site.PICTURES not in page
    for target in re.findall(r"\]\((?!https://)([^)#\s]+)", page):
        assert (ROOT / target).exists(), target


def test_short() -> None:
    """Promise, picture, install, inventory, plan, deploy and an answer come before the first heading."""
    first = README.partition("\n## ")[0]
    assert len(first.splitlines()) < 65
    for words in (
        "ansible-galaxy collection install",
        "plan_medium",
        "deploy_medium",
        "curl",
        '"object":"list"',
        "![Terminal",
    ):
        assert words in first
    assert len(README.splitlines()) < 160


def test_the_inventory() -> None:
    """It is six lines of YAML, and what it sets exists."""
    (text,) = [text for kind, text in CODE if kind == "yaml"]
    assert len([line for line in text.splitlines() if not line.startswith("#")]) == 6
    (host,) = yaml.safe_load(text)["medium"]["hosts"].values()
    assert set(host) == {"ansible_host", "ansible_user", "vllm_profile"}
    profile = yaml.safe_load((ROOT / "roles/vllm/files/profiles" / (host["vllm_profile"] + ".yml")).read_text("utf-8"))
    # what the lines below the inventory say of it
    assert "127.0.0.1:%d/" % profile["service"]["vllm_port"] in README
    assert '"id":"%s"' % profile["model"]["vllm_served_model_name"] in README
    assert '"max_model_len":%d' % profile["model"]["vllm_max_model_len"] in README
    assert "%d GiB GPU" % profile["gpu_memory_gib"] in text


def test_playbooks_exist() -> None:
    """By their full names, as they are called where the collection is installed."""
    names = re.findall(r"myia\.vllm\.(\w+)", "".join(text for kind, text in CODE if kind == "sh"))
    assert {"plan_medium", "deploy_medium"} <= set(names)
    assert all((ROOT / "playbooks" / (name + ".yml")).exists() for name in names)


def test_versions_agree() -> None:
    """Badges and table name what the gates run and what the tables of options have."""
    cores = re.findall(r"^(\d+\.\d+)\.\S+ ", (ROOT / "tests/gates/cores.txt").read_text("utf-8"), re.MULTILINE)
    assert "ansible-core %s to %s]" % (cores[0], cores[-1]) in README
    assert all(core in README.partition("| controllers |")[2].partition("\n")[0] for core in cores)
    table = (ROOT / "docs/upgrading.md").read_text("utf-8")
    newest = re.search(r"0\.11\.0 to (\d+\.\d+\.\d+)", table)[1]
    assert "0.11.0 to %s are known" % newest in README


def test_a_hundred_failures() -> None:
    """More of them are known than the first screen says."""
    catalogue = (ROOT / "plugins/plugin_utils/startup/failures.yml").read_text("utf-8")
    assert "more than a hundred" in README
    assert catalogue.count("\n  - id: ") > 100
