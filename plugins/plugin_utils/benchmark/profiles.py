# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the profiles of benchmarks, and choose one.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: Keys of a run: whether a value is needed, and its type. ``rounds`` cuts it into blocks with figures of their own.
_KEYS = {
    "name": (False, str),
    "num_prompts": (True, int),
    "request_rate": (False, float),
    "max_concurrency": (False, int),
    "input_tokens": (True, int),
    "output_tokens": (True, int),
    "rounds": (False, int),
}

#: The profile's name becomes part of a folder's.
NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")

_VARIABLE = "vllm_benchmark_profiles"

#: Tokens of a request that are left free in a service that does not write: those that begin, part and end texts.
SPARE_TOKENS = 8

#: Sorts of work that vLLM's benchmark measures, by the kind of service. The others it has no requests for.
WORK = {"chat": "generate", "base": "generate", "vision": "generate", "embed": "embed", "rerank": "rerank"}


def work_of(kinds: list[str] | tuple[str, ...]) -> tuple[str, str]:
    """Return (what to measure of a service, why nothing can be measured).

    Args:
        kinds: its kind; several when they cannot be told apart, none when nothing is known.
    """
    if not kinds:
        return "generate", ""
    found = [WORK[kind] for kind in kinds if kind in WORK]
    if found:
        return found[0], ""
    return "", (
        "A service of kind %s is not measured: vLLM's own benchmark has requests for services that write text, give "
        "embeddings or rerank." % " or ".join(kinds)
    )


class ProfileError(Exception):
    """A profile cannot be used; the text names the variable, what was found and what to do."""


def choose(profiles: object, name: str, max_model_len: int | None, generates: bool = True) -> list[dict]:
    """Return the runs of profile ``name``, each with all of ``_KEYS``; what was not given is None.

    Args:
        profiles: lists of runs by profile.
        name: the wanted one.
        max_model_len: longest prompt plus answer that the service takes, in tokens; None when that is not known.
        generates: whether the service writes text. Of one that does not, ``output_tokens`` count nothing (None in what
            is returned), and a prompt that is too long for it is as long as it takes: the profiles that come with the
            role are for services that write, and many an encoder takes 512 tokens.

    Raises:
        ProfileError: there is none, or it cannot be measured; all problems in one text.
    """
    if not isinstance(profiles, dict) or not profiles:
        raise ProfileError("%s: found %r; expected lists of runs by the name of a profile." % (_VARIABLE, profiles))
    if name not in profiles:
        raise ProfileError(
            "vllm_benchmark_profile: there is no profile %s. Choose one of %s, or add it to "
            "vllm_benchmark_extra_profiles." % (name, ", ".join(sorted(map(str, profiles))))
        )
    if not NAME.match(name):
        raise ProfileError(
            "%s: the name %r cannot be part of a folder's name. Use small letters, digits, '-' and '_'."
            % (_VARIABLE, name)
        )
    given = profiles[name]
    if not isinstance(given, list) or not given:
        raise ProfileError("%s.%s: found %r; expected a list of runs, at least one." % (_VARIABLE, name, given))
    problems: list[str] = []
    runs = [_run("%s.%s[%d]" % (_VARIABLE, name, index), run, problems) for index, run in enumerate(given)]
    for index, run in enumerate(runs):
        where = "%s.%s[%d]" % (_VARIABLE, name, index)
        if not run:
            continue
        tokens = (run["input_tokens"] or 0) + (run["output_tokens"] or 0)
        if not generates:
            run["output_tokens"] = None
            run["input_tokens"] = min(run["input_tokens"] or 1, max(1, (max_model_len or 10**9) - SPARE_TOKENS))
        elif max_model_len and tokens > max_model_len:
            problems.append(
                "%s: %s input_tokens and %s output_tokens are %d, and the service takes %d (vllm_max_model_len). "
                "Choose fewer." % (where, run["input_tokens"], run["output_tokens"], tokens, max_model_len)
            )
        run["name"] = run["name"] or _name_of(run)
    names = [run["name"] for run in runs if run]
    for double in sorted({item for item in names if names.count(item) > 1}):
        problems.append("%s.%s: two runs have the name %s. Give each its own." % (_VARIABLE, name, double))
    for index, run in enumerate(runs):
        if (run.get("rounds") or 0) > (run.get("num_prompts") or 0):
            problems.append(
                "%s.%s[%d]: rounds is %d, and num_prompts %s. A round needs a request; set fewer."
                % (_VARIABLE, name, index, run["rounds"], run["num_prompts"])
            )
    if problems:
        raise ProfileError("\n".join(problems))
    return runs


def _run(where: str, given: object, problems: list[str]) -> dict:
    if not isinstance(given, dict):
        problems.append("%s: found %r; expected a mapping of %s." % (where, given, ", ".join(_KEYS)))
        return {}
    unknown = sorted(map(str, set(given) - set(_KEYS)))
    if unknown:
        problems.append("%s: there is no key %s. A run has %s." % (where, ", ".join(unknown), ", ".join(_KEYS)))
    run: dict = {}
    for key, (needed, kind) in _KEYS.items():
        value = given.get(key)
        if key == "rounds" and value is None:
            # a key of the few runs that are cut into rounds
            continue
        run[key] = None
        if value is None or value == "":
            if needed:
                problems.append("%s: %s is missing. Set a number of 1 or more." % (where, key))
        elif kind is str:
            run[key] = str(value)
        else:
            run[key] = _number(where, key, value, kind, problems)
    return run


def _number(where: str, key: str, value: object, kind: type, problems: list[str]) -> float | int | None:
    try:
        # Ansible gives texts where a template made the value
        number = kind(value) if not isinstance(value, bool) and kind(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not 0 < number < float("inf"):
        wanted = "a whole number of 1 or more" if kind is int else "requests a second, more than 0"
        less = "" if _KEYS[key][0] else ", or leave it out for no limit"
        problems.append("%s: %s is %r. Set %s%s." % (where, key, value, wanted, less))
        return None
    return number


def _name_of(run: dict) -> str:
    rate = "%g requests/s" % run["request_rate"] if run["request_rate"] else ""
    limit = "%d at a time" % run["max_concurrency"] if run["max_concurrency"] else ""
    return ", ".join(part for part in (rate, limit) if part) or "all at once"


def requests(runs: list[dict]) -> int:
    """Return the number of requests of all runs together."""
    return sum(run["num_prompts"] for run in runs)
