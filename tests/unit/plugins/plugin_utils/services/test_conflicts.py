# SPDX-License-Identifier: GPL-3.0-or-later
"""What services of one machine would take from each other."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import conflicts

BASE = {"vllm_profile": "none", "vllm_model": "org/m"}


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"vllm_gpu_devices": [0]}, {"vllm_gpu_devices": [1], "vllm_port": 1}, []),
        ({"vllm_gpu_devices": [0]}, {"vllm_gpu_devices": [1], "vllm_publish": False}, []),
        ({"vllm_gpu_devices": [0]}, {"vllm_gpu_devices": [1]}, ["a and b both have port 8000"]),
        (
            {"vllm_gpu_devices": [0], "vllm_publish_address": "192.0.2.1"},
            {"vllm_gpu_devices": [1], "vllm_publish_address": "192.0.2.2"},
            [],
        ),
        (
            {"vllm_gpu_devices": [0], "vllm_publish_address": "0.0.0.0"},
            {"vllm_gpu_devices": [1], "vllm_publish_address": "192.0.2.2"},
            ["port 8000"],
        ),
        (
            {"vllm_gpu_devices": [0], "vllm_container_name": "one"},
            {"vllm_gpu_devices": [1], "vllm_port": 1, "vllm_container_name": "one"},
            ["both have vllm_container_name one"],
        ),
        ({}, {"vllm_port": 1}, ["GPU 0: a (0.92) and b (0.92) take 1.84"]),
        ({"vllm_gpu_memory_utilization": 0.7}, {"vllm_port": 1, "vllm_gpu_memory_utilization": 0.3}, []),
        (
            {"vllm_gpu_memory_utilization": 0.7, "vllm_version": "0.11.2"},
            {"vllm_port": 1, "vllm_version": "0.11.2"},
            ["b (0.90) take 1.60"],
        ),
        ({"vllm_accelerator": "cpu"}, {"vllm_accelerator": "cpu", "vllm_port": 1}, []),
        (
            {"vllm_name": "b", "vllm_accelerator": "cpu"},
            {"vllm_port": 1},
            ["vllm_name b", "vllm_container_name", "vllm_dir"],
        ),
    ],
)
def test_found(one, other, words, define) -> None:
    """Names, ports where the addresses meet, and more of a GPU than there is."""
    definitions = [define(**{**BASE, "vllm_name": name, **changes})[0] for name, changes in (("a", one), ("b", other))]
    found = conflicts.found(definitions)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found))


def test_neighbours(define) -> None:
    """What a service is told of the others."""
    a = define(**BASE, vllm_name="a", vllm_gpu_devices=[2])[0]
    b = define(**BASE, vllm_name="b", vllm_port=1)[0]
    assert conflicts.neighbours([a, b], "b") == [
        {"name": "a", "container_name": "vllm-a", "port": 8000, "gpu_devices": ["2"], "gpu_memory_share": 0.92}
    ]
