# SPDX-License-Identifier: GPL-3.0-or-later
"""The module nvidia_toolkit_info, run as a program; on real hosts it is tested in Molecule."""

from __future__ import annotations

import pytest

ENGINE = {
    "answering": True,
    "version": "20.10.24",
    "rootless": False,
    "runtimes": ["runc"],
    "cgroup_driver": "cgroupfs",
    "cdi_spec_dirs": None,
}


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module on a host without GPUs and without the toolkit."""
    folder = tools("dpkg-query", "exit 1")
    tools("docker", 'case "$1" in ps) echo c1 ;; inspect) printf "c1\\t/llm\\ti\\tt\\ttrue\\tnvidia\\tnull\\n" ;; esac')
    return lambda **more: run_module(
        "nvidia_toolkit_info", search="%s:%s" % (folder, bare_path), **{"engine": ENGINE, "version": "1.20.1", **more}
    )


def test_bare_host(run) -> None:
    """All is to be installed, the engine lacks the runtime, and the missing driver is a problem, not a failure."""
    answer = run()
    toolkit = answer["toolkit"]
    assert len(toolkit["to_install"]) == 4
    assert toolkit["install_needed"] is True
    assert toolkit["engine_lacks"] == "reload"
    assert set(toolkit["daemon_config"]) == {"runtimes"}
    assert answer["problems"][0]["id"].startswith(("driver", "nvidia_smi"))
    assert answer["report"].startswith("1 problem keeps the GPUs from working in containers; nothing was changed.")


def test_several_problems(run) -> None:
    """All in one report: driver, version, engine."""
    answer = run(version="1.17.0", access="cdi")
    assert {"toolkit_version", "cdi_engine"} <= {item["id"] for item in answer["problems"]}


def test_removal(run) -> None:
    """Who uses a GPU, and what is there; nothing is judged."""
    answer = run(removal=True)
    assert answer["toolkit"] == {"gpu_containers": ["llm"], "installed": []}
    assert answer["problems"] == []


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    documented = set(documentation("nvidia_toolkit_info", "RETURN")["toolkit"]["contains"])
    assert set(run()["toolkit"]) | set(run(removal=True)["toolkit"]) == documented
