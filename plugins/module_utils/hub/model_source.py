# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a model's ``config.json`` and the size of its weights from a folder or from the Hugging Face hub.

Private to this collection; may change at any time. Only file names, sizes and one small file are read, never weights.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.myia.vllm.plugins.module_utils.common.files import read_text
from ansible_collections.myia.vllm.plugins.module_utils.hub import cache as hub_cache

#: The hub that vLLM uses when the environment does not say otherwise.
_HUB = "https://huggingface.co"

#: Seconds that one request to the hub may take; two are made.
TIMEOUT_S = 4
#: Redirects that are followed; the hub answers with one.
_REDIRECTS = 3

#: A repository of the hub: a name, or an owner and a name.
_HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


class SourceError(Exception):
    """The model cannot be read.

    ``kind`` is ``unauthorized`` (401), ``gated`` (403), ``not_found`` (404), ``unreachable``, ``missing`` (no such
    file) or ``invalid`` (not what it should be).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read(model: str, *, endpoint: str = "", token: str = "", revision: str = "", timeout_s: float = TIMEOUT_S) -> dict:
    """Return the configuration of a model by absolute path or hub id; see `read_local` and `read_hub`."""
    if model.startswith("/"):
        return read_local(model)
    return _read_hub(model, endpoint=endpoint, token=token, revision=revision, timeout_s=timeout_s)


def read_local(path: str) -> dict:
    """Return the configuration and the weights' size of a model on this host.

    Args:
        path: a ``config.json`` or the folder it lies in.

    Returns:
        ``config`` (dict), ``weights_bytes`` (None when there are no weight files), ``weights_source``: V(index),
        V(files) or empty.

    Raises:
        SourceError: ``missing`` or ``invalid``.
    """
    file = os.path.join(path, "config.json") if os.path.isdir(path) else path
    folder = os.path.dirname(file)
    config = _parsed(_file_text(file), file)
    index = os.path.join(folder, "model.safetensors.index.json")
    size = None
    if os.path.isfile(index):
        size = (_parsed(_file_text(index), index).get("metadata") or {}).get("total_size")
    if isinstance(size, int):
        return _result(config, path, size, "index")
    files = [(name, os.path.getsize(os.path.join(folder, name))) for name in os.listdir(folder or ".")]
    return _result(config, path, *_weight_files(files))


def on_disk(folder: str) -> dict:
    """Return what of a model's weights lies in a folder, whatever its index says.

    Returns:
        ``files_bytes`` (of the files that vLLM loads; None without any) and ``missing_files`` (names in the index that
        are not there).
    """
    sizes, missing = [], []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            # a link into nothing is no file
            with contextlib.suppress(OSError):
                sizes.append((name, os.path.getsize(os.path.join(folder, name))))
    index = os.path.join(folder, "model.safetensors.index.json")
    with contextlib.suppress(SourceError):
        named = _parsed(_file_text(index), index).get("weight_map") or {}
        there = dict(sizes)
        missing = sorted({str(name) for name in named.values()} - set(there)) if isinstance(named, dict) else []
    return {"files_bytes": _weight_files(sizes)[0], "missing_files": missing}


def _read_hub(
    model: str, *, endpoint: str = "", token: str = "", revision: str = "", timeout_s: float = TIMEOUT_S
) -> dict:
    """Return the configuration and the weights' size of a model on the hub.

    Args:
        model: id of the repository.
        endpoint: address of the hub; empty: what HF_ENDPOINT says, else Hugging Face's own.
        token: access token; empty: none.
        revision: branch, tag or commit; empty: main.
        timeout_s: longest wait for each of two answers, in seconds.

    Returns:
        As `read_local`, with V(hub) as ``weights_source``; no size when only the configuration could be read.

    Raises:
        SourceError: ``unauthorized``, ``gated``, ``not_found``, ``missing``, ``unreachable`` or ``invalid``.
    """
    asked = {"endpoint": endpoint, "token": token, "revision": revision, "timeout_s": timeout_s}
    config = hub_config(model, **asked)
    return _result(config, model, *hub_weights(model, **asked))


def hub_config(
    model: str,
    *,
    endpoint: str = "",
    token: str = "",
    revision: str = "",
    timeout_s: float = TIMEOUT_S,
    on_answer=None,
    file: str = "config.json",
) -> dict:
    """Return the ``config.json``, or another small file, of a model on the hub; see `read_hub`.

    ``on_answer`` is called with the headers of every answer of the hub, refusals too.
    """
    if not _HUB_ID.fullmatch(model):
        raise SourceError(
            "invalid",
            "%r is neither an absolute path nor a Hugging Face id like Qwen/Qwen2.5-32B-Instruct-AWQ. "
            "Correct vllm_model." % model,
        )
    url = "%s/%s/resolve/%s/%s" % (_base(endpoint), model, _branch(revision), file)
    return _parsed(_get(url, model, token, timeout_s, on_answer), model)


def hub_weights(
    model: str, *, endpoint: str = "", token: str = "", revision: str = "", timeout_s: float = TIMEOUT_S, names=None
) -> tuple[int | None, str]:
    """Return the bytes of a model's weights on the hub and V(hub), or None and an empty string.

    A list ``names`` gets the names of all files.

    A mirror may serve files only; the planner then works from the architecture.
    """
    url = "%s/api/models/%s/revision/%s?blobs=true" % (_base(endpoint), model, _branch(revision))
    try:
        answer = _parsed(_get(url, model, token, timeout_s), url)
    except SourceError:
        return None, ""
    files = [
        (str(entry.get("rfilename")), entry.get("size") or 0)
        for entry in answer.get("siblings") or []
        if isinstance(entry, dict)
    ]
    if names is not None:
        names += [name for name, _size in files]
    size, source = _weight_files(files)
    return size, source and "hub"


def cached_folder(cache: str, model: str, revision: str = "") -> str:
    """Return the folder of a downloaded model in a cache of ``huggingface_hub``, or "" when it is not there in full.

    Args:
        cache: what is mounted at ``~/.cache/huggingface``.
        model: id of the repository.
        revision: branch, tag or commit; empty: main.
    """
    base = hub_cache.repository(cache, model)
    commit = revision or "main"
    # a commit has no file under refs
    commit = read_text(os.path.join(base, "refs", commit)).strip() or commit
    folder = os.path.join(base, "snapshots", commit)
    blobs = os.path.join(base, "blobs")
    partial = os.path.isdir(blobs) and any(name.endswith(".incomplete") for name in os.listdir(blobs))
    try:
        complete = not partial and read_local(folder)["weights_bytes"] is not None
    except (OSError, SourceError):
        complete = False
    return folder if complete else ""


def adapter_config(source: str, cache: str, query: bool = True, **asked) -> dict:
    """Return ``rank`` of a LoRA adapter (None when its configuration does not say), or ``error`` (``kind``, ``text``).

    Args:
        source: a folder of this host, or the id of a repository.
        cache: what is mounted at ``~/.cache/huggingface``.
        query: whether the hub may be asked for what is not in the cache.
        asked: ``endpoint``, ``token``, ``revision``, ``timeout_s`` of :func:`hub_config`.
    """
    file = "adapter_config.json"
    try:
        path = os.path.join(source, file) if source.startswith("/") else _cached_file(cache, source, asked, file)
        if path:
            config = _parsed(_file_text(path), path)
        elif query:
            config = hub_config(source, file=file, **asked)
        else:
            return {"rank": None, "error": {"kind": "unreachable", "text": "%s: the hub is not asked." % source}}
    except SourceError as error:
        return {"rank": None, "error": {"kind": error.kind, "text": str(error).replace("vllm_model", "the source")}}
    rank = config.get("r")
    return {"rank": rank if isinstance(rank, int) else None, "error": None}


def _cached_file(cache: str, model: str, asked: dict, file: str) -> str:
    """Return the path of a downloaded file; empty when it is not there."""
    base = hub_cache.repository(cache, model)
    commit = asked.get("revision") or "main"
    commit = read_text(os.path.join(base, "refs", commit)).strip() or commit
    path = os.path.join(base, "snapshots", commit, file)
    return path if os.path.isfile(path) else ""


def _base(endpoint: str) -> str:
    return (endpoint or os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def _branch(revision: str) -> str:
    return urllib.parse.quote(revision or "main", safe="")


def _shown(url: str) -> str:
    """Return a URL without user name and password, for messages."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _weight_files(files: list[tuple[str, int]]) -> tuple[int | None, str]:
    """Return the bytes of the files that vLLM loads, and V(files), or None and an empty string when there are none.

    Safetensors come before PyTorch's own files, and the Transformers layout before ``consolidated`` ones, which hold
    the same weights once more.

    Args:
        files: names and sizes in bytes of a repository's or folder's files.
    """
    top = [(name, size) for name, size in files if "/" not in name]
    for pattern in (r"model.*\.safetensors", r"(?!consolidated).*\.safetensors", r".*\.safetensors", r".*\.(bin|pt)"):
        found = [size for name, size in top if re.fullmatch(pattern, name) and size]
        if found:
            return sum(found), "files"
    return None, ""


def _result(config: dict, name: str, size: int | None, source: str) -> dict:
    return {"config": {**config, "_name_or_path": name}, "weights_bytes": size, "weights_source": source}


def _file_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError as error:
        raise SourceError(
            "missing", "%s cannot be read (%s). Copy the model there, or correct vllm_model." % (path, error.strerror)
        ) from error


def _parsed(text: str, where: str) -> dict:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SourceError("invalid", "%s: the answer is no JSON (%s)." % (where, error)) from error
    if not isinstance(content, dict):
        raise SourceError("invalid", "%s: the JSON is no object." % where)
    return content


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the caller."""

    def redirect_request(self, *_args: object) -> None:
        """Follow none."""


def _open(url: str, headers: dict, timeout_s: float):
    """Open an address, with the name and password that stand in it, through the proxy that the environment names."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        # urllib would open a file of this host, to which a redirect must not lead
        raise ValueError("%s is no address of a hub" % url)
    if parts.username:
        words = "%s:%s" % (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        basic = "Basic " + base64.b64encode(words.encode()).decode()
        headers = {"Authorization": basic, **headers}
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(url, headers={"User-Agent": "myia.vllm", **headers})
    return urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s)


def _get(url: str, model: str, token: str, timeout_s: float, on_answer=None) -> str:
    """Return the body of an answer. Redirects are followed here: the token goes only to the host it was given for."""
    host = urllib.parse.urlsplit(url).netloc
    try:
        for _redirect in range(_REDIRECTS + 1):
            known = token and urllib.parse.urlsplit(url).netloc == host
            headers = {"Authorization": "Bearer " + token} if known else {}
            try:
                answer = _open(url, headers, timeout_s)
                if on_answer:
                    on_answer(answer.headers)
                return answer.read().decode("utf-8", "replace")
            except urllib.error.HTTPError as error:
                if on_answer:
                    on_answer(error.headers)
                if error.code not in (301, 302, 303, 307, 308) or not error.headers.get("Location"):
                    raise _refusal(error, url, model, bool(token)) from error
                url = urllib.parse.urljoin(url, error.headers["Location"])
        raise SourceError("unreachable", "%s redirects without end. Check HF_ENDPOINT." % host.rpartition("@")[2])
    except (urllib.error.URLError, ssl.SSLError, socket.timeout, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(
            "unreachable",
            "%s does not answer (%s). Check network, proxy and HF_ENDPOINT, or give vllm_model as a folder."
            % (host.rpartition("@")[2], reason),
        ) from error


def _refusal(error: urllib.error.HTTPError, url: str, model: str, has_token: bool) -> SourceError:
    """Return what a refusal of the hub means; the hub answers 401 for a repository that is not there as well."""
    code = str((error.headers or {}).get("X-Error-Code") or "")
    token = "the token given is not valid, or may not read it" if has_token else "no token is given"
    if error.code == 401 and code != "GatedRepo":
        message = "%s is private or does not exist (HTTP 401), and %s. Correct vllm_model, or set vllm_hf_token."
        return SourceError("unauthorized", message % (model, token))
    if error.code == 401:
        message = "%s is gated (HTTP 401), and %s. Accept its licence on the hub and set vllm_hf_token."
        return SourceError("unauthorized", message % (model, token))
    if error.code == 403:
        message = (
            "%s is gated (HTTP 403): the account of the token has not been granted access. Accept its licence on the "
            "hub, wait for the approval, or give vllm_hf_token of an account that has it."
        )
        return SourceError("gated", message % model)
    if error.code == 404:
        what = "revision" if code == "RevisionNotFound" else "file config.json" if code == "EntryNotFound" else "model"
        message = "the %s is not on the hub (HTTP 404): %s. Correct vllm_model, or its revision."
        # the model is there, but in a layout without config.json (GGUF, Mistral's own)
        return SourceError("missing" if code == "EntryNotFound" else "not_found", message % (what, _shown(url)))
    message = "%s answers HTTP %d. Try again later, or check HF_ENDPOINT."
    return SourceError("unreachable", message % (urllib.parse.urlsplit(_shown(url)).netloc, error.code))
