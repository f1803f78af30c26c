# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of benchmarks: those that come with the role, and what is refused."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import profiles as benchmark_profiles
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import service_kind

RUN = {"num_prompts": 5, "input_tokens": 64, "output_tokens": 16}
WHOLE = {"name": "all at once", "request_rate": None, "max_concurrency": None, **RUN}


def test_the_roles_own(root) -> None:
    """Each can be measured with 2048 tokens; defaults and documentation are the same."""
    documented = role_variables.role_options("vllm_benchmark")["vllm_benchmark_profiles"]["default"]
    defaults = yaml.safe_load((root / "roles/vllm_benchmark/defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["vllm_benchmark_profiles"] == documented
    assert set(documented) == {"latency", "load", "sweep"}
    runs = {name: benchmark_profiles.choose(documented, name, 2048) for name in documented}
    assert [run["max_concurrency"] for run in runs["latency"]] == [1]
    assert [(run["num_prompts"], run["request_rate"]) for run in runs["load"]] == [(100, None)]
    concurrency = [run["max_concurrency"] for run in runs["sweep"]]
    assert concurrency == sorted(set(concurrency))
    assert benchmark_profiles.requests(runs["sweep"]) == sum(run["num_prompts"] for run in runs["sweep"]) > 600


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        (RUN, {}),
        ({**RUN, "name": "mine"}, {"name": "mine"}),
        ({**RUN, "request_rate": 0.5}, {"request_rate": 0.5, "name": "0.5 requests/s"}),
        ({**RUN, "max_concurrency": 3}, {"max_concurrency": 3, "name": "3 at a time"}),
        ({**RUN, "request_rate": 2, "max_concurrency": 3},
         {"request_rate": 2.0, "max_concurrency": 3, "name": "2 requests/s, 3 at a time"}),
        # of a template
        ({**RUN, "num_prompts": "7", "request_rate": "1.5", "max_concurrency": ""},
         {"num_prompts": 7, "request_rate": 1.5, "name": "1.5 requests/s"}),
        ({**RUN, "input_tokens": 84}, {"input_tokens": 84}),
    ],
)  # fmt: skip
def test_run(given, changes) -> None:
    """What is not given is no limit; a run without a name gets one."""
    runs = benchmark_profiles.choose({"p": [given]}, "p", 100)
    assert runs == [{**WHOLE, **changes}]
    assert list(map(type, runs[0].values())) == list(map(type, {**runs[0], **WHOLE, **changes}.values()))


@pytest.mark.parametrize(
    ("profiles", "name", "said"),
    [
        ({}, "p", ["vllm_benchmark_profiles: found {}; expected lists of runs by the name of a profile."]),
        ([RUN], "p", ["vllm_benchmark_profiles: found ["]),
        ({"q": [RUN], "o": []}, "p", ["there is no profile p. Choose one of o, q", "vllm_benchmark_extra_profiles"]),
        ({"../p": [RUN]}, "../p", ["the name '../p' cannot be part of a folder's name"]),
        ({"p": []}, "p", ["vllm_benchmark_profiles.p: found []; expected a list of runs, at least one."]),
        ({"p": RUN}, "p", ["expected a list of runs"]),
        ({"p": ["x"]}, "p", ["vllm_benchmark_profiles.p[0]: found 'x'; expected a mapping of name, num_prompts"]),
        ({"p": [{**RUN, "rate": 1}]}, "p", ["there is no key rate. A run has name, num_prompts"]),
        ({"p": [{"num_prompts": 5}]}, "p", ["input_tokens is missing", "output_tokens is missing"]),
        ({"p": [{**RUN, "num_prompts": 0}]}, "p", ["num_prompts is 0. Set a whole number of 1 or more."]),
        ({"p": [{**RUN, "num_prompts": 1.5}]}, "p", ["num_prompts is 1.5."]),
        ({"p": [{**RUN, "num_prompts": True}]}, "p", ["num_prompts is True."]),
        ({"p": [{**RUN, "num_prompts": [1]}]}, "p", ["num_prompts is [1]."]),
        ({"p": [{**RUN, "request_rate": -1}]}, "p", ["request_rate is -1. Set requests a second, more than 0, or"]),
        ({"p": [{**RUN, "request_rate": "inf"}]}, "p", ["request_rate is 'inf'."]),
        ({"p": [{**RUN, "max_concurrency": "many"}]}, "p", ["max_concurrency is 'many'."]),
        ({"p": [{**RUN, "input_tokens": 85}]}, "p",
         ["vllm_benchmark_profiles.p[0]: 85 input_tokens and 16 output_tokens are 101, and the service takes 100 "
          "(vllm_max_model_len)."]),
        ({"p": [RUN, {**RUN, "num_prompts": 9}]}, "p", ["two runs have the name all at once. Give each its own."]),
        # all at once
        ({"p": [{**RUN, "num_prompts": 0}, {**RUN, "x": 1, "name": "b"}]}, "p",
         ["p[0]: num_prompts", "p[1]: there is no key x"]),
    ],
)  # fmt: skip
def test_refused(profiles, name, said) -> None:
    """The variable, what was found, and what to do."""
    with pytest.raises(benchmark_profiles.ProfileError) as caught:
        benchmark_profiles.choose(profiles, name, 100)
    for text in said:
        assert text in str(caught.value)


def test_every_kind_is_measured_or_named() -> None:
    """The role's list of what is not measured holds the kinds without work."""
    unmeasured = role_variables.role_constants("vllm_benchmark")["__vllm_benchmark_unmeasured"]
    assert sorted([*benchmark_profiles.WORK, *unmeasured]) == sorted(service_kind.KINDS)
    for kind in service_kind.KINDS:
        work, problem = benchmark_profiles.work_of([kind])
        assert bool(work) != bool(problem)
        assert (kind in unmeasured) == bool(problem)
    assert benchmark_profiles.work_of([]) == ("generate", "")
    assert benchmark_profiles.work_of(["classify", "rerank", "reward"]) == ("rerank", "")


@pytest.mark.parametrize(("length", "tokens"), [(128, 120), (4096, 1024), (None, 1024), (4, 1)])
def test_services_that_do_not_write(length: int | None, tokens: int) -> None:
    """Their prompts fit whatever the profile says, and answers count nothing."""
    given = {"p": [{**RUN, "input_tokens": 1024, "output_tokens": 99999}]}
    (run,) = benchmark_profiles.choose(given, "p", length, generates=False)
    assert (run["input_tokens"], run["output_tokens"]) == (tokens, None)


def test_length_that_is_not_known() -> None:
    given = {"p": [{**RUN, "input_tokens": 10**6}]}
    assert benchmark_profiles.choose(given, "p", None)[0]["input_tokens"] == 10**6


def test_rounds() -> None:
    """They are a key of the runs that have some, and need a request each."""
    runs = benchmark_profiles.choose({"p": [{**RUN, "rounds": "5"}]}, "p", 100)
    assert runs == [{**WHOLE, "rounds": 5}]
    with pytest.raises(
        benchmark_profiles.ProfileError, match=r"p\[0\]: rounds is 6, and num_prompts 5\. A round needs a"
    ):
        benchmark_profiles.choose({"p": [{**RUN, "rounds": 6}]}, "p", 100)
