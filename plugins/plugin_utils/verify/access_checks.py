# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service asks for its API key where it must, and only there: what to ask, and whether the answers are right.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import failed, passed, skipped

#: Ids of the checks.
IDS = ("access-key", "access-without-key", "access-wrong-key", "access-open", "access-unguarded")

#: Routes that answer without a key in every release; asking them changes nothing.
OPEN = (("GET", "/health"), ("GET", "/version"), ("GET", "/metrics"), ("GET", "/ping"))

#: Routes that run the model, or change the service, without any key (0.11 to 0.33); vLLM's security guide asks for a
#: proxy with an allow list before them.
_UNGUARDED_WORK = (
    "/invocations", "/generative_scoring", "/pooling", "/classify", "/score", "/rerank", "/scale_elastic_ep", "/sleep",
    "/wake_up", "/collective_rpc", "/pause", "/update_weights",
)  # fmt: skip


def questions(definition: dict, paths: Iterable[str]) -> list[dict]:
    """Return what to ask; ``paths`` are the endpoints of models, of which those below /v1 need the key.

    vLLM looks at the key before it looks whether there is such a route, so it does not matter which kind of service
    has which of them.
    """
    if not definition["api_key_required"]:
        return []
    below = dict.fromkeys([*(path for path in paths if path.startswith("/v1/")), "/v1/score", "/v1/rerank"])
    guarded = [["GET", "/v1/models"], *[["POST", path] for path in below]]
    return [
        {"id": "without-key", "kind": "status_of_many", "routes": guarded, "key": "none"},
        {"id": "wrong-key", "kind": "status_of_many", "routes": guarded, "key": "wrong"},
        {"id": "open", "kind": "status_of_many", "routes": [list(route) for route in OPEN], "key": "none"},
    ]


def judge(definition: dict, answers: dict[str, dict]) -> list[dict]:
    """Return the checks that the key is needed where it must be, and only there."""
    if not definition["api_key_required"]:
        verdict = skipped("no vllm_api_key is set; the service is published on %s" % definition["publish_address"])
        return [check_result.check("access-key", "access", "Requests need the API key", verdict, 0.0)]
    found = []
    for name, what in (("without-key", "without a key"), ("wrong-key", "with a wrong key")):
        answer = answers[name]
        let_in = [path for path, status in answer.get("statuses", {}).items() if status != 401]
        verdict = passed("HTTP 401 from %s" % ", ".join(answer.get("statuses", {})))
        if answer["error"]:
            verdict = failed("no answer: %s" % answer["error"])
        elif let_in:
            verdict = failed("these do not answer 401: %s" % ", ".join(let_in))
        found.append(
            check_result.check("access-" + name, "access", "Requests %s are refused below /v1" % what, verdict,
                               answer["duration_s"])
        )  # fmt: skip
    answer = answers["open"]
    shut = ["%s (%d)" % item for item in answer.get("statuses", {}).items() if item[1] in (401, 403)]
    verdict = passed(", ".join(answer.get("statuses", {})))
    if answer["error"]:
        verdict = failed("no answer: %s" % answer["error"])
    elif shut:
        verdict = failed("these ask for one: %s" % ", ".join(shut))
    found.append(
        check_result.check("access-open", "access", "Health, version and metrics need no key", verdict,
                           answer["duration_s"])
    )  # fmt: skip
    work = [path for path in _UNGUARDED_WORK if path in answers["openapi"].get("paths", {})]
    verdict = passed("none is served")
    if work:
        verdict = failed(
            "vLLM answers %s without the key. Let only a proxy with an allow list reach the service from outside."
            % ", ".join(work)
        )
    found.append(
        check_result.check("access-unguarded", "access", "No endpoint that runs the model goes without the key",
                           verdict, 0.0, must=False)
    )  # fmt: skip
    return found
