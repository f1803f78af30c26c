# SPDX-License-Identifier: GPL-3.0-or-later
"""The STAND-IN for AWX as tests see it: a server of /api/v2 on a loopback port."""

from __future__ import annotations

import base64
import copy
import http.server
import json
import secrets
import threading
import urllib.parse
from typing import Any

from awx_standin.objects import PREFIX, VERSION, Objects
from awx_standin.refused import Refused
from awx_standin.schema import FIELDS, LINKS, UNIFIED

# where AWX's paging starts (MAX_PAGE_SIZE is 200)
PAGE_SIZE = 25


class AwxStandin(Objects):
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
        self.requests: list[tuple[str, str, Any]] = []
        self.open_tokens: dict[int, str] = {}
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        super().__init__(self.username, playbooks)

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
