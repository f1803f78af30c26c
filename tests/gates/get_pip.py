# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts pip into the environment it runs in. ansible-test would download a program for that from a server of its own;
Python brings what is needed, so this file is laid where ansible-test keeps the downloaded one."""

import ensurepip

ensurepip.bootstrap()
