# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_pin``: see plugins/modules/service_pin.py for its docs."""

from __future__ import annotations

import json
import re
import urllib.parse

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import read_values, role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import fetch, registry, writing

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


class ActionModule(ActionBase):
    """Find the image's digest and the model's commit, and write them into the inventory; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "snapshot", "file"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the variables, and where each is from; fail for what cannot be found."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "snapshot": {"type": "dict", "default": {}},
                "file": {"type": "str", "default": ""},
            }
        )
        definition, snapshot = args["definition"], args["snapshot"]
        variables, found, problems = {}, [], []
        for name, find in (("vllm_image", self._image), ("vllm_model_revision", self._revision)):
            value, source = find(definition, snapshot, task_vars)
            if value:
                variables[name] = value
                found.append("%s: %s (%s)" % (name, value, source))
            else:
                problems.append("%s: %s" % (name, source))
        wrote = writing.written(
            result, variables, args["file"], task_vars, self._task.check_mode, "pin_medium.yml"
        )  # fmt: skip
        result.update(variables=variables, problems=problems)
        result["closing"] = "\n".join(
            ["%s: %s" % (definition["name"], "; ".join([*found, *problems])) + "." + wrote]
            + (["The next deployment makes a release of it, and a new container."] if result["changed"] else [])
        )
        if [text for text in problems if not text.endswith("nothing to pin")] or result.get("failed"):
            result.update(failed=True, msg=result["closing"])
        return result

    @staticmethod
    def _image(definition: dict, snapshot: dict, _task_vars: dict) -> tuple[str, str]:
        """Return (the image with its digest, where that is from), or an empty text and why there is none."""
        image = definition["image"]
        wanted = registry.parse(image)
        if wanted.digest:
            return image, "pinned already"
        current = next((item for item in snapshot.get("releases") or [] if item.get("current")), {})
        if current.get("image") == image:
            for text in (snapshot.get("image") or {}).get("digests") or []:
                there = registry.parse(text)
                if there[:2] == wanted[:2] and there.digest:
                    return "%s@%s" % (image, there.digest), "what runs on the host"
        try:
            return "%s@%s" % (image, registry.digest(image, fetch.fetch)), "the registry"
        except registry.RegistryError as error:
            return "", "no digest is known: %s, and the host has none of a release of it that serves" % error

    def _revision(self, definition: dict, snapshot: dict, task_vars: dict) -> tuple[str, str]:
        """Return (the model's commit, where that is from), or an empty text and why there is none."""
        if definition["model_is_local"]:
            return "", "the model is a folder of the host: nothing to pin"
        revision = definition["model_revision"] or ""
        if _COMMIT.match(revision):
            return revision, "pinned already"
        current = next((item for item in snapshot.get("releases") or [] if item.get("current")), {})
        if current.get("model") == definition["model"] and snapshot.get("model_commit"):
            return snapshot["model_commit"], "what the host has in its cache"
        options = {name: role_options("vllm")[name] for name in ("vllm_hf_token", "vllm_extra_env")}
        values, _unreadable = read_values(options, task_vars, self._templar)
        hub = str((values.get("vllm_extra_env") or {}).get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        url = "%s/api/models/%s/revision/%s" % (
            hub,
            definition["model"],
            urllib.parse.quote(revision or "main", safe=""),
        )
        token = str(values.get("vllm_hf_token") or "")
        status, _headers, body = fetch.fetch(url, {"Authorization": "Bearer " + token} if token else {})
        try:
            commit = str(json.loads(body).get("sha") or "") if status == 200 else ""
        except (ValueError, AttributeError):
            commit = ""
        if _COMMIT.match(commit):
            return commit, "the hub"
        said = "HTTP %d" % status if status else "no answer"
        return "", "no commit is known: the hub does not tell (%s), and the host has none in its cache" % said
