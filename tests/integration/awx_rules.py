# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX 24.6.1 checks beyond types: surveys, credential types, schedules, notification templates, launch prompts.

Pure functions for the stand-in of its API (awx_standin.py). The messages are AWX's, as its users see them; where they
come from stands at each function. `Refused` is an answer of status 400 (or 403).
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Any

import jinja2
import jinja2.sandbox

ENCRYPTED = "$encrypted$"


class Refused(Exception):
    """What AWX answers instead of an object: its JSON body, and the status."""

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(body)
        self.body = body
        self.status = status


# --- surveys: awx/api/views JobTemplateSurveySpec._validate_spec_data, awx/main/constants SURVEY_TYPE_MAPPING ---
SURVEY_TYPES: dict[str, Any] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": (float, int),
}
# What AWX reads of a question. It stores every other key as well, and makes nothing of it.
SURVEY_KEYS = {
    *("question_name", "question_description", "variable", "type", "required"),
    *("default", "choices", "min", "max", "new_question"),
}


def _lines(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip())


def _check_choices(index: int, question: dict[str, Any]) -> None:
    if "choices" not in question:
        raise Refused({"error": "Survey question %d of type %s must specify choices." % (index, question["type"])})
    if isinstance(question["choices"], str):
        question["choices"] = _lines(question["choices"])
    if "default" not in question:
        return
    chosen = question["default"]
    if isinstance(chosen, str):
        question["default"] = _lines(chosen)
        chosen = question["default"].splitlines()
    if question["type"] == "multiplechoice" and len(chosen) > 1:
        raise Refused({"error": "Multiple Choice (Single Select) can only have one default value."})
    # as AWX: with choices as one text this finds parts of a choice too; default_errors() finds those
    if any(item not in question["choices"] for item in chosen):
        raise Refused({"error": "Default choice must be answered from the choices listed."})


def _check_question(index: int, question: Any, seen: set[str], old: dict[str, Any]) -> None:
    if not isinstance(question, dict):
        raise Refused({"error": "Survey question %d is not a json object." % index})
    for key in ("type", "question_name", "variable", "required"):
        wanted, label = (bool, "boolean") if key == "required" else (str, "string")
        if key not in question:
            raise Refused({"error": "'%s' missing from survey question %d" % (key, index)})
        if not isinstance(question[key], wanted):
            raise Refused({"error": "'%s' in survey question %d expected to be %s." % (key, index, label)})
    name, kind = question["variable"], question["type"]
    if name in seen:
        raise Refused({"error": "'variable' '%s' duplicated in survey question %d." % (name, index)})
    seen.add(name)
    if kind not in SURVEY_TYPES:
        raise Refused(
            {
                "error": "'%s' in survey question %d is not one of '%s' allowed question types."
                % (kind, index, ", ".join(SURVEY_TYPES))
            }
        )
    default = question.get("default", "")
    if default != "" and not isinstance(default, SURVEY_TYPES[kind]):
        label = kind if kind in ("integer", "float") else "string"
        raise Refused({"error": "Default value %s in survey question %d expected to be %s." % (default, index, label)})
    for key in ("min", "max"):
        if question.get(key) is not None and not isinstance(question[key], int):
            raise Refused({"error": "The %s limit in survey question %d expected to be integer." % (key, index)})
    if kind in ("multiplechoice", "multiselect"):
        _check_choices(index, question)
    if isinstance(default, str) and default.startswith(ENCRYPTED):
        if kind != "password":
            raise Refused(
                {
                    "error": "$encrypted$ is a reserved keyword for password question defaults, "
                    "survey question %d is type %s." % (index, kind)
                }
            )
        if "default" not in old.get(name, {}):
            raise Refused(
                {"error": "$encrypted$ is a reserved keyword, may not be used for new default in position %d." % index}
            )
        question["default"] = old[name]["default"]


def check_survey(spec: Any, old: dict[str, Any]) -> None:
    """Check a survey as AWX does before it stores it; `spec` is changed as AWX changes it (empty lines of choices).

    Args:
        spec: The new {name, description, spec: [questions]}.
        old: The survey that is there, {} without one.

    Raises:
        Refused: With AWX's {"error": text}.
    """
    for key, wanted, label in (
        ("name", str, "string"),
        ("description", str, "string"),
        ("spec", list, "list of items"),
    ):
        if key not in spec:
            raise Refused({"error": "Field '%s' is missing from survey spec." % key})
        if not isinstance(spec[key], wanted):
            raise Refused(
                {"error": "Expected %s for field '%s', received %s type." % (label, key, type(spec[key]).__name__)}
            )
    if not spec["spec"]:
        raise Refused({"error": "'spec' doesn't contain any items."})
    seen: set[str] = set()
    before = {question["variable"]: question for question in old.get("spec", [])}
    for index, question in enumerate(spec["spec"]):
        _check_question(index, question, seen, before)


def answer_errors(question: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """What AWX says about one question's answer at launch: SurveyJobTemplateMixin._survey_element_validation.

    Args:
        question: One question of a survey.
        answers: Variable -> value; without the variable the question is unanswered.

    Returns:
        AWX's messages, [] for an answer it takes.
    """
    name, kind = question["variable"], question["type"]
    if name not in answers:
        return ["'%s' value missing" % name] if question["required"] else []
    value = answers[name]
    low, high = question.get("min"), question.get("max")
    if kind in ("multiplechoice", "multiselect"):
        choices = question["choices"]
        choices = choices.splitlines() if isinstance(choices, str) else choices
        if kind == "multiselect" and not isinstance(value, list):
            return ["'%s' value is expected to be a list." % name]
        given = value if kind == "multiselect" else [value]
        return ["Value %s for '%s' expected to be one of %s." % (v, name, choices) for v in given if v not in choices]
    if kind in ("integer", "float"):
        if type(value) not in ((int,) if kind == "integer" else (int, float)):
            label = "an integer" if kind == "integer" else "a numeric type"
            return ["Value %s for '%s' expected to be %s." % (value, name, label)]
        size = value
    else:
        if not isinstance(value, str):
            return ["Value %s for '%s' expected to be a string." % (value, name)]
        size = len(value)
    found = []
    if low not in ("", None) and size < low:
        length = "length is %d " % size if isinstance(value, str) else ""
        found.append("'%s' value %s is too small (%smust be at least %s)." % (name, value, length, low))
    if high not in ("", None) and size > high:
        found.append("'%s' value %s is too large (must be no more than %s)." % (name, value, high))
    return found


def lost_defaults(spec: dict[str, Any]) -> list[str]:
    """Variables whose default AWX stores and then leaves out at launch, since it is no valid answer.

    From SurveyJobTemplateMixin._update_unified_job_kwargs. An empty default is not in the list: it means none.
    """
    lost = []
    for question in spec.get("spec", []):
        default = question.get("default", "")
        if default == "":
            continue
        if question["type"] == "multiselect" and isinstance(default, str):
            default = default.splitlines()
        if answer_errors(question, {question["variable"]: default}):
            lost.append(question["variable"])
    return lost


# --- prompts of schedules and workflow nodes: LaunchConfigurationBaseSerializer, _accept_or_ignore_job_kwargs ---
# field of a launch configuration -> the template's field that allows it
PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "job_type": "ask_job_type_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "limit": "ask_limit_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "execution_environment": "ask_execution_environment_on_launch",
    "forks": "ask_forks_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch",
    "timeout": "ask_timeout_on_launch",
}
PROMPT_LISTS = {
    "credentials": "ask_credential_on_launch",
    "labels": "ask_labels_on_launch",
    "instance_groups": "ask_instance_groups_on_launch",
}


def check_prompts(config: dict[str, Any], template: dict[str, Any], label: str, required: bool) -> None:
    """Check what a schedule or a workflow node gives its template at launch.

    Args:
        config: The schedule or node as it would be stored.
        template: Its job template, workflow or project, with `survey_spec` where it has one.
        label: How AWX names the kind of template in its message, "Job Template".
        required: Whether required questions must be answered here (schedules), or elsewhere (nodes).

    Raises:
        Refused: With AWX's {field: [text]}.
    """
    errors: dict[str, Any] = {}
    for field, ask in PROMPTS.items():
        value = config.get(field)
        if value not in (None, "") and value != template.get(field) and not template.get(ask):
            errors[field] = ["Field is not configured to prompt on launch."]
    answers = dict(config.get("extra_data") or {})
    survey = template.get("survey_spec", {}) if template.get("survey_enabled") else {}
    wrong = []
    for question in survey.get("spec", []):
        name = question["variable"]
        if name in answers or required:
            wrong += answer_errors(question, answers)
        answers.pop(name, None)
    if wrong:
        errors["variables_needed_to_start"] = wrong
    if answers and not template.get("ask_variables_on_launch"):
        errors["extra_data"] = [
            "Variables %s are not allowed on launch. Check the Prompt on Launch setting on the %s to include "
            "Extra Variables." % (", ".join(answers), label)
        ]
    if errors:
        raise Refused(errors)


# --- credential types and credentials: awx/main/fields.py, CredentialTypeSerializer, awx/main/constants.py ---
FIELD_KEYS = {
    *("id", "label", "type", "choices", "format", "multiline", "secret", "help_text", "ask_at_runtime", "default"),
}
VARIABLE = re.compile(r"^[a-zA-Z_]+[a-zA-Z0-9_]*$")
ENV_BLOCKLIST = {
    *("VIRTUAL_ENV", "PATH", "PYTHONPATH", "JOB_ID", "INVENTORY_ID", "INVENTORY_SOURCE_ID", "INVENTORY_UPDATE_ID"),
    *("AD_HOC_COMMAND_ID", "REST_API_URL", "REST_API_TOKEN", "MAX_EVENT_RES", "CALLBACK_QUEUE", "CALLBACK_CONNECTION"),
    *("CACHE", "JOB_CALLBACK_DEBUG", "INVENTORY_HOSTVARS", "AWX_HOST", "PROJECT_REVISION"),
    "SUPERVISOR_WEB_CONFIG_PATH",
}


def _unexpected(value: dict[str, Any], allowed: set[str], where: str) -> None:
    for key in value:
        if key not in allowed:
            raise Refused({where: ["Additional properties are not allowed (%r was unexpected)" % key]})


def _check_input_field(field: Any, ids: set[str]) -> None:
    if not isinstance(field, dict):
        raise Refused({"inputs": ["%r is not of type 'object'" % (field,)]})
    _unexpected(field, FIELD_KEYS, "inputs")
    for key in ("id", "label"):
        if not isinstance(field.get(key), str):
            raise Refused({"inputs": ["%r is a required property" % key]})
    if not VARIABLE.match(field["id"]):
        raise Refused({"inputs": ["%s is an invalid variable name" % field["id"]]})
    if field["id"] == "tower":
        raise Refused({"inputs": ['"tower" is a reserved field name']})
    if field["id"] in ids:
        raise Refused({"inputs": ["field IDs must be unique (%s)" % field["id"]]})
    ids.add(field["id"])
    if field.get("ask_at_runtime"):
        raise Refused({"inputs": ["'ask_at_runtime' is not supported for custom credentials."]})
    kind = field.setdefault("type", "string")
    if kind not in ("string", "boolean"):
        raise Refused({"inputs": ["%r is not one of ['string', 'boolean']" % kind]})
    if "default" in field and type(field["default"]) is not {"string": str, "boolean": bool}[kind]:
        raise Refused({"inputs": ["%s is not a %s" % (field["default"], kind)]})
    for key in ("choices", "multiline", "format", "secret"):
        if key in field and kind != "string":
            raise Refused({"inputs": ["%s not allowed for %s type (%s)" % (key, kind, field["id"])]})


def check_credential_type(kind: str, inputs: dict[str, Any], injectors: dict[str, Any]) -> None:
    """Check a custom credential type; a field without a type becomes a string, as in AWX.

    Args:
        kind: "cloud" or "net".
        inputs: {fields: [{id, label, type, secret, ...}], required: [id]}.
        injectors: {env, extra_vars, file}, each name -> Jinja text.

    Raises:
        Refused: With AWX's {field: [text]}.
    """
    if kind not in ("cloud", "net"):
        raise Refused({"kind": ["Must be 'cloud' or 'net', not %s" % kind]})
    if "dependencies" in inputs:
        raise Refused({"inputs": ["'dependencies' is not supported for custom credentials."]})
    _unexpected(inputs, {"fields", "required"}, "inputs")
    ids: set[str] = set()
    for field in inputs.get("fields", []):
        _check_input_field(field, ids)
    _check_injectors(injectors, ids)


def _check_injectors(injectors: dict[str, Any], ids: set[str]) -> None:
    _unexpected(injectors, {"env", "extra_vars", "file"}, "injectors")
    files = injectors.get("file", {})
    if "template" in files and len(files) > 1:
        raise Refused({"injectors": ["Must use multi-file syntax when injecting multiple files"]})
    # the names of the files, as in {{ tower.filename }} and {{ tower.filename.NAME }}
    filename: Any = "a file" if "template" in files else {name.partition(".")[2]: "a file" for name in files}
    names: dict[str, Any] = {**dict.fromkeys(ids, "a value"), "tower": {"filename": filename} if files else {}}
    sandbox = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    for where, texts in injectors.items():
        for name, text in texts.items():
            pattern = re.compile(r"^template(\.[a-zA-Z_]+[a-zA-Z0-9_]*)?$") if where == "file" else VARIABLE
            if not pattern.match(name):
                _unexpected({name: text}, set(), "injectors")
            if where == "env" and name.startswith("ANSIBLE_"):
                raise Refused(
                    {
                        "injectors": [
                            "Environment variable %s may affect Ansible configuration so its use is not "
                            "allowed in credentials." % name
                        ]
                    }
                )
            if where == "env" and name in ENV_BLOCKLIST:
                raise Refused(
                    {"injectors": ["Environment variable %s is not allowed to be used in credentials." % name]}
                )
            if not isinstance(text, str):
                raise Refused({"injectors": ["%r is not of type 'string'" % (text,)]})
            try:
                sandbox.from_string(text).render(names)
            except jinja2.UndefinedError as error:
                raise Refused({"injectors": ["%s uses an undefined field (%s)" % (name, error)]}) from error
            except jinja2.TemplateSyntaxError as error:
                raise Refused(
                    {"injectors": ["Syntax error rendering template for %s inside of %s (%s)" % (name, where, error)]}
                ) from error


def check_credential(inputs: Any, credential_type: dict[str, Any]) -> None:
    """Check a credential's inputs against the fields of its type. A required one may miss: AWX asks for it at launch.

    Raises:
        Refused: With AWX's {"inputs": ...}.
    """
    if not isinstance(inputs, dict):
        raise Refused({"inputs": ["%r is not of type 'object'" % (inputs,)]})
    fields = {field["id"]: field for field in credential_type["inputs"].get("fields", [])}
    _unexpected(inputs, set(fields), "inputs")
    for name, value in inputs.items():
        field = fields[name]
        said = None
        if not isinstance(value, bool if field["type"] == "boolean" else str):
            said = "%r is not of type '%s'" % (value, field["type"])
        elif "choices" in field and value not in field["choices"]:
            said = "%r is not one of %r" % (value, field["choices"])
        elif field.get("format") == "ssh_private_key" and value not in ("", ENCRYPTED):
            text = value.strip()
            if not re.match(r"^-----BEGIN [A-Z ]*PRIVATE KEY-----\n.*\n-----END [A-Z ]*PRIVATE KEY-----$", text, re.S):
                said = "Invalid certificate or key: %s..." % value[:100]
        if said:
            raise Refused({"inputs": {name: [said]}})


def shown_inputs(inputs: dict[str, Any], credential_type: dict[str, Any]) -> dict[str, Any]:
    """A credential's inputs as the API shows them: secrets as $encrypted$, but not empty ones and not "ASK"."""
    secret = {field["id"] for field in credential_type["inputs"].get("fields", []) if field.get("secret")}
    return {name: ENCRYPTED if name in secret and value not in ("", "ASK") else value for name, value in inputs.items()}


# --- schedules: SchedulePreviewSerializer.validate_rrule, Schedule.coerce_naive_until ---
_RULE_PARTS = re.compile(
    r"^(FREQ|INTERVAL|COUNT|UNTIL|WKST|BYSETPOS|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYDAY|BYHOUR|BYMINUTE|BYSECOND)="
    r"[A-Z0-9,+-]+$"
)


def _parse_error(rule: str) -> str:
    """What dateutil would stumble over: the zone, the date, the parts of each rule; "" for nothing."""
    start = re.search(r"DTSTART(?:;TZID=([^:]+))?:(\d{8}T\d{6})(Z?)(?=\s|$)", rule)
    if not start:
        return "unsupported DTSTART"
    if start.group(1) and start.group(1) not in zoneinfo.available_timezones():
        return "A valid TZID must be provided (e.g., America/New_York)"
    try:
        datetime.datetime.strptime(start.group(2), "%Y%m%dT%H%M%S")
    except ValueError as error:
        return str(error)
    for text in re.findall(r"(?:EX|R)RULE:(\S*)", rule):
        for part in text.split(";"):
            if not _RULE_PARTS.match(part):
                return "unknown parameter '%s'" % part.partition("=")[0]
        if not re.search(r"(^|;)FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY|SECONDLY)(;|$)", text):
            return "invalid 'FREQ'"
    return ""


def check_rrule(rule: str) -> str:
    """Check the rule of a schedule.

    Returns:
        The rule as AWX stores it: an UNTIL without Z is a time of DTSTART's zone and becomes one of UTC.

    Raises:
        Refused: With AWX's {"rrule": [text]}.
    """
    for word in ("EXDATE", "RDATE"):
        if "%s:" % word.lower() in rule.lower():
            raise Refused({"rrule": ["%s not allowed in rrule." % word]})
    errors = []
    starts = re.findall(r"DTSTART(?:;[^:]+)?:[0-9]+T[0-9]+Z?", rule)
    if not starts:
        errors.append("Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ")
    if re.search(r"DTSTART:[0-9]+T[0-9]+ ", rule):
        errors.append("DTSTART cannot be a naive datetime.  Specify ;TZINFO= or YYYYMMDDTHHMMSSZZ.")
    if len(starts) > 1:
        errors.append("Multiple DTSTART is not supported.")
    if "rrule:" not in rule.lower():
        errors.append("One or more rule required in rrule.")
    for one in re.findall(r"RULE:\S*", rule):
        if "interval" not in one.lower():
            errors.append("INTERVAL required in rrule: %s" % one)
        elif "secondly" in one.lower():
            errors.append("SECONDLY is not supported: %s" % one)
        if re.search(r"BYDAY[:=][0-9]+[a-zA-Z]{2}", one):
            errors.append("BYDAY with numeric prefix not supported: %s" % one)
        if "COUNT" in one and "UNTIL" in one:
            errors.append("RRULE may not contain both COUNT and UNTIL: %s" % one)
        count = re.search(r"COUNT=([0-9]+)", one)
        if count and int(count.group(1)) > 999:
            errors.append("COUNT > 999 is unsupported: %s" % one)
    wrong = _parse_error(rule)
    if wrong:
        errors.append("rrule parsing failed validation: %s" % wrong)
    if errors:
        raise Refused({"rrule": errors})
    return re.sub(r"UNTIL=(\d{8}T\d{6})(?!Z)", lambda found: _until_in_utc(found.group(1), rule), rule)


def _until_in_utc(until: str, rule: str) -> str:
    zone = re.search(r"DTSTART;TZID=([^:]+):", rule)
    local = datetime.datetime.strptime(until, "%Y%m%dT%H%M%S").replace(
        tzinfo=zoneinfo.ZoneInfo(zone.group(1) if zone else "UTC")
    )
    return "UNTIL=%s" % local.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


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
