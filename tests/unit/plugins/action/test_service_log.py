# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_log prints a window of a log without secrets."""

from __future__ import annotations

import base64
import gzip

import pytest

SECRET = "planted-key-of-the-tests"
LOG = "t1 INFO ready\nt2 ERROR token hf_0123456789abcdef and %s\nt3 INFO Authorization: Bearer abcdefghij\n" % SECRET


@pytest.fixture
def show(action, monkeypatch):
    """Show a log; returns the result and what was printed."""

    def run(text: str = LOG, args: dict | None = None, **more) -> tuple[dict, str]:
        plugin = action("service_log", args={"container": "c", "folder": "/x", **(args or {})})
        packed = base64.b64encode(gzip.compress(text.encode())).decode() if text else ""
        answer = {"log_gz": packed, "cut": False, "state": "running", "failed_logs": [], **more}
        monkeypatch.setattr(plugin, "_execute_module", lambda *_names, **_arguments: answer)
        printed: list[str] = []
        monkeypatch.setattr(plugin.run.__func__.__globals__["live"], "write", printed.append)
        return plugin.run(task_vars={"inventory_hostname": "h", "vllm_api_key": SECRET}), "".join(printed)

    return run


def test_no_secret_is_shown(show) -> None:
    """Neither the service's own nor what looks like one."""
    result, printed = show()
    assert "t1 INFO ready" in printed
    assert not any(text in printed for text in (SECRET, "hf_0123456789abcdef", "abcdefghij"))
    assert result["closing"] == "3 lines of c (running)."
    assert SECRET not in str(result)


@pytest.mark.parametrize(
    ("args", "more", "closing"),
    [
        ({"match": "ERROR"}, {}, "1 line that match ERROR, of 3 of c (running)."),
        ({"since": "1h", "up_to": "5m"}, {}, "3 lines of c (running) since 1h until 5m."),
        ({"lines": 3}, {}, "There may be more before them"),
        ({}, {"cut": True}, "There may be more before them"),
        ({}, {"late": True}, "was not read to its end"),
        ({}, {"log_gz": "", "state": "missing"}, "There is no container c, so it has no log."),
        ({}, {"failed_logs": ["/x/failed-start.log"]}, "on the host: /x/failed-start.log."),
    ],
)
def test_closing(args, more, closing, show) -> None:
    """What was shown, and where more is."""
    assert closing in show(args=args, **more)[0]["closing"]


def test_bad_expression(show) -> None:
    """It is refused by the name of its variable."""
    result, printed = show(args={"match": "("})
    assert result["failed"]
    assert result["msg"].startswith("vllm_logs_match: '(' is no regular expression")
    assert printed == ""


def test_module_that_fails(show) -> None:
    """Its answer is handed on."""
    assert show(failed=True, msg="no docker")[0]["msg"] == "no docker"
