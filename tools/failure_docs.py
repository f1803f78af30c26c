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

#: What somebody sees who knows nothing yet, and the entries that it can be. Each entry stands somewhere here.
SYMPTOMS = {
    "Docker or Compose refuses the container": """
        container-name-taken port-taken-by-container port-taken-by-process address-not-of-this-host
        mount-source-missing docker-not-answering nvidia-runtime-missing nvidia-runtime-not-registered
        cdi-devices-unresolvable gpu-not-there rootless-cgroups-refused image-wrong-platform""",
    "The image does not come": """
        image-not-found image-pull-denied image-pull-failed registry-not-trusted disk-full""",
    "The model does not come (401, 403, 404, 429, no route, no space)": """
        model-gated hub-token-invalid model-not-found model-revision-not-found hub-offline-mode
        hub-certificate-not-trusted hub-not-reachable hub-busy disk-too-small-for-model disk-quota-exceeded
        cache-not-writable huggingface-hub-incompatible runai-streamer-s3-access weights-broken""",
    "No GPU, or CUDA and driver do not fit": """
        no-gpu-found driver-too-old driver-too-old-for-image driver-library-mismatch driver-not-loaded
        libcuda-missing forward-compatibility-refused cuda-unknown-error fabric-manager-not-running
        cuda-library-not-of-driver no-kernel-for-gpu gpus-lost-after-reload nvml-insufficient-permissions
        visible-devices-uuid more-workers-than-gpus""",
    "Out of memory on the GPU, or no room for the KV cache": """
        no-memory-for-kv-cache context-longer-than-kv-cache context-longer-than-kv-cache-v0 gpu-out-of-memory
        gpu-out-of-memory-for-kv-cache gpu-out-of-memory-in-warm-up gpu-memory-held-by-others
        memory-changed-while-profiling auto-length-does-not-fit cpu-memory-below-kv-cache""",
    "Killed, exit code 137 or 139, a bus error, a crash without a traceback": """
        host-memory-exhausted killed-from-outside segmentation-fault shared-memory-bus-error cuda-error
        too-many-open-files""",
    "It stands still, or the workers do not find each other": """
        nccl-hang nccl-error distributed-connect-timeout engine-start-timed-out shared-memory-too-small""",
    "An option, or its value, is refused": """
        option-not-accepted conflicting-flags unknown-backend-value parser-unknown chat-template-missing
        chat-template-is-a-folder context-longer-than-model heads-not-divisible
        batched-tokens-below-max-model-len batched-tokens-below-max-num-seqs max-num-seqs-above-mamba-blocks
        lora-rank-above-limit draft-vocabulary-differs sleep-mode-not-supported attention-backend-not-fitting
        graph-capture-refused user-without-passwd-entry""",
    "Quantization or data type": """
        quantization-differs-from-model quantization-unknown quantization-not-on-this-gpu
        nvfp4-without-backend dtype-not-with-quantization bfloat16-not-on-this-gpu quant-config-missing
        quant-kernel-shape-not-divisible""",
    "The model's files and this vLLM do not understand each other": """
        architecture-not-supported remote-code-not-allowed wrong-runner-for-model chat-template-not-in-model
        checkpoint-weight-name-mismatch transformers-backend-needs-v5 transformers-remote-code-mismatch
        transformers-config-mismatch missing-optional-package""",
    "A compiler, an import or a library fails": """
        triton-ptxas-newer-than-driver triton-passmanager-failed ptxas-too-old-for-gpu flashinfer-needs-nvcc
        flashinfer-gpu-not-known jit-build-failed triton-no-compiler flashinfer-python-version
        native-extension-mismatch partial-install-import-error libcudart-missing glibc-too-old""",
    "It served, and then it stopped": """
        engine-died interrupted-by-signal killed-from-outside host-memory-exhausted gpus-lost-after-reload
        cuda-error""",
}

HEAD = """<!-- Generated from plugins/plugin_utils/startup/failures.yml by `make docs-roles`. -->
# Troubleshooting

What a start of vLLM can die of, as the collection names it. Of a service, `diagnose_medium.yml` names what is wrong
with it; of a log, the module `startup_log_info` says it:

```sh
ansible-playbook -i inventories/medium diagnose_medium.yml
ansible localhost -m myia.vllm.startup_log_info -a path=vllm.log
```

A run that was refused before it began says which check and what to do ([preflight](preflight.md)). A service that
answers, but badly: [day two](day-two.md#it-serves-but-badly).

## By what you see

{symptoms}
## How causes are found

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


def heading(entry: dict) -> str:
    """Return the heading of an entry: its id, and its number in the collection of failures that it comes from."""
    return entry["id"] + ("" if entry.get("ref", entry["id"]) == entry["id"] else " (%s)" % entry["ref"])


def slug(text: str) -> str:
    """Return what GitHub and MyST make of a heading to link to it."""
    return re.sub(r"[^\w-]", "", text.lower().replace(" ", "-"))


def symptoms(entries: dict[str, dict]) -> str:
    """Return the index by what somebody sees.

    Raises:
        ValueError: an entry stands nowhere, or something stands there that is no entry.
    """
    named = {name for names in SYMPTOMS.values() for name in names.split()}
    if named != set(entries):
        raise ValueError("SYMPTOMS and the catalogue differ: %s" % ", ".join(sorted(named ^ set(entries))))
    text = "%s\n" % "".join("- [%s](#%s)\n" % (seen, slug(seen)) for seen in SYMPTOMS)
    for seen, names in SYMPTOMS.items():
        text += "### %s\n\n" % seen
        for entry in (entries[name] for name in names.split()):
            anchor = slug(heading(entry))
            text += "- [%s](#%s): %s\n" % (
                entry["id"],
                anchor,
                re.split(r"(?<=\w)\. ", entry["cause"])[0].rstrip(".") + ".",
            )
        text += "\n"
    return text


def shown(entry: dict) -> str:
    """Return one entry as Markdown, with its variables as code."""
    lines = ["### %s" % heading(entry), "", entry["cause"], ""]
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
    parts = [HEAD.replace("{symptoms}", symptoms(entries))]
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
