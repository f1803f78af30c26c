# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway as the role makes it: plan, rendered configuration, a real HAProxy with it and stand-ins behind it."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import types

import installed
import pytest
from ansible.template import Templar, trust_as_template
from gateway_cases import GATEWAY, KEY, service
from real_haproxy import PROGRAM, RealHaproxy, free_port
from standin_vllm import StandinVllm

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import plan


@pytest.fixture
def values():
    """Return the role's variables with changes."""

    def call(**changes) -> dict:
        defaults = {name: option.get("default") for name, option in role_options("vllm_gateway").items()}
        keys = [{"name": "alice", "key": KEY}]
        return {**defaults, "vllm_gateway_keys": keys, **{"vllm_gateway_" + name: v for name, v in changes.items()}}

    return call


@pytest.fixture
def render(root, loader):
    """Render one of the templates with a plan."""

    def call(name: str, made: dict) -> str:
        templar = Templar(loader=loader, variables={"__vllm_gateway_plan": made})
        lookup = "{{ lookup('ansible.builtin.template', '%s') }}" % (root / "templates" / name)
        return templar.template(trust_as_template(lookup))

    return call


@pytest.fixture
def bed(values, render, tmp_path):
    """Start a real HAProxy as the role configures it; stand-ins on ports of their own are its services."""
    if not shutil.which(PROGRAM):
        installed.missing("There is no haproxy on this machine.")
    with contextlib.ExitStack() as stack:

        def start(services=None, **changes) -> types.SimpleNamespace:
            hosts = {name: StandinVllm(name) for name in ("node-1", "node-2")}
            for host in hosts.values():
                stack.callback(host.close)
            port, metrics = free_port(), free_port()
            wanted = {"tls": "none", "address": "127.0.0.1", "port": port, "metrics_port": metrics}
            wanted.update(agent_port=free_port(), **changes)
            found = services(hosts) if services else [
                service(name, port=host.port, address="127.0.0.1") for name, host in hosts.items()
            ]  # fmt: skip
            folder = pathlib.Path(tmp_path) / "vllm"

            def texts(**more) -> dict[str, str]:
                made, problems, _warnings = plan.make(values(**{**wanted, **more}), found, GATEWAY)
                assert problems == []
                files = {**made["files"], plan.FOLDER + "/gateway.lua": render("haproxy.lua.j2", made)}
                files["haproxy.cfg"] = render("haproxy.cfg.j2", made)
                return {here(path): here(text) for path, text in files.items()}

            def here(text: str) -> str:
                for old, new in (
                    (plan.FOLDER, str(folder)),
                    (plan.CERTIFICATE, str(tmp_path / "gateway.pem")),
                    (plan.STATE_FILE, str(tmp_path / "state")),
                    ("/run/haproxy/admin.sock", str(tmp_path / "admin.sock")),
                    ("    chroot /var/lib/haproxy\n    user haproxy\n    group haproxy\n", ""),
                    ("/dev/log", "127.0.0.1:%d" % wanted.get("log_port", 9)),
                ):
                    text = text.replace(old, new)
                return text

            wanted.pop("log_port", None)
            files = texts()
            for path, text in files.items():
                if path != "haproxy.cfg":
                    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
                    pathlib.Path(path).write_text(text, encoding="utf-8", newline="")
            real = RealHaproxy(tmp_path, files["haproxy.cfg"])
            stack.callback(real.close)
            return types.SimpleNamespace(
                hosts=hosts,
                real=real,
                port=port,
                metrics=metrics,
                folder=folder,
                texts=texts,
                tmp=tmp_path,
                found=found,
            )

        yield start
