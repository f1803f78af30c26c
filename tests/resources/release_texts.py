# SPDX-License-Identifier: GPL-3.0-or-later
"""What releases are made of that tests stage."""

from __future__ import annotations

SECRET = "PLANTED-it's-$ecret"
COMPOSE = 'name: vllm-medium\nservices:\n  medium:\n    image: x\n    environment:\n      K: "${KEY}"\n'
ENV = "# holds secrets\nKEY='PLANTED-it\\'s-$ecret'\nPORT='5002'\n"

#: A docker that accepts every release.
ACCEPTS = "exit 0"
