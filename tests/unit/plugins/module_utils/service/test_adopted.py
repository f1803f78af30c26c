# SPDX-License-Identifier: GPL-3.0-or-later
"""The container that was taken over: whose it is, and what becomes of it at the first real change."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import adopted, containers, releases

FIRST, SECOND = "20260101T000000Z-aaaaaaaaaaaa", "20260102T000000Z-bbbbbbbbbbbb"
HANDMADE, OURS = "h" * 64, "o" * 64


@pytest.fixture
def service(tmp_path):
    """A service whose first release was taken over."""
    made = releases.Service(str(tmp_path / "llm"))
    about = {"container_id": HANDMADE, "unit": "llm.service", "origin": ""}
    release(made, FIRST, {"good_since": "1", "container_id": HANDMADE, "adopted": about})
    made.switch(FIRST)
    return made


def release(made: releases.Service, name: str, about: dict) -> None:
    """Write a release."""
    staging = made.begin()
    for part, text in ((releases.COMPOSE, "a"), (releases.ENV, "b"), (releases.DESCRIPTION, json.dumps(about))):
        made.write(staging, part, text)

    os.rename(staging, made.folder(name))


def container(identity: str = HANDMADE, name: str = "llm", state: str = "running", project: str = "stack") -> dict:
    """A container as ``containers.look`` returns it."""
    return {
        "id": identity, "name": name, "state": state, "project": project, "service": "x", "oneoff": False, "image": "i",
        "created": "",
    }  # fmt: skip


def test_it_is_the_services_own(service) -> None:
    """Exactly that container; one of the same name with another id is somebody else's."""
    found = adopted.claim(None, service, [container()], "vllm-llm", "llm")
    assert containers.foreign(found, "vllm-llm", "llm") == {}
    other = adopted.claim(lambda argv: (0, "", ""), service, [container(OURS)], "vllm-llm", "llm")
    assert containers.foreign(other, "vllm-llm", "llm")["id"] == OURS


def test_it_is_set_aside_and_forgotten_later(service) -> None:
    """It stays while it is the way back, through every try; it goes once a later release was good."""
    serves = adopted.claim(None, service, [container()], "vllm-llm", "llm")
    assert [(step, item["id"]) for step, item in adopted.steps(service, serves)] == [("aside", HANDMADE)]
    aside = adopted.claim(None, service, [container(name="llm-handmade", state="exited")], "vllm-llm", "llm")
    release(service, SECOND, {"created": "2"})
    service.switch(SECOND)
    assert adopted.steps(service, aside) == []
    service.describe(SECOND, {"good_since": "2", "container_id": OURS})
    assert [step for step, _item in adopted.steps(service, aside)] == ["forget"]


def test_the_way_back_starts_it_again(service) -> None:
    """By the plan that every release has: the new one goes, it gets its name again, and is started."""
    found = adopted.claim(None, service, [container(name="llm-handmade", state="exited")], "vllm-llm", "llm")
    found.append(container(OURS, "llm", "exited", "vllm-llm") | {"service": "llm"})
    steps = containers.plan(found, "vllm-llm", "llm", "llm", ["llm"], HANDMADE)
    assert (steps[0][0], steps[0][1]["id"]) == ("remove", OURS)
    assert {step for step, item in steps if item["id"] == HANDMADE} >= {"start"}


def test_volumes_of_others_stay() -> None:
    """What belongs to somebody else is not deleted with it."""
    for step in ("aside", "forget"):
        assert "--volumes" not in str(adopted.commands(step, container()))


@pytest.mark.parametrize(("status", "unit"), [(0, "llm.service"), (3, "")])
def test_a_unit_that_would_start_it_again(service, status, unit) -> None:
    """Only while it is active."""
    found = adopted.claim(None, service, [container()], "vllm-llm", "llm")
    assert adopted.supervisor(lambda argv: (status, "", ""), service, found) == unit


def test_host_info(service) -> None:
    """Name, port and GPUs of that container count as the service's; nobody else's do."""
    facts = {
        "docker": {"answering": True},
        "port": {"containers": [{"name": "llm", "project": "stack"}, {"name": "other", "project": "stack"}]},
        "named_container": {"name": "llm", "project": "stack"},
        "containers": [{"id": HANDMADE, "project": "stack"}, {"id": OURS, "project": "stack"}],
        "own_containers": [],
    }
    adopted.claim_host(lambda argv: (0, '"/llm"\n', ""), service.folder(FIRST), "vllm-llm", facts)
    assert [item["project"] for item in facts["port"]["containers"]] == ["vllm-llm", "stack"]
    assert facts["named_container"]["project"] == "vllm-llm"
    assert [item["project"] for item in facts["containers"]] == ["vllm-llm", "stack"]
    assert facts["own_containers"] == ["llm"]
