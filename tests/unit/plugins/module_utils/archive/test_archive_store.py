# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that nothing uses: which they are, how they are kept, and that they come back as they were."""

from __future__ import annotations

import base64
import json
import os
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.archive import finder, store

PATTERNS = ["docker-compose*.yml*", "compose*.yml*", ".env*", "*.env*"]
SECRET = "hf_PLANTEDsecretofafile01"


def docker(*containers):
    """Return a ``run`` that answers as Docker does of containers: each its labels and mounts."""

    def run(argv):
        if argv[1] == "ps":
            return 0, "\n".join(str(number) for number in range(len(containers))), ""
        data = [
            {
                "Name": "/c%d" % number,
                "Config": {"Labels": labels},
                "Mounts": [{"Type": "bind", "Source": item} for item in mounts],
            }
            for number, (labels, mounts) in enumerate(containers)
        ]
        return 0, json.dumps(data), ""

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of somebody: a project that is in use, one that is not, copies, and what is nobody's."""
    monkeypatch.setattr(finder, "_UNITS", (str(tmp_path / "units" / "*.service"),))
    texts = {
        "live/docker-compose.yml": "services: {a: {env_file: [more.env]}}\n",
        "live/.env": "A=1\n",
        "live/more.env": "B=2\n",
        "live/docker-compose.yml.bak": "services: {}\n",
        "old/docker-compose.yml": "services: {a: {image: x}}\n",
        "old/.env": "HF_TOKEN=%s\n" % SECRET,
        "old/compose-key.yml": "services: {a: {command: --api-key sk-PLANTED0123456789}}\n",
        "app/.env": "DATABASE=1\n",
        "unit/compose.yml": "services: {}\n",
        "units/x.service": "ExecStart=/usr/bin/docker compose -f %s/unit/compose.yml up\n" % tmp_path,
        "keep/compose.yml": "services: {}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "old" / "compose-link.yml").symlink_to("docker-compose.yml")
    return tmp_path


def labels(folder: pathlib.Path) -> dict:
    """Labels of a container of the project that is in use."""
    return {
        "com.docker.compose.project.working_dir": str(folder / "live"),
        "com.docker.compose.project.config_files": str(folder / "live/docker-compose.yml"),
    }


def found(folder: pathlib.Path, *containers) -> tuple[dict, dict]:
    """Return why files go, and why others stay, by name below the folder."""
    used = finder.in_use(docker(*(containers or [(labels(folder), [])])))
    goes, stays = finder.find([str(folder)], PATTERNS, [str(folder / "keep/*")], used, "/opt/vllm")
    return tuple({os.path.relpath(item["path"], folder): item["why"] for item in side} for side in (goes, stays))


def test_what_goes_and_what_stays(folder) -> None:
    """Never what a container, a unit or such a file uses, nor what is nobody's."""
    goes, stays = found(folder)
    gone = ["live/docker-compose.yml.bak", "old/.env", "old/compose-key.yml", "old/docker-compose.yml"]
    assert sorted(goes) == gone
    assert {"live/docker-compose.yml", "live/.env", "live/more.env", "app/.env", "unit/compose.yml"} <= set(stays)
    assert "container c0" in stays["live/docker-compose.yml"]
    assert "names it" in stays["unit/compose.yml"]
    assert stays["old/compose-link.yml"] == "it is a link"
    assert stays["keep/compose.yml"] == "config_archive_keep names it"


def test_what_is_mounted_stays(folder) -> None:
    """A file, and whatever lies in a folder that is mounted as a whole."""
    goes, stays = found(folder, (labels(folder), [str(folder / "old")]))
    assert "old/docker-compose.yml" in stays and "old/docker-compose.yml" not in goes


@pytest.mark.parametrize("verb", ["ps", "container"])
@pytest.mark.parametrize("out", ["", "[]"])
def test_docker_that_does_not_answer(verb, out) -> None:
    """Nothing can be called unused then, nor where it stops answering between two questions."""
    with pytest.raises(RuntimeError, match="no such engine"):
        finder.in_use(lambda argv: (1, out, "no such engine") if argv[1] == verb else (0, "abc\n", ""))


def test_a_file_that_is_named_from_another_folder(folder) -> None:
    """What a Compose file that is in use takes from elsewhere is in use, too."""
    (folder / "common").mkdir()
    for name in ("common/compose-base.yml", "common/common.env"):
        (folder / name).write_text("services: {}\n", encoding="utf-8")
    text = "services: {a: {env_file: ../common/common.env, extends: {file: ../common/compose-base.yml}}}\n"
    (folder / "live/docker-compose.yml").write_text(text, encoding="utf-8")
    goes, stays = found(folder)
    assert "common/compose-base.yml" not in goes and "names it" in stays["common/compose-base.yml"]
    assert "common/common.env" not in goes


@pytest.mark.parametrize("how", ["WorkingDirectory=%s\nExecStart=docker compose up", "ExecStart=%s/../units/up.sh"])
def test_a_unit_that_names_the_folder(folder, how) -> None:
    """Compose finds its files there by itself; while the unit is stopped there is no container that tells."""
    for name in ("boot/docker-compose.yml", "boot/.env"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("a: b\n", encoding="utf-8")
    (folder / "units/up.sh").write_text("cd %s && docker compose up\n" % (folder / "boot"), encoding="utf-8")
    (folder / "units/y.service").write_text(how % (folder / "boot") + "\n", encoding="utf-8")
    _goes, stays = found(folder)
    assert "names" in stays["boot/docker-compose.yml"] and "names" in stays["boot/.env"]


KEY_IN_PEM = "-----BEGIN PRIVATE KEY-----\nPLANTEDkey\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("services:\n  a:\n    command:\n      - --api-key\n      - PLANTEDkey\n", False),
        ("    environment:\n      AWS_SECRET_ACCESS_KEY: PLANTEDkey\n", False),
        ("      VLLM_API_KEY_OLD: PLANTEDkey\n", False),
        ("tls: |\n  %s\n" % KEY_IN_PEM.replace("\n", "\n  "), False),
        ('A="one\nPLANTEDkey"\n', True),
        ("TLS='%s'\nB=1\n" % KEY_IN_PEM, True),
        ("# KEY=PLANTEDkey\n", True),
    ],
)
def test_what_holds_a_secret(text, variables, tmp_path) -> None:
    """It is seen, so that it is encrypted, and none of it is left where it is redacted instead."""
    path = tmp_path / ("a.env" if variables else "compose.yml")
    path.write_text(text, encoding="utf-8")
    assert finder.is_sensitive(str(path))
    assert "PLANTED" not in finder.redacted(text, variables)


def test_what_redaction_leaves() -> None:
    """Names, comments and what is no secret."""
    text = "# the service\nexport A=1\n\nB=\n"
    assert finder.redacted(text, True) == "# the service\nexport A=<redacted>\n\nB=\n"
    compose = "services:\n  a:\n    command: --api-key $KEY --tokenizer o/m\n    secrets: [x]\nsecrets:\n  x: {}\n"
    assert finder.redacted(compose, False) == compose


def test_there_and_back(folder, tmp_path) -> None:
    """Byte for byte, with mode and time; secrets are nowhere in the archive in the open."""
    path = folder / "old/docker-compose.yml"
    path.write_bytes(b"a: \xff\r\n")
    env = folder / "old/.env"
    env.chmod(0o640)
    os.utime(env, (1_600_000_000, 1_600_000_000))
    before = {item: (item.read_bytes(), item.stat().st_mode, item.stat().st_mtime_ns) for item in (path, env)}
    items = [
        {
            "path": str(item),
            "why": "old",
            "sensitive": finder.is_sensitive(str(item)),
            "sha256": store.digest(str(item)),
        }
        for item in (path, env)
    ]
    encrypted = {str(env): "$ANSIBLE_VAULT;..."}
    archive = str(tmp_path / "archived" / "docker_configs_x")
    store.archive(archive, items, encrypted, redact=False)
    assert not path.exists() and not env.exists()
    for place, _folders, names in os.walk(archive):
        for name in names:
            assert SECRET not in pathlib.Path(place, name).read_text(encoding="utf-8", errors="replace")
    assert os.stat(archive).st_mode & 0o777 == 0o700
    assert store.newest(str(tmp_path / "archived")) == archive
    contents = {str(env): base64.b64encode(before[env][0]).decode()}
    assert len(store.restore(archive, contents, check=True)) == 2
    assert not path.exists()
    assert len(store.restore(archive, contents, check=False)) == 2
    assert {item: (item.read_bytes(), item.stat().st_mode, item.stat().st_mtime_ns) for item in before} == before
    assert store.restore(archive, contents, check=False) == []


def test_a_wrong_content_is_not_given_back(folder, tmp_path) -> None:
    """What was decrypted with another password would replace the file by something else; the others wait, too."""
    env, other = folder / "old/.env", folder / "old/docker-compose.yml"
    items = [
        {"path": str(item), "why": "old", "sensitive": item == env, "sha256": store.digest(str(item))}
        for item in (other, env)
    ]
    store.archive(str(tmp_path / "a"), items, {str(env): "x"}, redact=False)
    with pytest.raises(store.StoreError, match="does not hold what was archived"):
        store.restore(str(tmp_path / "a"), {str(env): base64.b64encode(b"other").decode()}, check=False)
    assert not env.exists() and not other.exists()


def test_an_archive_that_was_not_finished(folder, tmp_path, monkeypatch) -> None:
    """A disk that is full loses nothing and leaves nothing, and what a killed run has left is no archive."""
    path = folder / "old/docker-compose.yml"
    item = {"path": str(path), "why": "", "sensitive": False, "sha256": store.digest(str(path))}
    base = tmp_path / "archived"
    store.archive(str(base / "docker_configs_1"), [item], {}, redact=False)
    path.write_text("a: b\n", encoding="utf-8")
    item["sha256"] = store.digest(str(path))

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.archive(str(base / "docker_configs_2"), [item], {}, redact=False)
    assert path.exists() and not (base / "docker_configs_2").exists()
    (base / "docker_configs_3").mkdir()
    assert store.newest(str(base)) == str(base / "docker_configs_1")


def test_somebody_elses_link_is_not_followed(folder, tmp_path) -> None:
    """The folder may be another user's, and root writes there."""
    path = folder / "old/docker-compose.yml"
    item = {"path": str(path), "why": "", "sensitive": False, "sha256": store.digest(str(path))}
    store.archive(str(tmp_path / "a"), [item], {}, redact=False)
    victim = tmp_path / "victim"
    victim.write_text("theirs", encoding="utf-8")
    pathlib.Path(str(path) + ".myia-new").symlink_to(victim)
    store.restore(str(tmp_path / "a"), {}, check=False)
    assert victim.read_text(encoding="utf-8") == "theirs" and not path.is_symlink()


def test_nothing_is_overwritten_and_what_was_redacted_is_gone(folder, tmp_path) -> None:
    """Both are told, and left."""
    env, path = folder / "old/.env", folder / "old/docker-compose.yml"
    items = [
        {"path": str(item), "why": "", "sensitive": item == env, "sha256": store.digest(str(item))}
        for item in (env, path)
    ]
    store.archive(str(tmp_path / "a"), items, {}, redact=True)
    path.write_text("new", encoding="utf-8")
    kept = (tmp_path / "a" / "files" / str(env).lstrip("/")).read_text(encoding="utf-8")
    assert kept == "HF_TOKEN=<redacted>\n"
    texts = " ".join(store.problems(store.read(str(tmp_path / "a"))))
    assert "was redacted" in texts and "nothing is overwritten" in texts
    assert store.restore(str(tmp_path / "a"), {}, check=False) == []
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("change", ["content", "no encryption"])
def test_refused(folder, tmp_path, change) -> None:
    """A file that changed meanwhile, and a sensitive one in the open: nothing is moved at all."""
    env = folder / "old/.env"
    item = {"path": str(env), "why": "", "sensitive": True, "sha256": store.digest(str(env))}
    if change == "content":
        env.write_text("A=2\n", encoding="utf-8")
    with pytest.raises(store.StoreError):
        store.archive(str(tmp_path / "a"), [item], {str(env): "x"} if change == "content" else {}, redact=False)
    assert env.exists() and not (tmp_path / "a").exists()
