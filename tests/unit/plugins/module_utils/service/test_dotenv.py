# SPDX-License-Identifier: GPL-3.0-or-later
"""Values survive the way through .env: quoting, and what the real Docker Compose reads back."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv

#: Everything here must arrive in the container as it is.
NASTY = {
    "plain": "abc",
    "empty": "",
    "space": " ",
    "spaces_at_both_ends": "  a b  ",
    "tab": "a\tb",
    "dollar_name": "$HOME",
    "dollar_braces": "${X}",
    "dollar_default": "${X:-y}",
    "dollar_nested": "${VLLM_PORT_MEDIUM}",
    "dollar_twice": "$$",
    "dollar_three": "a$$$b",
    "dollar_alone": "$",
    "dollar_at_end": "a$",
    "percent": "%s %d %(x)s",
    "hash": "#a #b",
    "hash_at_end": "a #",
    "single_quote": "it's",
    "single_quotes": "'a'",
    "single_quote_alone": "'",
    "single_quotes_two": "''",
    "double_quote": 'a"b',
    "double_quotes": '"a"',
    "double_quote_alone": '"',
    "backtick": "`id`",
    "command": "$(id)",
    "backslash": "a\\b",
    "backslash_n": "a\\nb",
    "backslash_twice": "a\\\\b",
    "backslash_three": "a\\\\\\b",
    "backslash_first": "\\a",
    "backslash_dollar": "\\$HOME",
    "backslash_double_quote": 'a\\"b',
    "quote_then_backslash": "'\\a",
    "quote_between_backslashes": "\\a'b\\c",
    "equals": "a=b=c",
    "equals_first": "=a",
    "colon": "a: b",
    "unicode": "Grüße 你好 🚀",
    "non_breaking_space": "a\u00a0b",
    "line_separator": "a\u2028b",
    "next_line": "a\u0085b",
    "form_feed": "a\x0cb",
    "json": '{"a": "$x", "b": ["it\'s", 1.0]}',
    "yaml": "- a: [1, 2]",
    "looks_true": "true",
    "looks_null": "null",
    "number": "007",
    "bang": "!x",
    "export": "export A=b",
    "long": "x" * 4000,
}


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        pytest.param("abc", "'abc'", id="plain"),
        pytest.param("", "''", id="empty"),
        pytest.param("$HOME #x", "'$HOME #x'", id="dollar-hash"),
        pytest.param("it's", "'it\\'s'", id="single-quote"),
        pytest.param('a"b', "'a\"b'", id="double-quote"),
        pytest.param("a\\b", "'a\\b'", id="backslash"),
        pytest.param(True, "'true'", id="true"),
        pytest.param(False, "'false'", id="false"),
        pytest.param(5002, "'5002'", id="int"),
        pytest.param(0.9, "'0.9'", id="float"),
    ],
)
def test_quote(value, quoted) -> None:
    """Single quotes keep everything literal; only a single quote inside is escaped."""
    assert dotenv.quote(value) == quoted


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("PLANTED\nx", "line break", id="newline"),
        pytest.param("PLANTED\rx", "line break", id="carriage-return"),
        pytest.param("PLANTED\x00", "NUL", id="nul"),
        pytest.param("PLANTED\\", "backslash", id="backslash-at-end"),
        pytest.param("PLANTED\\'x", "backslash", id="backslash-quote"),
        pytest.param("PLANTED\\\\'x", "backslash", id="backslashes-quote"),
    ],
)
def test_refused(value, words) -> None:
    """What Compose would read back differently is refused, without showing it."""
    assert words in dotenv.check_value(value)
    with pytest.raises(dotenv.DotenvError, match=words) as caught:
        dotenv.quote(value)
    assert "PLANTED" not in str(caught.value)


@pytest.fixture(scope="module")
def read_back(compose, tmp_path_factory) -> dict[str, str]:
    """What the real ``docker compose config`` makes of a .env with every nasty value, by key."""
    folder = tmp_path_factory.mktemp("dotenv")
    compose_file = ["services:", "  x:", "    image: x", "    environment:"]
    env = []
    for index, key in enumerate(NASTY):
        compose_file.append('      V_%s: "${E_%d}"' % (key, index))
        env.append("E_%d=%s" % (index, dotenv.quote(NASTY[key])))
    (folder / "compose.yml").write_text("\n".join(compose_file) + "\n", encoding="utf-8")
    (folder / ".env").write_text("\n".join(env) + "\n", encoding="utf-8", newline="\n")
    done = compose(folder, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "not set" not in done.stderr
    environment = json.loads(done.stdout)["services"]["x"]["environment"]
    # `config` writes a file that could be read again, so a dollar sign stands there twice
    return {name[2:]: value.replace("$$", "$") for name, value in environment.items()}


@pytest.mark.parametrize("key", NASTY)
def test_compose_reads_back_what_was_given(key, read_back) -> None:
    """Exactly, to the last space."""
    assert read_back[key] == NASTY[key]


def test_names() -> None:
    """The names, in order; comments and broken lines are none."""
    assert dotenv.names("# A=1\nB='1'\n\nC=\n2D=1\nE\nF='a=b'\n") == ["B", "C", "F"]


def test_masked_diff_shows_names_only() -> None:
    """Which names changed is shown, no value is."""
    before, after = dotenv.masked_diff(
        "A='PLANTED1'\nB='PLANTED2'\nC='PLANTED3'\n", "A='PLANTED1'\nB='PLANTED4'\nD='x'\n"
    )
    assert before == "A=(unchanged)\nB=(old)\nC=(old)\n"
    assert after == "A=(unchanged)\nB=(new)\nD=(new)\n"


@pytest.mark.parametrize("sign", ["\u2028", "\u0085", "\x0c", "\x1d"], ids=["u2028", "u0085", "form-feed", "separator"])
def test_masked_diff_with_odd_separators(sign) -> None:
    """Python's splitlines() would take these for line ends, and the rest of a secret for a name."""
    text = "A='x%sPLANTED=y'\n" % sign
    assert dotenv.masked_diff("", text) == ("", "A=(new)\n")
    assert dotenv.names(text) == ["A"]


def test_values() -> None:
    """The values as they were given, for taking them out of messages."""
    given = ["abc", "it's", "a=b", "", "'x'"]
    text = "# comment=1\n" + "".join("N%d=%s\n" % (index, dotenv.quote(value)) for index, value in enumerate(given))
    assert dotenv.values(text) == given


def test_items() -> None:
    """Names with the values that were given; comments and broken lines are none."""
    given = {"A": "it's", "B": "a=b", "C": "", "D": "$x #y", "E": 'a"b\\c'}
    text = "# Z='1'\n\nbroken\n2D='x'\n" + "".join("%s=%s\n" % (name, dotenv.quote(given[name])) for name in given)
    assert dotenv.items(text) == given
    assert dotenv.items("") == {}


def test_ambient() -> None:
    """Names that the environment has otherwise, without a value; what is the same harms nobody."""
    environment = {"A": "1", "B": "2", "C": "PLANTED", "D": "x", "E": ""}
    expected = {"A": "1", "B": "1", "C": None, "D": None, "E": "1", "F": "1"}
    found = dotenv.ambient(expected, "D='x'\nC='other'\n", environment)
    assert found == {"B": "differs", "C": "differs", "E": "differs"}
    assert dotenv.ambient({"C": None}, "", environment) == {"C": "unknown"}
