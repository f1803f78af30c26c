# SPDX-License-Identifier: GPL-3.0-or-later
"""Read somebody's Compose files: several, ``extends``, ``include``, ``env_file``, profiles, short and long forms.

Not all of Compose: what a file says of a service that runs is known better from the container. The files tell what is
not there any more, what does not run, who else is in the project, and where a secret stands. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import shlex

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import interpolation, view

#: Names under which Compose looks for its file, the first wins (compose-go, cli/options.go).
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")

#: Files that extend them by themselves.
_OVERRIDES = {
    "compose.yaml": "compose.override.yaml",
    "compose.yml": "compose.override.yml",
    "docker-compose.yml": "docker-compose.override.yml",
    "docker-compose.yaml": "docker-compose.override.yaml",
}

#: Keys whose values of several files are put together; others are replaced.
_LISTS = ("ports", "expose", "dns", "tmpfs", "devices", "cap_add", "cap_drop", "security_opt", "env_file")


#: Of which form values are, in a service and at the top (compose-spec, schema/compose-spec.json). Compose refuses what
#: has another one, so that it says nothing of what runs.
_OF_SERVICE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("deploy", "healthcheck", "logging", "ulimits"), (dict,)),
    **dict.fromkeys(("devices", "ports", "profiles", "secrets", "volumes"), (list,)),
    **dict.fromkeys(("depends_on", "environment", "extra_hosts", "labels", "networks"), (dict, list)),
    **dict.fromkeys(("build", "extends"), (str, dict)),
}
_AT_TOP: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("configs", "networks", "secrets", "services", "volumes"), (dict,)),
    "include": (list,),
}


@dataclasses.dataclass
class Project:
    """What the files of a project say."""

    name: str = ""
    directory: str = ""
    #: By name of the service: what the file says, with its variables replaced.
    services: dict[str, dict] = dataclasses.field(default_factory=dict)
    top: dict = dataclasses.field(default_factory=dict)
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    profiles: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Reads tags of Compose (``!reset``, ``!override``) as what stands behind them."""


def _any_tag(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _any_tag)


def found_in(files: dict[str, str], directory: str) -> list[str]:
    """Return the files that Compose would read in a folder by itself; empty where there is none."""
    for name in NAMES:
        path = posixpath.join(directory, name)
        if path in files:
            more = posixpath.join(directory, _OVERRIDES[name])
            return [path, more] if more in files else [path]
    return []


def read(files: dict[str, str], paths: list[str], directory: str, name: str, home: str) -> Project:
    """Read a project.

    Args:
        files: texts of files of the host, by absolute path.
        paths: the project's files in their order.
        directory: its folder.
        name: its name; empty for the one that Compose gives it.
        home: home of who started it.
    """
    env = {"HOME": home, "PWD": directory}
    env.update(interpolation.read_env(files.get(posixpath.join(directory, ".env"), ""), env))
    project = Project(name=name, directory=directory, env=env)
    whole: dict = {}
    for path in paths:
        whole = _merged(whole, _document(files, path, env, home, project, depth=0))
    project.top = {key: value for key, value in whole.items() if key != "services"}
    project.name = name or str(project.top.get("name") or "") or _project_name(directory)
    project.services = {key: value or {} for key, value in (whole.get("services") or {}).items()}
    given = env.get("COMPOSE_PROFILES", "")
    project.profiles = [item.strip() for item in given.split(",") if item.strip()]
    return project


def is_on(project: Project, service: dict) -> bool:
    """Tell whether ``docker compose up`` starts a service."""
    profiles = service.get("profiles") or []
    return not profiles or "*" in project.profiles or any(item in project.profiles for item in profiles)


def _project_name(directory: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", posixpath.basename(directory).lower()).lstrip("_-")


def _document(files: dict, path: str, env: dict, home: str, project: Project, depth: int) -> dict:
    """Return a file's content with its variables replaced, and what it includes and extends put in."""
    if path not in files or depth > 8:
        project.problems.append("%s was not read" % path)
        return {}
    try:
        content = yaml.load(files[path], Loader=_Loader) or {}
    except yaml.YAMLError:
        project.problems.append("%s is no YAML" % path)
        return {}
    if not isinstance(content, dict):
        project.problems.append("%s is no Compose file" % path)
        return {}
    try:
        content = _shaped(interpolation.everywhere(content, env), path, project)
    except RecursionError:
        # an alias within what it stands for
        project.problems.append("%s is no Compose file" % path)
        return {}
    folder = posixpath.dirname(path)
    whole: dict = {}
    for item in content.pop("include", None) or []:
        for other in _texts(item.get("path") if isinstance(item, dict) else item):
            whole = _merged(whole, _document(files, _path(other, folder, home), env, home, project, depth + 1))
    services = content.get("services") or {}
    for name, service in services.items():
        services[name] = _extended(files, path, service or {}, services, env, home, project, depth)
    for service in services.values():
        service["environment"] = _environment(files, service, folder, env, home, project)
    return _merged(whole, content)


def _shaped(content: dict, path: str, project: Project) -> dict:
    """Return a file's content without what has a form that Compose does not take, which is noted."""
    content = _of_form(content, _AT_TOP, path, project)
    for part in _AT_TOP:
        if part != "include" and part in content:
            content[part] = _of_form(content[part] or {}, dict.fromkeys(content[part] or (), (dict,)), path, project)
    services = content.get("services") or {}
    for name, service in services.items():
        services[name] = _of_form(service or {}, _OF_SERVICE, path, project)
    return content


def _of_form(values: dict, forms: dict[str, tuple[type, ...]], path: str, project: Project) -> dict:
    wrong = [
        key for key, value in values.items() if value is not None and key in forms and not isinstance(value, forms[key])
    ]
    project.problems += [
        "%s: %s has a form that Compose does not take, and was not read" % (path, key) for key in wrong
    ]
    return {key: value for key, value in values.items() if key not in wrong}


def inner(values: dict, *keys: str) -> dict:
    """Return the mapping that stands below some keys; empty where there is none."""
    for key in keys:
        found = values.get(key)
        values = found if isinstance(found, dict) else {}
    return values


def _extended(files, path, service, services, env, home, project, depth) -> dict:
    """Return a service with what it extends below it."""
    base = service.get("extends")
    if not base or depth > 8:
        return dict(service)
    base = {"service": base} if isinstance(base, str) else base
    if base.get("file"):
        other = _path(base["file"], posixpath.dirname(path), home)
        document = _document(files, other, env, home, project, depth + 1)
        below = (document.get("services") or {}).get(base.get("service")) or {}
    else:
        below = services.get(base.get("service")) or {}
        below = _extended(files, path, below, services, env, home, project, depth + 1)
    own = {key: value for key, value in service.items() if key != "extends"}
    below = {key: value for key, value in below.items() if key not in ("depends_on",)}
    if isinstance(below.get("environment"), (dict, list)):
        below["environment"] = view.pairs(below["environment"])
    return _merged_service(below, own)


def _environment(files: dict, service: dict, folder: str, env: dict, home: str, project: Project) -> dict[str, str]:
    """Return the variables of a service, those of its files first."""
    found: dict[str, str] = {}
    for item in _texts(service.pop("env_file", None)):
        path = item.get("path") if isinstance(item, dict) else item
        place = _path(path, folder, home)
        if place in files:
            raw = isinstance(item, dict) and item.get("format") == "raw"
            found.update(interpolation.read_env(files[place], env, raw))
        elif not isinstance(item, dict) or item.get("required", True):
            project.problems.append("%s was not read" % place)
    given = service.get("environment")
    if isinstance(given, list):
        for entry in given:
            name, equals, value = str(entry).partition("=")
            if equals or name in env:
                found[name] = value if equals else env[name]
        return found
    for name, value in (given or {}).items():
        if value is not None or name in env:
            found[str(name)] = env[name] if value is None else view.text(value)
    return found


def _merged(first: dict, second: dict) -> dict:
    result = dict(first)
    for key, value in second.items():
        if key == "services" and isinstance(result.get(key), dict):
            services = dict(result[key])
            for name, service in (value or {}).items():
                services[name] = _merged_service(services.get(name) or {}, service or {})
            result[key] = services
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = {**result[key], **value}
        else:
            result[key] = value
    return result


def _merged_service(first: dict, second: dict) -> dict:
    result = dict(first)
    for key, value in second.items():
        before = result.get(key)
        if key == "environment":
            result[key] = {**view.pairs(before), **view.pairs(value)}
        elif key == "volumes" and before:
            targets = {mount(item, "", "", {}, "")["target"] for item in value or []}
            result[key] = [i for i in before if mount(i, "", "", {}, "")["target"] not in targets] + list(value or [])
        elif key in _LISTS and before:
            result[key] = [*_texts(before), *[item for item in _texts(value) if item not in _texts(before)]]
        elif isinstance(value, dict) and isinstance(before, dict):
            result[key] = _deep(before, value)
        else:
            result[key] = value
    return result


def _deep(first: dict, second: dict) -> dict:
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _deep(result[key], value) if both else value
    return result


def _texts(value: object) -> list:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _path(path: object, folder: str, home: str) -> str:
    text = str(path)
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    return posixpath.normpath(posixpath.join(folder, text))


def words(value: object) -> list[str]:
    """Return a command or entrypoint as a list of words; a text is split as a shell would."""
    if isinstance(value, (list, tuple)):
        return [view.text(item) for item in value]
    try:
        return shlex.split(str(value or ""))
    except ValueError:
        return str(value).split()


def mount(item: object, directory: str, home: str, volumes: dict, project: str) -> dict:
    """Return a mount in the form of a view; of a short or long form."""
    if isinstance(item, dict):
        kind, source, target = (
            item.get("type") or "volume",
            str(item.get("source") or ""),
            str(item.get("target") or ""),
        )
        writable = not item.get("read_only")
    else:
        parts = str(item).split(":")
        source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
        writable = "ro" not in parts[2].split(",") if len(parts) > 2 else True
        kind = "bind" if source[:1] in ("/", ".", "~") else "volume"
    if kind == "bind":
        source = _path(source, directory, home) if directory else source
    elif kind == "volume" and source:
        facts = volumes.get(source) or {}
        external = facts.get("external")
        name = facts.get("name") or (external.get("name") if isinstance(external, dict) else "")
        source = str(name or (source if external or not project else "%s_%s" % (project, source)))
    return {"type": kind, "source": source, "path": "", "target": target, "writable": writable}
