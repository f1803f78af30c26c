# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator said: files of extra variables with texts that AWX has marked."""

from __future__ import annotations

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import said


@pytest.fixture(name="given")
def given_(tmp_path, monkeypatch):
    """Give ansible-playbook files and words with -e; a text with a line break is a file's content."""

    def give(*words: str) -> dict:
        extra = []
        for number, word in enumerate(words):
            if "\n" in word:
                path = tmp_path / ("vars-%d" % number)
                path.write_text(word, encoding="utf-8")
                word = "@%s" % path
            extra.append(word)
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(extra_vars=tuple(extra)))
        return said.texts()

    return give


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["a: !unsafe 'yes'\nb: yes\n"], {"a": ("yes", True)}),
        (["!unsafe 'a': !unsafe '0123456'\n"], {"a": ("0123456", 42798)}),
        (["a: !unsafe ''\n"], {"a": ("", None)}),
        (["a: [!unsafe 'no', 1]\nb: {!unsafe 'k': !unsafe '1.50'}\n"],
         {"a": (["no", 1], [False, 1]), "b": ({"k": "1.50"}, {"k": 1.5})}),
        (["a: !unsafe [yes, !unsafe 'yes']\n"], {"a": ([True, "yes"], [True, True])}),
        # what comes later wins
        (["a: !unsafe '1'\n", "a: 2\n"], {}),
        (["a: !unsafe '1'\n", "a=2"], {}),
        (["a: !unsafe '1'\n", '{"a": 2}'], {}),
        (["a: 1\n", "a: !unsafe '2'\n"], {"a": ("2", 2)}),
        # only Ansible can read it
        (["a: {b: !vault 'x', c: !unsafe '1'}\nd: !unsafe '1'\n"], {"d": ("1", 1)}),
        (["$ANSIBLE_VAULT;1.1;AES256\n6130\n"], {}),
        (["- a list\n"], {}),
        (["a: [\n"], {}),
        (["@/nowhere"], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_texts(words, found, given) -> None:
    """Each as it was written and as Ansible reads it."""
    assert given(*words) == found


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, (True, "yes")),
        ("yes", (True, "yes")),
        (1, (False, 1)),
        ("other", (False, "other")),
        (None, (False, None)),
    ],
)
def test_as_written(value, read) -> None:
    """Only where the variable has the value that Ansible reads in the file; 1 is not true."""
    assert said.as_written("a", value, {"a": ("yes", True)}) == read
    assert said.as_written("b", value, {"a": ("yes", True)}) == (False, value)


@pytest.mark.parametrize(
    ("value", "is_said"), [(None, False), ("", False), ([], False), ({}, False), (0, True), (False, True), ("x", True)]
)
def test_is_said(value, is_said) -> None:
    """Null and what is empty say nothing; zero and false do."""
    assert said.is_said(value) is is_said
