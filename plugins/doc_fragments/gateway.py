# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a gateway's sockets are."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  socket:
    description: HAProxy's runtime socket on the gateway.
    type: path
    default: /run/haproxy/admin.sock
  master_socket:
    description: Socket of HAProxy's master process, which knows workers that only end their requests since a reload.
    type: path
    default: /run/haproxy-master.sock
"""
