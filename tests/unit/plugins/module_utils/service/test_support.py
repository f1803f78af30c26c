# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host gathers for an issue."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import support

KEY = "PLANTED-key-7c31e2"


@pytest.mark.parametrize("beyond", range(1, len(KEY)))
def test_a_cut_leaves_no_half_of_a_secret(beyond, monkeypatch, tmp_path) -> None:
    """The end of a long text is kept, wherever in a secret it begins."""
    monkeypatch.setattr(support.host_command, "run", lambda _argv, _limit_s: (127, "", "", False))
    monkeypatch.setattr(support.service_http, "query", lambda *_args, **_more: (0, b"", "no answer"))
    monkeypatch.setattr(support.service_secrets, "values", lambda _folder: [KEY])
    monkeypatch.setattr(support, "PART_CHARS", beyond + 5)
    monkeypatch.setattr(support, "_log", lambda _container: "begin " + KEY + " end\n")
    text = support.parts("c", "http://127.0.0.1:9", str(tmp_path), 1.0)["service/log.txt"]
    assert text.endswith(" end\n")
    assert not any(KEY[place:] in text for place in range(len(KEY) - 1))
