# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether a release is slower than the one before, by rounds of the same benchmark on the same host.

A rank test (Mann and Whitney) knows the noise without a model of it: it asks how often rounds of the one would come out
this far behind rounds of the other if they were equally fast. What is tested is not "slower at all" but "slower by more
than the limit": each start of the same release is a little faster or slower, and enough rounds would find that.

Figures are times, more is worse. Private to this collection; may change at any time.
"""

from __future__ import annotations

import statistics

#: Chance of a false alarm that is accepted for a release, over all figures together.
ALPHA = 0.01

#: What is compared, with its name for people: median time of a round to the first token, and for each token after it.
FIGURES = {"ttft_ms": "time to the first token", "tpot_ms": "time per token after it"}

SLOWER, NOT_SLOWER, UNKNOWN = "slower", "not_slower", "unknown"


def ways(few: int, many: int) -> list[int]:
    """Return in how many of all orders of ``few`` and ``many`` equal things the statistic U is 0, 1, 2, ... ."""
    # of the largest thing: it belongs to the first kind, and is above all of the second, or to the second
    table = [[[1] for _other in range(many + 1)] for _one in range(few + 1)]
    for one in range(1, few + 1):
        for other in range(1, many + 1):
            counts = [0] * (one * other + 1)
            for value, count in enumerate(table[one - 1][other]):
                counts[value + other] += count
            for value, count in enumerate(table[one][other - 1]):
                counts[value] += count
            table[one][other] = counts
    return table[few][many]


def p_value(larger: list[float], smaller: list[float]) -> float:
    """Return how likely ``larger`` lies this far above ``smaller`` by chance alone (one-sided, exact).

    Equal values count half; a half is rounded to the side of chance.
    """
    won = sum((a > b) + 0.5 * (a == b) for a in larger for b in smaller)
    counts = ways(len(larger), len(smaller))
    return sum(counts[int(won) :]) / sum(counts)


def band(before: list[float], after: list[float], alpha: float) -> tuple[float, float, float]:
    """Return the ratio after/before (median of all pairs) and the band that holds it but for a chance of ``alpha``."""
    ratios = sorted(a / b for a in after for b in before)
    counts = ways(len(after), len(before))
    total, below, cut = sum(counts), 0, 0
    # so many pairs at each end can be left out
    while cut < len(ratios) // 2 and (below + counts[cut]) / total <= alpha / 2:
        below += counts[cut]
        cut += 1
    if not cut:
        return statistics.median(ratios), 0.0, float("inf")
    return statistics.median(ratios), ratios[cut - 1], ratios[-cut]


def compare(before: list[float], after: list[float], percent: float, alpha: float) -> dict:
    """Return ``{verdict, ratio, low, high, p}`` of one figure.

    Args:
        before, after: the figure in each round, above 0.
        percent: by how much it may be worse.
        alpha: chance of a false alarm.
    """
    limit = 1 + percent / 100
    shifted = [value * limit for value in before]
    p_slower, p_not = p_value(after, shifted), p_value(shifted, after)
    verdict = SLOWER if p_slower <= alpha else NOT_SLOWER if p_not <= alpha else UNKNOWN
    ratio, low, high = band(before, after, 2 * alpha)
    return {"verdict": verdict, "ratio": ratio, "low": low, "high": high, "p": p_slower}


def judge(before: list[dict], after: list[dict], percent: float) -> dict:
    """Return what the rounds say of a release.

    Args:
        before, after: rounds with the keys of ``FIGURES``, of the release before and of the new one.
        percent: by how much a figure may be worse before the release counts as slower.

    Returns:
        ``verdict`` (``slower`` when one figure is, ``not_slower`` when none can be, else ``unknown``), ``figures`` (of
        `compare`, by name, with the medians ``before`` and ``after``) and ``text``, a sentence for people.
    """
    if not before or not after:
        where = "before" if not before else "after"
        return _unknown("There are no rounds of %s the switch to compare." % where)
    figures = {}
    names = [name for name in FIGURES if all(_positive(item.get(name)) for item in [*before, *after])]
    for name in names:
        old, new = ([float(item[name]) for item in rounds] for rounds in (before, after))
        found = compare(old, new, percent, ALPHA / len(names))
        figures[name] = {"before": statistics.median(old), "after": statistics.median(new), **found}
    if not figures:
        return _unknown("The rounds have no figures to compare.")
    verdicts = [item["verdict"] for item in figures.values()]
    verdict = SLOWER if SLOWER in verdicts else UNKNOWN if UNKNOWN in verdicts else NOT_SLOWER
    told = "; ".join(_told(FIGURES[name], item) for name, item in figures.items())
    head = {
        SLOWER: "Slower than the release before by more than %g %%" % percent,
        NOT_SLOWER: "Not slower than the release before by more than %g %%" % percent,
        UNKNOWN: "The figures vary too much to tell whether it is slower by more than %g %%" % percent,
    }[verdict]
    rounds = "%d rounds before, %d after" % (len(before), len(after))
    return {"verdict": verdict, "figures": figures, "text": "%s: %s (%s)." % (head, told, rounds)}


def _told(name: str, item: dict) -> str:
    text = "%s %.1f ms, was %.1f ms (%+.0f %%" % (name, item["after"], item["before"], 100 * (item["ratio"] - 1))
    if item["high"] == float("inf"):
        return text + ")"
    return text + ", between %+.0f and %+.0f %%)" % (100 * (item["low"] - 1), 100 * (item["high"] - 1))


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _unknown(text: str) -> dict:
    return {"verdict": UNKNOWN, "figures": {}, "text": text}
