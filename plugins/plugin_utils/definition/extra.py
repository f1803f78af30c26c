# SPDX-License-Identifier: GPL-3.0-or-later
"""``vllm_extra_options`` and ``vllm_extra_env``: what has no variable of its own.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    compose_options,
    hardening,
    mounts,
    serve_options,
    vllm_options,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    FIRST_CLASS_ENV,
    FIRST_CLASS_ENV_CPU,
    FORBIDDEN_ENV,
    extra_option_env,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems, option_text


def check_options(v: dict, problems: Problems) -> list[tuple[str, object]]:
    """Return (canonical option, value), refusing duplicates of first-class variables and unusable values."""
    result: list[tuple[str, object]] = []
    seen: dict[str, str] = {}
    first_class = serve_options.variables()
    for given, value in _by_name(v["vllm_extra_options"]):
        name = serve_options.option_name(given)
        if not problems.about("vllm_version"):
            name = vllm_options.long_name(v["vllm_version"], name)
        plain = name[3:] if name.startswith("no-") else name
        head = plain.partition(".")[0]
        where = "vllm_extra_options"
        if head in first_class:
            problems.add(
                where,
                "%r has a variable of its own. Remove it here and set %s." % (str(given), first_class[head]),
            )
            continue
        if not serve_options.OPTION_NAME.match(name):
            problems.add(
                where, "%r is no option name. Write it as vllm serve does, for example max-log-len." % str(given)
            )
            continue
        env = extra_option_env(plain)  # names that differ in dots only would share a line of .env
        if env in seen:
            problems.add(where, "%r and %r are the same option. Keep one." % (seen[env], str(given)))
            continue
        seen[env] = str(given)
        if value is None:
            problems.add(where, "%r has no value. Use true for a bare flag." % str(given))
            continue
        texts = [option_text(item) for item in value] if isinstance(value, (list, tuple)) else [option_text(value)]
        bad = [reason for reason in map(dotenv.check_value, texts) if reason]
        if bad:
            problems.add(where, "the value of %r cannot be used: %s." % (str(given), bad[0]))
            continue
        result.append((name, value))
    return result


def check_env(v: dict, problems: Problems) -> list[tuple[str, str]]:
    """Return (name, value), refusing what has a variable of its own, breaks the service or cannot be carried."""
    where = "vllm_extra_env"
    first_class = dict(FIRST_CLASS_ENV)
    if v["vllm_accelerator"] == "cpu":
        first_class.update(FIRST_CLASS_ENV_CPU)
    result = []
    for name, value in _by_name(v["vllm_extra_env"]):
        name = str(name)
        if name in first_class:
            problems.add(where, "%s has a variable of its own. Remove it here and set %s." % (name, first_class[name]))
            continue
        if name in FORBIDDEN_ENV:
            problems.add(where, "%s is refused: %s." % (name, FORBIDDEN_ENV[name]))
            continue
        if not dotenv.NAME.match(name):
            problems.add(where, "%r is no variable name. Use letters, digits and '_'." % name)
            continue
        if value is None or isinstance(value, (dict, list)):
            problems.add(where, '%s has no plain value. Set a text or a number ("" for empty).' % name)
            continue
        text = option_text(value)
        why_not = dotenv.check_value(text)
        if why_not:
            problems.add(where, "the value of %s cannot be used: %s." % (name, why_not))
            continue
        result.append((name, text))
    result += compose_options.user_env(v, result)
    return result + hardening.environment(v, result, mounts.caches(v)[1])


def _by_name(values: dict) -> list[tuple]:
    """Return the items by name: their order is no part of a release, and AWX and JSON keep none."""
    return sorted(values.items(), key=lambda item: str(item[0]))
