# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter dotenv_quote, by its full name in a template."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.template import Templar, trust_as_template


@pytest.fixture
def quote(loader):
    """Quote a value by the filter."""
    text = trust_as_template("{{ value | myia.vllm.dotenv_quote }}")
    return lambda value: Templar(loader=loader, variables={"value": value}).template(text)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        pytest.param("pa$$ #word", "'pa$$ #word'", id="text"),
        pytest.param("it's", "'it\\'s'", id="quote"),
        pytest.param("", "''", id="empty"),
        pytest.param(True, "'true'", id="true"),
        pytest.param(5002, "'5002'", id="number"),
        pytest.param("{{ x }}", "'{{ x }}'", id="no-template"),
    ],
)
def test_quote(value, quoted, quote) -> None:
    """The same as the function behind it."""
    assert quote(value) == quoted


@pytest.mark.parametrize("value", ["PLANTED\nx", "PLANTED\\", "PLANTED\\'x"], ids=["line-break", "at-end", "quote"])
def test_refused(value, quote) -> None:
    """Fails the task, without the value in the message."""
    with pytest.raises(AnsibleError, match=r"cannot be written to a \.env file") as caught:
        quote(value)
    assert "PLANTED" not in str(caught.value)
