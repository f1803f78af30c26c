# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.startup_log_info``: see plugins/modules/startup_log_info.py for its docs."""

from __future__ import annotations

import base64
import gzip

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, log_classifier


class ActionModule(ActionBase):
    """Read a log from the target by the module ``text_file_info`` and judge it where the catalogue is."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        ("content", "path", "exit_code", "oom_killed", "state", "docker_error", "extra_failures", "secrets")
    )
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the diagnosis of the log, how far it came, and what vLLM said about itself."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "content": {"type": "str"},
                "path": {"type": "path"},
                "exit_code": {"type": "int"},
                "oom_killed": {"type": "bool", "default": False},
                "state": {"type": "str"},
                "docker_error": {"type": "str"},
                "extra_failures": {"type": "list", "elements": "dict", "default": []},
                "secrets": {"type": "list", "elements": "str", "no_log": True, "default": []},
            },
            mutually_exclusive=[("content", "path")],
            required_one_of=[("content", "path", "docker_error")],
        )
        try:
            catalogue = failure_catalogue.load(args["extra_failures"])
        except failure_catalogue.CatalogueError as error:
            raise AnsibleActionFail(str(error)) from None
        content = args["content"] or ""
        if args["path"]:
            answer = self._execute_module(
                module_name="myia.vllm.text_file_info", module_args={"path": args["path"]}, task_vars=task_vars
            )
            if answer.get("failed") or answer.get("unreachable"):
                result.update(answer)
                return result
            content = gzip.decompress(base64.b64decode(answer["content_gz"])).decode("utf-8", errors="replace")
        log = log_classifier.StartupLog(catalogue, args["secrets"])
        log.feed(content)
        log.close()
        evidence = {key: args[key] for key in ("exit_code", "oom_killed", "state", "docker_error")}
        result.update(
            changed=False,
            diagnosis=log.settled(evidence),
            progress=log.progress(),
            phases=log.phases.durations(),
            facts=log.phases.facts,
        )
        return result
