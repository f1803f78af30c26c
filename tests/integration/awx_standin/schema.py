# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of objects of AWX 24.6.1: their fields and links, what makes one unique, and what goes with one."""

from __future__ import annotations

import re
from typing import Any

import yaml

from awx_standin import notifications, surveys
from awx_standin.refused import Refused

NEEDED = object()
# Types of fields: (kind of value, what AWX fills in, choices or the kind referred to)
Field = tuple[Any, ...]
TEXT: Field = ("text", "")
NAME: Field = ("text", NEEDED)
PROMPT: Field = ("text", None)
FLAG: Field = ("flag", False)
COUNT: Field = ("number", 0)
VARIABLES: Field = ("variables", "")
VERBOSITY = (0, 1, 2, 3, 4, 5)


def ref(kind: str, default: Any = None) -> Field:
    """A reference to an object of the kind, by its id."""
    return ("ref", default, kind)


def choice(default: Any, *values: Any) -> Field:
    """One of the values."""
    return ("choice", default, values)


NOTIFIED = {"notification_templates_%s" % when: "notification_templates" for when in ("started", "success", "error")}
APPROVED = {"notification_templates_approvals": "notification_templates"}
PROMPTED = {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups"}
LAUNCH_CONFIG: dict[str, Field] = {
    "extra_data": ("object", {}),
    "inventory": ref("inventories"),
    **dict.fromkeys(("scm_branch", "job_tags", "skip_tags", "limit"), PROMPT),
    "job_type": choice(None, "run", "check", ""),
    "diff_mode": ("flag", None),
    "verbosity": choice(None, *VERBOSITY),
    "execution_environment": ref("execution_environments"),
    **dict.fromkeys(("forks", "job_slice_count", "timeout"), ("number", None)),
}
ASKS = sorted({*surveys.PROMPTS.values(), *surveys.PROMPT_LISTS.values(), "ask_variables_on_launch"})

# kind (the word in the URL) -> its fields: the serializers of awx/api/serializers.py
FIELDS: dict[str, dict[str, Field]] = {
    "organizations": {
        "name": NAME,
        "description": TEXT,
        "max_hosts": COUNT,
        "custom_virtualenv": PROMPT,
        "default_environment": ref("execution_environments"),
    },
    "execution_environments": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations"),
        "image": NAME,
        "credential": ref("credentials"),
        "pull": choice("", "", "always", "missing", "never"),
    },
    "credential_types": {
        "name": NAME,
        "description": TEXT,
        "kind": ("text", NEEDED),
        "inputs": ("object", {}),
        "injectors": ("object", {}),
    },
    "credentials": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations"),
        "user": ref("users"),
        "team": ref("teams"),
        "credential_type": ref("credential_types", NEEDED),
        "inputs": ("object", {}),
    },
    "projects": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations"),
        "scm_type": choice("", "", "git", "svn", "insights", "archive"),
        **dict.fromkeys(("local_path", "scm_url", "scm_branch", "scm_refspec"), TEXT),
        **dict.fromkeys(
            ("scm_clean", "scm_delete_on_update", "scm_track_submodules", "scm_update_on_launch", "allow_override"),
            FLAG,
        ),
        "scm_update_cache_timeout": COUNT,
        "timeout": COUNT,
        "credential": ref("credentials"),
        "signature_validation_credential": ref("credentials"),
        "default_environment": ref("execution_environments"),
        "custom_virtualenv": PROMPT,
    },
    "inventories": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations", NEEDED),
        "kind": choice("", "", "smart", "constructed"),
        "host_filter": PROMPT,
        "variables": VARIABLES,
        "prevent_instance_group_fallback": FLAG,
    },
    "hosts": {
        "name": NAME,
        "description": TEXT,
        "inventory": ref("inventories", NEEDED),
        "enabled": ("flag", True),
        "instance_id": TEXT,
        "variables": VARIABLES,
    },
    "groups": {
        "name": NAME,
        "description": TEXT,
        "inventory": ref("inventories", NEEDED),
        "variables": VARIABLES,
    },
    "labels": {"name": NAME, "organization": ref("organizations", NEEDED)},
    "notification_templates": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations", NEEDED),
        "notification_type": choice(NEEDED, *notifications.NOTIFICATIONS, *notifications.OTHER_NOTIFICATIONS),
        "notification_configuration": ("object", {}),
        "messages": ("object", {"started": None, "success": None, "error": None, "workflow_approval": None}),
    },
    "job_templates": {
        "name": NAME,
        "description": TEXT,
        "job_type": choice("run", "run", "check"),
        "inventory": ref("inventories"),
        "project": ref("projects"),
        **dict.fromkeys(
            ("playbook", "scm_branch", "limit", "job_tags", "skip_tags", "start_at_task", "host_config_key"), TEXT
        ),
        "forks": COUNT,
        "timeout": COUNT,
        "job_slice_count": ("number", 1),
        "verbosity": choice(0, *VERBOSITY),
        "extra_vars": VARIABLES,
        "execution_environment": ref("execution_environments"),
        "custom_virtualenv": PROMPT,
        "webhook_service": choice("", "", "github", "gitlab"),
        "webhook_credential": ref("credentials"),
        **dict.fromkeys(
            ("force_handlers", "use_fact_cache", "survey_enabled", "become_enabled", "diff_mode", "allow_simultaneous"),
            FLAG,
        ),
        "prevent_instance_group_fallback": FLAG,
        **dict.fromkeys(ASKS, FLAG),
    },
    "workflow_job_templates": {
        "name": NAME,
        "description": TEXT,
        "organization": ref("organizations"),
        "inventory": ref("inventories"),
        "extra_vars": VARIABLES,
        **dict.fromkeys(("limit", "scm_branch", "job_tags", "skip_tags"), PROMPT),
        "webhook_service": choice("", "", "github", "gitlab"),
        "webhook_credential": ref("credentials"),
        **dict.fromkeys(("survey_enabled", "allow_simultaneous"), FLAG),
        **{
            "ask_%s_on_launch" % what: FLAG
            for what in ("inventory", "limit", "scm_branch", "labels", "tags", "skip_tags", "variables")
        },
    },
    "workflow_job_template_nodes": {
        "identifier": TEXT,
        "workflow_job_template": ref("workflow_job_templates", NEEDED),
        "unified_job_template": ref("unified_job_templates"),
        "all_parents_must_converge": FLAG,
        **LAUNCH_CONFIG,
    },
    "workflow_approval_templates": {"name": NAME, "description": TEXT, "timeout": COUNT},
    "schedules": {
        "name": NAME,
        "description": TEXT,
        "unified_job_template": ref("unified_job_templates", NEEDED),
        "rrule": NAME,
        "enabled": ("flag", True),
        **LAUNCH_CONFIG,
    },
    "instance_groups": {"name": NAME},
    "users": {"username": NAME},
    "teams": {"name": NAME, "description": TEXT, "organization": ref("organizations", NEEDED)},
    "project_updates": {"name": NAME},
}
# kind -> what it is linked with at KIND/ID/LINK/, and the kind of the other end
LINKS: dict[str, dict[str, str]] = {
    "organizations": {
        **NOTIFIED,
        **APPROVED,
        "galaxy_credentials": "credentials",
        "instance_groups": "instance_groups",
    },
    "projects": NOTIFIED,
    "inventories": {"instance_groups": "instance_groups", "input_inventories": "inventories"},
    "groups": {"hosts": "hosts", "children": "groups"},
    "job_templates": {**NOTIFIED, **PROMPTED},
    "workflow_job_templates": {**NOTIFIED, **APPROVED, "labels": "labels"},
    "workflow_job_template_nodes": {
        **{"%s_nodes" % when: "workflow_job_template_nodes" for when in ("success", "failure", "always")},
        **PROMPTED,
    },
    "schedules": PROMPTED,
}
# kind -> the fields that name an object among those of its kind
UNIQUE: dict[str, tuple[str, ...]] = {
    "organizations": ("name",),
    "execution_environments": ("name",),
    "instance_groups": ("name",),
    "users": ("username",),
    "credential_types": ("name", "kind"),
    "credentials": ("organization", "name", "credential_type"),
    "projects": ("name", "organization"),
    "inventories": ("name", "organization"),
    "hosts": ("name", "inventory"),
    "groups": ("name", "inventory"),
    "labels": ("name", "organization"),
    "notification_templates": ("organization", "name"),
    "job_templates": ("name", "organization"),
    "workflow_job_templates": ("name", "organization"),
    "workflow_job_template_nodes": ("identifier", "workflow_job_template"),
    "schedules": ("unified_job_template", "name"),
}
UNIFIED = ("projects", "job_templates", "workflow_job_templates", "workflow_approval_templates")
TEMPLATE_LABEL = {"job_templates": "Job Template", "workflow_job_templates": "Workflow Job Template"}
# what goes with an object that is deleted: kind -> (kind, its field)
CASCADE = {
    "organizations": [("inventories", "organization"), ("labels", "organization"), ("teams", "organization")],
    "inventories": [("hosts", "inventory"), ("groups", "inventory")],
    "workflow_job_templates": [("workflow_job_template_nodes", "workflow_job_template")],
    **{kind: [("schedules", "unified_job_template")] for kind in UNIFIED},
}
CASCADE["workflow_job_templates"] = [
    ("workflow_job_template_nodes", "workflow_job_template"),
    ("schedules", "unified_job_template"),
]


def singular(kind: str) -> str:
    """The `type` of an object of the kind: "job_template" of "job_templates"."""
    return "inventory" if kind == "inventories" else kind.rstrip("s")


def typed(name: str, field: Field, value: Any) -> Any:
    """The value as its field takes it; Refused with AWX's (Django REST framework's) words otherwise."""
    kind, default = field[:2]
    if value is None:
        # AWX's optional texts, choices and flags take null as empty
        if kind in ("text", "choice", "flag", "variables") and default is not NEEDED:
            return default if default is None else {"flag": False}.get(kind, "")
        if default is None:
            return None
        raise Refused({name: ["This field may not be null."]})
    said = ""
    if kind in ("text", "variables"):
        said = "" if isinstance(value, (str, int, float)) and not isinstance(value, bool) else "Not a valid string."
        value = str(value)
        if default is NEEDED and not value.strip():
            said = "This field may not be blank."
        if kind == "variables" and not said:
            said = _variables_error(value)
    elif kind == "flag":
        said = "" if isinstance(value, bool) else "Must be a valid boolean."
    elif kind == "number":
        said = "" if re.fullmatch(r"-?\d+", str(value)) else "A valid integer is required."
        value = value if said else int(value)
    elif kind == "choice":
        match = [one for one in field[2] if str(one) == str(value)]
        said = "" if match else '"%s" is not a valid choice.' % value
        value = match[0] if match else value
    elif kind == "object":
        said = (
            ""
            if isinstance(value, dict)
            else 'Expected a dictionary of items but got type "%s".' % type(value).__name__
        )
    if said:
        raise Refused({name: [said]})
    return value


def _variables_error(text: str) -> str:
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return "Cannot parse as JSON or YAML (error: %s)." % error
    return "" if parsed is None or isinstance(parsed, dict) else "Input type `%s` is not a dictionary" % type(parsed)
