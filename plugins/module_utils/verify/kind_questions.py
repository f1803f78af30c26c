# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that prove a service of a kind beside chat: embedding, reranker, classifier, reward, speech, images.

This file runs inside the service's container, too: its text goes along with the questions, and ``client.py`` takes
KINDS from it. A function takes the service (client.py's ``Service``) and a question, and tells what was answered.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import struct
import wave
import zlib

#: Characters of a body that an answer keeps.
KEPT = 20_000


def model_files(service, question: dict) -> dict:
    """Tell what the files of the served model say about its kind; nothing is downloaded.

    Tell ``problem`` (why they cannot be read, empty when they can), ``architectures``, ``labels`` (None when
    config.json names none), ``vision`` and ``chat_template`` (whether there is one), ``problem_type`` and ``keys`` of
    config.json.
    """
    told = {"problem": "", "architectures": [], "labels": None, "vision": False, "chat_template": False,
            "problem_type": "", "keys": []}  # fmt: skip
    models = service.request("GET", "/v1/models").json().get("data") or []
    root = next((str(item.get("root") or "") for item in models if item.get("id") == service.model), "")
    folder, problem = _folder(root, question.get("revision") or None)
    if problem:
        return {**told, "problem": problem}
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as handle:
            config = json.load(handle)
    except (OSError, ValueError) as error:
        return {**told, "problem": "config.json of %s cannot be read: %s" % (root, error)}
    names = config.get("id2label")
    return {
        **told,
        "architectures": [str(name) for name in config.get("architectures") or []],
        "labels": len(names) if names else config.get("num_labels"),
        "vision": any(key in config for key in ("vision_config", "vision_tower", "vit_config")),
        "chat_template": _has_template(folder),
        "problem_type": str(config.get("problem_type") or ""),
        "keys": sorted(map(str, config)),
    }


def _folder(root: str, revision: str | None) -> tuple[str, str]:
    """Return the folder of a model, an id of the hub by what its cache holds; and why there is none."""
    if os.path.isdir(root):
        return root, ""
    try:
        from huggingface_hub import snapshot_download

        return snapshot_download(root, revision=revision, local_files_only=True), ""
    except Exception as error:  # whatever the library of that release raises
        return "", "the folder of the model %r is not found: %s" % (root, type(error).__name__)


def _has_template(folder: str) -> bool:
    """Tell whether a chat template is in a model's folder, or given to vLLM by an option."""
    if any(os.path.exists(os.path.join(folder, name)) for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as handle:
            if json.load(handle).get("chat_template"):
                return True
    except (OSError, ValueError, AttributeError):
        pass
    try:
        # the first process of the container is the service
        with open("/proc/1/cmdline", "rb") as handle:
            return any(part.startswith(b"--chat-template") and not part.startswith(b"--chat-template-")
                       for part in handle.read().split(b"\0"))  # fmt: skip
    except OSError:
        return False


def _posted(service, question: dict, path: str, body: dict) -> dict:
    """Send a question; tell ``status``, ``body`` as ``http`` does, and ``json`` (None when it is none)."""
    response = service.request("POST", path, {"model": service.model, **body}, timeout_s=question.get("timeout_s"))
    try:
        found = response.json()
    except ValueError:
        found = None
    return {"status": response.status_code, "body": response.text[:KEPT], "json": found}


def post(service, question: dict) -> dict:
    """Send the fields of ``each``, with the model's name, to ``path``; tell ``answers``, those of _posted."""
    return {"answers": [_posted(service, question, question["path"], fields) for fields in question["each"]]}


def vectors(service, question: dict) -> dict:
    """Embed ``texts``; tell ``status``, ``body``, ``lengths`` and ``norms`` of the vectors and ``cosines``.

    ``cosines`` are those of the first text with each of the others.
    """
    told = _posted(service, question, "/v1/embeddings", {"input": question["texts"]})
    data = (told.pop("json") or {}).get("data") or []
    found = [item.get("embedding") or [] for item in sorted(data, key=lambda item: item.get("index", 0))]
    norms = [math.sqrt(sum(number * number for number in vector)) for vector in found]
    cosines = [
        sum(a * b for a, b in zip(found[0], vector)) / (norms[0] * norm) if norms[0] and norm else None
        for vector, norm in zip(found[1:], norms[1:])
    ]
    # a vector of NaN is no number that JSON has
    cosines = [cosine if cosine is not None and math.isfinite(cosine) else None for cosine in cosines]
    body = "" if told["status"] == 200 else told["body"]
    norms = [round(norm, 4) if math.isfinite(norm) else None for norm in norms]
    return {"status": told["status"], "body": body, "lengths": [len(vector) for vector in found], "norms": norms,
            "cosines": cosines}  # fmt: skip


def ranking(service, question: dict) -> dict:
    """Rank ``documents`` for ``query`` by /rerank, and score them by /score.

    Tell ``status`` and ``body`` of the first that is not answered, ``order`` (indices, the best first), ``ranked``
    (their scores) and ``scores`` (as /score gives them, in the order of the documents).
    """
    first = _posted(service, question, "/rerank", {"query": question["query"], "documents": question["documents"]})
    results = (first["json"] or {}).get("results") or []
    told = {
        "status": first["status"],
        "body": "" if first["status"] == 200 else first["body"],
        "order": [item.get("index") for item in results],
        "ranked": [item.get("relevance_score") for item in results],
        "scores": [],
    }
    if first["status"] != 200:
        return told
    second = _posted(service, question, "/score", {"text_1": question["query"], "text_2": question["documents"]})
    data = (second["json"] or {}).get("data") or []
    told["scores"] = [item.get("score") for item in sorted(data, key=lambda item: item.get("index", 0))]
    return told if second["status"] == 200 else {**told, "status": second["status"], "body": second["body"]}


#: Samples a second of the audio that is made: what Whisper works with.
_RATE = 16_000

#: Resonances of three vowels in Hz ("ah", "ee", "oo"; textbook values of a man's voice), and the pitch in Hz.
_VOWELS, _PITCH = ((730, 1090), (270, 2290), (300, 870)), 120


def speech(seconds: float = 2.1) -> bytes:
    """Return a WAV file with three sung vowels: sound that is near to speech, made of nothing."""
    frames = bytearray()
    total = int(seconds * _RATE)
    # of a voice's overtones those near to the vowel's resonances are loud
    tones = [
        [(2 * math.pi * tone / _RATE, sum(1.0 / (1.0 + ((tone - peak) / 90.0) ** 2) for peak in vowel))
         for tone in range(_PITCH, 24 * _PITCH, _PITCH)]
        for vowel in _VOWELS
    ]  # fmt: skip
    for number in range(total):
        voice = tones[number * len(tones) // total]
        value = sum(weight * math.sin(step * number) for step, weight in voice if weight > 0.01)
        frames += struct.pack("<h", max(-32000, min(32000, int(6000 * value))))
    made = io.BytesIO()
    with wave.open(made, "wb") as handle:
        handle.setnchannels(1)
        handle.setsampwidth(2)
        handle.setframerate(_RATE)
        handle.writeframes(bytes(frames))
    return made.getvalue()


def transcription(service, question: dict) -> dict:
    """Send an audio file; tell ``status``, ``body`` and ``text`` (None when the answer has none)."""
    fields = {"model": service.model, "response_format": "json", "temperature": "0"}
    response = service.upload("/v1/audio/transcriptions", fields, "verify.wav", speech(), "audio/wav",
                              question.get("timeout_s", 120))  # fmt: skip
    try:
        text = response.json().get("text")
    except (ValueError, AttributeError):
        text = None
    return {"status": response.status_code, "body": response.text[:KEPT], "text": text}


def picture(color: list, side: int) -> bytes:
    """Return a PNG file of one color (red, green, blue; 0 to 255 each)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(color) * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def vision(service, question: dict) -> dict:
    """Ask about a picture of one ``color``; tell ``message``."""
    url = "data:image/png;base64,%s" % base64.b64encode(picture(question["color"], question["side"])).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question["prompt"]}]
    return {"message": service.chat(question, [{"role": "user", "content": content}])}


KINDS = {
    "model_files": model_files,
    "post": post,
    "vectors": vectors,
    "ranking": ranking,
    "transcription": transcription,
    "vision": vision,
}
