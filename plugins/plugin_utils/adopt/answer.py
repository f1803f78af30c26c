# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of vLLM that was set up by hand, in the collection's words. Pure Python; runs on the controller.

The same for a host (``adopt_info``) and for a folder with what a host said once (tools/adopt_cases.py).

Private to this collection; may change at any time.
"""

from __future__ import annotations

import posixpath
import re

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import (
    compose_files,
    compose_view,
    concerns,
    rendering,
    serve_argv,
    service_variables,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import view as views

#: How a service looks that a Compose file describes and whose image is vLLM's.
_VLLM_IMAGE = re.compile(r"(^|[/-])vllm([-/:@]|$)|vllm-openai")

#: Programs that only keep a container alive, whatever its image is.
_IDLE = ("sleep", "tail", "cat")

#: What a container that was made by this collection lies under.
_OWN_PROJECT = re.compile(r"^vllm-[a-z][a-z0-9_-]*$")


def find(found: dict, options: dict, only: list[str] | None = None, vllm_dir: str = "/opt/vllm") -> dict:
    """Return ``{services, left_alone, warnings, adopt}``.

    Args:
        found: ``host``, ``containers``, ``images``, ``processes``, ``http``, ``files`` (texts by absolute path),
            ``neighbours`` (networks of the other containers, by name), ``environ`` and ``units`` where there are any.
        options: the options of the role ``vllm``.
        only: names of containers or services that are meant; all without.
        vllm_dir: where this collection keeps its own services.
    """
    projects = _projects(found)
    services, warnings, left, taken = [], [], [], []
    # by name, since Docker lists the newest first and a second look shall say the same
    for name, data in sorted(found["containers"].items()):
        image = _image(found, data)
        view = views.from_inspect(data, image)
        view.name = view.name or name
        if _is_own(view, vllm_dir) or not _is_vllm(view, found["processes"].get(name)):
            continue
        if only and view.name not in only and view.service not in only:
            left.append(view.service or view.name)
            continue
        service = _service(found, view, name, image, projects, options, taken)
        taken.append(service["name"])
        services.append(service)
        warnings += service.pop("concerns")
    warnings += concerns.shared_gpus(services)
    for project in projects.values():
        _unadopted(found, project, services, left, warnings, only)
    for name in sorted(found.get("neighbours") or {}):
        if not any(name in (item["container"], item["service"]) for item in services) and name not in left:
            facts = found["neighbours"][name]
            if facts.get("service") not in left and not _OWN_PROJECT.match(facts.get("project", "")):
                left.append(facts.get("service") or name)
    why = [text for item in services for text in item["why_not"]]
    if not services:
        why.append("nothing runs that could be taken over")
    return {
        "adopt": {"without_restart": not why, "why": "; ".join(why) or "everything that clients notice has a variable"},
        "services": services,
        "left_alone": list(dict.fromkeys(left)),
        "warnings": warnings,
    }


def _projects(found: dict) -> dict[str, compose_files.Project]:
    """Return the Compose projects, by their folder."""
    home = found["host"].get("home") or "/root"
    projects: dict[str, compose_files.Project] = {}
    places: dict[str, tuple[list[str], str]] = {}
    for data in found["containers"].values():
        labels = (data.get("Config") or {}).get("Labels") or {}
        folder = labels.get("com.docker.compose.project.working_dir")
        files = [item for item in (labels.get("com.docker.compose.project.config_files") or "").split(",") if item]
        if folder:
            files = [item if item.startswith("/") else posixpath.join(folder, item) for item in files]
            places[folder] = (files, labels.get("com.docker.compose.project", ""))
    folder = found["host"].get("directory") or ""
    if folder and folder not in places and not places:
        places[folder] = ([], "")
    for folder, (files, name) in places.items():
        there = [path for path in files if path in found["files"]] or compose_files.found_in(found["files"], folder)
        if there:
            projects[folder] = compose_files.read(found["files"], there, folder, name, home)
    return projects


def _image(found: dict, data: dict) -> dict:
    """Return the image of a container: by its id, since a tag may have moved on."""
    images = found.get("images") or {}
    for image in images.values():
        if image.get("Id") and image["Id"] == data.get("Image"):
            return image
    reference = (data.get("Config") or {}).get("Image") or ""
    # one that was pulled since is another image
    return {} if data.get("Image") and (images.get(reference) or {}).get("Id") else images.get(reference) or {}


def _is_own(view: views.View, vllm_dir: str) -> bool:
    return bool(_OWN_PROJECT.match(view.project)) and view.directory.startswith(vllm_dir.rstrip("/") + "/")


def _is_vllm(view: views.View, process: list[str] | None) -> bool:
    if serve_argv.server(process or view.argv()) is not None:
        return True
    if _is_idle(view.argv()):
        return False
    text = " ".join(view.argv())
    return bool(re.search(r"\bvllm serve\b|vllm\.entrypoints\.", text) or _VLLM_IMAGE.search(view.image))


def _is_idle(words: list[str]) -> bool:
    return bool(words) and posixpath.basename(words[0]) in _IDLE


def _service(found: dict, view: views.View, key: str, image: dict, projects: dict, options: dict, taken: list) -> dict:
    """Return a service: what says it, what cannot be said, and what should be known."""
    http = (found.get("http") or {}).get(key) or {}
    project = projects.get(view.directory)
    version = service_variables.version_of(view, image, http)
    words, shell = _arguments(found, view, key)
    arguments = serve_argv.parse(words or [], version if concerns.version_is_usable(version) else "")
    around = service_variables.Around(
        version=version,
        image=image,
        host_gpus=found["host"].get("gpus") or [],
        shared_networks=_shared_networks(found, view, project),
        files=found["files"],
        shell=shell,
        environ=(found.get("environ") or {}).get(key) or {},
    )
    said = service_variables.say(view, arguments, around)
    if words is None:
        said.lacks("the options, which a script puts together and no process shows", noticed=True)
    _neighbours(said, view, project)
    said.notes += project.problems if project else []
    name = service_variables.service_name(view.service or view.name, taken)
    started = _how_started(found, view)
    if "systemctl start" in started:
        said.lacks("supervision by systemd: Docker's restart policy takes its place (vllm_restart_policy)")
    made, refused = _rendered(name, said, options)
    for message in refused:
        said.lacks("what the collection refuses: " + message, noticed=True)
    warned = concerns.of_service(view, arguments, said, around, started)
    warned += concerns.of_files(_open_files(found, view, project), said.secrets, view.service or view.name)
    warned += _drift(found, view, image, project)
    refs = [str(item) for item in image.get("RepoDigests") or []]
    noticed = _noticed(view, said, http)
    why = [text for _reason, text in noticed]
    return {
        "service": view.service or view.name,
        "name": name,
        "container": view.name,
        "container_id": view.container_id,
        "project": view.project,
        "directory": view.directory,
        "unit": started.partition("systemctl start ")[2].split(" ")[0] if "systemctl start" in started else "",
        "expressible": "exact" if not said.cannot else "no" if why else "partial",
        "variables": said.variables,
        "secrets": said.secrets,
        "cannot": [item["text"] for item in said.cannot],
        "notes": said.notes,
        "why_not": why,
        "noticed": noticed,
        "changes": rendering.changes(view, arguments, made, refs) if made else [],
        "concerns": warned,
    }


def _noticed(view, said, http: dict) -> list[tuple[str, str]]:
    """Return (reason, text) of what keeps the container from being left alone; a reason can be accepted."""
    why = [(item["reason"], item["text"]) for item in said.cannot if item["noticed"]]
    if view.state != "running":
        why.append(("", "%s is %s" % (view.name, view.state or "not there")))
    elif not http.get("/v1/models") and not http.get("/version"):
        why.append(("", "%s does not answer" % view.name))
    return why


def _arguments(found: dict, view: views.View, key: str) -> tuple[list[str] | None, str]:
    """Return the server's arguments, and the text of the shell that put them together."""
    process = (found.get("processes") or {}).get(key)
    argv, shell = view.argv(), ""
    if serve_argv.server(argv) is None and (serve_argv.is_shell(argv) or serve_argv.script(argv)):
        shell = "\n".join(argv)
        script = serve_argv.script(argv)
        for item in view.mounts:
            if script and item["target"] == script:
                shell += "\n" + found["files"].get(item["source"], "")
            elif script and script.startswith(item["target"].rstrip("/") + "/"):
                place = item["source"] + script[len(item["target"].rstrip("/")) :]
                shell += "\n" + found["files"].get(place, "")
    words = serve_argv.server(process or argv)
    if words is None and not process:
        words = serve_argv.of_shell(shell or "\n".join(argv), view.env)
    if words is None and not shell and argv and argv[0].startswith("-"):
        words = argv
    return _with_config(found, view, words), shell


def _with_config(found: dict, view: views.View, words: list[str] | None) -> list[str] | None:
    """Put the options of a file that ``--config`` names before those that were given."""
    for index, word in enumerate(words or []):
        if (word == "--config" and index + 1 < len(words)) or word.startswith("--config="):
            inline = word.startswith("--config=")
            path = word.partition("=")[2] if inline else words[index + 1]
            rest = words[:index] + words[index + (1 if inline else 2) :]
            for item in view.mounts:
                folder = item["target"].rstrip("/")
                if path == folder or path.startswith(folder + "/"):
                    text = found["files"].get(item["source"] + path[len(folder) :])
                    own = None if text is None else _config_words(text, rest)
                    if own is not None:
                        return own
            return words
    return words


def _config_words(text: str, rest: list[str]) -> list[str] | None:
    """Return the options of a file before those that were given; None where it holds none that vLLM would take."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        return None
    given = {word.partition("=")[0].lstrip("-").replace("_", "-") for word in rest if word.startswith("--")}
    words = []
    for name, value in content.items():
        name = str(name).replace("_", "-")
        if name in given or value is False or value is None:
            continue
        words.append("--" + name)
        words += [] if value is True else [str(i) for i in value] if isinstance(value, list) else [str(value)]
    # the positional model stays the first word
    lead = [rest[0]] if rest and not rest[0].startswith("-") else []
    return [*lead, *words, *rest[len(lead) :]]


def _shared_networks(found: dict, view: views.View, project: compose_files.Project | None) -> list[str]:
    """Return the networks of a container that are not its alone."""
    return [name for name in view.networks if _is_shared(found, view, project, name)]


def _is_shared(found: dict, view: views.View, project: compose_files.Project | None, name: str) -> bool:
    facts_of_others = [facts for key, facts in (found.get("neighbours") or {}).items() if key != view.name]
    if any(name in facts.get("networks", []) for facts in facts_of_others):
        return True
    if not view.project:
        return name not in ("bridge", "host", "none")
    others = [key for key in project.services if key != view.service] if project else []
    return name != "%s_default" % view.project or any(name in _networks_of(project, key) for key in others)


def _networks_of(project: compose_files.Project, name: str) -> list[str]:
    service = project.services[name]
    if not compose_files.is_on(project, service) or _is_vllm_service(project, name, {}):
        return []
    return list(compose_view.of_service(project, name, "").networks)


def _is_vllm_service(project: compose_files.Project, name: str, files: dict[str, str]) -> bool:
    service = project.services[name]
    words = [*compose_files.words(service.get("entrypoint")), *compose_files.words(service.get("command"))]
    text = " ".join(words)
    if _is_idle(words):
        return False
    if _VLLM_IMAGE.search(str(service.get("image") or "")) or re.search(r"\bvllm serve\b|vllm\.entrypoints\.", text):
        return True
    build = service.get("build")
    if not build:
        return False
    folder = build if isinstance(build, str) else str(build.get("context") or ".")
    file = "Dockerfile" if isinstance(build, str) else str(build.get("dockerfile") or "Dockerfile")
    path = posixpath.normpath(posixpath.join(project.directory, folder, file))
    return bool(re.search(r"^FROM\s+\S*vllm", files.get(path, ""), re.MULTILINE | re.IGNORECASE))


def _neighbours(said, view: views.View, project: compose_files.Project | None) -> None:
    """Note who of the same Compose project needs the service by its name there."""
    if not project:
        return
    names = {view.service, view.name, *(alias for aliases in view.networks.values() for alias in aliases)}
    for key, service in project.services.items():
        if key == view.service or not compose_files.is_on(project, service):
            continue
        text = str({k: v for k, v in service.items() if k != "depends_on"})
        by_name = any(re.search(r"(//|@)%s(:\d+|/|['\"\s]|$)" % re.escape(name), text) for name in names if name)
        depends = service.get("depends_on") or []
        if view.service in depends or by_name:
            said.lacks(
                "the place of %s in its Compose project: %s %s, so `docker compose up` there would make a second one. "
                "Take it out of that file first" % (
                    view.service, key, "depends on it" if view.service in depends else "asks it by its name"),
                noticed=True, reason="neighbours",
            )  # fmt: skip


def _how_started(found: dict, view: views.View) -> str:
    """Return how a container was started: by a unit of systemd, in a terminal, or as the host says it."""
    for unit, text in (found.get("units") or {}).items():
        if re.search(r"(--name[ =]|\s)%s(\s|$)" % re.escape(view.name), text):
            return "systemctl start %s" % unit
    started = str(found["host"].get("started_by") or "")
    if "systemctl" in started or view.project:
        return started if "systemctl" in started else ""
    if re.search(r"nohup|tmux|screen|terminal", started):
        return "terminal: " + started
    for path, text in found["files"].items():
        for words in compose_view.runs(text, {}, found["host"].get("home") or "/root"):
            if compose_view.name_of_run(words) == view.name and not compose_view.is_detached(words):
                if path.endswith(".service"):
                    return "systemctl start %s" % posixpath.basename(path)
                return "terminal: %s" % path
    return started


def _open_files(found: dict, view: views.View, project: compose_files.Project | None) -> dict[str, str]:
    """Return the texts in which no secret belongs: not ``.env``, files of variables and secret files."""
    secret = {item["source"] for item in view.mounts if item["target"].startswith("/run/secrets/")}
    env_files = set()
    for text in found["files"].values():
        for words in compose_view.runs(text, {}, ""):
            env_files.update(compose_view.env_files_of_run(words))
        for match in re.finditer(r"^\s*EnvironmentFile=-?(\S+)", text, re.MULTILINE):
            env_files.add(match[1])
    texts = {}
    for path, text in found["files"].items():
        base = posixpath.basename(path)
        if base == ".env" or base.endswith(".env") or base.startswith(".env") or path in secret or path in env_files:
            continue
        if "/etc/default/" in path or "/etc/sysconfig/" in path or not _is_place_of(path, view, project):
            continue
        texts[path] = text
    return texts


def _is_place_of(path: str, view: views.View, project: compose_files.Project | None) -> bool:
    return not project or path.startswith(project.directory.rstrip("/") + "/") or view.name in path


def _rendered(name: str, said, options: dict) -> tuple[dict, list[str]]:
    values = {key: option.get("default") for key, option in options.items()}
    variables = {**said.variables}
    extra = variables.get("vllm_extra_env") or {}
    variables["vllm_extra_env"] = {key: _resolved(value, said.secrets) for key, value in extra.items()}
    own = {key: value for key, value in said.secrets.items() if key.startswith("vllm_")}
    values.update({**variables, **own, "vllm_name": name, "vllm_profile": "none"})
    return rendering.rendered(values, options)


def _resolved(value: object, secrets: dict[str, str]) -> object:
    match = re.match(r"^\{\{ (adopted_\w+) \}\}$", str(value))
    return secrets.get(match[1], "") if match else value


def _drift(found: dict, view: views.View, image: dict, project: compose_files.Project | None) -> list[dict]:
    """Return in what a container is not what its file says by now."""
    differs = []
    reference = (found.get("images") or {}).get(view.image) or {}
    if view.image_id and reference.get("Id") and reference["Id"] != view.image_id:
        differs.append("its tag %s means another image by now" % view.image)
    if project and view.service in project.services:
        file = compose_view.of_service(project, view.service, found["host"].get("home") or "/root")
        differs += _differences(file, view, image)
    if not differs:
        return []
    text = "the file does not say what runs (%s); what runs counts" % "; ".join(differs)
    return [{"kind": "drift", "about": view.service or view.name, "text": text}]


def _differences(file: views.View, view: views.View, image: dict) -> list[str]:
    found = []
    if (
        file.image != view.image
        and not view.image.startswith("sha256:")
        and not file.image.startswith(view.project + "-")
    ):
        found.append("image")
    config = image.get("Config") or {}
    theirs = [*(file.entrypoint or config.get("Entrypoint") or []), *file.command]
    if file.command and theirs and theirs != view.argv() and file.command != view.command:
        found.append("command")
    mine = views.pairs(config.get("Env"))
    env = {name: value for name, value in file.env.items() if mine.get(name) != value}
    if env != view.env:
        names = sorted(name for name in {**env, **view.env} if env.get(name) != view.env.get(name))
        found.append("environment %s" % ", ".join(names))
    ports = [sorted((i["address"], i["host"], i["container"]) for i in side.ports) for side in (file, view)]
    if ports[0] != ports[1] and view.network_mode != "host":
        found.append("ports")
    if file.restart != view.restart:
        found.append("restart policy")
    targets = [
        {item["target"]: item["source"] for item in side.mounts if item["type"] == "bind"} for side in (file, view)
    ]
    targets[1] = {key: value for key, value in targets[1].items() if not key.startswith("/run/secrets/")}
    if targets[0] != targets[1]:
        found.append("mounts")
    if file.shm_bytes != view.shm_bytes or (file.ipc or "private") != (view.ipc or "private"):
        found.append("shared memory")
    return found


def _unadopted(found: dict, project, services: list, left: list, warnings: list, only: list[str] | None) -> None:
    """Note the services of a project that are not vLLM, and those of vLLM that do not run."""
    adopted = [item["service"] for item in services if item["directory"] == project.directory]
    for name, service in project.services.items():
        if name in adopted or name in left:
            continue
        if not _is_vllm_service(project, name, found["files"]):
            if compose_files.is_on(project, service):
                left.append(name)
        elif not only:
            off = not compose_files.is_on(project, service)
            text = "its profile is off: it is not taken over" if off else "it is in the file and does not run"
            warnings.append({"kind": "not-running", "about": name, "text": text})
