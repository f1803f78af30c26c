# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of notifications that the STAND-IN knows, and what AWX 24.6.1 checks of them, in its words."""

from __future__ import annotations

from typing import Any

import jinja2
import jinja2.sandbox

from awx_standin.refused import Refused

# --- notification templates: NotificationTemplateSerializer, init_parameters of awx/main/notifications/*_backend.py ---
# type -> field -> (type, default); without a default the field is needed
NOTIFICATIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "webhook": {
        "url": ("string",),
        "http_method": ("string", "POST"),
        "disable_ssl_verification": ("bool", False),
        "username": ("string", ""),
        "password": ("password", ""),
        "headers": ("object",),
    },
    "email": {
        **{name: ("string",) for name in ("host", "username", "sender")},
        "port": ("int",),
        "password": ("password",),
        "use_tls": ("bool",),
        "use_ssl": ("bool",),
        "recipients": ("list",),
        "timeout": ("int", 30),
    },
    "slack": {"token": ("password",), "channels": ("list",)},
    "mattermost": {"mattermost_url": ("string",), "mattermost_no_verify_ssl": ("bool",)},
    "rocketchat": {"rocketchat_url": ("string",), "rocketchat_no_verify_ssl": ("bool",)},
}
# AWX knows these types too; a test that needs one adds its fields above
OTHER_NOTIFICATIONS = ("twilio", "pagerduty", "grafana", "irc", "awssns")
OPTIONAL_SETTINGS = {
    "slack": {"hex_color"},
    "mattermost": {"mattermost_channel", "mattermost_username", "mattermost_icon_url"},
    "rocketchat": {"rocketchat_username", "rocketchat_icon_url"},
}
_TYPES = {"string": str, "password": str, "int": int, "bool": bool, "list": list, "object": dict}


def check_notification(kind: str, settings: dict[str, Any]) -> None:
    """Check notification_configuration, and fill in the defaults as AWX does.

    Raises:
        Refused: With AWX's list of errors.
    """
    errors, missing = [], []
    for name, (wanted, *default) in NOTIFICATIONS[kind].items():
        if name not in settings:
            if not default:
                missing.append(name)
                continue
            settings[name] = default[0]
        if type(settings[name]) is not _TYPES[wanted]:
            errors.append("Configuration field '%s' incorrect type, expected %s." % (name, wanted))
        elif wanted == "list" and not settings[name]:
            errors.append("No values specified for field '%s'" % name)
        elif name == "http_method" and settings[name].lower() not in ("put", "post"):
            errors.append("HTTP method must be either 'POST' or 'PUT'.")
    if missing:
        errors.append("Missing required fields for Notification Configuration: %s." % missing)
    if errors:
        raise Refused({"non_field_errors": errors})


def check_messages(messages: Any) -> None:
    """Check a notification's own messages: their structure, and whether they can be rendered.

    Raises:
        Refused: With AWX's list of errors.
    """
    if messages is None:
        return
    if not isinstance(messages, dict):
        raise Refused({"messages": ["Expected dict for 'messages' field, found %s" % type(messages)]})
    events = dict(messages)
    approvals = events.pop("workflow_approval", None) or {}
    for event in events:
        if event not in ("started", "success", "error"):
            raise Refused(
                {
                    "messages": [
                        "Event '%s' invalid, must be one of 'started', 'success', 'error', or 'workflow_approval'"
                        % event
                    ]
                }
            )
    for event in approvals:
        if event not in ("running", "approved", "timed_out", "denied"):
            raise Refused(
                {
                    "messages": [
                        "Workflow Approval event '%s' invalid, must be one of 'running', 'approved', 'timed_out', "
                        "or 'denied'" % event
                    ]
                }
            )
    for event, texts in {**events, **approvals}.items():
        for name, text in (texts or {}).items():
            if name not in ("message", "body"):
                raise Refused({"messages": ["Message type '%s' invalid, must be either 'message' or 'body'" % name]})
            if name == "message" and "\n" in (text or ""):
                raise Refused({"messages": ["Messages cannot contain newlines (found newline in %s event)" % event]})
            if text and event in events:
                render(text, {name: {} if name == "artifacts" else "" for name in JOB_FIELDS})


# --- rendering: NotificationTemplateSerializer.validate_messages, JobNotificationMixin ---
# What a message may say of a job: JOB_FIELDS_ALLOWED_LIST, without the nested ones. A workflow job has fewer.
JOB_FIELDS = {
    *("id", "type", "url", "created", "modified", "name", "description", "job_type", "playbook", "forks", "limit"),
    *("verbosity", "job_tags", "force_handlers", "skip_tags", "start_at_task", "timeout", "use_fact_cache"),
    *("launch_type", "status", "failed", "started", "finished", "elapsed", "job_explanation", "execution_node"),
    *("controller_node", "allow_simultaneous", "scm_revision", "diff_mode", "job_slice_number", "job_slice_count"),
    *("event_processing_finished", "approval_status", "approval_node_name", "workflow_url", "scm_branch", "artifacts"),
}
OF_JOBS_ONLY = {"job_type", "playbook", "forks", "verbosity", "diff_mode", "artifacts", "scm_revision"}


def render(template: str, job: dict[str, Any]) -> str:
    """Render a message of a notification as AWX does, which shows an empty one where this fails.

    Args:
        template: the message or its body.
        job: fields of the job; others than those a message may say are left out.

    Raises:
        Refused: the template is none, or says what it may not: as AWX when it is stored.
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    known = {name: value for name, value in job.items() if name in JOB_FIELDS}
    values = {"job": known, "job_friendly_name": "Job", "url": "https://awx.example.org/#/jobs/1", "job_metadata": "{}"}
    try:
        return environment.from_string(template).render(**values)
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise Refused({"messages": ["Unable to render message '%s': %s" % (template, error)]}) from error
