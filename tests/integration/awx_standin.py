# SPDX-License-Identifier: GPL-3.0-or-later
"""A STAND-IN for the REST API of AWX 24.6.1, for tests of what the awx.awx modules create. It is not AWX.

The AWX server is in no package registry, so these tests cannot have the real one. This server keeps its objects in
memory and runs no job; a project's update ends at once. It takes the part of /api/v2 that the modules of awx.awx 24.6.1
ask for, and refuses what AWX refuses, in AWX's words (awx_rules.py): wrong types, choices, references, surveys,
credential types and inputs, playbooks, prompts, workflow links, schedules. Permissions are not modelled: there is one
administrator. What AWX takes silently, and a test should still see, is recorded: `ignored` and `doubts`.
"""

from __future__ import annotations

import base64
import copy
import http.server
import json
import re
import secrets
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import awx_rules
import yaml
from awx_rules import Refused

VERSION = "24.6.1"
PREFIX = "/api/v2/"
REVISION = "0123456789abcdef0123456789abcdef01234567"
# where AWX's paging starts (MAX_PAGE_SIZE is 200)
PAGE_SIZE = 25

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
ASKS = sorted({*awx_rules.PROMPTS.values(), *awx_rules.PROMPT_LISTS.values(), "ask_variables_on_launch"})

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
        "notification_type": choice(NEEDED, *awx_rules.NOTIFICATIONS, *awx_rules.OTHER_NOTIFICATIONS),
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


def singular(kind: str) -> str:
    """The `type` of an object of the kind: "job_template" of "job_templates"."""
    return "inventory" if kind == "inventories" else kind.rstrip("s")


def _typed(name: str, field: Field, value: Any) -> Any:
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


class AwxStandin:
    """An AWX of one's own on a loopback port, from `with` to its end.

    Attributes:
        url: Its address.
        username, password: Those of its only user.
        token: An OAuth token that is there from the beginning.
        playbooks: What every project offers; None for any playbook.
        requests: (method, path, body) of every request in order, without those for tokens.
        ignored: (kind, field) that a request had and AWX has not, or that it loses: Django REST framework leaves out
            what it does not know, and a survey's default that its own limits refuse never reaches a job.
        doubts: What AWX takes and a job stumbles over, in words.
        open_tokens: Ids of tokens that were made and not released.
    """

    def __init__(self, playbooks: list[str] | None = None) -> None:
        """Fill a fresh AWX; `playbooks` is what its projects offer."""
        self.username, self.password, self.token = "admin", secrets.token_hex(8), secrets.token_hex(15)
        self.playbooks = playbooks
        self.requests: list[tuple[str, str, Any]] = []
        self.ignored: list[tuple[str, str]] = []
        self.doubts: list[str] = []
        self.open_tokens: dict[int, str] = {}
        self._objects: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in FIELDS}
        self._last_id = 0
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        self._preload()

    def __enter__(self) -> AwxStandin:
        """Serve in a thread."""
        handler = type("Handler", (_Handler,), {"awx": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving; the objects stay readable."""
        assert self._server
        self._server.shutdown()
        self._server.server_close()

    # --- what tests ask ---
    @property
    def environment(self) -> dict[str, str]:
        """The variables by which awx.awx finds this server."""
        return {
            "CONTROLLER_HOST": self.url,
            "CONTROLLER_USERNAME": self.username,
            "CONTROLLER_PASSWORD": self.password,
            "CONTROLLER_VERIFY_SSL": "false",
        }

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """The requests that would change something."""
        return [request for request in self.requests if request[0] != "GET"]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind as stored, secrets in clear, links as lists of names (of nodes: of identifiers)."""
        found = copy.deepcopy([one for one in self._objects[kind].values() if not one["_managed"]])
        for one in found:
            for link, other in LINKS.get(kind, {}).items():
                stored = [self._objects[other][number] for number in one["_links"][link]]
                one[link] = [target.get("identifier") or target["name"] for target in stored]
        return found

    # --- requests ---
    def answer(self, method: str, url: str, body: Any, basic: bool) -> tuple[int, Any]:
        """One request's (status, JSON answer)."""
        parsed = urllib.parse.urlsplit(url)
        words = parsed.path.removeprefix(PREFIX).strip("/").split("/")
        query = urllib.parse.parse_qsl(parsed.query, keep_blank_values=True)
        with self._lock:
            if words[0] == "tokens":
                return self._tokens(method, words, basic)
            self.requests.append((method, parsed.path, copy.deepcopy(body)))
            try:
                return self._route(method, words, query, body if body is not None else {})
            except Refused as refused:
                return refused.status, refused.body

    def _tokens(self, method: str, words: list[str], basic: bool) -> tuple[int, Any]:
        if not basic:
            return 401, {"detail": "Authentication credentials were not provided."}
        if method == "DELETE":
            return (204, None) if self.open_tokens.pop(int(words[1]), None) else (404, {"detail": "Not found."})
        number = self._next_id()
        self.open_tokens[number] = secrets.token_hex(15)
        return 201, {"id": number, "token": self.open_tokens[number], "type": "o_auth2_access_token", "scope": "write"}

    def _route(self, method: str, words: list[str], query: list[tuple[str, str]], body: Any) -> tuple[int, Any]:
        kind, *rest = words
        fixed = {
            "ping": {"version": VERSION, "ha": False, "active_node": "awx", "instances": [], "instance_groups": []},
            "config": {"version": VERSION, "time_zone": "UTC", "license_info": {"license_type": "open"}},
        }
        if method == "GET" and not rest and kind in fixed:
            return 200, fixed[kind]
        if method == "GET" and not rest and kind == "me":
            return 200, self._page(words, [], [self._shown("users", one) for one in self._objects["users"].values()])
        if kind == "unified_job_templates":
            every = [self._shown(one, item) for one in UNIFIED for item in self._objects[one].values()]
            return 200, self._page(words, query, every)
        if kind not in FIELDS:
            raise Refused({"detail": "The requested resource could not be found."}, 404)
        if not rest:
            if method == "GET":
                return 200, self._page(words, query, [self._shown(kind, o) for o in self._objects[kind].values()])
            if method != "POST" or kind in ("workflow_approval_templates", "project_updates"):
                raise Refused({"detail": 'Method "%s" not allowed.' % method}, 405)
            return 201, self._shown(kind, self._create(kind, body), fresh=True)
        one = self._objects[kind].get(int(rest[0])) if rest[0].isdigit() else None
        if one is None:
            raise Refused({"detail": "The requested resource could not be found."}, 404)
        return (
            self._detail(method, kind, one, query, body)
            if len(rest) == 1
            else self._sub(method, words, one, query, body)
        )

    def _detail(self, method: str, kind: str, one: dict[str, Any], query: Any, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self._shown(kind, one)
        if method == "DELETE":
            self._delete(kind, one)
            return 204, None
        if method not in ("PATCH", "PUT"):
            raise Refused({"detail": 'Method "%s" not allowed.' % method}, 405)
        before = copy.deepcopy(one)
        try:
            self._fill(kind, one, body)
        except Refused:
            one.clear()
            one.update(before)
            raise
        # a changed source starts an update (Project.save)
        fresh = kind == "projects" and any(one[name] != before[name] for name in one if name.startswith("scm_"))
        return 200, self._shown(kind, one, fresh)

    def _sub(self, method: str, words: list[str], one: dict[str, Any], query: Any, body: Any) -> tuple[int, Any]:
        kind, _number, what = words[:3]
        links = LINKS.get(kind, {})
        if what == "survey_spec" and "survey_spec" in one:
            return self._survey(method, kind, one, body)
        if what == "update" and kind == "projects" and method == "POST":
            if not one["scm_type"]:
                raise Refused({"detail": 'Method "POST" not allowed.'}, 405)
            return 202, self._shown("project_updates", self._update(one))
        if what == "playbooks" and kind == "projects" and method == "GET":
            return 200, self.playbooks or []
        if what == "create_approval_template" and kind == "workflow_job_template_nodes" and method == "POST":
            approval = self._create("workflow_approval_templates", body)
            one["unified_job_template"] = approval["id"]
            return 201, self._shown("workflow_approval_templates", approval)
        if what not in links:
            raise Refused({"detail": "The requested resource could not be found."}, 404)
        other = links[what]
        if method == "GET":
            return 200, self._page(
                words, query, [self._shown(other, self._objects[other][n]) for n in one["_links"][what]]
            )
        number = body.get("id")
        if not isinstance(number, int):
            raise Refused({"msg": '"id" field must be an integer.'})
        if number not in self._objects[other]:
            raise Refused({"detail": 'Invalid pk "%s" - object does not exist.' % number})
        if body.get("disassociate"):
            self._unlink(one, what, other, number)
        elif number not in one["_links"][what]:
            self._check_link(kind, one, what, self._objects[other][number])
            one["_links"][what].append(number)
        return 204, None

    def _page(self, words: list[str], query: list[tuple[str, str]], items: list[dict[str, Any]]) -> dict[str, Any]:
        every, some = [], []
        settings = {"page": "1", "page_size": str(PAGE_SIZE)}
        for key, value in query:
            if key in (*settings, "order_by"):
                settings[key] = value
            elif key.startswith("or__"):
                some.append((key[4:], value))
            else:
                every.append((key, value))
        items = [one for one in items if all(self._matches(one, *test) for test in every)]
        items = [one for one in items if not some or any(self._matches(one, *test) for test in some)]
        page, size = int(settings["page"]), int(settings["page_size"])
        rest = {**dict(query), "page": page + 1, "page_size": size}
        more = "/api/v2/%s/?%s" % ("/".join(words), urllib.parse.urlencode(rest)) if len(items) > page * size else None
        return {"count": len(items), "next": more, "previous": None, "results": items[(page - 1) * size : page * size]}

    def _matches(self, one: dict[str, Any], key: str, value: str) -> bool:
        name, *more = key.split("__")
        if name not in one:
            raise Refused({"detail": "%s has no field named '%s'" % (one["type"], name)})
        found = one[name]
        if name == "type":
            return found in value.split(",")
        if more and more[-1] == "icontains":
            return value.lower() in str(found).lower()
        if more and more[-1] == "in":
            return str(found) in value.split(",")
        if more and more[-1] not in ("exact", "id"):
            raise Refused({"detail": "The stand-in knows no filter %s" % key})
        return (found is None and value.lower() in ("none", "null")) or str(found) == value

    # --- objects ---
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
            value = _typed(name, field, copy.deepcopy(value))
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
        awx_rules.check_credential_type(one["kind"], one["inputs"], one["injectors"])
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
            if value == awx_rules.ENCRYPTED and name in before["inputs"]:
                one["inputs"][name] = before["inputs"][name]
        awx_rules.check_credential(one["inputs"], credential_type)
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
        if kind not in awx_rules.NOTIFICATIONS:
            raise Refused({"detail": "The stand-in knows no notifications of type %s" % kind}, 501)
        known = {*awx_rules.NOTIFICATIONS[kind], *awx_rules.OPTIONAL_SETTINGS.get(kind, ())}
        self.ignored += [("notification_configuration", name) for name in settings if name not in known]
        for name, value in settings.items():
            if value == awx_rules.ENCRYPTED:
                settings[name] = before["notification_configuration"].get(name, value)
        awx_rules.check_notification(kind, settings)
        awx_rules.check_messages(one["messages"])

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
        one["rrule"] = awx_rules.check_rrule(one["rrule"])
        found = self._unified(one["unified_job_template"])
        if found and found[0] == "projects" and not found[1]["scm_type"]:
            raise Refused({"unified_job_template": ["Manual Project cannot have a schedule set."]})
        self._check_launch_config(one, required=True)

    def _check_launch_config(self, one: dict[str, Any], required: bool) -> None:
        found = self._unified(one["unified_job_template"])
        if found:
            awx_rules.check_prompts(one, found[1], TEMPLATE_LABEL.get(found[0], "Project"), required)

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
            if not found or not found[1].get(awx_rules.PROMPT_LISTS[what]):
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

    def _survey(self, method: str, kind: str, one: dict[str, Any], body: Any) -> tuple[int, Any]:
        if method == "GET":
            shown = copy.deepcopy(one["survey_spec"])
            for question in shown.get("spec", []):
                if question["type"] == "password" and question.get("default"):
                    question["default"] = awx_rules.ENCRYPTED
            return 200, shown
        if method == "DELETE":
            one["survey_spec"] = {}
            return 200, None
        awx_rules.check_survey(body, one["survey_spec"])
        one["survey_spec"] = body
        for question in body["spec"]:
            self.ignored += [("survey_spec", key) for key in question if key not in awx_rules.SURVEY_KEYS]
        lost = awx_rules.lost_defaults(body)
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

    # --- how the API shows an object ---
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
            shown["inputs"] = awx_rules.shown_inputs(one["inputs"], credential_type)
            shown["kind"] = credential_type["namespace"] if "namespace" in credential_type else credential_type["kind"]
            del shown["user"], shown["team"]
        if kind == "notification_templates":
            settings = shown["notification_configuration"]
            for name, (wanted, *_rest) in awx_rules.NOTIFICATIONS[one["notification_type"]].items():
                if wanted == "password" and settings.get(name):
                    settings[name] = awx_rules.ENCRYPTED
        return {**shown, "related": related, "summary_fields": summary}

    def _preload(self) -> None:
        """What a fresh AWX has (without its demo objects)."""
        self._create("users", {"username": self.username}, managed=True)
        default = self._create("organizations", {"name": "Default"})
        for name in ("controlplane", "default"):
            self._create("instance_groups", {"name": name}, managed=True)
        self._create("execution_environments", {"name": "AWX EE (latest)", "image": "quay.io/ansible/awx-ee:latest"})
        self._create(
            "execution_environments",
            {"name": "Control Plane Execution Environment", "image": "quay.io/ansible/awx-ee:%s" % VERSION},
            managed=True,
        )
        for name, kind, namespace, fields, needed in MANAGED_TYPES:
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


class _Handler(http.server.BaseHTTPRequestHandler):
    """HTTP around AwxStandin.answer: authentication, JSON, AWX's headers."""

    awx: AwxStandin
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(size)
        basic, allowed = self._authenticated()
        if not self.path.startswith(PREFIX):
            status, answer = 404, {"detail": "The requested resource could not be found."}
        elif not allowed:
            status, answer = 401, {"detail": "Authentication credentials were not provided."}
        else:
            try:
                status, answer = self.awx.answer(self.command, self.path, json.loads(raw) if raw else None, basic)
            except ValueError as error:
                status, answer = 400, {"detail": "JSON parse error - %s" % error}
        text = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", VERSION)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle

    def _authenticated(self) -> tuple[bool, bool]:
        """(by user and password, at all)."""
        how, _space, what = self.headers.get("Authorization", "").partition(" ")
        if how == "Basic":
            good = base64.b64decode(what).decode() == "%s:%s" % (self.awx.username, self.awx.password)
            return good, good
        return False, how == "Bearer" and what in {self.awx.token, *self.awx.open_tokens.values()}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
