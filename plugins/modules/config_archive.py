#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: archive Compose and .env files that nothing uses, and give them back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_archive
short_description: Archive Compose and .env files that nothing uses, and give them back
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - O(state=listed) tells which files would go and which stay, each with why. O(state=archived) moves those of
    O(files) into a new folder with a manifest. O(state=restored) gives the files of an archive back, byte for byte,
    with owner, mode and time.
  - A file that a container uses, running or not, that a unit of systemd or cron names, or that such a file names,
    stays.
  - Encryption is done on the controller. Sensitive files come with O(encrypted), and go back with O(contents).
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(files) says what is moved.
options:
  state:
    description: What to do.
    type: str
    choices: [listed, archived, restored]
    required: true
  folders:
    description: Where to look, for O(state=listed).
    type: list
    elements: path
    default: []
  patterns:
    description: Names of files to look at, for O(state=listed).
    type: list
    elements: str
    default: []
  keep:
    description: Names or paths that stay whatever else says, for O(state=listed).
    type: list
    elements: str
    default: []
  vllm_dir:
    description: Folder of the collection's own services, which is left out.
    type: path
    default: /opt/vllm
  files:
    description: Of RV(files), what to move, for O(state=archived).
    type: list
    elements: dict
    default: []
  base:
    description: Folder in which archives are made, and looked for.
    type: path
    default: ""
  archive:
    description: The archive to give back, for O(state=restored); empty for the newest of O(base).
    type: path
    default: ""
  encrypted:
    description: Encrypted content of sensitive files by path, for O(state=archived).
    type: dict
    default: {}
  redact:
    description: Whether sensitive files lose the values of their variables instead.
    type: bool
    default: false
  contents:
    description: Decrypted content of encrypted files by path, in base64, for O(state=restored).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look for files that nothing uses
  myia.vllm.config_archive:
    state: listed
    folders: [/srv/llm]
    patterns: ["docker-compose*.yml", ".env*"]
  register: found
"""

RETURN = r"""
files:
  description: Files that go, went or came back, with C(path), C(why), C(sensitive), C(sha256) or what the manifest has.
  returned: always
  type: list
  elements: dict
kept:
  description: Files that stay, with C(path) and C(why).
  returned: for O(state=listed)
  type: list
  elements: dict
archive: {description: "Folder of the archive.", type: str, returned: always}
encrypted:
  description: Encrypted files of the archive, with C(path) and the C(file) on the host.
  returned: for O(state=restored)
  type: list
  elements: dict
problems: {description: "Why not all can be given back.", type: list, elements: str, returned: always}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.archive import finder, store
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli


def listed(module: AnsibleModule) -> dict:
    """Return which files go and which stay."""
    p = module.params
    used = finder.in_use(docker_cli.runner(module))
    goes, stays = finder.find(p["folders"], p["patterns"], p["keep"], used, p["vllm_dir"])
    for item in goes:
        item["sha256"] = store.digest(item["path"])
    return {"changed": False, "files": goes, "kept": stays, "archive": "", "problems": []}


def archived(module: AnsibleModule) -> dict:
    """Move files into a new archive; what began to be used since it was looked at refuses all of it."""
    p = module.params
    folder = store.new_folder(p["base"])
    used = finder.in_use(docker_cli.runner(module))
    taken = [item["path"] for item in p["files"] if finder.why_used(item["path"], used)]
    if taken:
        raise store.StoreError("%s is in use by now. Run the playbook again. Nothing was moved" % ", ".join(taken))
    entries = p["files"]
    if p["files"] and not module.check_mode:
        entries = store.archive(folder, p["files"], p["encrypted"], p["redact"])
    return {"changed": bool(p["files"]), "files": entries, "archive": folder if p["files"] else "", "problems": []}


def restored(module: AnsibleModule) -> dict:
    """Give files back."""
    p = module.params
    folder = p["archive"] or store.newest(p["base"])
    if not folder:
        raise store.StoreError("there is no archive in %s. Nothing was given back" % p["base"])
    manifest = store.read(folder)
    waiting = [
        {"path": entry["path"], "file": os.path.join(folder, entry["file"])}
        for entry in manifest["files"]
        if entry["kept"] == store.ENCRYPTED and not entry.get("restored") and not os.path.lexists(entry["path"])
    ]
    problems = store.problems(manifest)
    # without the contents of encrypted files, which the controller reads in between, nothing is touched
    complete = all(item["path"] in p["contents"] for item in waiting)
    done = store.restore(folder, p["contents"], module.check_mode or not complete)
    entries = [entry for entry in manifest["files"] if entry["path"] in done]
    return {
        "changed": bool(done) and (complete or module.check_mode),
        "files": entries,
        "encrypted": waiting,
        "archive": folder,
        "problems": problems,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listed", "archived", "restored"], "required": True},
            "folders": {"type": "list", "elements": "path", "default": []},
            "patterns": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "list", "elements": "str", "default": []},
            "vllm_dir": {"type": "path", "default": "/opt/vllm"},
            "files": {"type": "list", "elements": "dict", "default": []},
            "base": {"type": "path", "default": ""},
            "archive": {"type": "path", "default": ""},
            "encrypted": {"type": "dict", "default": {}},
            "redact": {"type": "bool", "default": False},
            "contents": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    work = {"listed": listed, "archived": archived, "restored": restored}[module.params["state"]]
    try:
        module.exit_json(**work(module))
    except store.StoreError as error:
        module.fail_json(msg="%s." % error)
    except RuntimeError as error:
        module.fail_json(msg="Docker does not say which files containers use: %s. Nothing was moved." % error)
    except OSError as error:
        ends = {
            "restored": "What came back before is told by the manifest; run the playbook again to go on",
            "archived": "Nothing was moved",
            "listed": "Run the playbook again",
        }
        said = "%s%s" % (error.strerror or error, " (%s)" % error.filename if error.filename else "")
        module.fail_json(msg="%s. %s." % (said, ends[module.params["state"]]))


if __name__ == "__main__":
    main()
