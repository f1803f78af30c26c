# SPDX-License-Identifier: GPL-3.0-or-later
"""The two steps on a host: which docker commands they run and what they make of the answers."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.prefetch import image_pull, weights_download
from ansible_collections.myia.vllm.plugins.module_utils.prefetch import steps as prefetch_steps

TOKEN = "hf_PLANTEDtoken0123456789"
MODEL = {"id": "own/model", "revision": "", "load_format": "auto"}
NO_SUCH = (1, "", "Error: No such container: c", False)


class Docker:
    """Answers commands by their first words, and keeps what was asked."""

    def __init__(self, answers: dict) -> None:
        self.answers, self.asked = answers, []

    def __call__(self, argv: list[str], _limit_s: float) -> tuple[int, str, str, bool]:
        self.asked.append(argv)
        words = " ".join(argv)
        for key, answer in self.answers.items():
            if key in words:
                return answer
        return 0, "", "", False

    def said(self, text: str) -> list[list[str]]:
        """The commands that hold ``text``."""
        return [argv for argv in self.asked if text in " ".join(argv)]


# ---------------------------------------------------------------------- the image

PULL = {"image": "own/image:1", "before": "sha256:old", "exit_code": None, "lines": ["words"], "x": 5, "y": 9,
        "layers": 3, "layers_done": 1, "died": False}  # fmt: skip


@pytest.fixture
def image(tmp_path, monkeypatch):
    """The image step with the id of the image that is there and what the pull says; returns (step, begun)."""

    def call(there: str = "", policy: str = "missing", pull: dict | None = None):
        begun = []
        monkeypatch.setattr(image_pull, "inspect", lambda _folder: {"state": "absent", "image": "", **(pull or {})})
        monkeypatch.setattr(image_pull, "start", lambda *args: begun.append(args))
        docker = Docker({"image inspect": (0, there + "\n", "", False) if there else (1, "", "No such image", False)})
        return prefetch_steps.Image("own/image:1", policy, str(tmp_path), docker), begun

    return call


@pytest.mark.parametrize(
    ("there", "policy", "look", "start", "pulls"),
    [
        ("sha256:a", "missing", "complete", "complete", False),
        ("sha256:a", "never", "complete", "complete", False),
        ("sha256:a", "always", "absent", "running", True),
        ("", "missing", "absent", "running", True),
        ("", "always", "absent", "running", True),
        ("", "never", "absent", "failed", False),
    ],
)
def test_when_to_pull(there, policy, look, start, pulls, image) -> None:
    """An image that is there is pulled only with always, one that is missing only without never."""
    step, begun = image(there, policy)
    assert (step.inspect()["state"], begun) == (look, [])
    answer = step.start()
    assert (answer["state"], bool(begun)) == (start, pulls)
    if start == "complete":
        assert answer["facts"] == {"image": "own/image:1", "id": "sha256:a", "changed": False, "bytes": 0}
    if start == "failed":
        assert answer["lines"] == ["Error: No such image: own/image:1, and it is not to be pulled."]
    if pulls:
        assert begun[0][1:3] == ("own/image:1", there)


def test_pull_that_runs_is_not_begun_again(image) -> None:
    """Progress in bytes and layers; a second start only looks."""
    step, begun = image(pull={**PULL, "state": "running"})
    for answer in (step.inspect(), step.start()):
        assert (answer["state"], answer["x"], answer["y"], answer["detail"]) == ("running", 5, 9, "1 of 3 layers")
    assert begun == []


@pytest.mark.parametrize(
    ("there", "pull", "state", "changed"),
    [
        pytest.param("sha256:new", {"exit_code": 0}, "done", True, id="newer"),
        pytest.param("sha256:old", {"exit_code": 0}, "done", False, id="same"),
        pytest.param("", {"exit_code": 0}, "failed", None, id="not-there-after-all"),
        pytest.param("sha256:old", {"exit_code": 1}, "failed", None, id="failed"),
        pytest.param("sha256:old", {"died": True}, "failed", None, id="killed"),
    ],
)
def test_pull_that_ended(there, pull, state, changed, image) -> None:
    """Changed when the name means another image now."""
    answer = image(there, "always", {**PULL, **pull, "state": "ended"})[0].inspect()
    assert (answer["state"], answer["facts"].get("changed")) == (state, changed)
    assert answer["lines"][0] == "words"


def test_pull_of_another_image(image) -> None:
    """What an earlier release pulled says nothing about this one."""
    answer = image(pull={**PULL, "image": "other:1", "state": "running"})[0].inspect()
    assert answer["state"] == "absent"


# ---------------------------------------------------------------------- the weights


@pytest.fixture
def weights(tmp_path):
    """The weights step with what docker answers; returns (step, docker)."""
    (tmp_path / "release").mkdir()
    text = "HUGGING_FACE_HUB_TOKEN='%s'\nVLLM_PORT='5002'\nEXTRA_ENV_HF_ENDPOINT='http://hub'\n" % TOKEN
    (tmp_path / "release" / ".env").write_text(text, encoding="utf-8")

    def call(answers: dict | None = None, refresh: bool = False, cache: str = "", models=(MODEL,), source="source"):
        docker = Docker(answers or {})
        settings = {
            "release": str(tmp_path / "release"),
            "project": "vllm-medium",
            "service": "medium-prefetch",
            "container": "c",
            "image": "own/image:1",
            "models": list(models),
            "refresh": refresh,
            "hf_cache": cache or str(tmp_path / "cache"),
        }
        return prefetch_steps.Weights(settings, source, docker), docker

    return call


@pytest.fixture
def seen(weights):
    """What a look makes of a container in a state with a log."""

    def call(state: str, code: int, out: list, err: str = "") -> dict:
        label = weights()[0]._label
        log = "\n".join(json.dumps(event) if isinstance(event, dict) else event for event in out)
        answers = {
            "container inspect": (0, "%s %d %s\n" % (state, code, label), "", False),
            "logs": (0, log, err, False),
        }
        return weights(answers)[0].inspect()

    return call


PROGRESS = {"event": "progress", "x": 10, "y": 40, "files": 1, "of": 4}
DONE = {"event": "done", "warnings": ["w"], "downloaded": 30, "models": [{"id": "own/model", "downloaded": 30}]}


def test_progress(seen) -> None:
    """The last line of progress counts; other lines are left alone."""
    answer = seen(
        "running", 0, ["no JSON", "[1]", {"event": "progress", "x": 1, "y": 40, "files": 0, "of": 4}, PROGRESS]
    )
    assert (answer["state"], answer["x"], answer["y"], answer["detail"]) == ("running", 10, 40, "1 of 4 files")
    assert (answer["exit_code"], answer["facts"]) == (None, {})
    assert seen("created", 0, [])["state"] == "running"


def test_done(seen) -> None:
    """What is there, with warnings."""
    answer = seen("exited", 0, [PROGRESS, DONE])
    assert (answer["state"], answer["exit_code"]) == ("done", 0)
    assert answer["facts"] == {"models": DONE["models"], "bytes": 30, "changed": True, "warnings": ["w"]}


@pytest.mark.parametrize(("code", "out"), [(1, [PROGRESS]), (137, []), (0, [PROGRESS]), (1, [DONE])])
def test_failed(code, out, seen) -> None:
    """Every other end; what it said is there without the values of .env that are secret."""
    answer = seen("exited", code, out, "bad %s at http://hub\n\n%s" % (TOKEN, "x" * 5000))
    assert (answer["state"], answer["exit_code"]) == ("failed", code)
    assert answer["lines"] == ["bad *** at http://hub", "x" * prefetch_steps.LINE_CHARS]


def test_docker_that_does_not_answer(weights) -> None:
    """Not taken for a container that is not there."""
    answer = weights({"container inspect": (1, "", "Cannot connect to the Docker daemon", False)})[0].inspect()
    assert (answer["state"], answer["lines"]) == ("failed", ["Cannot connect to the Docker daemon"])


def test_start(weights) -> None:
    """By Compose from the release, detached, without the host's own environment; an older container goes first."""
    step, docker = weights({"container inspect": NO_SUCH})
    assert step.start()["state"] == "running"
    (begun,) = docker.said("compose")
    assert docker.asked.index(["docker", "rm", "--force", "c"]) < docker.asked.index(begun)
    names = ("HUGGING_FACE_HUB_TOKEN", "VLLM_PORT", "EXTRA_ENV_HF_ENDPOINT")
    assert begun[:4] == ["env", *("--unset=" + name for name in names)]
    assert begun[-4:-1] == ["medium-prefetch", "-c", "source"]
    assert json.loads(begun[-1]) == {"models": [MODEL], "refresh": False}
    assert "--detach" in begun
    assert TOKEN not in str(docker.asked)


def test_start_that_docker_refuses(weights) -> None:
    """What was made is taken away again, as it holds the token; the reason is there without it."""
    step, docker = weights({"container inspect": NO_SUCH, "compose": (1, "", "no such image, %s" % TOKEN, False)})
    answer = step.start()
    assert (answer["state"], answer["exit_code"], answer["lines"]) == ("failed", 1, ["no such image, ***"])
    assert docker.asked[-1] == ["docker", "rm", "--force", "c"]


def test_attaches_to_the_same_download_only(weights) -> None:
    """The container of the same models is left alone; one of others, or of other code, makes room."""
    label = weights()[0]._label
    running = {"container inspect": (0, "running 0 %s\n" % label, "", False)}
    step, docker = weights(running)
    assert step.start()["state"] == "running"
    assert docker.said("compose") == docker.said("rm --force") == []
    for other in ({"refresh": True}, {"models": [{**MODEL, "revision": "v1"}]}, {"source": "newer"}):
        step, docker = weights(running, **other)
        assert step.inspect()["state"] == "absent"
        assert step.start()["state"] == "running"
        assert (len(docker.said("rm --force")), len(docker.said("compose"))) == (1, 1)


def test_start_after_the_end(weights) -> None:
    """What ended while nobody looked is not done again; a failure is, and so is a look for newer commits."""
    for code, refresh, again in ((0, False, 0), (1, False, 1), (0, True, 1)):
        label = weights(refresh=refresh)[0]._label
        answers = {
            "container inspect": (0, "exited %d %s\n" % (code, label), "", False),
            "logs": (0, json.dumps(DONE), "", False),
        }
        step, docker = weights(answers, refresh=refresh)
        assert step.start()["state"] == ("running" if again else "done")
        assert len(docker.said("compose")) == again


@pytest.mark.parametrize("volume", [False, True])
def test_complete(volume, weights, tmp_path) -> None:
    """What was downloaded in full is seen from the host, without a container and without the hub, unless refreshed."""
    hub = tmp_path / "cache" / "hub"
    commit = "0" * 40
    download = weights_download.Download(str(hub), MODEL, commit, {"a": {"size": 1, "blob": "", "lfs": False}})
    (hub / "models--own--model" / "snapshots" / commit).mkdir(parents=True)
    (hub / "models--own--model" / "snapshots" / commit / "a").write_text("a", encoding="utf-8")
    download.finish()
    answers = {"container inspect": NO_SUCH, "volume inspect": (0, str(tmp_path / "cache") + "\n", "", False)}
    more = {"cache": "a-volume"} if volume else {}
    step, docker = weights(answers, **more)
    for answer in (step.inspect(), step.start()):
        assert answer["state"] == "complete"
        assert answer["facts"]["models"] == [
            {"id": "own/model", "revision": "", "commit": commit, "bytes": 1, "files": 1, "downloaded": 0}
        ]
        assert answer["facts"]["changed"] is False
    assert docker.said("compose") == []
    assert weights(answers, refresh=True, **more)[0].inspect()["state"] == "absent"
    assert weights(answers, models=(MODEL, {**MODEL, "id": "own/draft"}), **more)[0].inspect()["state"] == "absent"
    gone = {"container inspect": NO_SUCH, "volume inspect": (1, "", "no such volume", False)}
    assert weights(gone, cache="a-volume")[0].inspect()["state"] == "absent"
