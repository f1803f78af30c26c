# SPDX-License-Identifier: GPL-3.0-or-later
"""Where models lie."""

from __future__ import annotations

import os

from ansible_collections.myia.vllm.plugins.module_utils.hub import cache
from ansible_collections.myia.vllm.plugins.module_utils.prefetch import weights_download


def test_repository() -> None:
    """The download, which runs in the service's image, has the same place of its own."""
    found = cache.repository("/c", "own/model")
    assert found == "/c/hub/models--own--model"
    assert found == weights_download.repo_folder(os.path.join("/c", "hub"), "own/model")


def test_mounted() -> None:
    """Of all mounts the one that counts."""
    other = {"Source": "/x", "Destination": "/models"}
    assert cache.mounted([other, {"Source": "/c", "Destination": cache.MOUNTED_AT[1]}]) == "/c"
    assert (cache.mounted([other]), cache.mounted([{"Destination": cache.MOUNTED_AT[0]}])) == ("", "")
