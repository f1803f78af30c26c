# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a service: names, order, modes, what is kept."""

from __future__ import annotations

import errno
import json
import os
import stat
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import releases


@pytest.fixture
def service(tmp_path) -> releases.Service:
    """An empty service."""
    return releases.Service(str(tmp_path / "vllm" / "medium"))


def add(service: releases.Service, second: int, good: str = "", compose: str = "", env: str = "") -> str:
    """Put a release there."""
    compose, env = compose or "c%d" % second, env or "E='%d'\n" % second
    name = releases.new_name(releases.content_hash(compose, env), 1_700_000_000 + second)
    folder = service.begin()
    service.write(folder, releases.COMPOSE, compose)
    service.write(folder, releases.ENV, env)
    about = {"name": name, "content_hash": releases.content_hash(compose, env)}
    about.update({"good_since": good} if good else {})
    service.write(folder, releases.DESCRIPTION, releases.describe(about))
    os.rename(folder, service.folder(name))
    return name


def mode(path: str) -> int:
    """Permission bits."""
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_content_hash() -> None:
    """Depends on both texts and on which is which, and tells nothing."""
    assert releases.content_hash("a", "b") == releases.content_hash("a", "b")
    hashes = {releases.content_hash(*pair) for pair in (("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", "c"))}
    assert len(hashes) == 5
    assert all(len(item) == 12 and int(item, 16) >= 0 for item in hashes)


def test_new_name() -> None:
    """UTC time and hash, so that the order of names is the order of time."""
    name = releases.new_name("0123456789ab", 0)
    assert name == "19700101T000000Z-0123456789ab"
    assert releases.NAME.match(name)
    assert releases.NAME.match(releases.new_name("0123456789ab"))


def test_nothing_there(service) -> None:
    """A service that does not exist yet has nothing, without an error."""
    assert service.names() == []
    assert service.current() == ""
    assert service.last_good() == ""
    assert service.find("a", "b") == ""
    assert service.outdated(1, 1) == []
    assert (service.strange(), service.not_good(), service.has_env("")) == ([], [], False)
    assert service.read("x", releases.ENV) == ""
    assert service.description("x") == {}


def test_modes(service) -> None:
    """Nobody but root can read a secret, whatever the umask is."""
    before = os.umask(0)
    try:
        name = add(service, 1)
    finally:
        os.umask(before)
    assert mode(os.path.dirname(service.path)) == 0o755
    assert [mode(path) for path in (service.path, service.releases, service.folder(name))] == [0o750] * 3
    files = {part: mode(os.path.join(service.folder(name), part)) for part in os.listdir(service.folder(name))}
    assert files == {"compose.yml": 0o640, ".env": 0o600, "release.json": 0o640}
    assert service.wrong_modes(name) == []


def test_modes_under_a_strict_umask(service) -> None:
    """A umask of 077 takes nothing away."""
    before = os.umask(0o077)
    try:
        name = add(service, 1)
    finally:
        os.umask(before)
    assert mode(os.path.dirname(service.path)) == 0o755
    assert mode(service.path) == 0o750
    assert service.wrong_modes(name) == []


def test_wrong_modes_are_seen_and_mended(service) -> None:
    """Somebody's chmod is noticed and taken back."""
    name = add(service, 1)
    env = os.path.join(service.folder(name), ".env")
    os.chmod(env, 0o644)
    assert service.wrong_modes(name) == [".env"]
    service.mend_modes(name)
    assert service.wrong_modes(name) == []
    assert mode(env) == 0o600
    os.unlink(env)
    assert service.wrong_modes(name) == []
    service.mend_modes(name)


def test_leftovers_of_an_interrupted_run(service) -> None:
    """Half a release is never one, and a later run takes it away; what another run is staging at the moment stays."""
    young, old = service.begin(), service.begin()
    assert young != old
    assert mode(young) == mode(old) == 0o750
    for folder in (young, old):
        service.write(folder, releases.ENV, "PLANTED")
    moment = time.time() - releases.STAGING_S - 5
    os.utime(old, (moment, moment))
    assert service.names() == []
    folder = service.begin()
    assert os.listdir(folder) == []
    assert sorted(os.listdir(service.releases)) == sorted(map(os.path.basename, (young, folder)))
    os.mkdir(os.path.join(service.releases, "other"))
    assert service.names() == []


def test_leftover_that_another_run_takes_away(service, monkeypatch) -> None:
    """A folder that vanishes between two looks is no error."""
    service.begin()
    names = os.listdir(service.releases)
    monkeypatch.setattr(releases.os, "listdir", lambda _path: [".staging-gone", *names])
    assert os.path.isdir(service.begin())


def test_write_replaces_in_one_step(service) -> None:
    """No temporary file stays, and line ends stay as they are."""
    name = add(service, 1)
    service.write(service.folder(name), releases.COMPOSE, "a\r\nb\n")
    assert service.read(name, releases.COMPOSE) == "a\r\nb\n"
    assert sorted(os.listdir(service.folder(name))) == [".env", "compose.yml", "release.json"]


def test_switch(service) -> None:
    """`current` is a relative link; a leftover of an interrupted switch does not matter."""
    first, second = add(service, 1), add(service, 2)
    service.switch(first)
    assert service.current() == first
    os.symlink("nowhere", service.link + ".new")
    service.switch(second)
    assert service.current() == second
    assert os.readlink(service.link) == "releases/" + second
    assert not os.path.lexists(service.link + ".new")


def test_current_that_points_nowhere(service) -> None:
    """A link to a deleted release is no current release."""
    name = add(service, 1)
    service.switch(name)
    service.drop(name)
    assert service.current() == ""


def test_find(service) -> None:
    """By content: the current one first, then the newest."""
    first = add(service, 1, compose="same", env="same")
    second = add(service, 2, compose="same", env="same")
    assert service.find("same", "same") == second
    service.switch(first)
    assert service.find("same", "same") == first
    assert service.find("same", "other") == ""
    assert service.find("other", "same") == ""


def test_find_beside_a_damaged_release(service) -> None:
    """A file that somebody spoilt is other content, no crash."""
    name = add(service, 1, compose="same", env="same")
    with open(os.path.join(service.folder(name), releases.COMPOSE), "wb") as handle:
        handle.write(b"\xff\xfe")
    assert service.find("same", "same") == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "null"], ids=["empty", "cut", "list", "null"])
def test_damaged_description(text, service) -> None:
    """A damaged release.json is an empty one."""
    name = add(service, 1)
    service.write(service.folder(name), releases.DESCRIPTION, text)
    assert service.description(name) == {}
    assert service.last_good() == ""


def test_describe_keeps_other_keys(service) -> None:
    """Marking changes what it names."""
    name = add(service, 1, good="x")
    before = service.description(name)
    service.describe(name, {"a": 1})
    assert service.description(name) == {**before, "a": 1}
    assert json.loads(releases.describe({"b": 1})) == {"b": 1}


def test_last_good_by_time_of_marking(service) -> None:
    """After a roll-back the older release is the last good one."""
    first = add(service, 1, good="2026-01-03T00:00:00Z")
    add(service, 2, good="2026-01-02T00:00:00Z")
    add(service, 3)
    assert service.last_good() == first


@pytest.mark.parametrize(
    ("keep", "keep_failed", "current", "good", "outdated"),
    [
        pytest.param(3, 1, 6, [1, 2, 3, 4, 5, 6], [1, 2, 3], id="newest-three"),
        pytest.param(1, 1, 6, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5], id="only-current"),
        pytest.param(3, 1, 1, [2, 3, 4, 5, 6, 1], [2, 3, 4], id="current-is-the-oldest"),
        pytest.param(3, 2, 6, [1, 2, 3, 6], [1], id="failed-ones-evict-no-good-one"),
        pytest.param(3, 1, 6, [1, 2, 3, 6], [1, 4], id="failed-ones-have-a-number-of-their-own"),
        pytest.param(1, 9, 6, [1, 2], [1], id="last-good-stays-beside-a-current-one-that-is-not"),
        pytest.param(9, 9, 6, [6], [], id="all"),
        pytest.param(2, 1, None, [1, 2, 3], [1, 4, 5], id="nothing-is-current"),
        pytest.param(2, 2, None, [], [1, 2, 3, 4], id="none-was-ever-good"),
    ],
)
def test_outdated(keep, keep_failed, current, good, outdated, service) -> None:
    """The newest good ones stay, and a few others; the current one and the last good one always do."""
    names = {
        number: add(service, number, good="%03d" % good.index(number) if number in good else "")
        for number in range(1, 7)
    }
    if current:
        service.switch(names[current])
    assert service.outdated(keep, keep_failed) == [names[number] for number in outdated]
    for name in service.outdated(keep, keep_failed):
        service.drop(name)
    assert service.outdated(keep, keep_failed) == []


def strange_things(service: releases.Service) -> list[str]:
    """Put into releases/ what does not belong there; return the names."""
    digest = "0123456789ab"
    names = [releases.new_name(digest, second) for second in range(4)]
    os.symlink("/etc", service.folder(names[0]))
    with open(service.folder(names[1]), "w", encoding="utf-8") as handle:
        handle.write("x")
    os.mkdir(service.folder(names[2]))
    os.mkdir(service.folder(names[3]))
    with open(os.path.join(service.folder(names[3]), "release.json"), "w", encoding="utf-8") as handle:
        handle.write("{torn")
    os.mkdir(service.folder("backup"))
    return [*names, "backup"]


def test_strange_things_are_no_releases(service) -> None:
    """A link, a file, a folder without or with a damaged release.json: named, never chosen, never deleted."""
    good = add(service, 1, good="1")
    service.switch(good)
    strange = strange_things(service)
    assert service.strange() == sorted(strange)
    assert service.names() == [good]
    assert service.outdated(1, 1) == []
    assert (service.last_good(besides=good), service.find("x", "y")) == ("", "")


def test_current_release_with_a_damaged_description(service) -> None:
    """It may serve, so it is a release all the same."""
    name = add(service, 1)
    service.switch(name)
    os.unlink(os.path.join(service.folder(name), "release.json"))
    assert (service.current(), service.names(), service.strange()) == (name, [name], [])


@pytest.mark.parametrize("target", ["/etc", "releases/x", "releases/20260101T000000Z-0123456789ab"])
def test_current_points_elsewhere(target, service) -> None:
    """What is no release of ours is none."""
    add(service, 1)
    os.symlink("/etc", service.folder("20260101T000000Z-0123456789ab"))
    os.symlink(target, service.link)
    assert service.current() == ""


@pytest.mark.parametrize("also", [False, True])
def test_current_is_a_folder(also, service) -> None:
    """It is moved aside with all that is in it, and the link takes its place."""
    name = add(service, 1)
    os.mkdir(service.link)
    with open(os.path.join(service.link, ".env"), "w", encoding="utf-8") as handle:
        handle.write("x")
    if also:
        os.mkdir(service.link + ".moved")
    aside = service.switch(name)
    assert aside == service.link + (".moved-2" if also else ".moved")
    assert os.listdir(aside) == [".env"]
    assert service.current() == name
    assert service.switch(name) == ""


@pytest.mark.parametrize("spared", [True, False])
def test_switch_without_an_inode(spared, service, monkeypatch) -> None:
    """The way back on a full disk: what can be spared goes, and the link is set; if nothing helps, it is said."""
    good, failed = add(service, 1, good="1"), add(service, 2)
    service.failed(failed, {"id": "x"})
    service.write(service.folder(failed), releases.FAILED_LOG, "x")
    service.switch(failed)
    symlink, log = os.symlink, os.path.join(service.folder(failed), releases.FAILED_LOG)

    def full(target: str, path: str) -> None:
        if os.path.exists(log) or not spared:
            raise OSError(errno.ENOSPC, "No space left on device")
        symlink(target, path)

    monkeypatch.setattr(releases.os, "symlink", full)
    if not spared:
        with pytest.raises(OSError, match="No space"):
            service.switch(good)
        assert service.current() == failed
        return
    service.switch(good)
    assert service.current() == good
    assert (service.has_env(good), service.has_env(failed)) == (True, False)


def test_release_without_env(service) -> None:
    """It failed and its secrets went: found by its hash, and nothing to go back to."""
    name = add(service, 1, good="1", compose="c", env="E='1'\n")
    assert (service.has_env(name), service.last_good()) == (True, name)
    assert service.drop_env(name) is True
    assert service.drop_env(name) is False
    assert (service.has_env(name), service.last_good(), service.not_good()) == (False, "", [name])
    assert service.find("c", "E='1'\n") == name
    assert service.find("c", "E='2'\n") == ""
    assert service.find("d", "E='1'\n") == ""


def test_free_name(service, monkeypatch) -> None:
    """The name of a moment is given once, whatever has it."""
    monkeypatch.setattr(releases.time, "time", lambda: 1_700_000_000.5)
    service.begin()
    os.symlink("/nowhere", service.folder(releases.new_name("0123456789ab", 1_700_000_000)))
    assert service.free_name("0123456789ab") == releases.new_name("0123456789ab", 1_700_000_001)


def test_last_good_besides(service) -> None:
    """The release to go back to is another one."""
    first = add(service, 1, good="2026-01-01T00:00:00Z")
    second = add(service, 2, good="2026-01-02T00:00:00Z")
    assert service.last_good(besides=second) == first
    assert service.last_good(besides=first) == second
    service.drop(first)
    assert service.last_good(besides=second) == ""


def test_leave(service) -> None:
    """`current` points to nothing, and a second time there is nothing to do."""
    service.switch(add(service, 1))
    service.leave()
    assert service.current() == ""
    assert not os.path.lexists(service.link)
    service.leave()


def failure(identity: str = "x", cls: str = "configuration", certain: bool = True) -> dict:
    """A failed start."""
    return {"id": identity, "class": cls, "certain": certain}


@pytest.mark.parametrize(
    ("failures", "count"),
    [
        ([], 0),
        ([failure()], 1),
        ([failure(), failure()], 2),
        ([failure("y"), failure(), failure()], 2),
        ([failure(), failure("y")], 1),
        ([failure(), failure("y"), failure()], 1),
        ([failure(), failure(certain=False)], 0),
        ([failure(certain=False), failure()], 1),
        # these may have passed or been mended
        ([failure(cls="host"), failure(cls="host")], 0),
        ([failure(cls="transient")], 0),
        ([failure(), failure(cls="host"), failure()], 1),
        ([{}], 0),
    ],
)
def test_same_failures(failures, count) -> None:
    """Counted from the last one back, only what the configuration brings about again."""
    assert releases.same_failures(failures) == count


def test_failed(service) -> None:
    """A release that failed is not good any more, and remembers its last failures and everything else."""
    name = add(service, 1, good="x")
    service.describe(name, {"model": "m"})
    for number in range(releases.FAILURES_KEPT + 2):
        service.failed(name, {"id": "f%d" % number})
    about = service.description(name)
    assert (about["model"], "good_since" in about) == ("m", False)
    assert [item["id"] for item in about["failures"]] == ["f2", "f3", "f4", "f5", "f6"]
    assert mode(os.path.join(service.folder(name), releases.DESCRIPTION)) == 0o640


def test_about(service) -> None:
    """What release.json says, and what follows from it; of no release at all the same keys."""
    name = add(service, 1, good="x")
    service.describe(name, {"model": "m", "failures": [failure(), failure()]})
    about = service.about(name)
    assert about == {
        "name": name, "path": service.folder(name), "good": True, "good_since": "x", "model": "m",
        "failures": [failure(), failure()], "same_failures": 2, "content_hash": name.partition("-")[2],
    }  # fmt: skip
    assert service.about("") == {"name": "", "path": "", "good": False, "failures": [], "same_failures": 0}
    service.failed(name, failure("y"))
    assert (service.about(name)["good"], service.about(name)["same_failures"]) == (False, 1)


def test_starts(service) -> None:
    """The newest first, by the time of the start and not of the release; damaged ones are left out."""
    first, second, third = add(service, 1), add(service, 2), add(service, 3)
    service.describe(first, {"image": "i", "model": "m", "start": {"at": "2026-01-03T00:00:00Z", "total_s": 1.0}})
    service.describe(second, {"image": "j", "start": {"at": "2026-01-02T00:00:00Z"}})
    service.describe(third, {"start": "damaged"})
    assert service.starts() == [
        {"at": "2026-01-03T00:00:00Z", "total_s": 1.0, "image": "i", "model": "m"},
        {"at": "2026-01-02T00:00:00Z", "image": "j", "model": ""},
    ]


def test_kept_log_has_its_mode(service) -> None:
    """The log of a failed start is looked after like the other files."""
    name = add(service, 1)
    service.write(service.folder(name), releases.FAILED_LOG, "x")
    path = os.path.join(service.folder(name), releases.FAILED_LOG)
    assert mode(path) == 0o640
    os.chmod(path, 0o644)
    assert service.wrong_modes(name) == [releases.FAILED_LOG]
