# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugins service_status and status_table; what they say is tested in plugin_utils/status."""

from __future__ import annotations

import json

import pytest

HOST = {"inventory_hostname": "gpu01", "ansible_host": "192.0.2.10"}


@pytest.fixture
def row(action):
    """Make the row of what was seen."""

    def make(**args) -> dict:
        return action("service_status", args=args).run(task_vars=HOST)["row"]

    return make


def test_a_definition_that_was_refused(row) -> None:
    """It is registered like a good one, and is none."""
    found = row(definition={"failed": True, "msg": "x"}, service="chat", failure="1 problem\n- vllm_port: no number")
    assert (found["state"], found["service"], found["host"]) == ("refused", "chat", "gpu01")
    assert "vllm_port" in found["words"]


def test_a_host_that_is_gone(row, medium) -> None:
    """With the address that does not answer."""
    found = row(definition=medium({}), snapshot={"unreachable": True, "msg": "timed out"})
    assert (found["state"], found["words"], found["address"]) == ("unreachable", "timed out", "192.0.2.10")


@pytest.fixture
def table(action, monkeypatch):
    """Show rows; returns the result and what was printed."""

    def show(rows: list[dict], file: str = "") -> tuple[dict, str]:
        plugin = action("status_table", args={"rows": rows, "file": file})
        printed: list[str] = []
        monkeypatch.setattr(plugin.run.__func__.__globals__["live"], "write", printed.append)
        return plugin.run(task_vars={}), "".join(printed)

    return show


def test_table_and_file(table, row, tmp_path) -> None:
    """On the screen, and as JSON where somebody wants it."""
    rows = [row(definition={"failed": True}, failure="x")]
    result, printed = table(rows, str(tmp_path / "status.json"))
    assert "gpu01, medium" in printed
    assert json.loads((tmp_path / "status.json").read_text(encoding="utf-8")) == json.loads(json.dumps(rows))
    assert (result["well"], result["changed"]) == (False, False)
    assert str(tmp_path / "status.json") in result["closing"]
    assert table([])[0]["well"] is True


def test_file_that_cannot_be_written(table, tmp_path) -> None:
    """It is a warning: the table was shown."""
    result, _printed = table([], str(tmp_path / "no" / "status.json"))
    assert "vllm_status_file" in result["warnings"][0]
    assert "JSON" not in result["closing"]
