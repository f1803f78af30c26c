# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options that have a variable of their own: everything else follows from it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    awx_survey,
    definition,
    rules,
    serve_options,
    vllm_options,
)

OPTIONS = serve_options.SERVE_OPTIONS


def test_each_once() -> None:
    """No flag, variable, line of .env or short form stands twice."""
    for values in (
        [option.variable for option in OPTIONS],
        [option.env for option in OPTIONS if option.env],
        [flag for option in OPTIONS for flag in (option.flag, *option.other_flags)],
    ):
        assert len(values) == len(set(values))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_agrees_with_the_specs(option, options) -> None:
    """The variable is documented, with a type that suits its limits; what is needed is a variable too."""
    kind = options[option.variable]["type"]
    assert (option.least is not None) == (kind == "int" or option.variable == "vllm_max_model_len")
    assert option.share <= (kind == "float")
    assert bool(option.env) == (kind != "bool" and option.told_by != "environment")
    if option.needs:
        assert option.needs[0] in options


@pytest.mark.parametrize("version", vllm_options.versions())
def test_every_release_takes_the_flags(version, values) -> None:
    """What the defaults ask for is an option of that release."""
    # flags take no value, all others any
    every = {option.variable: "x" if option.env else True for option in OPTIONS} | {"vllm_hf_overrides": {}}
    flags = {
        flag: value for option, flag, value in serve_options.said(values(**every), version) if option.flag != "model"
    }
    assert len(flags) > 12
    assert (
        vllm_options.check_options(version, {flag: value if value is True else None for flag, value in flags.items()})
        == []
    )


def test_one_more_option(options, values, monkeypatch) -> None:
    """A row and the variable's specification are all that an option needs."""
    row = serve_options.ServeOption(
        "seed", "vllm_seed", "SEED_%s", least=1, most=9, other_flags=("s",), needs=("vllm_enforce_eager", False, "why")
    )
    monkeypatch.setattr(serve_options, "SERVE_OPTIONS", (*OPTIONS, row))
    monkeypatch.setattr(rules, "INT_LIMITS", {**rules.INT_LIMITS, **serve_options.int_limits()})
    specs = {**options, "vllm_seed": {"type": "int", "description": "Seed."}}

    def define(**changes) -> tuple:
        return definition.define({**values(), **changes}, specs)

    found, problems, _warnings = define(vllm_seed="7")
    assert problems == []
    assert found["command"][-2:] == ["--seed", "${SEED_MEDIUM}"]
    assert found["seed"] == 7
    assert dict(definition.env_entries({**values(), "vllm_seed": 7}, specs))["SEED_MEDIUM"] == "7"
    assert "--seed" not in define()[0]["command"]
    for changes, words in (
        ({"vllm_seed": 10}, "Use 1 to 9"),
        ({"vllm_extra_options": {"s": 1}}, "set vllm_seed"),
        ({"vllm_seed": 7, "vllm_enforce_eager": True}, "has no effect, since vllm_enforce_eager why"),
        ({"vllm_seed": "many"}, "whole number"),
    ):
        assert words in define(**changes)[1][0]["message"]
    monkeypatch.setattr(awx_survey, "INT_LIMITS", rules.INT_LIMITS)
    question = awx_survey.question({"variable": "vllm_seed"}, specs, {})
    assert (question["type"], question["min"], question["max"]) == ("integer", 1, 9)
