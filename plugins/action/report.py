# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.report``: see plugins/modules/report.py for its docs."""

from __future__ import annotations

import pathlib
import time
import traceback

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_core
from ansible.utils.display import Display

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import result_names
from ansible_collections.myia.vllm.plugins.plugin_utils.report import closing, crash
from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files
from ansible_collections.myia.vllm.plugins.plugin_utils.report.known_secrets import secrets_of_host

display = Display()


class ActionModule(ActionBase):
    """Make a document of what the other roles returned, and write it on the controller; contacts no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return verdict, summary and path; a report that cannot be written gives a warning."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "run": {
                    "type": "str",
                    "choices": [
                        "deploy",
                        "rollback",
                        "stop",
                        "start",
                        "restart",
                        "verify",
                        "benchmark",
                        "diagnose",
                        "plan",
                    ],
                    "default": "deploy",
                },
                "dir": {"type": "str", "default": ""},
                "keep": {"type": "int", "default": 50},
                "failure": {"type": "dict", "default": {}},
                "snapshot": {"type": "dict", "default": {}},
            }
        )
        result["changed"] = False
        results = {name: self._value(task_vars, name) or {} for name in result_names()}
        host = task_vars["inventory_hostname"]
        about = {
            "host": host,
            "address": str(self._value(task_vars, "ansible_host") or host),
            "service": str(results["vllm_definition"].get("name") or self._value(task_vars, "vllm_name") or "medium"),
            "run": args["run"],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "check_mode": bool(self._task.check_mode),
            "collection": collection_version(),
            "ansible_core": ansible_core,
        }
        secrets = secrets_of_host(task_vars, self._templar)
        extra_failures = self._value(task_vars, "vllm_extra_failures")
        failure = report_document.masked(args["failure"], secrets, False)
        verdict = {"id": "unreported", "title": "No report", "sentence": "What serves now was not asked."}
        try:
            args["snapshot"] = crash.named(
                args["snapshot"], extra_failures if isinstance(extra_failures, list) else [], secrets
            )
            result["report"], verdict = self._written(about, results, args, secrets, result)
        except Exception as error:  # a by-product must neither fail a deployment nor hide what did
            # its text may hold what was not masked yet
            result["warnings"] = [
                "The report could not be made (%s); the run itself is not affected. Run with -vvv and tell the "
                "maintainers of myia.vllm." % type(error).__name__
            ]
            display.vvv(traceback.format_exc())
            kept = {key: about[key] for key in ("run", "at", "check_mode", "service")}
            result["report"] = {**kept, "verdict": "unreported", "summary": "", "path": "", "url": ""}
        result.update({key: result["report"][key] for key in ("verdict", "summary", "path", "url")})
        result["closing"] = closing.text(verdict, failure, result["path"])
        return result

    @staticmethod
    def _written(about: dict, results: dict, args: dict, secrets: list, result: dict) -> tuple[dict, dict]:
        """Write the report, return summary and verdict; a folder that cannot be written is a warning of ``result``."""
        document = report_document.build(about, results, args["snapshot"], args["failure"], secrets)
        # without a folder it lies where the person is who started Ansible
        folder, path, url = pathlib.Path(args["dir"] or ".").expanduser().absolute(), "", ""
        try:
            written = report_files.write(str(folder), document, args["keep"])
            path, url = str(written), (written / "index.html").as_uri()
        except OSError as error:
            result["warnings"] = [
                "The report could not be written to %s/reports (%s); its summary is in set_stats all the same. Set "
                "vllm_report_dir to a folder of the controller that this user may write." % (folder, error)
            ]
        return report_document.summary(document, path, url), document["verdict"]

    def _value(self, task_vars: dict, name: str) -> object:
        """Return a variable of the host; None when it is not there or cannot be evaluated."""
        try:
            return self._templar.template(task_vars.get(name))
        except AnsibleError:
            return None


def collection_version() -> str:
    """Return the version of this collection: of galaxy.yml in a checkout, of MANIFEST.json where it was installed."""
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    for name in ("MANIFEST.json", "galaxy.yml"):
        try:
            # JSON is YAML
            data = yaml.safe_load((root / name).read_text(encoding="utf-8"))
            return str(data.get("collection_info", data)["version"])
        except (OSError, yaml.YAMLError, KeyError, AttributeError):
            continue
    return "unknown"
