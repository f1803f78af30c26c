# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep reports in a folder of the controller, each complete or not there; several hosts may write at a time.

Layout::

    reports/<host>/<service>/<UTC time>/{index.html,report.md,report.json}
    reports/index.html                                              lists them
    reports/.lock                                                   held while anything here is written

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

from ansible_collections.myia.vllm.plugins.plugin_utils.report import index as report_index
from ansible_collections.myia.vllm.plugins.plugin_utils.report import render as report_render

#: Beginning of the names of folders that are being written.
_STAGING = ".staging"

#: What may stand in the name of a folder.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def folder_name(text: str) -> str:
    """Return a text as the name of one folder, which never leads out of its parent."""
    return _UNSAFE.sub("_", text).lstrip(".") or "_"


def write(folder: str, document: dict, keep: int, forms: dict[str, str] | None = None) -> pathlib.Path:
    """Write the three forms of a document, drop the oldest reports of its service, and list what is there.

    Args:
        folder: where ``reports/`` lies.
        document: of ``report_document.build``.
        keep: reports of this service on this host to keep, this one included; 0 for all.
        forms: texts by name of file, for a document of another sort.

    Returns:
        The report's folder.

    Raises:
        OSError: when the controller does not let us.
    """
    root = pathlib.Path(folder).absolute() / "reports"
    # what hosts are like is not for every user of the controller
    root.mkdir(mode=0o750, parents=True, exist_ok=True)
    with _locked(root / ".lock"):
        service = root / folder_name(document["host"]) / folder_name(document["service"])
        service.mkdir(parents=True, exist_ok=True)
        staging = pathlib.Path(tempfile.mkdtemp(prefix=_STAGING, dir=service))
        try:
            forms = forms or {
                "index.html": report_render.as_html(document),
                "report.md": report_render.as_markdown(document),
                "report.json": report_render.as_json(document),
            }
            for name, text in forms.items():
                (staging / name).write_text(text, encoding="utf-8")
            # mkdtemp's mode is for its owner alone
            staging.chmod(0o777 & ~_umask())
            target = _free(service, re.sub(r"[^0-9TZ]", "", document["at"]))
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        prune(service, keep)
        _replace(root / "index.html", report_render.index(report_index.entries(root)))
    return target


def prune(service: pathlib.Path, keep: int) -> None:
    """Delete the oldest reports of a service beyond ``keep``, and what runs that were killed left behind."""
    for left in service.glob(_STAGING + "*"):
        shutil.rmtree(left, ignore_errors=True)
    reports = report_index.reports_of(service)
    for old in reports[: max(0, len(reports) - keep)] if keep > 0 else []:
        shutil.rmtree(old, ignore_errors=True)


def _free(service: pathlib.Path, name: str) -> pathlib.Path:
    """Return a folder that comes after all others: two runs may end in the same second."""
    there = [path.name.partition("-")[2] for path in report_index.reports_of(service) if path.name.startswith(name)]
    # not the first number that is free: the one that was pruned would be the oldest again
    last = max((int(number or 1) for number in there), default=0)
    return service / (name if not last else "%s-%d" % (name, last + 1))


def _replace(path: pathlib.Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Hold a lock that the kernel takes back from a process that dies."""
    with path.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
