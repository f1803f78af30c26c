# SPDX-License-Identifier: GPL-3.0-or-later
"""AWX's own credential types, and what AWX 24.6.1 checks of credential types and credentials, in its words."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import jinja2.sandbox

from awx_standin.refused import ENCRYPTED, Refused

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


def _input(name: str, label: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "label": label, "type": "string", **more}


_KEY = {"format": "ssh_private_key", "secret": True, "multiline": True}
_ASK = {"secret": True, "ask_at_runtime": True}
_VERIFY = {"id": "verify_ssl", "label": "Verify SSL", "type": "boolean", "default": True}
# AWX's own credential types that a deployment may need: (name, kind, namespace, fields, required). AWX has more.
MANAGED_TYPES: list[tuple[str, str, str, list[dict[str, Any]], list[str]]] = [
    (
        "Machine",
        "ssh",
        "ssh",
        [
            _input("username", "Username"),
            _input("password", "Password", **_ASK),
            _input("ssh_key_data", "SSH Private Key", **_KEY),
            _input("ssh_public_key_data", "Signed SSH Certificate", multiline=True, secret=True),
            _input("ssh_key_unlock", "Private Key Passphrase", **_ASK),
            _input("become_method", "Privilege Escalation Method"),
            _input("become_username", "Privilege Escalation Username"),
            _input("become_password", "Privilege Escalation Password", **_ASK),
        ],
        [],
    ),
    (
        "Source Control",
        "scm",
        "scm",
        [
            _input("username", "Username"),
            _input("password", "Password", secret=True),
            _input("ssh_key_data", "SCM Private Key", **_KEY),
            _input("ssh_key_unlock", "Private Key Passphrase", secret=True),
        ],
        [],
    ),
    (
        "Vault",
        "vault",
        "vault",
        [_input("vault_password", "Vault Password", **_ASK), _input("vault_id", "Vault Identifier", format="vault_id")],
        ["vault_password"],
    ),
    (
        "Ansible Galaxy/Automation Hub API Token",
        "galaxy",
        "galaxy_api_token",
        [
            _input("url", "Galaxy Server URL"),
            _input("auth_url", "Auth Server URL"),
            _input("token", "API Token", secret=True, multiline=True),
        ],
        ["url"],
    ),
    (
        "Container Registry",
        "registry",
        "registry",
        [
            _input("host", "Authentication URL", default="quay.io"),
            _input("username", "Username"),
            _input("password", "Password or Token", secret=True),
            _VERIFY,
        ],
        ["host"],
    ),
    (
        "GitHub Personal Access Token",
        "token",
        "github_token",
        [_input("token", "Token", secret=True)],
        ["token"],
    ),
    (
        "Red Hat Ansible Automation Platform",
        "cloud",
        "controller",
        [
            _input("host", "Red Hat Ansible Automation Platform"),
            _input("username", "Username"),
            _input("password", "Password", secret=True),
            _input("oauth_token", "OAuth Token", secret=True),
            _VERIFY,
        ],
        ["host"],
    ),
]
