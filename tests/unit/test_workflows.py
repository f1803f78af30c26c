# SPDX-License-Identifier: GPL-3.0-or-later
"""GitHub's workflows run what this repository has, and may do no more than they need. `make lint` runs actionlint."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(name: str) -> dict:
    """Parse a workflow."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))


def own_jobs(workflow: dict) -> dict[str, dict]:
    """The jobs that are no call of another workflow, which has its own limits."""
    return {name: job for name, job in workflow["jobs"].items() if "uses" not in job}


def triggers(name: str) -> dict:
    """What starts a workflow."""
    return load(name)["on"]


def supported() -> dict[str, tuple[str, str]]:
    """The oldest and the newest Python of each supported ansible-core, by minor version."""
    text = (ROOT / "tests" / "gates" / "cores.txt").read_text(encoding="utf-8")
    return {core: (old, new) for core, old, new in re.findall(r"^(\d+\.\d+)\.\S+ (\S+) (\S+)$", text, re.MULTILINE)}


def minor(version: str) -> int:
    """The number after the first point: 13 of 3.13."""
    return int(version.partition(".")[2])


def test_there_are_workflows() -> None:
    """The tests below look at something."""
    assert [path.name for path in WORKFLOWS] == ["lint.yml", "molecule.yml", "release.yml", "units.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path) -> None:
    """By the hash of a commit, with the version in a comment: a tag can be moved."""
    used = re.findall(r"uses:.*", path.read_text(encoding="utf-8"))
    assert used
    for line in used:
        if line.startswith("uses: ./"):
            assert (ROOT / line.removeprefix("uses: ")).is_file(), line
            continue
        assert re.fullmatch(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_limits(path) -> None:
    """The token reads only, each job has a time limit, runs of the same branch do not pile up."""
    workflow = load(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in own_jobs(workflow).items():
        assert 0 < job["timeout-minutes"] <= 90, name
        assert "permissions" not in job, name
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts), name


def test_scenarios() -> None:
    """Each Molecule scenario has its job."""
    matrix = load("molecule.yml")["jobs"]["scenario"]["strategy"]["matrix"]
    assert matrix == {"scenario": sorted({path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - {"gpu"})}


def test_cores() -> None:
    """Each supported ansible-core has its job, with a Python that it runs on."""
    matrix = load("units.yml")["jobs"]["gates"]["strategy"]["matrix"]["include"]
    assert [item["core"] for item in matrix] == list(supported())
    for item in matrix:
        oldest, newest = supported()[item["core"]]
        assert minor(oldest) <= minor(item["python"]) <= minor(newest), item


def test_cores_agree() -> None:
    """cores.txt begins with what meta/runtime.yml asks for, which everything else here runs on, and leaves out none."""
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["requires_ansible"] == ">=%s.0" % next(iter(supported()))
    (pin,) = re.findall(
        r"^ansible-core==(\S+)$", (ROOT / "requirements-test.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    cores = (ROOT / "tests" / "gates" / "cores.txt").read_text(encoding="utf-8")
    assert re.findall(r"^(\d\S+) ", cores, re.MULTILINE)[0] == pin
    minors = [minor(core) for core in supported()]
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_only_the_release_sees_the_key() -> None:
    """One step, in a job whose environment can ask for an approval, and after everything was checked."""
    found = [path.name for path in WORKFLOWS if "secrets." in path.read_text(encoding="utf-8")]
    assert found == ["release.yml"]
    jobs = load("release.yml")["jobs"]
    own = own_jobs(load("release.yml"))
    holders = [(name, step["name"]) for name, job in own.items() for step in job["steps"] if "secrets." in str(step)]
    assert holders == [("publish", "Publish")]
    assert jobs["publish"]["environment"] == "release"
    assert sorted(jobs["publish"]["needs"]) == sorted(set(jobs) - {"publish"})
    assert any("tools/release_check.py" in step.get("run", "") for step in jobs["build"]["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_exist(path) -> None:
    """What a workflow calls is here: targets of make, programs in tools, tests."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for job in own_jobs(load(path.name)).values():
        for command in (step.get("run", "") for step in job["steps"]):
            assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= set(targets)
            for name in re.findall(r"(?<![\w/.])(?:tools|tests)/[\w./]+", command):
                assert (ROOT / name).exists(), name
            for kind in re.findall(r"tools/bootstrap (\w+)", command):
                assert "\n    %s) " % kind in (ROOT / "tools" / "bootstrap").read_text(encoding="utf-8"), kind


def test_each_week() -> None:
    """What tests a commit runs without one too, on different times, since others' releases break things as well."""
    times = []
    for path in WORKFLOWS:
        if path.name != "release.yml":
            assert {"push", "pull_request", "schedule"} <= set(triggers(path.name)), path.name
            times += [item["cron"] for item in triggers(path.name)["schedule"]]
    assert len(set(times)) == len(times) == len(WORKFLOWS) - 1
    # every day, or one day of the week; a day of the month or a month would be more seldom
    assert all(re.fullmatch(r"\d+ \d+ \* \* [0-7*]", cron) for cron in times), times


def test_the_release_is_tested() -> None:
    """The tagged commit passes the linters, units, and sanity with each ansible-core, as every pull request does."""
    called = {job["uses"].rpartition("/")[2] for job in load("release.yml")["jobs"].values() if "uses" in job}
    assert called == {"lint.yml", "units.yml"}
    assert all("workflow_call" in triggers(name) for name in called)
    commands = [step.get("run", "") for step in load("units.yml")["jobs"]["gates"]["steps"]]
    assert any("tests/gates/test_sanity.py" in command for command in commands)
