# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_log_info, run as a program with a STAND-IN for docker."""

from __future__ import annotations

import base64
import gzip
import os

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases

KEY = "PLANTED-it's-$key"
DOCKER = """\
if [ "$1" = container ]; then echo running; exit; fi
echo "$@" | grep -q -- '--since 1h' || exit 9
echo '2026-01-01T00:00:00.0Z the key is %s'
"""


def test_window(run_module, tools, bare_path, tmp_path, documentation) -> None:
    """The secrets of the releases stay on the host; a log that was saved is named."""
    service = releases.Service(str(tmp_path / "medium"))
    staging = service.begin()
    service.write(staging, releases.ENV, "VLLM_API_KEY_MEDIUM=%s\n" % dotenv.quote(KEY))
    service.write(staging, releases.DESCRIPTION, releases.describe({"image": "i"}))
    name = releases.new_name("0123456789ab", 1)
    os.rename(staging, service.folder(name))
    saved = os.path.join(service.folder(name), releases.FAILED_LOG)
    with open(saved, "w", encoding="utf-8") as handle:
        handle.write("x")
    folder = tools("docker", DOCKER % KEY.replace("'", "'\\''"))
    search = "%s:%s" % (folder, bare_path)
    answer = run_module("service_log_info", container="c", folder=service.path, since="1h", search=search)
    text = gzip.decompress(base64.b64decode(answer["log_gz"])).decode()
    assert text.endswith("the key is ***\n")
    assert (answer["state"], answer["failed_logs"], answer["cut"]) == ("running", [saved], False)
    assert set(answer) - {"changed", "invocation", "_output"} == set(documentation("service_log_info", "RETURN"))


def test_no_container(run_module, tools, bare_path, tmp_path) -> None:
    """It has no log, and that is no failure."""
    folder = tools("docker", "echo 'Error: No such container: c' >&2; exit 1")
    search = "%s:%s" % (folder, bare_path)
    answer = run_module("service_log_info", container="c", folder=str(tmp_path), search=search)
    assert (answer["state"], answer["log_gz"]) == ("missing", "")
