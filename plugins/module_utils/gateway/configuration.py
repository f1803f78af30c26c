# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration on a gateway: whose it is, and whether HAProxy would start with it.

Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.host import command

#: HAProxy's own file, as Debian's unit reads it.
FILE = "/etc/haproxy/haproxy.cfg"
#: What stood there before the first change; it comes back when the gateway is removed.
BEFORE = FILE + ".myia-vllm"
#: End of the name of what stands beside the file from the moment it is written until HAProxy has read it: where a run
#: was killed in between, the files are as they should be, and nothing else tells that they were not read.
UNREAD = ".myia-vllm-unread"
#: How a file of this collection begins.
MARK = "# Written by the role vllm_gateway of myia.vllm"

#: Longest time in seconds for HAProxy to judge a configuration, or for dpkg to answer.
_TIMEOUT_S = 60.0


def foreign(path: str = FILE) -> str:
    """Return why a configuration must not be overwritten; "" where it is ours, the package's own, or not there."""
    text = files.read_text(path)
    if not text or text.startswith(MARK):
        return ""
    out = command.run(["dpkg-query", "-W", "-f=${Conffiles}\n", "haproxy"], _TIMEOUT_S)[1]
    known = re.search(r"^\s*%s ([0-9a-f]{32})\b" % re.escape(path), out, re.MULTILINE)
    # dpkg keeps MD5 sums of the files that a package brought
    if known and hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest() == known.group(1):
        return ""
    return (
        "%s is somebody else's configuration of HAProxy. Expected: none, the package's own, or one of this role. Use "
        "another host, or move that file away where nothing needs it. Nothing was changed." % path
    )


def problem(texts: dict[str, str], folder: str, main: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Return why HAProxy would not start with new files; "" where it would.

    They are tried in a folder of their own, so that nothing that serves is touched.

    Args:
        texts: text of each file by its path, those of ``folder`` and ``main``.
        folder: the folder to which the configuration refers.
        main: path of the configuration.
        timeout_s: longest time for HAProxy's judgement in seconds.
    """
    trial = tempfile.mkdtemp(prefix="myia-vllm-haproxy-")
    try:
        for path, text in texts.items():
            place = trial + (path[len(folder) :] if path.startswith(folder + "/") else "/" + os.path.basename(path))
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            files.write_atomically(
                place, text if path.endswith(".map") else text.replace(folder + "/", trial + "/"), 0o600
            )
        status, out, err = command.run(["haproxy", "-c", "-f", trial + "/" + os.path.basename(main)], timeout_s)[:3]
        if status == 0:
            return ""
        lines = [line for line in (out + err).replace(trial, folder).splitlines() if "ALERT" in line]
        return " ".join(lines[:4]) or "haproxy -c ended with status %d" % status
    finally:
        shutil.rmtree(trial, ignore_errors=True)
