# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind of service runs: from what vLLM says it can do, and from its model's files.

Pure Python, no I/O. The signs, the surest first (read in vLLM 0.11.1, 0.20.0 and 0.32.0, tried with 0.32.0):

1. The line ``Supported tasks: [...]`` of the container's log, which every release writes.
2. The routes of /openapi.json; before 0.16 every route is always registered, so they tell nothing there.
3. Which endpoints answered, where neither of them can be had.

They tell what generates, embeds, classifies or transcribes. Finer differences (chat or vision, reranker or reward
model) stand in the model's files only. What cannot be told apart stays several candidates.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import typing

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions

#: Every kind of service.
KINDS = ("chat", "base", "vision", "embed", "rerank", "classify", "token_classify", "reward", "transcription")

#: Kinds that have /v1/completions.
GENERATING = ("chat", "base", "vision")

#: The first release whose routes are those of its model's tasks: ``build_app(args, supported_tasks)``,
#: vllm/entrypoints/openai/api_server.py.
_ROUTES_TELL_FROM = (0, 16, 0)

#: Keys of a model's config.json that only a trained pair classifier has (sentence-transformers' CrossEncoder, vLLM's
#: own for the original Qwen3 rerankers).
CROSS_ENCODER_KEYS = (
    "sentence_transformers", "sbert_ce_default_activation_function", "classifier_from_token",
    "is_original_qwen3_reranker",
)  # fmt: skip


class Told(typing.NamedTuple):
    """``kind`` is one of KINDS, empty when it cannot be told; then ``candidates`` are those that are left.

    ``candidates`` holds the kind alone when it is told, and nothing when there is no sign at all. ``by`` is a sentence
    about the signs, and about what is missing. ``tokens_only`` tells of an embedding service that it gives vectors of
    tokens and none of texts (late interaction), so that it has no /v1/embeddings.
    """

    kind: str
    candidates: tuple[str, ...]
    by: str
    tokens_only: bool = False


def tell(seen: dict, expected: str = "") -> Told:
    """Return the kind of a running service.

    Args:
        seen: ``tasks``, the words of the log line (empty: not found); ``paths``, the routes of /openapi.json (empty:
            hidden); ``answered``, the endpoints that answered 200; ``no_template``, whether vLLM said that the model
            has no chat template; ``version``; and ``model``, what its files say (client.py's ``model_files``):
            ``error``, ``architectures``, ``labels``, ``vision``, ``chat_template``, ``keys``.
        expected: the kind that was found before the start; only used to choose among candidates.
    """
    group, by = _group(seen)
    if not group:
        return Told("", (), by)
    candidates, more = _GROUPS[group](seen)
    if len(candidates) > 1 and expected in candidates:
        candidates, more = (expected,), "%s; of these, %s was expected before the start" % (more, expected)
    by = "%s; %s" % (by, more) if more else by
    return Told(candidates[0] if len(candidates) == 1 else "", candidates, by, group == "embed tokens")


def _group(seen: dict) -> tuple[str, str]:
    """Return what a service does in general (a key of _GROUPS, empty when unknown), and what told it."""
    tasks, missing = set(seen.get("tasks") or ()), []
    if tasks:
        by = "the log line 'Supported tasks: [%s]'" % ", ".join(sorted(tasks))
        for group, words in _TASKS:
            if tasks & words:
                return group, by
        missing.append("%s names no task that this collection knows" % by)
    else:
        missing.append("the log has no line 'Supported tasks'")
    paths = set(seen.get("paths") or ())
    if not paths:
        missing.append("/openapi.json is not served")
    elif not _routes_tell(seen.get("version", "")):
        missing.append("before vLLM 0.16 /openapi.json lists every route")
    else:
        for group, path in _ROUTES:
            if path in paths:
                return group, "%s among the routes of /openapi.json" % path
        missing.append("/openapi.json has no route of a model")
    for group, path in _ROUTES:
        if path in (seen.get("answered") or ()):
            return group, "%s answers (%s)" % (path, "; ".join(missing))
    return "", "nothing tells it: %s, and no endpoint of a model answers" % "; ".join(missing)


#: Words of the log line, by what they mean; the first that is found counts. ``score`` and ``encode`` are 0.11's.
_TASKS = (
    ("generate", {"generate"}),
    ("transcription", {"transcription", "translation"}),
    ("embed", {"embed", "embed&token_classify"}),
    ("embed tokens", {"token_embed"}),
    ("classify", {"classify", "score"}),
    ("tokens", {"token_classify", "encode"}),
)  # fmt: skip

#: Routes in the order in which they decide: an embedding service has /score and /rerank too.
_ROUTES = (
    ("generate", "/v1/completions"),
    ("generate", "/v1/chat/completions"),
    ("transcription", "/v1/audio/transcriptions"),
    ("embed", "/v1/embeddings"),
    ("classify", "/classify"),
    ("embed tokens", "/rerank"),
    ("tokens", "/pooling"),
)


def _routes_tell(version: str) -> bool:
    try:
        return vllm_versions.release(version)[:3] >= _ROUTES_TELL_FROM
    except ValueError:
        return False


def _model(seen: dict) -> dict:
    return seen.get("model") or {}


def _unread(seen: dict) -> str:
    """Return why the model's files say nothing; empty when they were read."""
    model = _model(seen)
    return str(model.get("error") or ("" if model else "the model's files were not read"))


def _generate(seen: dict) -> tuple[tuple[str, ...], str]:
    model = _model(seen)
    if seen.get("no_template"):
        return ("base",), "vLLM says that the model has no chat template"
    if model.get("vision"):
        return ("vision",), "vision_config in the model's config.json"
    chats = "/v1/chat/completions" in (seen.get("answered") or ())
    if chats and not _unread(seen):
        return ("chat",), "a chat is answered"
    if chats:
        return ("chat", "vision"), "it chats; whether it sees images cannot be told: %s" % _unread(seen)
    if model.get("chat_template"):
        return ("chat",), "the model's chat template"
    left = GENERATING if _unread(seen) else ("chat", "base")
    why = _unread(seen) or "there is no chat template in the model's folder, and no chat was answered or refused for it"
    return left, "which of them cannot be told: %s" % why


def _embed(_seen: dict) -> tuple[tuple[str, ...], str]:
    return ("embed",), ""


def _transcription(_seen: dict) -> tuple[tuple[str, ...], str]:
    return ("transcription",), ""


def _labels(seen: dict) -> tuple[int, str]:
    """Return how many labels a classifier has (2 stands for several, 0 for unknown), and what told it."""
    if "score" in (seen.get("tasks") or ()):
        return 1, "the task score, which only a model with one label has"
    paths = seen.get("paths") or ()
    if paths and _routes_tell(seen.get("version", "")):
        return (1, "/rerank, which only a model with one label has") if "/rerank" in paths else (2, "no /rerank")
    number = _model(seen).get("labels")
    if number:
        return (1 if number == 1 else 2), "%d labels in the model's config.json" % number
    if "/rerank" in (seen.get("answered") or ()):
        return 1, "/rerank answers"
    return 0, "how many labels it has cannot be told: %s" % (_unread(seen) or "config.json does not say")


def _classify(seen: dict) -> tuple[tuple[str, ...], str]:
    number, by = _labels(seen)
    if number != 1:
        return (("classify",) if number else ("classify", "rerank", "reward")), by
    model = _model(seen)
    names = model.get("architectures") or []
    key = next((key for key in CROSS_ENCODER_KEYS if key in (model.get("keys") or ())), "")
    left, why = ("rerank", "reward"), "nothing in the model's files tells a reranker from a reward model"
    if any("reward" in name.lower() for name in names):
        left, why = ("reward",), "architecture %s" % ", ".join(names)
    elif key:
        left, why = ("rerank",), "%s in the model's config.json" % key
    elif _unread(seen):
        why = "which of them cannot be told: %s" % _unread(seen)
    elif not model.get("chat_template"):
        # a reward model rates an answer in a chat
        left, why = ("rerank",), "the model has no chat template"
    return left, "%s; %s" % (by, why)


def _tokens(seen: dict) -> tuple[tuple[str, ...], str]:
    names = _model(seen).get("architectures") or []
    shown = "architecture %s" % ", ".join(names)
    if any("reward" in name.lower() for name in names):
        return ("reward",), shown
    if any("TokenClassification" in name for name in names):
        return ("token_classify",), shown
    return ("token_classify", "reward"), "which of them cannot be told: %s" % (_unread(seen) or shown)


_GROUPS: dict[str, typing.Callable[[dict], tuple[tuple[str, ...], str]]] = {
    "generate": _generate,
    "transcription": _transcription,
    "embed": _embed,
    "embed tokens": _embed,
    "classify": _classify,
    "tokens": _tokens,
}
