# SPDX-License-Identifier: GPL-3.0-or-later
"""The module openpgp_key, run as a program: a key reaches the disk only with the right fingerprint."""

from __future__ import annotations

import base64
import hashlib
import os
import stat

import pytest


def packet(seed: bytes) -> bytes:
    """A public key packet of version 4; nobody could use it, but its fingerprint is well defined."""
    body = b"\x04" + bytes(4) + b"\x16" + seed
    return b"\x99" + len(body).to_bytes(2, "big") + body


def fingerprint(data: bytes) -> str:
    """Fingerprint of one packet (RFC 4880, 12.2)."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest().upper()


def armour(data: bytes) -> str:
    """The same as text."""
    text = base64.b64encode(data).decode()
    return "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n%s\n-----END PGP PUBLIC KEY BLOCK-----\n" % text


KEY, OTHER = packet(b"one"), packet(b"two")


@pytest.fixture
def run(run_module, tmp_path):
    """Run the module for KEY in a file, unless told otherwise."""
    source = tmp_path / "source.gpg"
    source.write_bytes(KEY)

    def call(**more):
        return run_module(
            "openpgp_key",
            **{
                "key": str(source),
                "fingerprint": fingerprint(KEY),
                "dest": str(tmp_path / "keyrings" / "key.gpg"),
                "variable": "some_role_key_fingerprint",
                **more,
            },
        )

    return call


@pytest.mark.parametrize("kind", ["path", "file-address", "text"])
def test_installs(kind, run, tmp_path) -> None:
    """From each kind of source, readable for everybody (apt reads it as another user)."""
    source = tmp_path / "source.gpg"
    key = {"path": str(source), "file-address": "file://%s" % source, "text": armour(KEY)}[kind]
    answer = run(key=key)
    assert (answer["changed"], answer["fingerprints"]) == (True, [fingerprint(KEY)])
    dest = tmp_path / "keyrings" / "key.gpg"
    assert dest.read_bytes() == (armour(KEY).encode() if kind == "text" else KEY)
    assert stat.S_IMODE(dest.stat().st_mode) == 0o644
    assert os.listdir(dest.parent) == ["key.gpg"]
    before = dest.stat().st_mtime_ns
    assert run(key=key)["changed"] is False
    assert dest.stat().st_mtime_ns == before


def test_spelling_of_the_fingerprint(run) -> None:
    """Spaces and case do not matter."""
    text = fingerprint(KEY).lower()
    assert run(fingerprint=" ".join(text[i : i + 4] for i in range(0, 40, 4)))["changed"] is True


def test_right_key_is_not_fetched_again(run) -> None:
    """A re-run needs no network: the source may be gone."""
    run()
    assert run(key="/nowhere/key.gpg")["changed"] is False
    assert run(key="http://127.0.0.1:9/key.gpg")["changed"] is False


@pytest.mark.parametrize("data", [OTHER, KEY + OTHER], ids=["other-key", "one-more-key"])
@pytest.mark.parametrize("installed", [False, True], ids=["nothing-there", "key-there"])
def test_wrong_fingerprint(data, installed, run, tmp_path) -> None:
    """Nothing is written, and the message names both fingerprints and the variable."""
    dest = tmp_path / "keyrings" / "key.gpg"
    if installed:
        run()
        dest.chmod(0o600)
    (tmp_path / "source.gpg").write_bytes(data)
    answer = run()
    assert answer["failed"] is True
    for words in (fingerprint(OTHER), fingerprint(KEY), "some_role_key_fingerprint", "Nothing was installed"):
        assert words in answer["msg"]
    assert dest.exists() is installed
    assert not installed or dest.read_bytes() == KEY


@pytest.mark.parametrize(
    "there", [b"", b"junk", OTHER, KEY + OTHER], ids=["empty", "junk", "other-key", "one-more-key"]
)
def test_replaces_what_is_wrong(there, run, tmp_path) -> None:
    """What lies there and is not this key alone is replaced."""
    dest = tmp_path / "keyrings" / "key.gpg"
    dest.parent.mkdir()
    dest.write_bytes(there)
    assert run()["changed"] is True
    assert dest.read_bytes() == KEY


def test_mode_is_mended(run, tmp_path) -> None:
    """A key that apt cannot read is no installed key."""
    run()
    dest = tmp_path / "keyrings" / "key.gpg"
    dest.chmod(0o600)
    assert run()["changed"] is True
    assert stat.S_IMODE(dest.stat().st_mode) == 0o644


def test_check_mode(run, tmp_path) -> None:
    """Predicted, checked, and not written."""
    assert run(check=True)["changed"] is True
    assert not (tmp_path / "keyrings").exists()
    assert run(check=True, fingerprint=fingerprint(OTHER))["failed"] is True
    run()
    assert run(check=True)["changed"] is False


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param("/nowhere/key.gpg", "cannot be read", id="no-file"),
        pytest.param("file:///nowhere/key.gpg", "cannot be fetched", id="no-file-address"),
        pytest.param("http://127.0.0.1:9/key.gpg", "cannot be fetched", id="nobody-answers"),
        pytest.param("-----BEGIN PGP PUBLIC KEY BLOCK-----\nx", "unusable", id="cut-text"),
    ],
)
def test_unusable_source(key, words, run, tmp_path) -> None:
    """Said in a sentence that names the source."""
    answer = run(key=key)
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert key in answer["msg"]
    assert not (tmp_path / "keyrings").exists()


def test_web_page_instead_of_a_key(run, tmp_path) -> None:
    """A captive portal's answer is no key."""
    (tmp_path / "source.gpg").write_bytes(b"<html>please log in</html>")
    assert "no OpenPGP data" in run()["msg"]
