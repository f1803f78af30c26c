# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of notifications that the STAND-IN knows, and what AWX 24.6.1 checks of them, in its words."""

from __future__ import annotations

from typing import Any

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
    """Check the structure of a notification's own messages; their Jinja is not rendered here.

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
