# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the STAND-IN for AWX: how they are made, changed, shown and deleted."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

from awx_standin import credentials, notifications, surveys
from awx_standin.checks import Checks
from awx_standin.refused import ENCRYPTED, Refused
from awx_standin.schema import CASCADE, FIELDS, LINKS, NEEDED, UNIFIED, singular, typed

VERSION = "24.6.1"
PREFIX = "/api/v2/"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Objects(Checks):
    """A fresh AWX's objects, and what becomes of them."""

    def __init__(self, username: str, playbooks: list[str] | None) -> None:
        self.playbooks = playbooks
        self.ignored = []
        self.doubts = []
        self._objects = {kind: {} for kind in FIELDS}
        self._last_id = 0
        self._preload(username)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _create(self, kind: str, body: dict[str, Any], managed: bool = False) -> dict[str, Any]:
        missing = [name for name, field in FIELDS[kind].items() if field[1] is NEEDED and name not in body]
        if missing:
            raise Refused({name: ["This field is required."] for name in missing})
        one: dict[str, Any] = {
            "id": self._next_id(),
            "type": singular(kind),
            **{name: copy.deepcopy(field[1]) for name, field in FIELDS[kind].items()},
            "_managed": managed,
            "_links": {link: [] for link in LINKS.get(kind, {})},
        }
        if kind in ("job_templates", "workflow_job_templates"):
            one["survey_spec"] = {}
        if kind in ("job_templates", "workflow_approval_templates"):
            one["organization"] = None  # a field of every unified job template, not to be written in these
        if kind == "projects":
            one.update(scm_revision="", status="never updated")
        if kind in ("credential_types", "credentials", "execution_environments"):
            one["managed"] = managed
        if kind == "workflow_job_template_nodes":
            one["identifier"] = secrets.token_hex(16)
        self._fill(kind, one, body)
        self._objects[kind][one["id"]] = one
        return one

    def _fill(self, kind: str, one: dict[str, Any], body: dict[str, Any]) -> None:
        """Take a request's fields into an object, and check the whole; a stored object is given back on refusal."""
        stored = one["id"] in self._objects[kind]
        before = copy.deepcopy(one)
        if stored and one.get("managed"):
            raise Refused({"detail": "Modifications not allowed for managed %s" % kind.replace("_", " ")}, 403)
        for name, value in body.items():
            if name not in FIELDS[kind]:
                continue
            if stored and kind == "workflow_job_template_nodes" and name == "workflow_job_template":
                continue  # read-only in a node that is there
            field = FIELDS[kind][name]
            value = typed(name, field, copy.deepcopy(value))
            if field[0] == "ref" and value not in (None, ""):
                self._referred(name, field[2], value)
            one[name] = None if field[0] == "ref" and value == "" else value
        check: Callable[..., None] | None = getattr(self, "_check_" + kind, None)
        if check and not one["_managed"]:
            check(one, before, stored)
        self._check_unique(kind, one)
        unknown = [name for name in body if name not in FIELDS[kind]]
        self.ignored += [(kind, name) for name in unknown if not self._known_noise(kind, name, body[name], one)]

    def _known_noise(self, kind: str, name: str, value: Any, one: dict[str, Any]) -> bool:
        """Whether awx.awx itself sends a field that AWX does not take, so that no data of ours is at fault."""
        if kind == "job_templates" and name == "organization":
            # a job template's organization is that of its project
            return bool(one["organization"] == value)
        return (kind, name) in {
            ("credential_types", "managed"),
            ("workflow_job_template_nodes", "type"),
            ("workflow_job_template_nodes", "state"),
            ("workflow_approval_templates", "identifier"),
            ("workflow_approval_templates", "workflow_job_template"),
        }

    def _survey(self, method: str, kind: str, one: dict[str, Any], body: Any) -> tuple[int, Any]:
        if method == "GET":
            shown = copy.deepcopy(one["survey_spec"])
            for question in shown.get("spec", []):
                if question["type"] == "password" and question.get("default"):
                    question["default"] = ENCRYPTED
            return 200, shown
        if method == "DELETE":
            one["survey_spec"] = {}
            return 200, None
        surveys.check_survey(body, one["survey_spec"])
        one["survey_spec"] = body
        for question in body["spec"]:
            self.ignored += [("survey_spec", key) for key in question if key not in surveys.SURVEY_KEYS]
        lost = surveys.lost_defaults(body)
        self.ignored += [("survey_spec", "default of %s" % name) for name in lost]
        if not one["survey_enabled"]:
            self.doubts.append("%s %s has a survey that is not enabled" % (singular(kind), one["name"]))
        return 200, None

    def _update(self, project: dict[str, Any]) -> dict[str, Any]:
        """A project update that is over: AWX takes seconds for it."""
        number = self._next_id()
        update = {
            "id": number,
            "type": "project_update",
            "name": project["name"],
            "project": project["id"],
            "status": "successful",
            "failed": False,
            "finished": "2026-01-01T00:00:01Z",
            "event_processing_finished": True,
            "scm_revision": REVISION,
            "_managed": False,
            "_links": {},
        }
        self._objects["project_updates"][number] = update
        project.update(scm_revision=REVISION, status="successful", _update=number)
        return update

    def _unlink(self, one: dict[str, Any], what: str, other: str, number: int) -> None:
        if number in one["_links"][what]:
            one["_links"][what].remove(number)
        if what == "labels" and not any(
            number in item["_links"].get("labels", []) for kind in LINKS for item in self._objects[kind].values()
        ):
            del self._objects["labels"][number]  # AWX forgets a label that nothing has

    def _delete(self, kind: str, one: dict[str, Any]) -> None:
        if one.get("managed"):
            raise Refused({"detail": "Deletion not allowed for managed %s" % kind.replace("_", " ")}, 403)
        if kind == "credential_types" and any(
            c["credential_type"] == one["id"] for c in self._objects["credentials"].values()
        ):
            raise Refused({"detail": "Credential types that are in use cannot be deleted"}, 403)
        del self._objects[kind][one["id"]]
        for other, name in CASCADE.get(kind, []):
            for item in [item for item in self._objects[other].values() if item[name] == one["id"]]:
                self._delete(other, item)
        if kind == "workflow_job_template_nodes":
            self._objects["workflow_approval_templates"].pop(one["unified_job_template"], None)
        for other, links in LINKS.items():
            for item in self._objects[other].values():
                for link, target in links.items():
                    if target == kind and one["id"] in item["_links"][link]:
                        item["_links"][link].remove(one["id"])
        for other, fields in FIELDS.items():
            for name, field in fields.items():
                if field[0] == "ref" and (
                    field[2] == kind or (field[2] == "unified_job_templates" and kind in UNIFIED)
                ):
                    for item in self._objects[other].values():
                        item[name] = None if item.get(name) == one["id"] else item.get(name)

    def _shown(self, kind: str, one: dict[str, Any], fresh: bool = False) -> dict[str, Any]:
        url = "%s%s/%d/" % (PREFIX, kind, one["id"])
        shown = {name: copy.deepcopy(value) for name, value in one.items() if name[0] != "_" and name != "survey_spec"}
        shown.update(url=url, created="2026-01-01T00:00:00Z", modified="2026-01-01T00:00:00Z")
        related = {link: url + link + "/" for link in one["_links"]}
        summary: dict[str, Any] = {}
        for name, field in FIELDS[kind].items():
            if field[0] != "ref" or not one.get(name):
                continue
            found = (
                self._unified(one[name])
                if field[2] == "unified_job_templates"
                else (field[2], self._objects[field[2]][one[name]])
            )
            if found:
                related[name] = "%s%s/%d/" % (PREFIX, found[0], one[name])
                summary[name] = {"id": one[name], "name": found[1].get("name", "")}
        for link in ("labels", "credentials"):
            if link in one["_links"]:
                names = [{"id": number, "name": self._objects[link][number]["name"]} for number in one["_links"][link]]
                summary[link] = {"count": len(names), "results": names} if link == "labels" else names
        if "survey_spec" in one:
            related["survey_spec"] = url + "survey_spec/"
        if kind == "projects":
            related.update(update=url + "update/", playbooks=url + "playbooks/")
            if fresh and one["scm_type"]:
                summary["current_update"] = {"id": self._update(one)["id"], "status": "pending"}
        if kind == "workflow_job_template_nodes":
            related["create_approval_template"] = url + "create_approval_template/"
            for link in ("success_nodes", "failure_nodes", "always_nodes"):
                shown[link] = list(one["_links"][link])
        if kind == "credentials":
            credential_type = self._objects["credential_types"][one["credential_type"]]
            shown["inputs"] = credentials.shown_inputs(one["inputs"], credential_type)
            shown["kind"] = credential_type["namespace"] if "namespace" in credential_type else credential_type["kind"]
            del shown["user"], shown["team"]
        if kind == "notification_templates":
            settings = shown["notification_configuration"]
            for name, (wanted, *_rest) in notifications.NOTIFICATIONS[one["notification_type"]].items():
                if wanted == "password" and settings.get(name):
                    settings[name] = ENCRYPTED
        return {**shown, "related": related, "summary_fields": summary}

    def _preload(self, username: str) -> None:
        """What a fresh AWX has (without its demo objects)."""
        self._create("users", {"username": username}, managed=True)
        default = self._create("organizations", {"name": "Default"})
        for name in ("controlplane", "default"):
            self._create("instance_groups", {"name": name}, managed=True)
        self._create("execution_environments", {"name": "AWX EE (latest)", "image": "quay.io/ansible/awx-ee:latest"})
        self._create(
            "execution_environments",
            {"name": "Control Plane Execution Environment", "image": "quay.io/ansible/awx-ee:%s" % VERSION},
            managed=True,
        )
        for name, kind, namespace, fields, needed in credentials.MANAGED_TYPES:
            inputs = {"fields": fields, "required": needed}
            made = self._create("credential_types", {"name": name, "kind": kind, "inputs": inputs}, managed=True)
            made["namespace"] = namespace
        galaxy = next(one for one in self._objects["credential_types"].values() if one["kind"] == "galaxy")
        public = {
            "name": "Ansible Galaxy",
            "credential_type": galaxy["id"],
            "inputs": {"url": "https://galaxy.ansible.com/"},
        }
        default["_links"]["galaxy_credentials"].append(self._create("credentials", public, managed=True)["id"])
