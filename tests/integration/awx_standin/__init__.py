# SPDX-License-Identifier: GPL-3.0-or-later
"""A STAND-IN for the REST API of AWX 24.6.1, for tests of what the awx.awx modules create. It is not AWX.

The AWX server is in no package registry, so these tests cannot have the real one. This server keeps its objects in
memory and runs no job; a project's update ends at once. It takes the part of /api/v2 that the modules of awx.awx 24.6.1
ask for, and refuses what AWX refuses, in AWX's words: wrong types, choices, references, surveys, credential types and
inputs, playbooks, prompts, workflow links, schedules. Permissions are not modelled: there is one administrator. What
AWX takes silently, and a test should still see, is recorded: `ignored` and `doubts`.
"""

from __future__ import annotations

from awx_standin.refused import Refused
from awx_standin.schema import FIELDS, LINKS, UNIFIED
from awx_standin.server import AwxStandin

__all__ = ["FIELDS", "LINKS", "UNIFIED", "AwxStandin", "Refused"]
