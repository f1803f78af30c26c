# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody should know of a service that was set up by hand. Pure Python; runs on the controller.

A concern is ``{kind, about, text}``; no text holds the value of a secret.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import environment, serve_argv, service_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.view import DEFAULT_SHM_BYTES, View
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import rules, vllm_options, vllm_versions

#: Keys that stand in examples, and words that people type in their place.
_WEAK = re.compile(
    r"^(sk-)?(empty|none|null|dummy|test|testing|secret|password|changeme|change-me|token|api-?key|my-?(api-?)?key|admin|"
    r"vllm|local|default|example|demo|no-?key|xxx+|abc123|token-abc123|1234\d*|0000+)$",
    re.IGNORECASE,
)
#: Shortest key that is not called weak, in characters: a bound of ours (16 of letters and digits are over 80 bits).
_LEAST_KEY = 16

#: Names of models that only their makers serve.
_OTHERS_NAMES = re.compile(
    r"^(gpt-(3|4|5)|chatgpt|o[134](-|$)|claude|gemini|text-embedding-|text-davinci|whisper-1$|grok)", re.I
)

#: Repositories whose licence must be accepted (their pages on the hub).
_GATED = re.compile(
    r"^(meta-llama/|google/(gemma-(?![4-9])|codegemma|paligemma|shieldgemma|medgemma|recurrentgemma)|Cohere(ForAI|Labs)/|"
    r"mistralai/(Mistral-Large|Codestral|Pixtral-Large|Ministral-8B)|bigcode/starcoder|black-forest-labs/|tiiuae/falcon-180)"
)

#: Methods that force a kernel slower than the one vLLM takes by itself (docs.vllm.ai, Quantization).
_SLOW = ("awq", "gptq")


def of_service(
    view: View,
    arguments: serve_argv.Arguments,
    said: service_variables.Said,
    around: service_variables.Around,
    started: str,
) -> list[dict]:
    """Return the concerns of a service that a container tells.

    Args:
        view: the container.
        arguments: of its server.
        said: the service in variables.
        around: what is known beside it.
        started: how it was started, as far as anybody knows.
    """
    name = view.service or view.name
    found: list[dict] = []

    def add(kind: str, about: str, text: str) -> None:
        found.append({"kind": kind, "about": about, "text": text})

    _image(add, name, view, around)
    _access(add, name, view, arguments, said)
    _options(add, arguments, around.version)
    _effects(add, view, arguments, around)
    _running(add, name, view, started)
    if arguments.value("trust-remote-code") is True:
        add(
            "trust-remote-code",
            name,
            "--trust-remote-code runs code of the model's repository; pin vllm_model_revision",
        )
    if view.env.get("VLLM_SERVER_DEV_MODE", "").lower() in ("1", "true"):
        add("dev-mode", name, "VLLM_SERVER_DEV_MODE opens development endpoints to whoever reaches the port")
    if arguments.value("quantization") in _SLOW:
        text = "--quantization %s forces a slow kernel; without it vLLM takes Marlin where the card can" % (
            arguments.value("quantization")
        )
        add("slow-quantization", "--quantization", text)
    names = arguments.value("served-model-name")
    for served in names if isinstance(names, list) else [names] if names else []:
        if _OTHERS_NAMES.search(str(served)) and str(served).lower() not in arguments.model.lower():
            add("misleading-name", str(served), "served under the name of another model")
    if _GATED.match(arguments.model) and "vllm_hf_token" not in said.secrets:
        add("gated-without-token", name, "the model is gated and no token is given: it runs from its cache only")
    return found


def _image(add, name: str, view: View, around: service_variables.Around) -> None:
    if service_variables.is_moving(view.image):
        tag = view.image.rpartition("/")[2].partition(":")[2] or "latest"
        add("latest-tag", name, "the tag %s moves: the next pull may bring another release" % tag)
    if around.image and not around.image.get("RepoDigests"):
        add("local-image", name, "%s is in no registry: after a prune nothing brings it back" % view.image)
    if around.version and _too_old(around.version):
        add("version-too-old", name, "vLLM %s; the collection takes 0.11.0 and later" % around.version)


def _is_release(version: str) -> bool:
    try:
        vllm_versions.release(version)
    except ValueError:
        return False
    return True


def _too_old(version: str) -> bool:
    return _is_release(version) and vllm_versions.release(version) < (0, 11, 0)


def _access(add, name: str, view: View, arguments, said) -> None:
    keys = environment.keys(view.env, arguments)
    places = [item for item in service_variables.reached_at(view, arguments) if service_variables.is_open(item[0])]
    if places and "vllm_api_key" not in said.secrets:
        where = "every address" if places[0][0] == "" else places[0][0]
        add("open-without-key", name, "port %d is open on %s and nobody needs a key" % (places[0][1], where))
    if arguments.value("api-key") not in (None, "", True):
        add("key-in-process-list", name, "--api-key shows the key to everybody who may list processes or inspect it")
    if any(_WEAK.match(key) or len(key) < _LEAST_KEY or len(set(key)) < 5 for key in keys):
        add("weak-key", name, "the API key can be guessed: it is short, or a word of examples")
    if arguments.value("hf-token") not in (None, "", True):
        add("key-in-process-list", name, "--hf-token shows the token to everybody who may list processes")


def _options(add, arguments: serve_argv.Arguments, version: str) -> None:
    for name in arguments.twice:
        add("option-twice", "--" + name, "it is given several times; only the last one counts")
    for word in arguments.stray:
        add("stray-argument", word.strip() or "\\", "it belongs to no option")
    if not _is_release(version):
        # a build of one's own calls itself "dev"
        return
    known = vllm_options.options(version)
    newest = vllm_options.versions()[-1]
    later = vllm_options.options(newest)
    history = vllm_options.data()["options"]
    for name, _value in arguments.options:
        head = name.partition(".")[0]
        written = arguments.written.get(name, "--" + name).partition(".")[0]
        if head not in known or _too_old(version):
            if head not in history and vllm_options.long_name(version, head) not in history:
                add("option-gone", written, "no release from 0.11.0 on has it")
            elif head not in known:
                add("option-gone", written, "vLLM %s does not take it" % version)
        elif head not in later:
            gone = next(item for item in _from(version) if head not in vllm_options.options(item))
            hint = vllm_versions.REPLACEMENTS.get(head, "")
            text = "gone from %s on%s" % (gone, "; instead: " + hint if hint else "")
            add("option-deprecated", written, text)


def _from(version: str) -> list[str]:
    order = vllm_options.versions()
    return order[order.index(vllm_options.nearest_known(version)[0]) :]


def _effects(add, view: View, arguments, around) -> None:
    if view.ipc == "host" and view.shm_bytes != DEFAULT_SHM_BYTES:
        add("without-effect", "shm_size", "ignored beside ipc: host")
    if around.shell or "vllm-openai" not in view.image:
        return
    for name in sorted(view.env):
        if not environment.is_read(name):
            add("without-effect", name, "vLLM does not read %s" % name)


def _running(add, name: str, view: View, started: str) -> None:
    script = serve_argv.script(view.argv())
    if script and serve_argv.server(view.argv()) is None:
        add("start-script", name, "%s starts the server; its options are read from the process" % script)
    if view.user and view.user.partition(":")[0] not in ("0", "root"):
        add("user", name, "it runs as %s, who must be able to write to its folders" % view.user)
    supervised = "systemctl" in started
    if supervised:
        unit = re.search(r"[\w@.-]+\.service", started)
        text = "systemd restarts and removes the container: disable the unit right before the first change, not now"
        add("other-supervisor", unit[0] if unit else name, text)
    elif view.state and view.state not in ("running", "restarting"):
        add("not-running", name, "its container is %s" % view.state)
    elif view.state == "restarting":
        add("not-running", name, "its container ends and is started again and again")
    if not supervised and started.startswith("terminal"):
        add("dies-with-terminal", name, "it was started in the foreground and ends with its terminal")
    elif not supervised and view.restart == "no" and not view.auto_remove:
        add("no-restart-policy", name, "no restart policy: after a reboot or a crash nothing serves")
    elif not supervised and view.restart == "no":
        add("no-restart-policy", name, "no restart policy, and --rm: after a crash even the container is gone")


def of_files(texts: dict[str, str], secrets: dict[str, str], name: str) -> list[dict]:
    """Return the concerns about secrets that stand in files where they do not belong.

    Args:
        texts: by path, files that are neither ``.env`` nor given to a container as variables or as a secret.
        secrets: of the service.
        name: of the service.
    """
    found = []
    for variable, value in secrets.items():
        inside = sorted(path for path, text in texts.items() if len(value) > 3 and value in text)
        if not inside:
            continue
        kind = "key-in-clear" if variable == "vllm_api_key" else "token-in-clear"
        found.append({"kind": kind, "about": name, "text": "%s stands in %s" % (_named(variable), ", ".join(inside))})
    return found


def _named(variable: str) -> str:
    return {"vllm_api_key": "the API key", "vllm_hf_token": "the token"}.get(variable, "a secret")


def shared_gpus(services: list[dict]) -> list[dict]:
    """Return the GPUs that several services use; each service ``{service, variables}``."""
    found = []
    for index, first in enumerate(services):
        for second in services[index + 1 :]:
            both = [
                gpu
                for gpu in first["variables"].get("vllm_gpu_devices") or []
                if gpu in (second["variables"].get("vllm_gpu_devices") or [])
            ]
            if both:
                shares = " + ".join(
                    str(item["variables"].get("vllm_gpu_memory_utilization", "vLLM's own share"))
                    for item in (first, second)
                )
                text = "both share GPU %s: %s of its memory; start one after the other" % (", ".join(both), shares)
                about = "%s, %s" % (first["service"], second["service"])
                found.append({"kind": "shared-gpu", "about": about, "text": text})
    return found


def version_is_usable(version: str) -> bool:
    """Tell whether a text is a release in the form that ``vllm_version`` takes."""
    return bool(rules.VERSION.match(version))
