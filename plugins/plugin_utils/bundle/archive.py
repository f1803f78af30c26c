# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the archive that a person attaches to an issue, and say what is in it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import re
import tarfile

import yaml

from ansible_collections.myia.vllm.plugins.module_utils.common import disguises
from ansible_collections.myia.vllm.plugins.plugin_utils.common.anonymizer import Anonymizer

#: Beginning of the archives' names.
PREFIX = "support-"

#: What each file of the archive is.
_MEANINGS = {
    "findings.md": "what was found, worst first, each with its fix",
    "findings.json": "the same as data",
    "about.json": "versions, the service's settings, how they were said",
    "host/system.txt": "kernel, distribution, memory, disks, processors, listening ports",
    "host/kernel.log": "lines of the kernel about memory, GPUs and disks, since the host's start",
    "host/nvidia-smi.txt": "GPUs, driver, processes, how the GPUs are linked",
    "host/gpu-errors.txt": "errors of the GPUs' memory, and what slows them",
    "host/docker.txt": "Docker's version and settings, containers",
    "host/daemon.json": "the engine's configuration",
    "service/compose.yml": "the Compose file of the current release",
    "service/env-names.txt": "names in its .env; no value",
    "service/inspect.json": "docker inspect of the container, values of its variables hidden",
    "service/memory.txt": "memory and processor time of the container now",
    "service/log.txt": "the container's log, of a long one both ends",
    "service/metrics.txt": "vLLM's /metrics at that moment",
    "service/releases.json": "releases on the host, when they were good, how they failed",
}


def readable(parts: dict[str, str], anonymizer: Anonymizer) -> dict[str, str]:
    """Return the parts as strangers may read them; JSON and YAML by their structure, the rest as text."""
    shown = {}
    for name, text in sorted(parts.items()):
        data = _loaded(name, text)
        if data is None:
            shown[name] = anonymizer.text(text)
        elif name.endswith(".json"):
            shown[name] = json.dumps(anonymizer.data(data), indent=2, sort_keys=True) + "\n"
        else:
            shown[name] = yaml.safe_dump(anonymizer.data(data), sort_keys=False, allow_unicode=True, width=1000)
    return shown


def _loaded(name: str, text: str) -> object:
    """Return the data of a JSON or YAML part; None for other texts, and for what cannot be read."""
    try:
        if name.endswith(".json"):
            return json.loads(text)
        return yaml.safe_load(text) if name.endswith((".yml", ".yaml")) else None
    except (ValueError, yaml.YAMLError):
        return None


def leaking(parts: dict[str, str], secrets: list[str]) -> list[str]:
    """Return the names of the parts in which a known secret still stands, in whatever form."""
    return [name for name, text in parts.items() if disguises.holds(text, secrets)]


def findings_page(found: list[dict], about: dict) -> str:
    """Return the findings as Markdown, worst first."""
    lines = ["# Findings of %s, service %s" % (about["at"], about["service"]), ""]
    for item in found:
        lines.append("- **%s** `%s`: %s" % (item["severity"], item["id"], item["found"]))
        lines += ["  Fix: %s" % item["fix"]] if item["fix"] else []
        lines += ["  See: %s" % item["where"]] if item["where"] else []
    return "\n".join([*lines, "" if found else "Nothing was found.\n"])


def contents(parts: dict[str, str], counts: dict[str, int], left_out: list[str]) -> str:
    """Return the list of what is inside, as Markdown."""
    replaced = ", ".join(
        "%d %s%s" % (number, kind, "" if number == 1 else "es" if kind == "address" else "s")
        for kind, number in sorted(counts.items())
    )
    lines = [
        "# What is in this archive", "",
        "Secrets, prompts and answers, host names, addresses, people's names and identities gave way to names such as "
        "`<host-1>`; the same name is the same value in all files. Replaced: %s." % (replaced or "nothing"), "",
        "Look through the files before you publish them: what a program writes into its log nobody knows before.", "",
        "| file | bytes | what it is |", "|---|---|---|",
    ]  # fmt: skip
    for name, text in sorted(parts.items()):
        meaning = _MEANINGS.get(name, "log of a start that failed" if "failed-start" in name else "")
        lines.append("| %s | %d | %s |" % (name, len(text.encode("utf-8")), meaning))
    lines += ["", "Left out, since a secret was still seen in it: %s." % ", ".join(left_out)] if left_out else []
    return "\n".join(lines) + "\n"


def write(folder: pathlib.Path, name: str, parts: dict[str, str], at_s: float, keep: int) -> pathlib.Path:
    """Write the archive, readable by its owner alone, and drop the oldest of the service beyond ``keep``.

    Args:
        folder: where archives lie; made when it is not there.
        name: the archive's name without its end: host, service and UTC time (``20260131T120000Z``).
        parts: texts by file.
        at_s: time of the files, in seconds since 1970.
        keep: archives of this service on this host to keep, 0 for all.

    Returns:
        The archive's path.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    top = PREFIX + name.rpartition("-")[2]
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=int(at_s)) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for part, text in sorted(parts.items()):
            data = text.encode("utf-8", "replace")
            entry = tarfile.TarInfo("%s/%s" % (top, part))
            entry.size, entry.mtime, entry.mode = len(data), int(at_s), 0o644
            tar.addfile(entry, io.BytesIO(data))
    written = folder / (PREFIX + name + ".tar.gz")
    temporary = folder / (".%s.new" % written.name)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(packed.getvalue())
    temporary.replace(written)
    # what stands between this name and the end is a time, or it is an archive of a service with a longer name
    same = re.compile(r"%s-\d{8}T\d{6}Z\.tar\.gz" % re.escape(PREFIX + name.rpartition("-")[0]))
    others = sorted(path for path in folder.iterdir() if same.fullmatch(path.name))
    for old in others[: max(0, len(others) - keep)] if keep > 0 else []:
        old.unlink(missing_ok=True)
    return written
