# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a host against the definition of the service. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

#: Supported releases by os-release ID: those whose major version may be used.
SUPPORTED = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04"),
    "rhel": ("9", "10"),
    "rocky": ("9", "10"),
    "almalinux": ("9", "10"),
    "centos": ("9", "10"),
}

#: GiB that a release of a service needs whose image and weights are already on the host.
REDEPLOY_GIB = 2.0


def check(definition: dict, host: dict, min_free_gib: float) -> list[dict]:
    """Return one finding for every check, in the order in which an operator would mend them.

    Args:
        definition: the ``vllm_definition``.
        host: what the module ``host_info`` returned.
        min_free_gib: free space in GiB that a first deployment needs.

    Returns:
        Dictionaries with ``id``, ``ok``, ``found``, ``needed`` and ``fix`` (empty when ok).
    """
    findings = [_operating_system(host), _root(host)]
    if definition["accelerator"] == "nvidia":
        findings += _gpus(definition, host)
    findings += [_port(definition, host), _disk(host, min_free_gib)]
    if definition["model_is_local"]:
        findings.append(_local_model(definition, host))
    return findings


def report(findings: list[dict], skipped: list[str]) -> str:
    """Return the text shown when checks failed: every problem with what was found, what is needed and the fix."""
    bad = [item for item in findings if not item["ok"] and item["id"] not in skipped]
    lines = ["%d preflight check%s failed; nothing was changed." % (len(bad), "" if len(bad) == 1 else "s")]
    for item in bad:
        lines.append("- %s: found %s, needed %s. %s" % (item["id"], item["found"], item["needed"], item["fix"]))
    return "\n".join(lines)


def _finding(identity: str, ok: bool, found: str, needed: str, fix: str) -> dict:
    return {"id": identity, "ok": ok, "found": found, "needed": needed, "fix": "" if ok else fix}


def _operating_system(host: dict) -> dict:
    system = host["os"]
    versions = SUPPORTED.get(system["id"], ())
    ok = any(system["version"] == v or system["version"].startswith(v + ".") for v in versions)
    return _finding(
        "operating_system",
        ok,
        system["name"] or system["id"] or "an unknown operating system",
        "Debian 12 or 13, Ubuntu 22.04 or 24.04, or Enterprise Linux 9 or 10",
        "Deploy to a supported host, or add operating_system to vllm_preflight_skip to try it at your own risk.",
    )


def _root(host: dict) -> dict:
    return _finding(
        "root",
        host["uid"] == 0,
        "user id %d" % host["uid"],
        "root",
        "Run the play with become: true and a user that may use sudo (ansible_user, ansible_become_password).",
    )


def _gpus(definition: dict, host: dict) -> list[dict]:
    gpu = host.get("gpu") or {"gpus": [], "error": "not asked for"}
    wanted = definition["gpu_devices"]
    fix = (
        "Install the NVIDIA driver (this collection does not), reboot if it was just upgraded, and make sure that "
        "nvidia-smi lists the GPUs; or set vllm_accelerator to cpu."
    )
    if gpu["error"]:
        return [_finding("gpu_driver", False, gpu["error"], "an answering nvidia-smi", fix)]
    known = {str(item["index"]) for item in gpu["gpus"]} | {item["uuid"] for item in gpu["gpus"]}
    # a MIG slice has a UUID of its own, which --query-gpu does not list
    missing = [device for device in wanted if device not in known and not device.startswith("MIG-")]
    there = ", ".join("%d (%s)" % (item["index"], item["name"]) for item in gpu["gpus"]) or "no GPU"
    driver = gpu["gpus"][0]["driver_version"] if gpu["gpus"] else "none"
    return [
        _finding("gpu_driver", bool(gpu["gpus"]), "driver %s" % driver, "at least one GPU", fix),
        _finding(
            "gpu_devices",
            not missing,
            there,
            "GPU %s" % ", ".join(missing or wanted),
            "Set vllm_gpu_devices to GPUs that nvidia-smi -L lists, and vllm_tensor_parallel_size to their number.",
        ),
    ]


def _port(definition: dict, host: dict) -> dict:
    port = host["port"]
    foreign = [c["name"] for c in port["containers"] if c["project"] != definition["project"]]
    ours = [c for c in port["containers"] if c["project"] == definition["project"]]
    if foreign:
        found = "port %d published by container %s" % (definition["port"], ", ".join(foreign))
    elif port["listening"] and not ours:
        owner = port["owner"]
        who = "%s, pid %d" % (owner["command"], owner["pid"]) if owner else "a process that cannot be seen"
        found = "port %d in use by %s" % (definition["port"], who)
    else:
        found = "port %d %s" % (definition["port"], "held by this service" if ours else "free")
    return _finding(
        "port",
        not foreign and (bool(ours) or not port["listening"]),
        found,
        "a free port, or one that this service already holds",
        "Stop the other program, or set vllm_port to a free port.",
    )


def _disk(host: dict, min_free_gib: float) -> dict:
    needed = min(REDEPLOY_GIB, min_free_gib) if host["own_containers"] else min_free_gib
    known = {path: free for path, free in host["free_gib"].items() if free is not None}
    path, free = min(known.items(), key=lambda item: item[1]) if known else ("", 0.0)
    return _finding(
        "disk",
        free >= needed,
        "%.1f GiB free on %s" % (free, path),
        "%.1f GiB" % needed,
        "Free space there, move Docker's data folder, or lower vllm_preflight_min_free_gib when image and weights "
        "are small or already there.",
    )


def _local_model(definition: dict, host: dict) -> dict:
    return _finding(
        "model_path",
        host["model_present"],
        "%s/config.json %s" % (definition["model"], "there" if host["model_present"] else "missing"),
        "a model folder on the host",
        "Copy the model there, or set vllm_model to a Hugging Face id.",
    )
