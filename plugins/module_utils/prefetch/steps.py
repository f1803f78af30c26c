# SPDX-License-Identifier: GPL-3.0-or-later
"""The two steps before a switch on a host, the image and the weights: begin one, look at it, clean up behind it.

Nothing here waits: what takes long runs in a process or container of its own, and goes on when nobody looks. Each call
returns a state, a dictionary of

- ``state``: absent (not begun), running, complete (there was nothing to do), done, failed
- ``x``, ``y``: bytes that are there, and of how many (0: not known yet); ``detail``: how far in other words
- ``lines``: what Docker or the download said, without progress; ``exit_code`` of it, None while it runs
- ``facts``: of what is there when it is complete or done

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import os

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.prefetch import image_pull, weights_download
from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Seconds that one call of docker may take.
_DOCKER_S = 60

#: Lines of a container's log that are read at most, and characters of each that are kept.
_LOG_LINES, LINE_CHARS = 300, 2000

#: What tells the container of these models, and this way to download them, from an older one.
_LABEL = "io.github.myia-vllm.prefetch"


def state(name: str, **more: object) -> dict:
    """Return a state with what is not given empty."""
    return {"state": name, "x": 0, "y": 0, "detail": "", "lines": [], "exit_code": None, "facts": {}, **more}


class Image:
    """The image of the service."""

    def __init__(self, image: str, policy: str, folder: str, run=host_command.run) -> None:
        """Take the image's name and when to pull it.

        Args:
            image: its name.
            policy: always, missing or never.
            folder: where the pull keeps its state; gone after a reboot.
            run: see :func:`host_command.run`.
        """
        self.image, self.policy, self.folder, self._run = image, policy, folder, run

    def id(self) -> str:
        """Return the id of the image; empty when the engine has none of this name."""
        status, out, _err, _late = self._run(
            ["docker", "image", "inspect", "--format", "{{.Id}}", self.image], _DOCKER_S
        )
        return out.strip() if status == 0 else ""

    def inspect(self) -> dict:
        """Say how far the pull is."""
        pull = image_pull.inspect(self.folder)
        if pull["state"] == "absent" or pull["image"] not in ("", self.image):
            found = self.id()
            return state("complete" if found and self.policy != "always" else "absent", facts=self._facts(found))
        seen = {
            "x": pull["x"],
            "y": pull["y"],
            "detail": "%d of %d layers" % (pull["layers_done"], pull["layers"]) if pull["layers"] else "",
            "lines": pull["lines"],
            "exit_code": pull["exit_code"],
        }
        if pull["state"] == "running":
            return state("running", **seen)
        if pull["died"]:
            seen["lines"] = [*pull["lines"], "The process that ran docker pull was killed."]
            return state("failed", **seen)
        found = self.id()
        if pull["exit_code"] or not found:
            return state("failed", **seen)
        return state("done", **seen, facts=self._facts(found, pull["before"] != found, pull["x"]))

    def start(self) -> dict:
        """Begin the pull unless there is nothing to do or it runs already."""
        now = self.inspect()
        if now["state"] == "running":
            return now
        image_pull.forget(self.folder)
        now = self.inspect()
        if now["state"] == "complete":
            return now
        if self.policy == "never":
            return state("failed", lines=["Error: No such image: %s, and it is not to be pulled." % self.image])
        try:
            image_pull.start(self.folder, self.image, now["facts"]["id"], dict(os.environ))
        except OSError as error:
            return state("failed", lines=[str(error)])
        return state("running")

    def clean(self) -> dict:
        """Forget what the pull said; one that runs goes on."""
        image_pull.forget(self.folder)
        return state("absent")

    def _facts(self, found: str, pulled: bool = False, count: int = 0) -> dict:
        return {"image": self.image, "id": found, "changed": pulled, "bytes": count}


class Weights:
    """What the service reads from the Hugging Face hub."""

    def __init__(self, settings: dict, source: str, run=host_command.run) -> None:
        """Take what to download and how.

        Args:
            settings: ``release`` (folder), ``project``, ``service`` and ``container`` (names), ``image``, ``models``
                (list of ``{id, revision, load_format}``), ``refresh`` (ask for newer commits), ``hf_cache`` (volume or
                absolute path).
            source: text of weights_download.py.
            run: see :func:`host_command.run`.
        """
        self._set, self._source, self._run = settings, source, run
        self._arguments = json.dumps({"models": settings["models"], "refresh": settings["refresh"]}, sort_keys=True)
        text = "\0".join((source, self._arguments, settings["image"]))
        self._label = hashlib.sha256(text.encode()).hexdigest()[:16]

    def complete(self) -> list:
        """Return what is there of each model, as seen from the host; empty unless all of it was downloaded in full."""
        path = self._set["hf_cache"]
        if not path.startswith("/"):
            argv = ["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", path]
            status, out, _err, _late = self._run(argv, _DOCKER_S)
            path = out.strip() if status == 0 else ""
        hub = os.path.join(path, "hub")
        records = [weights_download.recorded(hub, model) for model in self._set["models"]] if path else [{}]
        if not all(records):
            return []
        return [weights_download.described(*pair) for pair in zip(self._set["models"], records)]

    def inspect(self) -> dict:
        """Say how far the download is."""
        name = self._set["container"]
        line = '{{.State.Status}} {{.State.ExitCode}} {{index .Config.Labels "%s"}}' % _LABEL
        status, out, err, _late = self._run(["docker", "container", "inspect", "--format", line, name], _DOCKER_S)
        if status != 0 and "no such" not in err.lower():
            return state("failed", lines=self._hidden(err), exit_code=status)
        how, code, label = [*out.split(), "", "", ""][:3] if status == 0 else ("", "", "")
        if label != self._label:
            models = [] if self._set["refresh"] else self.complete()
            return state("complete", facts=self._facts(models)) if models else state("absent")
        _status, out, err, _late = self._run(["docker", "logs", "--tail", str(_LOG_LINES), name], _DOCKER_S)
        events = _events(out)
        last = next((event for event in reversed(events) if event["event"] == "progress"), {"x": 0, "y": 0, "of": 0})
        seen = {
            "x": last["x"],
            "y": last["y"],
            "detail": "%d of %d files" % (last["files"], last["of"]) if last["of"] else "",
            "lines": self._hidden(err),
        }
        if how not in ("exited", "dead"):
            return state("running", **seen)
        done = events[-1] if events and events[-1]["event"] == "done" else {}
        if int(code) == 0 and done:
            return state("done", **seen, exit_code=0, facts=self._facts(done["models"], done["warnings"]))
        return state("failed", **seen, exit_code=int(code))

    def start(self) -> dict:
        """Begin the download unless there is nothing to do or it runs already."""
        now = self.inspect()
        if now["state"] in ("running", "complete") or (now["state"] == "done" and not self._set["refresh"]):
            return now
        self.clean()
        folder = self._set["release"]
        env_file = os.path.join(folder, ".env")
        argv = [
            "docker", "compose", "--project-name", self._set["project"], "--project-directory", folder,
            "--file", os.path.join(folder, "compose.yml"), "--env-file", env_file, "--profile", "prefetch",
            "run", "--detach", "--no-TTY", "--no-deps", "--name", self._set["container"],
            "--label", "%s=%s" % (_LABEL, self._label), self._set["service"], "-c", self._source, self._arguments,
        ]  # fmt: skip
        # Compose lets the environment win over .env
        clean = ["env", *("--unset=" + name for name in dotenv.names(files.read_text(env_file, newline=""))), *argv]
        status, out, err, _late = self._run(clean, _DOCKER_S)
        if status != 0:
            # what Docker could not start is left behind, with the token in it
            self.clean()
            return state("failed", lines=self._hidden(out + "\n" + err), exit_code=status)
        return state("running")

    def clean(self) -> dict:
        """Remove the container: its environment holds the token. What it has downloaded stays."""
        self._run(["docker", "rm", "--force", self._set["container"]], _DOCKER_S)
        return state("absent")

    @staticmethod
    def _facts(models: list, warnings: list | None = None) -> dict:
        return {
            "models": models,
            "bytes": sum(model["downloaded"] for model in models),
            "changed": any(model["downloaded"] for model in models),
            "warnings": warnings or [],
        }

    def _hidden(self, text: str) -> list:
        """Return the lines of a text without the values of .env that are secret."""
        entries = dotenv.items(files.read_text(os.path.join(self._set["release"], ".env"), newline=""))
        text = service_secrets.masked(text, service_secrets.among(entries.items()))
        return [line[:LINE_CHARS] for line in text.splitlines() if line.strip()][-_LOG_LINES:]


def _events(text: str) -> list:
    """Return the events in the lines of a download; other lines are left out."""
    return [event for event in map(files.json_object, text.splitlines()) if "event" in event]
