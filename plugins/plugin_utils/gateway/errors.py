# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of a gateway as objects of the OpenAI API, which its clients read and retry.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

#: By a name of its own: status, type, code and message. Types and codes are those of the OpenAI API where it has one.
KINDS = {
    "not_listed": (403, "permission_error", "path_not_allowed", "This path or method is not offered here."),
    "no_key": (401, "invalid_request_error", "invalid_api_key", "No usable API key was given."),
    "expired": (401, "invalid_request_error", "expired_api_key", "This API key has expired."),
    "not_allowed": (403, "permission_error", "model_not_allowed", "This API key may not use this model."),
    "no_model": (400, "invalid_request_error", "model_missing", "The body is no JSON object with a text as model."),
    "unknown_model": (404, "invalid_request_error", "model_not_found", "There is no model of this name."),
    "too_large": (413, "invalid_request_error", "request_too_large", "The body is larger than this service takes."),
    "rate": (429, "rate_limit_error", "rate_limit_exceeded", "This API key has asked too often. Try again later."),
    "concurrent": (429, "rate_limit_error", "concurrency_exceeded", "This API key has too many requests at a time."),
    "busy": (503, "server_error", "service_unavailable", "The service is being changed. Try again later."),
}

#: What HAProxy says itself: by status the reason, type, code and message.
OWN = {
    400: ("Bad Request", "invalid_request_error", "bad_request", "The request cannot be read."),
    408: ("Request Timeout", "invalid_request_error", "request_timeout", "The request did not arrive in time."),
    500: ("Internal Server Error", "server_error", "gateway_error", "The gateway has failed."),
    502: ("Bad Gateway", "server_error", "bad_gateway", "The service ended its answer too early."),
    503: ("Service Unavailable", "server_error", "service_unavailable", "No host can answer now. Try again later."),
    504: ("Gateway Timeout", "server_error", "gateway_timeout", "The service did not answer in time."),
}


def body(kind: str, text: str, code: str) -> str:
    """Return an error object of the OpenAI API."""
    return json.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}}, separators=(",", ":"))


def returns() -> dict[str, dict]:
    """Return status and body of each error that the configuration answers with."""
    return {name: {"status": kind[0], "body": body(kind[1], kind[3], kind[2])} for name, kind in KINDS.items()}


def files(retry_after_s: int) -> dict[str, str]:
    """Return the raw answers for what HAProxy says itself, by the file's name.

    Args:
        retry_after_s: after how many seconds a client shall ask again where no host can answer.
    """
    found = {}
    for status, (reason, kind, code, text) in OWN.items():
        content = body(kind, text, code)
        lines = ["HTTP/1.1 %d %s" % (status, reason), "Content-Type: application/json", "Cache-Control: no-cache"]
        if status == 503:
            lines.append("Retry-After: %d" % retry_after_s)
        lines += ["Content-Length: %d" % len(content.encode("utf-8")), "Connection: close", "", content]
        found["%d.http" % status] = "\r\n".join(lines)
    return found
