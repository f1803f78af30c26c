# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions for services beside chat, as the client asks them; that a real vLLM answers is shown by Molecule."""

from __future__ import annotations

import inspect
import io
import json
import struct
import sys
import types
import wave
import zlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.verify import client as verify_client
from ansible_collections.myia.vllm.plugins.module_utils.verify import kind_questions

from .test_client import Response, Service


def serving(**answers: tuple[int, object]) -> Service:
    """Return a service that answers by the last part of the path."""
    return Service(lambda _method, path, *_: Response(*answers[path.rpartition("/")[2]]))


def models(root: object) -> tuple[int, object]:
    return 200, {"data": [{"id": "other", "root": "/x"}, {"id": "qwen", "root": str(root)}]}


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes the files of a model; a text is written as it is."""

    def write(**files: object) -> str:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        return str(tmp_path)

    return write


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"config__json": {"architectures": ["BertModel"]}}, {"architectures": ["BertModel"], "chat_template": False}),
        ({"config__json": {"id2label": {"0": "a", "1": "b", "2": "c"}}}, {"labels": 3}),
        ({"config__json": {"num_labels": 1}}, {"labels": 1}),
        ({"config__json": {}}, {"labels": None, "vision": False, "problem": ""}),
        ({"config__json": {"vision_config": {}}}, {"vision": True, "keys": ["vision_config"]}),
        ({"config__json": {}, "chat_template__jinja": "x"}, {"chat_template": True}),
        ({"config__json": {}, "tokenizer_config__json": {"chat_template": "x"}}, {"chat_template": True}),
        ({"config__json": {}, "tokenizer_config__json": {"chat_template": None}}, {"chat_template": False}),
        ({"config__json": {}, "tokenizer_config__json": "no JSON"}, {"chat_template": False}),
        ({"config__json": {"problem_type": "regression"}}, {"problem_type": "regression"}),
    ],
)
def test_model_files(folder, files: dict, told: dict) -> None:
    """Of the model that is asked for, not of its adapters."""
    found = kind_questions.model_files(serving(models=models(folder(**files))), {})
    assert {key: found[key] for key in told} == told
    assert found["problem"] == ""


def test_model_files_that_cannot_be_read(folder, monkeypatch) -> None:
    """No folder, no configuration, a broken one: a reason, never an error."""
    hub = types.ModuleType("huggingface_hub")

    def missing(*_args, **_more):
        raise OSError("not cached")

    hub.snapshot_download = missing
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    found = kind_questions.model_files(serving(models=models("org/model")), {})
    assert found["problem"] == "the folder of the model 'org/model' is not found: OSError"
    here = folder()
    assert "config.json of" in kind_questions.model_files(serving(models=models(here)), {})["problem"]
    assert (
        "config.json of" in kind_questions.model_files(serving(models=models(folder(config__json="{"))), {})["problem"]
    )
    hub.snapshot_download = lambda root, revision, local_files_only: here
    folder(config__json={"architectures": ["X"]})
    found = kind_questions.model_files(serving(models=models("org/model")), {"revision": "abc"})
    assert found["architectures"] == ["X"]


def embedded(*found: list) -> tuple[int, object]:
    # the order of the answer is not that of the texts
    return 200, {"data": [{"index": number, "embedding": one} for number, one in reversed(list(enumerate(found)))]}


@pytest.mark.parametrize(
    ("answer", "lengths", "cosines"),
    [
        (embedded([1.0, 0.0], [2.0, 0.0], [0.0, 3.0]), [2, 2, 2], [1.0, 0.0]),
        (embedded([1.0, 0.0], [-1.0, 0.0]), [2, 2], [-1.0]),
        (embedded([0.0, 0.0], [1.0, 0.0]), [2, 2], [None]),
        (embedded([float("nan"), 0.0], [1.0, 0.0]), [2, 2], [None]),
        ((200, {"data": []}), [], []),
        ((404, {"detail": "Not Found"}), [], []),
    ],
)
def test_vectors(answer: tuple, lengths: list, cosines: list) -> None:
    """In the order of the texts; what is no number is none."""
    found = kind_questions.vectors(serving(embeddings=answer), {"texts": ["a", "b", "c"]})
    assert (found["status"], found["lengths"], found["cosines"]) == (answer[0], lengths, cosines)
    json.dumps(found, allow_nan=False)


def test_ranking() -> None:
    """Both endpoints, each in its own order."""
    results = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}
    scores = {"data": [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]}
    question = {"query": "q", "documents": ["a", "b"]}
    service = serving(rerank=(200, results), score=(200, scores))
    found = kind_questions.ranking(service, question)
    assert (found["status"], found["order"], found["ranked"], found["scores"]) == (200, [1, 0], [0.9, 0.1], [0.1, 0.9])
    assert [asked[2] for asked in service.asked] == [
        {"model": "qwen", "query": "q", "documents": ["a", "b"]},
        {"model": "qwen", "text_1": "q", "text_2": ["a", "b"]},
    ]
    found = kind_questions.ranking(serving(rerank=(400, "no"), score=(200, scores)), question)
    assert (found["status"], "no" in found["body"], found["scores"]) == (400, True, [])
    assert kind_questions.ranking(serving(rerank=(200, results), score=(500, "oops")), question)["status"] == 500


def test_post() -> None:
    """Each of the bodies with the model's name; an answer that is no JSON is none."""
    service = serving(classify=(200, {"data": [1]}))
    found = kind_questions.post(service, {"path": "/classify", "each": [{"input": "a"}, {"input": "b"}]})
    assert [one["json"] for one in found["answers"]] == [{"data": [1]}] * 2
    assert [asked[2]["input"] for asked in service.asked] == ["a", "b"]
    found = kind_questions.post(serving(pooling=(500, "<html>")), {"path": "/pooling", "each": [{}]})
    assert found == {"answers": [{"status": 500, "body": "<html>", "json": None}]}


def test_speech_is_a_sound_file() -> None:
    """What Whisper takes: one channel, 16 kHz, 16 bit, and sound from its beginning to its end."""
    with wave.open(io.BytesIO(kind_questions.speech())) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getsampwidth()) == (1, 16000, 2)
        frames = sound.readframes(sound.getnframes())
    assert 2.0 < len(frames) / 2 / 16000 < 2.5
    values = struct.unpack("<%dh" % (len(frames) // 2), frames)
    quarters = [values[start : start + len(values) // 4] for start in range(0, len(values) - 4, len(values) // 4)]
    assert all(max(map(abs, quarter)) > 3000 for quarter in quarters)
    assert max(map(abs, values)) < 32000


@pytest.mark.parametrize(("answer", "text"), [((200, {"text": " ah"}), " ah"), ((400, "no"), None), ((200, []), None)])
def test_transcription(answer: tuple, text: str | None) -> None:
    sent = {}

    def upload(path, fields, name, content, kind, timeout_s):
        sent.update(path=path, fields=fields, kind=kind, size=len(content))
        return Response(*answer)

    service = Service()
    service.upload = upload
    found = kind_questions.transcription(service, {})
    assert (found["status"], found["text"]) == (answer[0], text)
    assert (sent["path"], sent["fields"]["model"], sent["kind"]) == ("/v1/audio/transcriptions", "qwen", "audio/wav")
    assert sent["size"] > 60_000


def test_picture_is_of_one_color() -> None:
    """A PNG whose every pixel has it."""
    made = kind_questions.picture([220, 20, 20], 8)
    assert made.startswith(b"\x89PNG\r\n\x1a\n")
    start = made.index(b"IDAT")
    (length,) = struct.unpack(">I", made[start - 4 : start])
    rows = zlib.decompress(made[start + 4 : start + 4 + length])
    assert rows == (b"\0" + bytes([220, 20, 20]) * 8) * 8
    assert struct.unpack(">II", made[16:24]) == (8, 8)


def test_vision() -> None:
    """The picture goes along in the message."""
    service = Service(chats=lambda messages, _more: {"content": "red"})
    found = kind_questions.vision(service, {"color": [220, 20, 20], "side": 8, "prompt": "What color?"})
    assert found == {"message": {"content": "red"}}
    picture, text = service.asked[0][0][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "What color?"}


def test_the_client_takes_the_questions_from_the_text(monkeypatch, capsys) -> None:
    """The text goes along with the order; it needs nothing of the collection."""
    source = inspect.getsource(kind_questions)
    assert "ansible" not in source
    monkeypatch.setattr(verify_client, "KINDS", dict(verify_client.KINDS))
    monkeypatch.setattr(verify_client, "Service", lambda order: serving(classify=(200, {"data": []})))
    question = {"id": "a", "kind": "post", "path": "/classify", "each": [{}]}
    order = {"questions": [question], "budget_s": 1, "more": source}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(order)))
    verify_client.main()
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (told["answers"][0]["error"], told["answers"][0]["answers"][0]["status"]) == ("", 200)
    assert set(kind_questions.KINDS) <= set(verify_client.KINDS)
