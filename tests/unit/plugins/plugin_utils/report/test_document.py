# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run: what is in it, and what never is."""

from __future__ import annotations

import json

import pytest
from report_cases import Cases
from report_samples import NEW, OLD

from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import render as report_render

PARTS = (
    "verdict", "access", "changes", "plan", "start", "gpu", "endpoints", "functional", "benchmark", "failure",
    "rollback", "versions",
)  # fmt: skip
FORMS = {"html": report_render.as_html, "markdown": report_render.as_markdown, "json": report_render.as_json}

#: As they may be: with quotes and signs that pages and JSON write otherwise.
SECRETS = {
    "vllm_hf_token": "hf_PLANTEDtoken0123456789",
    "vllm_api_key": "PLANTED'\"<&>\\key|`x",
    "vllm_extra_env": {"AWS_SECRET_ACCESS_KEY": "PLANTED+env/value", "HTTPS_PROXY": "http://me:PLANTEDpw@proxy:3128"},
    "vllm_extra_options": {"ssl-keyfile-password": "PLANTEDoption"},
}


#: Texts that decide something and are none of ours to change.
WORDS = ("accelerator", "group", "severity", "status", "kind", "fits", "outcome", "name")


def planted(value: object, secret: str) -> object:
    """A copy in which every text but the deciding ones ends in a secret: as it is, in JSON and in Python's quotes."""
    if isinstance(value, dict):
        return {key: item if key in WORDS else planted(item, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [planted(item, secret) for item in value]
    if isinstance(value, str):
        return "%s %s %s %r" % (value, secret, json.dumps(secret), secret)
    return value


@pytest.mark.parametrize("name", Cases.names())
@pytest.mark.parametrize("form", FORMS)
def test_no_secret(form, name, report_cases) -> None:
    """Planted into the texts of every input, none is in any form."""
    secrets = report_document.secrets_of(SECRETS, ["PLANTEDsudo", None])
    assert len(secrets) == 6
    about, results, snapshot, failure = report_cases.case(name)
    for secret in secrets:
        case = [results, snapshot, failure]
        case = [planted(part, secret) for part in case]
        document = report_document.build(about, *case, secrets)
        assert document["verdict"]["id"] == name, "planting has made another case of it"
        text = FORMS[form](document)
        assert "PLANTED" not in text
        assert "***" in text or "\\*\\*\\*" in text


@pytest.mark.parametrize("cut", [5980, 5990, 6000, 6010])
def test_no_half_secret(cut, report_cases) -> None:
    """A text is cut after it was masked, so that no beginning of a secret stays."""
    about, results, snapshot, _failure = report_cases.case("failed_still_serves")
    message = "x" * cut + SECRETS["vllm_hf_token"] + "y" * 9000
    document = report_document.build(
        about, results, snapshot, {"message": message, "task": "t"}, ["hf_PLANTEDtoken0123456789"]
    )
    assert "hf_P" not in json.dumps(document)
    assert document["failure"]["message"].endswith(" ...")
    assert len(document["failure"]["message"]) < 6100


def test_what_only_looks_like_a_secret(report_cases) -> None:
    """A token that nobody told us of is known by its shape."""
    about, results, snapshot, _failure = report_cases.case("failed_still_serves")
    failure = {"message": "403 for hf_somebodyelses0123, Authorization: Bearer abcdefgh12345", "task": "t"}
    found = report_document.build(about, results, snapshot, failure, [])["failure"]["message"]
    assert found == "403 for hf_***, Authorization: Bearer ***"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"vllm_api_key": "abcd"}, ["abcd"]),
        ({"vllm_api_key": "abc"}, []),  # masking it would mask ordinary words
        ({"vllm_api_key": ["key-one", "key-two"]}, ["key-one", "key-two"]),
        ({"vllm_api_key": 123456}, ["123456"]),
        ({"vllm_extra_env": {"MY_TOKEN": "value1", "LEVEL": "value2"}}, ["value1"]),
        ({"vllm_extra_env": {"MAX_TOKENS_KEPT": "8192"}}, []),
        ({"vllm_extra_options": {"otlp-api-key": "value1", "max-num-batched-tokens": 8192}}, ["value1"]),
        ({"vllm_extra_env": "not a mapping", "vllm_api_key": None}, []),
    ],
)
def test_secrets_of(values, found) -> None:
    """By the rule that the host masks by."""
    assert sorted(report_document.secrets_of(values, [])) == found


@pytest.mark.parametrize("name", Cases.names())
def test_parts(name, report_cases) -> None:
    """Every part is there, and one about which nothing is known says why."""
    document = report_document.build(*report_cases.case(name), [])
    assert set(PARTS) <= set(document)
    assert document["schema"] == report_document.SCHEMA
    for part in PARTS:
        assert document[part].get("note", "x")
        assert len(document[part]) > 2 or document[part]["note"], part
    assert json.loads(report_render.as_json(document)) == document


@pytest.mark.parametrize("name", Cases.names())
def test_nothing_is_dumped(name, report_cases) -> None:
    """What a result has beyond what is shown stays out."""

    def marked(value: object) -> object:
        if isinstance(value, dict):
            more = {} if set(value) <= {"passed", "failed", "warned", "skipped"} else {"not_shown": "MARK"}
            return {**{key: marked(item) for key, item in value.items()}, **more}
        return [marked(item) for item in value] if isinstance(value, list) else value

    about, results, snapshot, failure = report_cases.case(name)
    document = report_document.build(about, marked(results), marked(snapshot), marked(failure), [])
    assert "MARK" not in json.dumps(document)


@pytest.mark.parametrize("name", Cases.names())
def test_inputs_are_left_alone(name, report_cases) -> None:
    """The results belong to others."""
    case = report_cases.case(name)
    before = json.dumps(case)
    report_document.build(*case, ["x" * 8])
    assert json.dumps(case) == before


@pytest.mark.parametrize("name", ["deployed", "failed_nothing_serves", "benchmarked", "verified", "planned"])
@pytest.mark.parametrize("form", FORMS)
def test_stand_ins(form, name, report_cases, standin_cases) -> None:
    """What a stand-in took part in says so in every form, and only there."""
    real, standin = (report_document.build(*cases.case(name), []) for cases in (report_cases, standin_cases))
    assert (real["standins"], standin["standins"]) == (False, True)
    words = {"html": ">stand-in GPU<", "markdown": "(stand-in GPU)", "json": '"standin": true'}[form]
    assert words not in FORMS[form](real)
    marked = [part for part in PARTS if standin[part]["standin"]]
    assert "verdict" in marked
    assert all(bool(standin[part].get("note")) != (part in marked) for part in report_document.BY_GPU)
    assert not {"access", "changes", "rollback"} & set(marked)
    # in a page the verdict has its own words
    assert FORMS[form](standin).count(words) == len(marked) - (form != "json")
    assert "true" in FORMS[form](standin) if form == "json" else "Stand-in GPU." in FORMS[form](standin)


def test_a_stand_in_that_is_not_used(standin_cases, report_cases) -> None:
    """On the CPU no GPU takes part, and another GPU than the service's does not count."""
    about, results, snapshot, failure = standin_cases.case("deployed")
    cpu = {**results, "vllm_definition": {**results["vllm_definition"], "accelerator": "cpu"}}
    assert not report_document.build(about, cpu, snapshot, failure, [])["standins"]
    about, results, snapshot, failure = report_cases.case("deployed")
    third = {**snapshot["gpu"]["gpus"][0], "index": 2, "uuid": "GPU-c", "name": "NVIDIA H100 (stand-in)"}
    snapshot["gpu"]["gpus"].append(third)
    assert not report_document.build(about, results, snapshot, failure, [])["standins"]


def test_summary(report_cases) -> None:
    """What automation gets: figures and verdict, small."""
    document = report_document.build(*report_cases.case("deployed"), [])
    found = report_document.summary(document, "/reports/x", "file:///reports/x/index.html")
    assert found["verdict"] == "deployed"
    assert found["tone"] == "good"
    assert found["summary"] == document["verdict"]["sentence"]
    assert (found["path"], found["url"]) == ("/reports/x", "file:///reports/x/index.html")
    assert (found["release"], found["failure"], found["standins"]) == (NEW, "", False)
    assert found["kv_tokens"]["reported"] == 158304
    assert found["kv_tokens"]["low"] < 158304 < found["kv_tokens"]["high"]
    assert found["failed_checks"] == ["access-metrics"]
    assert [item["run"] for item in found["benchmark"]][:2] == ["1 at a time", "2 at a time"]
    assert found["benchmark"][0]["ttft_p50_ms"] == 138.0
    assert len(json.dumps(found)) < 3000


@pytest.mark.parametrize(
    ("name", "release"),
    [("verified", NEW), ("benchmarked", NEW), ("healthy", NEW), ("last_release_failed", OLD), ("rolled_back", OLD)],
)
def test_release_of_a_summary(name, release, report_cases) -> None:
    """Of a run that makes none it is the one that the run was about."""
    document = report_document.build(*report_cases.case(name), [])
    assert report_document.summary(document, "", "")["release"] == release


@pytest.mark.parametrize("name", Cases.names())
def test_summary_of_every_case(name, report_cases) -> None:
    """It has the same keys, whatever is missing."""
    document = report_document.build(*report_cases.case(name), [])
    keys = {
        "verdict", "tone", "summary", "run", "at", "check_mode", "service", "standins", "path", "url", "release",
        "base_url", "model", "failure", "start_s", "kv_tokens", "failed_checks", "benchmark",
    }  # fmt: skip
    assert set(report_document.summary(document, "", "")) == keys


@pytest.mark.parametrize("name", Cases.names())
def test_little_is_known(name, report_cases) -> None:
    """A result that is missing, and a host that could not be looked at, never keep a report from being written."""
    about, results, snapshot, failure = report_cases.case(name)
    for missing in results:
        less = {key: value for key, value in results.items() if key != missing}
        for form in FORMS.values():
            assert form(report_document.build(about, less, snapshot, failure, []))
    for seen in ({}, {"unreachable": True}, {"skipped": True, "changed": False}, {"failed": True, "msg": "x"}):
        for form in FORMS.values():
            assert form(report_document.build(about, results, seen, failure, []))
