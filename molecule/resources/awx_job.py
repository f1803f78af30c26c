# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as AWX 24.6.1 runs it, without an AWX: its private data directory, and the three ways from there to a result.

What AWX does stands in its ``awx/main/tasks/jobs.py``; where a constant below is its word, the function there is named.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest.mock
from collections.abc import Callable

import ansible_runner
import yaml

#: Where AWX mounts a private data directory in an execution environment (``CONTAINER_ROOT``).
CONTAINER_ROOT = "/runner"

#: Ansible's own places of collections and roles, which AWX puts behind those of the project (``build_env``).
SEARCHED = {
    "ANSIBLE_COLLECTIONS_PATH": (
        "collections_path",
        "requirements_collections",
        "~/.ansible/collections:/usr/share/ansible/collections",
    ),
    "ANSIBLE_ROLES_PATH": (
        "roles_path",
        "requirements_roles",
        "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles",
    ),
}

#: Colours and other terminal control that awx_display's lines hold.
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class _UnsafeDumper(yaml.SafeDumper):
    """Writes every string, keys included, so that Ansible never evaluates it."""


_UnsafeDumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("!unsafe", text))


@dataclasses.dataclass
class JobResult:
    """What AWX keeps of a job.

    Attributes:
        status: ``successful``, ``failed``, ``canceled``, ``timeout`` or ``error``.
        rc: the exit status; None when there is none.
        events: the job events in their order.
        stdout: the output as AWX shows it, without colours.
        artifacts: what ``set_stats`` said.
    """

    status: str
    rc: int | None
    events: list[dict]
    stdout: str
    artifacts: dict

    @property
    def flat(self) -> str:
        """The output with single blanks for all white space."""
        return " ".join(self.stdout.split())

    def results(self, event: str = "runner_on_ok") -> list[tuple[str, str, dict]]:
        """Return (host, task, result) of every such event."""
        data = [item["event_data"] for item in self.events if item["event"] == event]
        return [(item["host"], item["task"], item["res"]) for item in data]


class AwxJob:
    """One job: made, run once, looked at.

    Args:
        folder: an empty folder for all the job has; ``folder/job`` is its private data directory.
        project: a checkout. Its tracked files, and those not ignored, are what AWX would have synced.
        inventory: group -> host -> variables of the host.
        playbook: as AWX lists it.
        extra_vars: those of the job template, which its author may use expressions in.
        survey: answers of the survey and variables given at the launch, among them artifacts of earlier nodes.
        vault_passwords: vault id -> password; "" for a credential without an id.
        check, diff, limit, become: as chosen at the launch or by the machine credential.
        job_id: the number of the job.
        workflow_job_id: the number of the workflow it is a node of; None for a job of its own.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        project: pathlib.Path,
        inventory: dict[str, dict[str, dict]],
        playbook: str = "deploy_medium.yml",
        extra_vars: dict | None = None,
        survey: dict | None = None,
        vault_passwords: dict[str, str] | None = None,
        check: bool = False,
        diff: bool = False,
        limit: str = "",
        become: bool = False,
        job_id: int = 1,
        workflow_job_id: int | None = None,
    ) -> None:
        self.private_data_dir = folder / "job"
        self.home = folder / "home"
        self.playbook = playbook
        self.job_id = job_id
        self.revision = _git(project, "rev-parse", "HEAD").decode().strip()
        for name in ("inventory", "env", "requirements_collections", "requirements_roles", "cp"):
            (self.private_data_dir / name).mkdir(parents=True)
        self.home.mkdir()
        self.project = self.private_data_dir / "project"
        copy_checkout(project, self.project)
        self._write_inventory(inventory)

        vaults = vault_passwords or {}
        words = ["--become"] if become else []
        words += ["--check"] if check else []
        words += ["--diff"] if diff else []
        words += ["-l", limit] if limit else []
        for vault_id in vaults:
            words += ["--vault-id", "%s@prompt" % vault_id] if vault_id else ["--ask-vault-pass"]
        self._write("env/cmdline", " ".join(words))
        prompts = {r"Vault password%s:\s*?$" % (r" \(%s\)" % i if i else ""): word for i, word in vaults.items()}
        self._write("env/passwords", json.dumps(prompts))
        # AWX keeps no file of the output: it has the events (AWX_RUNNER_SUPPRESS_OUTPUT_FILE)
        settings = {"job_timeout": 0, "suppress_ansible_output": True, "suppress_output_file": True}
        self._write("env/settings", json.dumps(settings))
        self._write("env/extravars", dump_extra_vars(extra_vars or {}, survey or {}, self._meta(workflow_job_id)))

    def run(
        self, image: str = "", cancel: Callable[[list[dict]], bool] = lambda events: False, callback: str = ""
    ) -> JobResult:
        """Run it on this machine.

        Args:
            callback: a folder with the callback plugin of another ansible-runner; "" for this one's.
            image: an execution environment to run it in, by Docker, without a network; "" for this Ansible.
            cancel: asked again and again, with the events so far, whether somebody has cancelled the job.
        """
        seen: list[dict] = []
        isolation = {}
        environment = self._environment(CONTAINER_ROOT if image else str(self.private_data_dir))
        if image:
            isolation = {
                "process_isolation": True,
                "process_isolation_executable": "docker",
                "container_image": image,
                "container_options": ["--user=root", "--network=none", "--pull=never"],
            }
        else:
            environment["HOME"] = str(self.home)
        self._write("env/envvars", json.dumps(environment))
        with (
            _bare_environment(self.home),
            unittest.mock.patch.dict(os.environ, {"AWX_LIB_DIRECTORY": callback} if callback else {}),
        ):
            done = ansible_runner.run(
                **self._arguments,
                **isolation,
                quiet=True,
                event_handler=lambda event: seen.append(event) or True,
                cancel_callback=lambda: cancel(seen),
            )
        return self._result(done.status, done.rc, seen)

    def run_by_receptor(self, submit: list[str]) -> JobResult:
        """Run it on an execution node: transmit it, have receptor submit the work there, process what comes back.

        Args:
            submit: the command that submits a unit of work: it reads the payload on its standard input, and writes what
                the worker answers on its standard output.
        """
        self._write("env/envvars", json.dumps(self._environment(CONTAINER_ROOT)))
        there, back = self.private_data_dir.parent / "transmitted", self.private_data_dir.parent / "returned"
        with _bare_environment(self.home), there.open("wb") as stream:
            ansible_runner.run(streamer="transmit", _output=stream, **self._arguments)
        with there.open("rb") as payload, back.open("wb") as answer:
            done = subprocess.run(
                submit, stdin=payload, stdout=answer, stderr=subprocess.PIPE, check=False, timeout=300
            )
        said = back.read_text(encoding="utf-8", errors="replace")
        # the status of the command is that of the job
        if '{"eof": true}' not in said:
            raise RuntimeError(
                "the worker did not answer: %s\n%s" % (done.stderr.decode(errors="replace"), said[-2000:])
            )
        seen: list[dict] = []
        with _bare_environment(self.home), back.open("rb") as stream:
            done = ansible_runner.run(
                streamer="process",
                _input=stream,
                quiet=True,
                event_handler=lambda event: seen.append(event) or True,
                private_data_dir=str(self.private_data_dir),
                ident=str(self.job_id),
            )
        rc = self.artifact_dir / "rc"
        return self._result(done.status, int(rc.read_text(encoding="utf-8")) if rc.exists() else None, seen)

    @property
    def artifact_dir(self) -> pathlib.Path:
        """The folder of the job's events."""
        return self.private_data_dir / "artifacts" / str(self.job_id)

    @property
    def _arguments(self) -> dict[str, str]:
        return {
            "private_data_dir": str(self.private_data_dir),
            "playbook": self.playbook,
            "ident": str(self.job_id),
        }

    def _write(self, name: str, text: str) -> None:
        path = self.private_data_dir / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def _write_inventory(self, groups: dict[str, dict[str, dict]]) -> None:
        """Write what AWX writes: a program that prints what `ansible-inventory --list` would (``build_inventory``)."""
        hosts = {host: values for members in groups.values() for host, values in members.items()}
        listed = {name: {"hosts": list(members)} for name, members in groups.items()}
        listed = {"all": {"children": list(groups)}, **listed, "_meta": {"hostvars": hosts}}
        self._write("inventory/hosts", "#!/usr/bin/env python3\nprint(%r)\n" % json.dumps(listed))
        (self.private_data_dir / "inventory" / "hosts").chmod(0o700)

    def _meta(self, workflow_job_id: int | None) -> dict:
        """The variables that AWX adds (``build_extra_vars_file``, ``get_awx_meta_vars``)."""
        values = {
            "job_id": self.job_id,
            "job_launch_type": "manual" if workflow_job_id is None else "workflow",
            "job_template_id": 9,
            "job_template_name": "vLLM | %s" % self.playbook,
            "inventory_id": 2,
            "inventory_name": "GPU hosts",
            "project_revision": self.revision,
            "project_scm_branch": "",
            "user_id": 1,
            "user_name": "admin",
            "user_email": "",
            "user_first_name": "",
            "user_last_name": "",
        }
        if workflow_job_id is not None:
            values.update({"workflow_job_id": workflow_job_id, "workflow_job_name": "vLLM | workflow"})
        return {"%s_%s" % (prefix, name): value for prefix in ("tower", "awx") for name, value in values.items()}

    def _environment(self, root: str) -> dict[str, str]:
        """The environment AWX gives a job (``build_env``); ``root`` is where the private data directory will be."""
        environment = {
            "ANSIBLE_FORCE_COLOR": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "%s/cp" % root,
            "ANSIBLE_UNSAFE_WRITES": "1",
            "AWX_HOST": "https://awx.example.com",
            "INVENTORY_ID": "2",
            "JOB_ID": str(self.job_id),
            "MAX_EVENT_RES": "700000",
            "PROJECT_REVISION": self.revision,
        }
        for variable, (setting, folder, last) in SEARCHED.items():
            own = _ansible_cfg(self.project, setting)
            environment[variable] = ":".join(filter(None, ("%s/%s" % (root, folder), own, last)))
        return environment

    def _result(self, status: str, rc: int | None, events: list[dict]) -> JobResult:
        events = sorted(events, key=lambda event: event["counter"])
        said = "\n".join(event["stdout"] for event in events if event.get("stdout"))
        stats = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
        artifacts = stats[-1].get("artifact_data", {}) if stats else {}
        return JobResult(status, rc, events, CONTROL.sub("", said).replace("\r", ""), artifacts)


def slice_of(inventory: dict[str, dict[str, dict]], number: int, count: int) -> dict[str, dict[str, dict]]:
    """Return the hosts of an inventory that slice ``number`` (from 1) of ``count`` gets: every ``count``-th by name."""
    names = sorted({host for members in inventory.values() for host in members})[number - 1 :: count]
    return {
        group: {host: values for host, values in members.items() if host in names}
        for group, members in inventory.items()
    }


def dump_extra_vars(template: dict, answers: dict, meta: dict) -> str:
    """Return env/extravars: later variables win, and only what the job template itself says may hold expressions."""
    merged = {**template, **answers, **meta}
    lines = []
    for name, value in merged.items():
        trusted = name in template and template[name] == value
        lines.append(yaml.dump({name: value}, Dumper=yaml.SafeDumper if trusted else _UnsafeDumper))
    return "".join(lines)


def copy_checkout(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy the files that git knows or would add, links as links."""
    for name in _git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0"):
        path = source / name
        if name and (path.is_symlink() or path.is_file()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name, follow_symlinks=False)


def _git(folder: pathlib.Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True).stdout


def _ansible_cfg(project: pathlib.Path, setting: str) -> str:
    """Return a setting of the project's ansible.cfg; "" where it has none."""
    path = project / "ansible.cfg"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^%s\s*=\s*(.+)$" % re.escape(setting), text, re.MULTILINE)
    return found[1].strip() if found else ""


def _bare_environment(home: pathlib.Path) -> unittest.mock._patch_dict:
    """Hide this shell's environment, which a job of AWX's does not have either, for as long as the context lasts."""
    kept = {name: os.environ[name] for name in ("DOCKER_HOST", "TMPDIR") if name in os.environ}
    path = "%s:%s" % (pathlib.Path(sys.executable).parent, os.environ["PATH"])
    return unittest.mock.patch.dict(
        os.environ, {**kept, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}, clear=True
    )
