# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the failure catalogue and the users' own entries, check them, and make their expressions ready.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Iterator

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.patterns import Expression

CATALOGUE = pathlib.Path(__file__).with_name("failures.yml")

#: What may be done about a failure: see docs/troubleshooting.md.
CLASSES = ("configuration", "host", "transient", "once")

#: Keys of an entry that hold lists of regular expressions, strongest first; see the head of failures.yml.
STRENGTHS = ("patterns", "hints", "symptoms", "echoes")

_REQUIRED = ("id", "class", "cause", "fix")
_TEXTS = (*_REQUIRED, "ref", "source", "found", "suggest")
_EXPRESSIONS = (*STRENGTHS, "not", "values")


def _list_of(kind: type) -> Callable[[object], bool]:
    # a truth value is a whole number too, for Python
    return lambda value: (
        isinstance(value, list) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
    )


#: What the other keys hold: in words, and how to tell.
_FORMS = {
    "over": ("a list of texts (ids)", _list_of(str)),
    "stalled": ("a list of texts (phases)", _list_of(str)),
    "exit_codes": ("a list of whole numbers", _list_of(int)),
    "oom_killed": ("true or false", lambda value: isinstance(value, bool)),
    "after_ready": ("true or false", lambda value: isinstance(value, bool)),
    "fix_by_phase": ("a mapping of phases to texts", lambda value: isinstance(value, dict)),
}


class CatalogueError(ValueError):
    """An entry cannot be used; the text names the entry, the key, what was found and what is expected."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """One entry, its expressions compiled.

    ``rank`` orders entries: those of users come first, so that they win over the collection's own.
    """

    id: str
    ref: str
    cls: str
    cause: str
    fix: str
    source: str
    rank: int
    found: str
    suggest: str
    fix_by_phase: dict[str, str]
    patterns: tuple[Expression, ...]
    hints: tuple[Expression, ...]
    symptoms: tuple[Expression, ...]
    echoes: tuple[Expression, ...]
    all_of: tuple[tuple[Expression, ...], ...]
    exclude: tuple[Expression, ...]
    values: tuple[Expression, ...]
    over: frozenset[str]
    exit_codes: frozenset[int]
    oom_killed: bool
    stalled: frozenset[str]
    after_ready: bool


@dataclasses.dataclass(frozen=True)
class Wrapper:
    """A line that only reports that something else failed."""

    ref: str
    pattern: Expression
    cls: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Sign:
    """One expression of an entry; ``group`` and ``member`` place it in ``all_of`` (-1 elsewhere)."""

    entry: Failure
    strength: str
    expression: Expression
    group: int = -1
    member: int = -1


class Catalogue:
    """All that a log is compared with."""

    def __init__(
        self, failures: tuple[Failure, ...], wrappers: tuple[Wrapper, ...], harmless: tuple[Expression, ...]
    ) -> None:
        """Sort the signs of all entries by the plain texts that they need."""
        self.failures = failures
        self.wrappers = wrappers
        self.harmless = harmless
        signs = [sign for entry in failures for sign in _signs(entry)]
        self._all = _Index(signs)
        self._ordinary = _Index([sign for sign in signs if sign.strength == "hints" or sign.group >= 0])

    def signs_in(self, text: str, ordinary: bool = False) -> list[_Sign]:
        """Return the signs that match ``text``, whose entry does not exclude it.

        Args:
            text: a line, or several joined.
            ordinary: it is a message that vLLM goes on after, which only a hint or a part of ``all_of`` can match.
        """
        lower = text.lower()
        near = (self._ordinary if ordinary else self._all).near(lower)
        return [
            sign
            for sign in near
            if sign.expression.pattern.search(text) and not any(e.search(text, lower) for e in sign.entry.exclude)
        ]


class _Index:
    """Signs by the plain texts that they need, as most lines hold none of them."""

    def __init__(self, signs: list[_Sign]) -> None:
        self._always = [sign for sign in signs if not sign.expression.needles]
        self._by_needle: dict[str, list[_Sign]] = {}
        for sign in signs:
            for needle in sign.expression.needles:
                self._by_needle.setdefault(needle, []).append(sign)

    def near(self, lower: str) -> list[_Sign]:
        """Return the signs that may match a text in small letters, each once."""
        found = [sign for needle, signs in self._by_needle.items() if needle in lower for sign in signs]
        return list(dict.fromkeys(found + self._always))


def _signs(entry: Failure) -> Iterator[_Sign]:
    for strength in STRENGTHS:
        for expression in getattr(entry, strength):
            yield _Sign(entry, strength, expression)
    for group, expressions in enumerate(entry.all_of):
        for member, expression in enumerate(expressions):
            yield _Sign(entry, "patterns", expression, group, member)


@functools.cache
def data() -> dict:
    """Return the collection's own catalogue as it is written: ``failures``, ``wrappers``, ``harmless``."""
    return yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))


def load(extra: list[dict] | None = None) -> Catalogue:
    """Return the catalogue, with the users' own entries before the collection's.

    Args:
        extra: entries in the form of failures.yml; one with the id of the collection's own replaces it.

    Raises:
        CatalogueError: an entry is not usable; all problems are in the text, one a line.
    """
    return _built(extra) if extra else _own()


@functools.cache
def _own() -> Catalogue:
    return _built([])


def _built(extra: list[dict]) -> Catalogue:
    problems = problems_of(extra, "extra_failures")
    if problems:
        raise CatalogueError("\n".join(problems))
    replaced = {entry["id"] for entry in extra}
    own = [entry for entry in data()["failures"] if entry["id"] not in replaced]
    return Catalogue(
        failures=tuple([_failure(entry, 0) for entry in extra] + [_failure(entry, 1) for entry in own]),
        wrappers=tuple(Wrapper(w["ref"], compiled(w["pattern"]), w.get("class", "once")) for w in data()["wrappers"]),
        harmless=tuple(compiled(text) for text in data()["harmless"]),
    )


def compiled(text: str) -> Expression:
    """Return the expression, in which a blank stands for any white space."""
    return Expression(text, blanks=True)


def _compile_all(entry: dict, key: str) -> tuple[Expression, ...]:
    return tuple(compiled(text) for text in entry.get(key, []))


def _failure(entry: dict, rank: int) -> Failure:
    return Failure(
        id=entry["id"],
        ref=entry.get("ref", entry["id"]),
        cls=entry["class"],
        cause=entry["cause"],
        fix=entry["fix"],
        source=entry.get("source", ""),
        rank=rank,
        found=entry.get("found", ""),
        suggest=entry.get("suggest", ""),
        fix_by_phase=entry.get("fix_by_phase", {}),
        patterns=_compile_all(entry, "patterns"),
        hints=_compile_all(entry, "hints"),
        symptoms=_compile_all(entry, "symptoms"),
        echoes=_compile_all(entry, "echoes"),
        all_of=tuple(tuple(compiled(text) for text in group) for group in entry.get("all_of", [])),
        exclude=_compile_all(entry, "not"),
        values=_compile_all(entry, "values"),
        over=frozenset(entry.get("over", [])),
        exit_codes=frozenset(entry.get("exit_codes", [])),
        oom_killed=entry.get("oom_killed", False),
        stalled=frozenset(entry.get("stalled", [])),
        after_ready=entry.get("after_ready", False),
    )


def problems_of(entries: object, name: str) -> list[str]:
    """Return a sentence for every thing that is wrong with ``entries``, whose variable is called ``name``."""
    if not isinstance(entries, list):
        return ["%s is %s; expected a list of entries." % (name, type(entries).__name__)]
    problems: list[str] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        where = "%s, entry %d" % (name, number)
        if not isinstance(entry, dict):
            problems.append("%s is %s; expected a mapping with %s." % (where, type(entry).__name__, _joined(_REQUIRED)))
            continue
        if isinstance(entry.get("id"), str):
            where += " (%s)" % entry["id"]
        problems += ["%s: %s" % (where, text) for text in _entry_problems(entry)]
        if entry.get("id") in seen:
            problems.append("%s: the id stands twice; give each entry its own." % where)
        seen.add(str(entry.get("id")))
    return problems


def _joined(names) -> str:
    return ", ".join(names)


def _entry_problems(entry: dict) -> list[str]:
    problems = ["%s is missing." % key for key in _REQUIRED if not entry.get(key)]
    allowed = {*_TEXTS, *_EXPRESSIONS, *_FORMS, "all_of"}
    unknown = sorted(set(map(str, entry)) - allowed)
    if unknown:
        problems.append("unknown key %s; known are %s." % (_joined(unknown), _joined(sorted(allowed))))
    problems += ["%s must be a text." % key for key in _TEXTS if key in entry and not isinstance(entry[key], str)]
    if entry.get("class") and entry["class"] not in CLASSES:
        problems.append("class is %r; expected one of %s." % (entry["class"], _joined(CLASSES)))
    for key in _EXPRESSIONS:
        problems += _expression_problems(key, entry.get(key, []))
    for group in entry.get("all_of", []) if isinstance(entry.get("all_of", []), list) else ["?"]:
        problems += _expression_problems("all_of (a list of lists)", group)
    for key, (what, fits) in _FORMS.items():
        if key in entry and not fits(entry[key]):
            problems.append("%s must be %s." % (key, what))
    signs = ("exit_codes", "oom_killed", "stalled", "all_of", *STRENGTHS)
    if not any(entry.get(key) for key in signs):
        problems.append("it has no sign to be known by; give it patterns (a list of regular expressions).")
    return problems


def _expression_problems(key: str, texts: object) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        return ["%s must be a list of regular expressions." % key]
    problems = []
    for text in texts:
        try:
            pattern = compiled(text)
        except re.error as error:
            problems.append("%s holds %r, which is no regular expression: %s." % (key, text, error))
            continue
        if key != "values" and pattern.pattern.search(""):
            problems.append("%s holds %r, which matches every line." % (key, text))
    return problems
