# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy on this machine with the configuration that the role vllm_gateway writes, in a folder of its own.

What ``make demo-gateway`` and ``make bench-gateway`` share. Nothing is installed, nothing in /etc is read or written.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import pathlib
import shutil
import socket

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = pathlib.Path(__file__).resolve().parent.parent


def program() -> str:
    """Return the path of haproxy; empty where the machine has none."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin") or ""


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(folder: pathlib.Path, settings: dict, service: dict, log: str = "") -> pathlib.Path:
    """Write the role's configuration before one service of this machine.

    Args:
        folder: for everything that the role has in /etc/haproxy, the socket and the states.
        settings: ``vllm_gateway_*`` variables; the others have the role's defaults. With TLS there has to be a
            ``gateway.pem`` in the folder.
        service: ``name``, ``models``, ``port`` on 127.0.0.1 and ``api_key``.
        log: where HAProxy logs to, in its own words; empty for the role's.

    Returns:
        The path of haproxy.cfg.

    Raises:
        SystemExit: the role would refuse the settings; says why.
    """
    init_plugin_loader([str(ROOT / "collections")])
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import (  # noqa: PLC0415 loader first
        role_options,
    )
    from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import plan  # noqa: PLC0415 loader first

    values = {name: option.get("default") for name, option in role_options("vllm_gateway").items()} | settings
    definition = {"name": service["name"], "served_model_names": service["models"], "port": service["port"]}
    definition.update(lora_adapters=[], publish_address="127.0.0.1", published=True, network_mode="", scheme="http")
    here = {"host": "here", "ansible_host": "here"}
    found = {**here, "definition": definition, "api_key": service["api_key"], "address": "127.0.0.1"}
    made, problems, _warnings = plan.make(values, [found], here)
    if problems:
        raise SystemExit("\n".join(problems))
    templar = Templar(loader=DataLoader(), variables={"__vllm_gateway_plan": made})

    def rendered(name: str) -> str:
        path = ROOT / "templates" / name
        return templar.template(trust_as_template("{{ lookup('ansible.builtin.template', '%s') }}" % path))

    files = {**made["files"], plan.FOLDER + "/gateway.lua": rendered("haproxy.lua.j2")}
    files[str(folder / "haproxy.cfg")] = rendered("haproxy.cfg.j2")
    for path, text in files.items():
        place = pathlib.Path(path.replace(plan.FOLDER, str(folder / "vllm")))
        place.parent.mkdir(parents=True, exist_ok=True)
        for old, new in (
            # first, since its folder begins as the other
            (plan.CERTIFICATE, str(folder / "gateway.pem")),
            (plan.FOLDER, str(folder / "vllm")),
            (plan.STATE_FILE, str(folder / "state")),
            ("/run/haproxy/admin.sock", str(folder / "admin.sock")),
            ("    chroot /var/lib/haproxy\n    user haproxy\n    group haproxy\n", ""),
            (
                "    log /dev/log len 4096 local0\n",
                "    log %s\n" % log if log else "    log /dev/log len 4096 local0\n",
            ),
        ):
            text = text.replace(old, new)
        # the maps hold keys
        place.touch(mode=0o600)
        place.write_text(text, encoding="utf-8", newline="")
    return folder / "haproxy.cfg"


def certificate(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Write a self-signed certificate for a name by the role's own program; return its path."""
    path = str(ROOT / "roles" / "vllm_gateway" / "files" / "vllm-gateway-certificate")
    loader = importlib.machinery.SourceFileLoader("vllm_gateway_certificate", path)
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(made)
    place = folder / "gateway.pem"
    place.touch(mode=0o600)
    place.write_text(made.self_signed(name), encoding="ascii")
    return place
