# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin plan_table prints its lines as they are."""

from __future__ import annotations

from unittest import mock

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks


def test_prints(action, host_with, medium, monkeypatch) -> None:
    """Not as the message of a result, which callbacks would frame and quote."""
    definition, host = medium({}), host_with({})
    result = {**preflight_checks.check(definition, host, None), "host": host, "refused": False}
    plugin = action("plan_table", args={"definition": definition, "result": result})
    write = mock.Mock()
    monkeypatch.setattr(live, "write", write)
    answer = plugin.run(task_vars={"inventory_hostname": "gpu-host-1"})
    assert answer["changed"] is False
    assert "on gpu-host-1" in answer["table"][1]
    write.assert_called_once_with("\n" + "\n".join(answer["table"]))
