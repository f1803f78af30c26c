# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share."""

from __future__ import annotations

import json
import shlex

import pytest

NAME = "myia-vllm-medium-qwen3"


@pytest.fixture
def leave_behind(host):
    """Return a function that leaves what a Compose leaves that was killed while it recreated the container.

    That container was not started, has the labels of the service, and a name that begins with the id of the old one.
    """

    def leave() -> None:
        seen = json.loads(host.check_output("docker inspect %s" % NAME))[0]
        labels = ["--label=%s=%s" % item for item in seen["Config"]["Labels"].items()]
        name = "%s_%s" % (seen["Id"][:12], NAME)
        host.check_output(shlex.join(["docker", "create", "--name", name, *labels, seen["Config"]["Image"]]))
        assert name in containers(host)

    return leave


def containers(host) -> list[str]:
    """Return the names of all containers, those that do not run among them."""
    return host.check_output("docker ps --all --format '{{.Names}}'").split()


@pytest.fixture
def only_the_service(host):
    """Return a function that asserts that there is no other container than the service's."""

    def check() -> None:
        assert containers(host) == [NAME]

    return check
