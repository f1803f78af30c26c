# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ``docs/troubleshooting.md`` from the failure catalogue.

Usage: ``python tools/failure_docs.py`` writes; with ``--check`` it only says whether it is out of date (exit status 1).
"""

from __future__ import annotations

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
CATALOGUE = ROOT / "plugins" / "plugin_utils" / "startup" / "failures.yml"

HEAD = """<!-- Generated from plugins/plugin_utils/startup/failures.yml by `make docs-roles`. -->
# Troubleshooting

What a start of vLLM can die of, as the collection names it. Ask it about a log of your own:

```sh
ansible localhost -m myia.vllm.startup_log_info -a path=vllm.log
```

The first cause in the log is named, not what followed from it: other workers, the engine and the front end report the
same failure again, and the last lines of a log are seldom the ones that matter. A failure that is not listed here is
called `unknown`, with the last lines of its first traceback. A service that was ready and was then asked to stop is
called `stopped`.

It does not matter how the log came: from `docker logs`, Compose, Docker Desktop, journald, a pod's collector, Ray, or a
format of your own. What its lines share in front is found from the log itself.

| class | what is done about it |
|---|---|
| `configuration` | nothing is tried again; change the named variables |
| `host` | nothing is tried again; mend the host |
| `transient` | tried again, with growing pauses |
| `once` | tried once more |

Entries of your own go into the variable `vllm_extra_failures`, for deployments and watches, and into `extra_failures`
of `myia.vllm.startup_log_info`, for saved logs. They win over those below; one with the same id replaces it. The head
of [failures.yml](../plugins/plugin_utils/startup/failures.yml) explains the fields.

```yaml
vllm_extra_failures:
  - id: licence-server-down
    class: transient
    cause: Our licence server does not answer.
    fix: Call the platform team.
    patterns: ['LicenceError: no seat']
```
"""


def shown(entry: dict) -> str:
    """Return one entry as Markdown, with its variables as code."""
    ref = "" if entry.get("ref", entry["id"]) == entry["id"] else " (%s)" % entry["ref"]
    lines = ["### %s%s" % (entry["id"], ref), "", entry["cause"], ""]
    lines.append("- **Do:** %s" % _code(entry["fix"]))
    lines += ["- **In the phase %s:** %s" % (phase, _code(fix)) for phase, fix in entry.get("fix_by_phase", {}).items()]
    lines.append("- **Class:** `%s`" % entry["class"])
    signs = [text for key in ("patterns", "symptoms", "echoes", "hints") for text in entry.get(key, [])]
    signs += [" and ".join(group) for group in entry.get("all_of", [])]
    outside = ["exit code %d" % code for code in entry.get("exit_codes", [])]
    outside += ["OOMKilled"] if entry.get("oom_killed") else []
    outside += ["no progress in the phase %s" % phase for phase in entry.get("stalled", [])]
    lines.append("- **Shows as:** %s" % ", ".join(["`` %s ``" % text for text in signs[:4]] + outside))
    lines.append("- **Source:** %s" % entry["source"])
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return re.sub(r"\b((?:vllm|docker_engine|nvidia_container_toolkit)_\w+)", r"`\1`", text)


def page() -> str:
    """Return the wanted text of the page; the headings of its parts are the comment lines of the catalogue."""
    text = CATALOGUE.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    entries = {entry["id"]: entry for entry in data["failures"]}
    parts = [HEAD]
    for mark in re.finditer(r"^  # -+ (?P<part>.+)$|^  - id: (?P<id>\S+)$", text, re.MULTILINE):
        if mark["part"]:
            parts.append("## %s\n" % (mark["part"][0].upper() + mark["part"][1:]))
        else:
            parts.append(shown(entries[mark["id"]]))
    parts.append("## Lines that only point elsewhere\n\nThey say that something failed, never what:\n")
    parts.append("".join("- `` %s ``\n" % wrapper["pattern"] for wrapper in data["wrappers"]))
    parts.append("## Lines that only frighten\n\nThey are normal in a healthy start:\n")
    parts.append("".join("- `` %s ``\n" % harmless for harmless in data["harmless"]))
    return "\n".join(parts)


def main() -> int:
    """Write or check the page; return the exit status."""
    wanted = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("out of date (run make docs-roles): %s" % PAGE.relative_to(ROOT))
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    print("written: %s" % PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
