# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of keys made by gpg at test time, compared with what gpg says."""

from __future__ import annotations

import base64
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import openpgp


class Gpg:
    """A key ring of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home

    def run(self, *argv: str) -> bytes:
        """Run gpg and return its output."""
        done = subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--pinentry-mode", "loopback", *argv],
            capture_output=True,
            timeout=30,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make(self, name: str, kind: str) -> None:
        """Make a primary key."""
        self.run("--passphrase", "", "--quick-generate-key", name, kind, "sign", "never")

    def fingerprint(self, name: str) -> str:
        """Fingerprint of the primary key, as gpg says it."""
        lines = self.run("--with-colons", "--list-keys", name).decode().splitlines()
        fields = [line.split(":") for line in lines]
        first = [field[0] for field in fields].index("pub")
        return next(field[9] for field in fields[first:] if field[0] == "fpr")


@pytest.fixture(scope="module")
def gpg():
    """Two keys: ed25519, and RSA with two subkeys."""
    if shutil.which("gpg") is None:
        pytest.fail("gpg is not installed on this machine. Run `tools/bootstrap tools`, or install the package gnupg.")
    # a short path: the agent's socket lies in it
    home = pathlib.Path(tempfile.mkdtemp(prefix="gpg-"))
    home.chmod(0o700)
    ring = Gpg(home)
    try:
        ring.make("ed@example.org", "ed25519")
        ring.make("rsa@example.org", "rsa2048")
        rsa = ring.fingerprint("rsa@example.org")
        ring.run("--passphrase", "", "--quick-add-key", rsa, "cv25519", "encr", "never")
        ring.run("--passphrase", "", "--quick-add-key", rsa, "ed25519", "sign", "1y")
        yield ring
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("armour", [True, False], ids=["armoured", "binary"])
@pytest.mark.parametrize("name", ["ed@example.org", "rsa@example.org"])
def test_fingerprint(name, armour, gpg) -> None:
    """The primary key's fingerprint, not a subkey's, as gpg says it."""
    data = gpg.run(*(["--armor"] if armour else []), "--export", name)
    assert (b"-----BEGIN PGP" in data) is armour
    assert openpgp.fingerprints(data) == [gpg.fingerprint(name)]


def both(gpg) -> list[str]:
    """Both fingerprints."""
    return sorted(gpg.fingerprint(name) for name in ("ed@example.org", "rsa@example.org"))


def test_two_keys_in_one_export(gpg) -> None:
    """Every primary key of a file counts."""
    assert sorted(openpgp.fingerprints(gpg.run("--export"))) == both(gpg)
    assert sorted(openpgp.fingerprints(gpg.run("--armor", "--export"))) == both(gpg)


def test_two_armoured_blocks(gpg) -> None:
    """Two blocks one after the other, with headers, text around them and Windows line ends."""
    first, second = (gpg.run("--armor", "--export", name) for name in ("ed@example.org", "rsa@example.org"))
    second = second.replace(b"BLOCK-----\n", b"BLOCK-----\nVersion: x\nComment: y\n", 1).replace(b"\n", b"\r\n")
    assert sorted(openpgp.fingerprints(b"see below\n" + first + b"\nand\n" + second)) == both(gpg)


def test_new_format_packets(gpg) -> None:
    """The same key behind headers of the new format (other tools write these)."""
    old = gpg.run("--export", "rsa@example.org")
    assert old[0] == 0x99
    length = int.from_bytes(old[1:3], "big")
    body = old[3 : 3 + length]
    two = bytes([0xC6, ((length - 192) >> 8) + 192, (length - 192) & 0xFF]) + body
    five = b"\xc6\xff" + length.to_bytes(4, "big") + body
    for data in (two, five):
        assert openpgp.fingerprints(data) == [gpg.fingerprint("rsa@example.org")]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda data: data[: len(data) // 2], "no armoured public key", id="end-missing"),
        pytest.param(lambda data: data.replace(b"\n", b"\n!!", 4), "armour is damaged", id="other-letters"),
        pytest.param(
            lambda data: b"\n".join(data.splitlines()[:4] + data.splitlines()[-2:]), "cut short|damaged", id="cut"
        ),
        pytest.param(lambda data: data.replace(b"PUBLIC KEY", b"PRIVATE KEY"), "no armoured public key", id="private"),
        pytest.param(
            lambda data: data.replace(b"PUBLIC KEY BLOCK", b"MESSAGE"), "no armoured public key", id="message"
        ),
    ],
)
def test_damaged_armour(damage, words, gpg) -> None:
    """Refused, never half a key."""
    with pytest.raises(openpgp.OpenPGPError, match=words):
        openpgp.fingerprints(damage(gpg.run("--armor", "--export", "rsa@example.org")))


def test_cut_binary(gpg) -> None:
    """Cut anywhere inside the key: refused at every length, and never another exception."""
    data = gpg.run("--export", "ed@example.org")
    first = 2 + data[1]
    for length in range(first):
        with pytest.raises(openpgp.OpenPGPError):
            openpgp.fingerprints(data[:length])


def test_changed_key_has_another_fingerprint(gpg) -> None:
    """One bit of the key is enough."""
    data = bytearray(gpg.run("--export", "ed@example.org"))
    data[20] ^= 1
    assert openpgp.fingerprints(bytes(data)) != [gpg.fingerprint("ed@example.org")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "no public key", id="empty"),
        pytest.param(b"<html>404</html>", "no OpenPGP data", id="html"),
        pytest.param(b"\xb4\x03abc", "no public key", id="user-id-only"),
        pytest.param(b"\x99\x00\x01\x03", "version 3", id="version-3"),
        pytest.param(b"\xc6\x01\x06", "version 6", id="version-6"),
        pytest.param(b"\x99\x00\x00", "version 0", id="no-body"),
        pytest.param(b"\x9b\x04abc", "open length", id="open-length"),
        pytest.param(b"\xc6\xe1a", "partial lengths", id="partial-length"),
        pytest.param(b"\xc6", "cut short", id="header-only"),
    ],
)
def test_not_a_key(data, words) -> None:
    """Anything else is refused, in words."""
    with pytest.raises(openpgp.OpenPGPError, match=words):
        openpgp.fingerprints(data)


def test_armour_around_rubbish() -> None:
    """Good armour around something else."""
    data = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n%s\n-----END PGP PUBLIC KEY BLOCK-----\n" % base64.b64encode(
        b"hello"
    )
    with pytest.raises(openpgp.OpenPGPError, match="no OpenPGP data"):
        openpgp.fingerprints(data)


@pytest.mark.parametrize(
    "spelling", ["C95B 321B  61e8", "c95b:321b:61e8", " C95B321B61E8\n"], ids=["spaces", "colons", "line-end"]
)
def test_normalise(spelling) -> None:
    """Spaces, colons and case do not matter."""
    assert openpgp.normalise(spelling) == "C95B321B61E8"
