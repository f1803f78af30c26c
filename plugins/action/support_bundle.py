# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.support_bundle``: see plugins/modules/support_bundle.py for its docs."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib
import time

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_core

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle import archive, findings
from ansible_collections.myia.vllm.plugins.plugin_utils.common.anonymizer import Anonymizer
from ansible_collections.myia.vllm.plugins.plugin_utils.report.files import folder_name
from ansible_collections.myia.vllm.plugins.plugin_utils.report.known_secrets import secrets_of_host
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue

#: Of the definition, what tells nobody anything that an issue does not need.
_ABOUT = (
    "name", "accelerator", "version", "image", "model", "gpu_devices", "gpu_access", "command", "sources",
    "extra_options", "compose", "volumes", "restart_policy", "published", "publish_address", "network_mode",
)  # fmt: skip


class ActionModule(ActionBase):
    """Read the host by the module ``support_info``, judge, and write the archive on the controller."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the findings and where the archive is."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "container": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "folder": {"type": "path", "required": True},
                "dir": {"type": "str", "default": ""},
                "keep": {"type": "int", "default": 5},
                "extra_failures": {"type": "list", "elements": "dict", "default": []},
            }
        )
        try:
            catalogue = failure_catalogue.load(args["extra_failures"])
        except failure_catalogue.CatalogueError as error:
            raise AnsibleActionFail(str(error)) from None
        answer = self._execute_module(
            module_name="myia.vllm.support_info",
            module_args={key: args[key] for key in ("container", "url", "folder")},
            task_vars=task_vars,
        )
        if answer.get("failed") or answer.get("unreachable"):
            result.update({key: answer[key] for key in ("failed", "unreachable", "msg") if key in answer})
            return result
        parts = json.loads(gzip.decompress(base64.b64decode(answer["content_gz"])))
        secrets = secrets_of_host(task_vars, self._templar)
        anonymizer = Anonymizer(secrets, self._names(task_vars, answer["names"]), answer["users"])
        at_s = time.time()
        about = self._about(task_vars, at_s)
        results = {name: self._value(task_vars, name) or {} for name in ("vllm_preflight_result", "vllm_health_result")}
        found = findings.collect(results, parts, catalogue, secrets)
        shown = archive.readable({**parts, "about.json": json.dumps(about)}, anonymizer)
        found = anonymizer.data(found)
        shown["findings.json"] = json.dumps(found, indent=2) + "\n"
        shown["findings.md"] = archive.findings_page(found, about)
        left_out = archive.leaking(shown, secrets)
        shown = {name: text for name, text in shown.items() if name not in left_out}
        shown["CONTENTS.md"] = archive.contents(shown, anonymizer.counts(), left_out)
        result.update(changed=False, findings=found, files=sorted(shown), left_out=left_out)
        result["path"] = self._written(args, task_vars, about, shown, at_s, result)
        result["text"] = text(found, result["path"])
        return result

    def _written(self, args: dict, task_vars: dict, about: dict, shown: dict, at_s: float, result: dict) -> str:
        folder = pathlib.Path(args["dir"] or ".").expanduser().absolute() / "reports" / "support"
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))
        host = folder_name(task_vars["inventory_hostname"])
        name = "%s-%s-%s" % (host, folder_name(about["service"]), stamp)
        try:
            return str(archive.write(folder, name, shown, at_s, args["keep"]))
        except OSError as error:
            result["warnings"] = [
                "The archive could not be written to %s (%s). Set vllm_report_dir to a folder of the controller that "
                "this user may write." % (folder, error)
            ]
            return ""

    def _about(self, task_vars: dict, at_s: float) -> dict:
        definition = self._value(task_vars, "vllm_definition") or {}
        return {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)),
            "service": str(definition.get("name") or "medium"),
            "ansible_core": ansible_core,
            "definition": {key: definition[key] for key in _ABOUT if key in definition},
        }

    def _names(self, task_vars: dict, names: list) -> list[str]:
        """Return the names of all machines that the inventory knows, and those that the host gives itself."""
        groups = task_vars.get("groups") or {}
        known = {*names, *(groups.get("all") or []), task_vars.get("inventory_hostname", "")}
        known.add(str(self._value(task_vars, "ansible_host") or ""))
        # of a full name the first part too
        return sorted({part for name in map(str, known) for part in (name, name.partition(".")[0]) if part})

    def _value(self, task_vars: dict, name: str) -> object:
        """Return a variable of the host; None when it is not there or cannot be evaluated."""
        try:
            return self._templar.template(task_vars.get(name))
        except AnsibleError:
            return None


def text(found: list[dict], path: str) -> list[str]:
    """Return what the screen shows: each finding with its fix, then where the archive is."""
    lines = [
        "%s %s: %s%s"
        % (item["severity"].upper(), item["id"], item["found"], " Fix: " + item["fix"] if item["fix"] else "")
        for item in found
    ]
    lines = lines or ["Nothing was found."]
    if path:
        lines.append("Archive for an issue: %s (its CONTENTS.md says what is in it; look through it before)." % path)
    return lines
