#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: releases of a Compose service on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage, switch, keep, give up and remove releases of a Compose service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - A release is a folder with C(compose.yml), C(.env) and C(release.json), named by UTC time and content hash.
  - O(state=staged) writes a new one when the content differs from the current one, after Docker Compose has validated
    it; the running service is not touched. O(state=current) switches the link C(current). O(state=good) marks the
    current release as known to work and then does what O(state=pruned) does, which deletes outdated releases, and
    C(.env) of those that failed. O(state=failed) notes that a release did not start and
    keeps the log of its container beside it. O(state=none) removes the link C(current). O(state=absent) deletes the
    service's folder.
  - What lies in C(releases/) and is no release, or cannot be deleted, is named in a warning and left alone. It never
    fails a release that serves.
  - No result and no diff holds a value of C(.env).
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
    details: Predicts the change. A new release is not validated then, since it is not written.
  diff_mode:
    support: full
    details: Shows the Compose file, and of C(.env) which names changed.
options:
  state:
    description: What to do.
    type: str
    choices: [staged, current, good, failed, pruned, none, absent]
    required: true
  compose:
    description: Text of the Compose file. Required for O(state=staged).
    type: str
  env:
    description: Text of C(.env). Required for O(state=staged).
    type: str
  files:
    description:
      - Files of the host that the container reads when it starts. What they hold is part of the release, so that a
        changed one makes a new release, and Docker Compose a new container. For O(state=staged).
    type: list
    elements: path
    default: []
  secret_files:
    description:
      - Files of the release, by name, each with the name in O(env) of what it holds. They lie in C(secrets/), which
        root alone enters, and go with C(.env). For O(state=staged).
    type: dict
    default: {}
  files_variable:
    description: Name of the line in C(.env) that stands for what O(files) and O(secret_files) hold.
    type: str
    default: ""
  description:
    description: Facts to keep in C(release.json). For O(state=staged).
    type: dict
    default: {}
  name:
    description: Name of the release. Required for O(state=current) and O(state=failed).
    type: str
  start:
    description: How the start went, for O(state=good); the next start's remaining time is reckoned from it.
    type: dict
    default: {}
  container_id:
    description: The container that was seen to work, for O(state=good).
    type: str
    default: ""
  diagnosis:
    description: What the start died of, for O(state=failed); see M(myia.vllm.startup_log_info).
    type: dict
    default: {}
  container:
    description: The container whose log is kept, for O(state=failed).
    type: str
    default: ""
  keep:
    description: >-
      Good releases to keep, the current one included, for O(state=good) and O(state=pruned); 1 or more.
    type: int
    default: 3
  keep_failed:
    description: >-
      Releases to keep besides them that failed or were never started, for O(state=good) and O(state=pruned); 1 or more.
      Failures are counted in them.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Stage a release
  myia.vllm.release:
    path: /opt/vllm/medium
    state: staged
    compose: "{{ lookup('ansible.builtin.template', 'compose.yml.j2') }}"
    env: "{{ lookup('ansible.builtin.template', 'env.j2') }}"
  no_log: true
  register: staged

- name: Switch to it
  myia.vllm.release:
    path: /opt/vllm/medium
    state: current
    name: "{{ staged.release.name }}"
"""

RETURN = r"""
release:
  description: The release this call was about.
  returned: unless O(state=absent)
  type: dict
  contains:
    name: {description: Name of the release., type: str, returned: always}
    path: {description: Its folder., type: str, returned: always}
    current: {description: Whether C(current) points to it., type: bool, returned: always}
    good: {description: Whether it is marked good., type: bool, returned: always}
    staged:
      description: Whether it exists on the host (not so in check mode for a new one).
      type: bool
      returned: always
    last_good: {description: Name of the newest good release., type: str, returned: always}
    container_name: {description: Container of the release., type: str, returned: when it was described}
    base_url: {description: Address of its service as seen on the host., type: str, returned: when it was described}
    served_model_name: {description: Its model's name for clients., type: str, returned: when it was described}
    container_id: {description: The container that was seen to work., type: str, returned: when it was good}
    failures:
      description: >-
        Its last failed starts, each with C(at), C(id), C(ref), C(class), C(phase), C(cause), C(evidence), C(certain),
        C(verdict_s).
      type: list
      elements: dict
      returned: always
    same_failures:
      description: How many of them were the same certain failure of the configuration, counted from the last.
      type: int
      returned: always
return_to:
  description: >-
    The release to go back to when this one fails: the newest good one besides it, with the same keys as C(release).
    Its name is empty when there is none.
  returned: unless O(state=absent)
  type: dict
kept:
  description: How many good releases the host has, the current one included.
  returned: unless O(state=absent)
  type: int
kept_failed:
  description: How many it has besides them, that failed or were never started.
  returned: unless O(state=absent)
  type: int
log:
  description: The log of the release's container on the host; empty when none was kept.
  returned: for O(state=failed)
  type: str
summary:
  description: What changes, in lines without any value of C(.env).
  returned: always
  type: list
  elements: str
problem:
  description: >-
    Why Docker Compose refused the release; empty when it did not. The module does not fail for it, so that the
    caller can show the text from a task of its own while this one runs with C(no_log).
  returned: always
  type: str
"""

import difflib
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.module_utils.host import folders
from ansible_collections.myia.vllm.plugins.module_utils.service import compose_check, dotenv, releases
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets


def stage(module: AnsibleModule, service: releases.Service) -> dict:
    """Stage a release; see DOCUMENTATION."""
    compose, env = module.params["compose"], module.params["env"]
    try:
        env += files_line(module)
    except OSError as error:
        return answer(service, "", False, [], "%s cannot be read: %s." % (error.filename, error.strerror))
    problem = compose_check.ambient_problem(env)
    name = service.find(compose, env)
    if name or problem:
        return staged_before(module, service, name, env, problem)

    digest = releases.content_hash(compose, env)
    name = service.free_name(digest)
    current = service.current()
    old_compose, old_env = service.read(current, releases.COMPOSE), service.read(current, releases.ENV)
    before_env, after_env = service_secrets.diff(old_env, env)
    summary = changes("compose.yml", old_compose, compose) + changes(".env", before_env, after_env)
    diff = [
        {"before": old_compose, "after": compose, "before_header": "compose.yml", "after_header": "compose.yml"},
        {"before": before_env, "after": after_env, "before_header": ".env", "after_header": ".env"},
    ]
    if not module.check_mode:
        staging = service.begin()
        try:
            service.write(staging, releases.COMPOSE, compose)
            service.write(staging, releases.ENV, env)
            service.write_secrets(staging, secrets_of(module, env))
            problem = compose_check.problem(module.run_command, module.get_bin_path("docker"), staging, env)
            if problem:
                return answer(service, "", False, [], problem)
            about = {**module.params["description"], "name": name, "created": now(), "content_hash": digest}
            service.write(staging, releases.DESCRIPTION, releases.describe(about))
            os.rename(staging, service.folder(name))  # complete or not there at all
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return {**answer(service, name, True, summary, ""), "diff": diff}


def files_line(module: AnsibleModule) -> str:
    """Return the line of ``.env`` that says what the files of the host hold; nothing without any."""
    paths, secrets = module.params["files"], secrets_of(module, module.params["env"])
    if not paths and not secrets:
        return ""
    return "%s=%s\n" % (module.params["files_variable"], dotenv.quote(releases.files_hash(paths, secrets)))


def secrets_of(module: AnsibleModule, env: str) -> dict[str, str]:
    """Return what the files of the release hold, by their name."""
    values = dotenv.items(env)
    return {name: values[source] for name, source in module.params["secret_files"].items()}


def staged_before(module: AnsibleModule, service: releases.Service, name: str, env: str, problem: str) -> dict:
    """Return the result for a release that is there (or for none, with why); what somebody did to it is mended."""
    summary = []
    secrets = secrets_of(module, env)
    lacks_env = bool(name) and not service.has_env(name)
    harmed = service.wrong_secrets(name, secrets) if name and not lacks_env else []
    if lacks_env:
        summary.append("%s: .env, which was deleted when the release failed" % name)
    if harmed:
        summary.append("%s: %s, which a run that was killed has not written, or somebody has changed" % (
            name, ", ".join(harmed)))  # fmt: skip
    if (lacks_env or harmed) and not module.check_mode:
        service.write_secrets(service.folder(name), secrets)
    if lacks_env and not module.check_mode:
        service.write(service.folder(name), releases.ENV, env)
    wrong = service.wrong_modes(name) if name else []
    if wrong:
        summary.append("mode or owner of %s was changed by somebody and is set right" % ", ".join(wrong))
        if not module.check_mode:
            service.mend_modes(name)
    return answer(service, name, bool(summary), summary, problem)


def answer(service: releases.Service, name: str, changed: bool, summary: list[str], problem: str) -> dict:
    """Return the result of a call about release ``name``."""
    return {
        "changed": changed,
        "summary": summary,
        "problem": problem,
        "release": {
            **service.about(name),
            "current": bool(name) and service.current() == name,
            "staged": service.has_env(name),
            "last_good": service.last_good(),
        },
        "return_to": service.about(service.last_good(besides=name)),
        **counts(service),
    }


def counts(service: releases.Service) -> dict[str, int]:
    """Return ``kept`` and ``kept_failed``."""
    others = service.not_good()
    return {"kept": len(service.names()) - len(others), "kept_failed": len(others)}


def changes(title: str, before: str, after: str) -> list[str]:
    """Return the changed lines of a text, each behind the file's name."""
    if not before:
        return ["%s: new" % title]
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return ["%s: %s" % (title, line) for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def switch(module: AnsibleModule, service: releases.Service) -> dict:
    """Let ``current`` point to a release; see DOCUMENTATION."""
    name = module.params["name"]
    if name not in service.names() and not module.check_mode:
        module.fail_json(
            msg="there is no release %s in %s; there are: %s"
            % (name, service.releases, ", ".join(service.names()) or "none")
        )
    before = service.current()
    changed = before != name
    if changed and not module.check_mode:
        aside = service.switch(name)
        if aside:
            module.warn("%s was a folder, and no link to a release; it is %s now. Look at it and remove it." % (
                service.link, aside))  # fmt: skip
    summary = ["current: %s -> %s" % (before or "none", name)] if changed else []
    result = answer(service, name, changed, summary, "")
    result["diff"] = {"before": "current: %s\n" % before, "after": "current: %s\n" % name}
    return result


def mark_good(module: AnsibleModule, service: releases.Service) -> dict:
    """Mark the current release good and prune; see DOCUMENTATION."""
    name = service.current()
    if not name:
        module.fail_json(msg="%s has no current release to mark good." % service.path)
    summary, news = [], {}
    # an older release that was switched back to becomes the last good one again
    if service.last_good() != name:
        summary.append("%s: good" % name)
        news["good_since"] = now()
    known = service.description(name)
    container_id, start = module.params["container_id"], module.params["start"]
    if container_id and known.get("container_id") != container_id:
        summary.append("%s: runs in container %s" % (name, container_id[:12]))
        news["container_id"] = container_id
    if start and start != known.get("start"):
        news["start"] = start
    if known.get("failures"):
        news["failures"] = []
    if not news or module.check_mode:
        summary += clean_up(module, service, serves=True)
        return answer(service, name, bool(summary), summary, "")
    try:
        service.describe(name, news)
        summary += clean_up(module, service, serves=True)
    except OSError:
        summary += clean_up(module, service, serves=True)  # which makes room on a full disk
        try:
            service.describe(name, news)
        except OSError as error:
            # it serves: to take it down for a note that cannot be written would be the greater harm
            module.warn("%s serves, and that cannot be noted: %s The next run notes it." % (
                name, folders.failed(service.path, error, ("releases",))))  # fmt: skip
    return answer(service, name, bool(summary), summary, "")


def prune(module: AnsibleModule, service: releases.Service) -> dict:
    """Delete outdated releases, and the secrets of those that failed; see DOCUMENTATION."""
    summary = clean_up(module, service)
    return answer(service, service.current(), bool(summary), summary, "")


def clean_up(module: AnsibleModule, service: releases.Service, serves: bool = False) -> list[str]:
    """Delete what :func:`prune` says; return what went. What cannot go is warned of, and fails nothing.

    Args:
        module: the module.
        service: the service.
        serves: whether the current release is known to work.
    """
    gone = []

    def go(delete, name: str, text: str) -> None:
        try:
            if module.check_mode or delete(name) is not False:
                gone.append(text)
        except OSError as error:
            module.warn("%s cannot be deleted and is left: %s. It may hold secrets; remove it by hand." % (
                service.folder(name), folders.said(error)))  # fmt: skip

    outdated = service.outdated(module.params["keep"], module.params["keep_failed"], serves)
    for name in outdated:
        go(service.drop, name, "%s: deleted" % name)
    for name in service.not_good():
        # one that is only staged may be on its way into service by another run
        if name not in outdated and service.has_env(name) and service.description(name).get("failures"):
            go(service.drop_env, name, "%s: .env deleted" % name)
    strange = service.strange()
    if strange:
        module.warn("%s holds what is no release and was left alone: %s. Secrets may be in it; look at it and remove "
                    "it." % (service.releases, ", ".join(strange)))  # fmt: skip
    return gone


def give_up(module: AnsibleModule, service: releases.Service) -> dict:
    """Note a failed start; see DOCUMENTATION."""
    name, diagnosis = module.params["name"], module.params["diagnosis"]
    if name not in service.names():
        module.fail_json(msg="there is no release %s in %s." % (name, service.releases))
    kept = ("id", "ref", "class", "phase", "cause", "evidence", "certain", "verdict_s")
    if not module.check_mode:
        secrets = service_secrets.values(service.path)
        failure = {"at": now(), **{key: diagnosis[key] for key in kept if key in diagnosis}}
        service.failed(name, service_secrets.masked_all(failure, secrets))
        docker = module.get_bin_path("docker")
        if docker and module.params["container"]:
            log = container_log.ends(docker, module.params["container"])
            log += container_log.seen_besides(diagnosis.get("evidence") or [])
            service.write(service.folder(name), releases.FAILED_LOG, service_secrets.masked(log, secrets))
    result = answer(service, name, True, ["%s: failed" % name], "")
    log = os.path.join(service.folder(name), releases.FAILED_LOG)
    return {**result, "log": log if os.path.exists(log) else ""}


def leave(module: AnsibleModule, service: releases.Service) -> dict:
    """Let ``current`` point to nothing; see DOCUMENTATION."""
    before = service.current()
    if before and not module.check_mode:
        service.leave()
    return answer(service, "", bool(before), ["current: %s -> none" % before] if before else [], "")


def now() -> str:
    """Return this moment in UTC as it stands in ``release.json``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def remove(module: AnsibleModule, service: releases.Service) -> dict:
    """Delete the service's folder; see DOCUMENTATION."""
    there = os.path.isdir(service.path)
    if there and not os.path.isdir(service.releases):
        module.fail_json(msg="%s is no folder of a service (it has no releases/ in it); left as it is." % service.path)
    if there and not module.check_mode:
        shutil.rmtree(service.path)
    return {"changed": there, "summary": ["%s: deleted" % service.path] if there else [], "problem": ""}


STATES = {
    "staged": stage,
    "current": switch,
    "good": mark_good,
    "failed": give_up,
    "pruned": prune,
    "none": leave,
    "absent": remove,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["staged", "current", "good", "failed", "pruned", "none", "absent"],
                "required": True,
            },
            "compose": {"type": "str"},
            "env": {"type": "str", "no_log": True},
            "files": {"type": "list", "elements": "path", "default": []},
            # names of lines, no secret itself
            "secret_files": {"type": "dict", "default": {}, "no_log": False},
            "files_variable": {"type": "str", "default": ""},
            "description": {"type": "dict", "default": {}},
            "name": {"type": "str"},
            "keep": {"type": "int", "default": 3},
            "keep_failed": {"type": "int", "default": 2},
            "start": {"type": "dict", "default": {}},
            "container_id": {"type": "str", "default": ""},
            "diagnosis": {"type": "dict", "default": {}},
            "container": {"type": "str", "default": ""},
        },
        required_if=[
            ("state", "staged", ("compose", "env")),
            ("state", "current", ("name",)),
            ("state", "failed", ("name",)),
        ],
        supports_check_mode=True,
    )
    for name in ("keep", "keep_failed"):
        if module.params[name] < 1:
            module.fail_json(msg="%s: found %d, expected 1 or more." % (name, module.params[name]))
    service = releases.Service(module.params["path"])
    try:
        result = STATES[module.params["state"]](module, service)
    except OSError as error:
        untouched = " The running service was not touched." if module.params["state"] == "staged" else ""
        module.fail_json(msg="%s (state %s): %s%s" % (
            service.path, module.params["state"], folders.failed(service.path, error, ("releases",)),
            untouched))  # fmt: skip
    module.exit_json(**result)


if __name__ == "__main__":
    main()
