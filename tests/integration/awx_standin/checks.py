# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX 24.6.1 refuses of an object among the others: references, uniqueness, the rules of its kind, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from awx_standin import credentials, notifications, schedules, surveys
from awx_standin.refused import ENCRYPTED, Refused
from awx_standin.schema import TEMPLATE_LABEL, UNIFIED, UNIQUE, singular


class Checks:
    """The checks; the objects and the lists of findings are those of Objects."""

    playbooks: list[str] | None
    ignored: list[tuple[str, str]]
    doubts: list[str]
    _objects: dict[str, dict[int, dict[str, Any]]]

    def _referred(self, name: str, kind: str, number: Any) -> None:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        if isinstance(number, bool) or not re.fullmatch(r"\d+", str(number)):
            raise Refused({name: ["Incorrect type. Expected pk value, received %s." % type(number).__name__]})
        if not any(int(number) in self._objects[one] for one in kinds):
            raise Refused({name: ['Invalid pk "%s" - object does not exist.' % number]})

    def _check_unique(self, kind: str, one: dict[str, Any]) -> None:
        names = UNIQUE.get(kind, ())
        for other in self._objects[kind].values():
            if names and other["id"] != one["id"] and all(other[name] == one[name] for name in names):
                label = singular(kind).replace("_", " ").capitalize()
                titles = " and ".join(name.replace("_", " ").capitalize() for name in names)
                raise Refused(
                    {names[0] if len(names) == 1 else "__all__": ["%s with this %s already exists." % (label, titles)]}
                )

    def _unified(self, number: int | None) -> tuple[str, dict[str, Any]] | None:
        return next(((k, self._objects[k][number]) for k in UNIFIED if number in self._objects[k]), None)

    # --- checks of one kind each: (object as it would be, as it was, whether it was stored) ---
    def _check_execution_environments(self, one: dict[str, Any], _before: Any, _stored: bool) -> None:
        if one["credential"] and self._kind_of(one["credential"]) != "registry":
            raise Refused(
                {"credential": ["Only Container Registry credentials can be associated with an Execution Environment"]}
            )

    def _kind_of(self, credential: int) -> str:
        return str(
            self._objects["credential_types"][self._objects["credentials"][credential]["credential_type"]]["kind"]
        )

    def _check_credential_types(self, one: dict[str, Any], before: dict[str, Any], stored: bool) -> None:
        credentials.check_credential_type(one["kind"], one["inputs"], one["injectors"])
        used = any(c["credential_type"] == one["id"] for c in self._objects["credentials"].values())
        if stored and used and one["inputs"] != before["inputs"]:
            raise Refused(
                {"detail": "Modifications to inputs are not allowed for credential types that are in use"}, 403
            )

    def _check_credentials(self, one: dict[str, Any], before: dict[str, Any], stored: bool) -> None:
        if not stored and not any(one[owner] for owner in ("organization", "user", "team")):
            raise Refused({"detail": ["Missing 'user', 'team', or 'organization'."]})
        credential_type = self._objects["credential_types"][one["credential_type"]]
        for name, value in one["inputs"].items():
            if value == ENCRYPTED and name in before["inputs"]:
                one["inputs"][name] = before["inputs"][name]
        credentials.check_credential(one["inputs"], credential_type)
        if (
            stored
            and credential_type["kind"] == "vault"
            and one["inputs"].get("vault_id") != before["inputs"].get("vault_id")
        ):
            raise Refused({"inputs": ["Vault IDs cannot be changed once they have been created."]})
        for name in credential_type["inputs"].get("required", []):
            if not one["inputs"].get(name):
                self.doubts.append(
                    "credential %s: a job with it fails for want of required fields (%s)" % (one["name"], name)
                )

    def _check_projects(self, one: dict[str, Any], _before: Any, _stored: bool) -> None:
        if one["scm_type"] and not one["scm_url"] and one["scm_type"] != "insights":
            raise Refused({"scm_url": ["SCM URL is required."]})
        for name in ("scm_refspec", "scm_track_submodules"):
            if one[name] and one["scm_type"] != "git":
                raise Refused({name: ["SCM %s can only be used with git projects." % name.removeprefix("scm_")]})
        if one["scm_branch"] and one["scm_type"] == "archive":
            raise Refused({"scm_branch": ["SCM branch cannot be used with archive projects."]})
        for name in ("scm_update_on_launch", "scm_delete_on_update", "scm_clean"):
            if one[name] and not one["scm_type"]:
                raise Refused({name: ["Update options must be set to false for manual projects."]})
        if one["credential"] and self._kind_of(one["credential"]) not in ("scm", "insights"):
            raise Refused({"credential": ["Credential kind must be 'scm'."]})

    def _check_notification_templates(self, one: dict[str, Any], before: dict[str, Any], _stored: bool) -> None:
        kind, settings = one["notification_type"], one["notification_configuration"]
        if kind not in notifications.NOTIFICATIONS:
            raise Refused({"detail": "The stand-in knows no notifications of type %s" % kind}, 501)
        known = {*notifications.NOTIFICATIONS[kind], *notifications.OPTIONAL_SETTINGS.get(kind, ())}
        self.ignored += [("notification_configuration", name) for name in settings if name not in known]
        for name, value in settings.items():
            if value == ENCRYPTED:
                settings[name] = before["notification_configuration"].get(name, value)
        notifications.check_notification(kind, settings)
        notifications.check_messages(one["messages"])

    def _check_job_templates(self, one: dict[str, Any], _before: Any, _stored: bool) -> None:
        project = self._objects["projects"].get(one["project"])
        if not project:
            raise Refused({"project": ["Job Templates must have a project assigned."]})
        if one["host_config_key"] and not one["inventory"]:
            raise Refused({"host_config_key": ["Cannot enable provisioning callback without an inventory set."]})
        if not one["inventory"] and not one["ask_inventory_on_launch"]:
            raise Refused({"inventory": ["You must either set a default value or ask to prompt on launch."]})
        # a project that takes other branches cannot know their playbooks
        known = self.playbooks is None or one["playbook"] in self.playbooks or project["allow_override"]
        if one["playbook"] and not known:
            raise Refused({"playbook": ["Playbook not found for project."]})
        if not one["playbook"]:
            raise Refused({"playbook": ["Must select playbook for project."]})
        for name in ("scm_branch", "ask_scm_branch_on_launch"):
            if one[name] and not project["allow_override"]:
                raise Refused({name: ["Project does not allow overriding branch."]})
        one["organization"] = project["organization"]

    def _check_workflow_job_template_nodes(self, one: dict[str, Any], _before: Any, _stored: bool) -> None:
        self._check_launch_config(one, required=False)

    def _check_schedules(self, one: dict[str, Any], _before: Any, _stored: bool) -> None:
        one["rrule"] = schedules.check_rrule(one["rrule"])
        found = self._unified(one["unified_job_template"])
        if found and found[0] == "projects" and not found[1]["scm_type"]:
            raise Refused({"unified_job_template": ["Manual Project cannot have a schedule set."]})
        self._check_launch_config(one, required=True)

    def _check_launch_config(self, one: dict[str, Any], required: bool) -> None:
        found = self._unified(one["unified_job_template"])
        if found:
            surveys.check_prompts(one, found[1], TEMPLATE_LABEL.get(found[0], "Project"), required)

    def _check_link(self, kind: str, one: dict[str, Any], what: str, other: dict[str, Any]) -> None:
        if what == "galaxy_credentials":
            if self._kind_of(other["id"]) != "galaxy":
                name = self._objects["credential_types"][other["credential_type"]]["name"]
                raise Refused({"msg": "Credential must be a Galaxy credential, not %s." % name})
        elif what == "credentials":
            self._check_credential_link(kind, one, other)
        elif what.endswith("_nodes"):
            self._check_node_link(one, what, other)
        elif kind == "groups" and other["inventory"] != one["inventory"]:
            raise Refused({"detail": "Cannot associate two items from different inventories"})
        elif kind in ("schedules", "workflow_job_template_nodes"):
            found = self._unified(one["unified_job_template"])
            if not found or not found[1].get(surveys.PROMPT_LISTS[what]):
                raise Refused({"msg": "Related template is not configured to accept %s on launch." % what})

    def _hash(self, credential: dict[str, Any]) -> str:
        """What only one credential of a template may be: its type, or its vault id (Credential.unique_hash)."""
        name = self._objects["credential_types"][credential["credential_type"]]["name"]
        vault = credential["inputs"].get("vault_id")
        return "%s (id=%s)" % (name, vault) if name == "Vault" and vault else str(name)

    def _check_credential_link(self, kind: str, one: dict[str, Any], other: dict[str, Any]) -> None:
        mine = [self._hash(self._objects["credentials"][number]) for number in one["_links"]["credentials"]]
        if kind == "job_templates":
            if self._hash(other) in mine:
                raise Refused({"error": "Cannot assign multiple %s credentials." % self._hash(other)})
            if self._kind_of(other["id"]) not in ("ssh", "vault", "cloud", "net", "kubernetes"):
                raise Refused({"error": "Cannot assign a Credential of kind `%s`." % self._kind_of(other["id"])})
            return
        found = self._unified(one["unified_job_template"])
        if not found:
            raise Refused({"msg": "Cannot assign credential when related template is null."})
        if found[0] != "job_templates":
            raise Refused({"msg": "Related template cannot accept credentials on launch."})
        if not found[1]["ask_credential_on_launch"]:
            raise Refused({"msg": "Related template is not configured to accept credentials on launch."})
        if self._hash(other) in mine:
            raise Refused({"msg": "This launch configuration already provides a %s credential." % self._hash(other)})
        if other["id"] in found[1]["_links"]["credentials"]:
            raise Refused({"msg": "Related template already uses %s credential." % other["name"]})

    def _check_node_link(self, one: dict[str, Any], what: str, other: dict[str, Any]) -> None:
        if other["workflow_job_template"] != one["workflow_job_template"]:
            raise Refused({"detail": "Cannot associate nodes of different workflows"})
        links = [link for link in one["_links"] if link.endswith("_nodes")]
        if any(other["id"] in one["_links"][link] for link in links if link != what):
            raise Refused({"Error": "Relationship not allowed."})
        if one["id"] in self._reachable(other["id"]):
            raise Refused({"Error": "Cycle detected."})

    def _reachable(self, node: int) -> set[int]:
        def walk(number: int) -> Iterator[int]:
            yield number
            for link, targets in self._objects["workflow_job_template_nodes"][number]["_links"].items():
                if link.endswith("_nodes"):
                    for target in targets:
                        yield from walk(target)

        return set(walk(node))
