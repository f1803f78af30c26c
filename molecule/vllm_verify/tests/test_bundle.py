# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive for an issue, of a real service into whose log, settings and kernel secrets were planted."""

from __future__ import annotations

import base64
import os
import pathlib
import tarfile

FOLDER = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports" / "support"
NAME = "myia-vllm-medium-qwen3"
KEY = "PLANTED-key-7c31e2"

#: What is sent to the service, so that its log holds it, and what must not be seen of it.
PLANTED = {
    "/v1/models?api_key=%s" % KEY: KEY,
    "/v1/x?blob=%s" % base64.b64encode(("u:" + KEY).encode()).decode(): base64.b64encode(
        ("u:" + KEY).encode()
    ).decode()[4:20],
    "/v1/x?t=%s" % KEY.encode().hex(): KEY.encode().hex(),
    "/v1/x?password=hunter-9921": "hunter-9921",
    "/v1/x?t=hf_UnknownTokenOfSomebodyElse12345": "hf_UnknownToken",
    "/v1/x?from=http://alice:pa55-word@db.corp.lan/": "pa55-word",
}


def test_nothing_planted_is_in_the_archive(play, host) -> None:
    """vLLM logs each address that is asked for; the archive shows the log without what is planted there."""
    ask = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 5002); c.request('GET', %r); c.getresponse().read()"
    )
    for path in PLANTED:
        host.check_output("docker exec %s python3 -c %s", NAME, ask % path)
    log = host.check_output("docker logs %s 2>&1", NAME)
    # the access log has what it was asked, or there is nothing to test
    assert KEY in log and "hunter-9921" in log
    done = play(playbook="diagnose_medium.yml")
    assert done.status == 0, done.output
    path = max(FOLDER.glob("support-*.tar.gz"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(path) in done.flat
    with tarfile.open(path) as tar:
        texts = {name.partition("/")[2]: tar.extractfile(name).read().decode() for name in tar.getnames()}
    assert {"CONTENTS.md", "findings.md", "service/log.txt", "service/inspect.json", "service/metrics.txt",
            "service/compose.yml", "host/system.txt", "host/docker.txt"} <= set(texts)  # fmt: skip
    hostname = host.check_output("hostname")
    whole = "\n".join(texts.values())
    seen = [secret for secret in (*PLANTED.values(), "corp.lan", hostname) if secret in whole]
    assert not seen, [(secret, name) for secret in seen for name, text in texts.items() if secret in text]
    # and it is still of use
    assert "tiny-qwen3" in texts["service/log.txt"] and "vllm:num_requests_running" in texts["service/metrics.txt"]
    assert "Left out" not in texts["CONTENTS.md"]
