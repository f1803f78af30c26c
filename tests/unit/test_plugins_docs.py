# SPDX-License-Identifier: GPL-3.0-or-later
"""Every plugin is documented so that ansible-doc shows it, and every Python file is one that hosts can run."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import add_fragments

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SPDX = "# SPDX-License-Identifier: GPL-3.0-or-later"
PYTHON = sorted(
    path
    for folder in ("plugins", "tests", "tools", "molecule")
    for path in (ROOT / folder).rglob("*.py")
    if "collections" not in path.parts and "__pycache__" not in path.parts
)
#: Files that run on target hosts, whose Python may be 3.9.
ON_HOSTS = sorted([*(ROOT / "plugins" / "modules").glob("*.py"), *(ROOT / "plugins" / "module_utils").rglob("*.py")])

#: Folder of each kind of plugin that ansible-doc knows.
KINDS = {"module": "modules", "filter": "filter", "lookup": "lookup"}


def names(kind: str) -> list[str]:
    """Full names of the plugins of a kind."""
    return ["myia.vllm." + path.stem for path in sorted((ROOT / "plugins" / KINDS[kind]).glob("*.py"))]


def relative(path: pathlib.Path) -> str:
    """Name of a file in the checkout."""
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def ansible_doc(tmp_path_factory):
    """What ansible-doc makes of all plugins of a kind, by full name; one run a kind."""
    home = tmp_path_factory.mktemp("home")
    cache: dict[str, dict] = {}

    def show(kind: str) -> dict:
        if kind not in cache:
            done = subprocess.run(
                [str(pathlib.Path(sys.executable).parent / "ansible-doc"), "--json", "-t", kind, *names(kind)],
                cwd=ROOT,
                env={
                    **os.environ,
                    "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                    "ANSIBLE_HOME": str(home),
                    "ANSIBLE_NOCOLOR": "1",
                },
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "ERROR" not in done.stderr, done.stderr
            assert "WARNING" not in done.stderr, done.stderr
            cache[kind] = json.loads(done.stdout)
        return cache[kind]

    return show


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in names(kind)])
def test_ansible_doc(kind, name, ansible_doc) -> None:
    """It loads, with a description, every option described, and an example that uses the full name."""
    shown = ansible_doc(kind)[name]
    doc = shown["doc"]
    assert doc["short_description"]
    assert doc["description"]
    for option, spec in (doc.get("options") or {}).items():
        assert spec["description"], option
    assert name in shown["examples"]
    assert yaml.safe_load(shown["examples"])
    if kind == "module":
        assert {"check_mode", "diff_mode"} <= set(doc["attributes"])
    assert shown["return"] is None or isinstance(shown["return"], dict)


@pytest.mark.parametrize("path", [*(ROOT / "plugins" / "modules").glob("*.py")], ids=lambda path: path.stem)
def test_options_match_the_code(path) -> None:
    """DOCUMENTATION and argument_spec name the same options with the same defaults, types and choices."""
    action = ROOT / "plugins" / "action" / path.name
    documented = None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            doc = yaml.safe_load(ast.literal_eval(node.value))
            add_fragments(doc, str(path), fragment_loader=fragment_loader, is_module=True)
            documented = doc["options"]
    assert documented is not None
    spec: dict = {}
    for node in ast.walk(ast.parse((action if action.exists() else path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "argument_spec":
            spec = ast.literal_eval(node.value)
    assert set(spec) == set(documented)
    for name, option in documented.items():
        for key in ("type", "required", "default", "choices", "elements"):
            assert spec[name].get(key) == option.get(key), "%s of %s" % (key, name)


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_spdx_line(path) -> None:
    """The licence is the first line, or the second after a shebang."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines, "the file is empty"
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    assert first == SPDX


def test_the_guard_sees_packages() -> None:
    """What hosts run is looked for in every folder."""
    found = {relative(path) for path in ON_HOSTS}
    assert {"plugins/modules/release.py", "plugins/module_utils/service/releases.py"} <= found


@pytest.mark.parametrize("path", ON_HOSTS, ids=relative)
def test_python_3_9(path) -> None:
    """Hosts may have Python 3.9: its grammar, and annotations that are not evaluated."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if type(node).__name__ in ("Match", "TryStar", "TypeAlias")]
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert [alias.name for node in imports for alias in node.names] == ["annotations"]


#: What runs in the service's image, with the libraries of the image that it uses; a host only hands it over.
IN_THE_IMAGE = {
    "prefetch/weights_download.py": ("huggingface_hub",),
    "benchmark/client.py": ("huggingface_hub",),
    "verify/client.py": ("httpx", "openai", "jsonschema"),
    "verify/kind_questions.py": ("huggingface_hub",),
    "random_model/maker.py": ("torch", "transformers"),
}


@pytest.mark.parametrize("path", ON_HOSTS, ids=relative)
def test_only_the_standard_library_on_hosts(path) -> None:
    """Nothing has to be installed on a host."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            head = module.partition(".")[0]
            allowed = {
                *sys.stdlib_module_names,
                "__future__",
                *IN_THE_IMAGE.get("%s/%s" % (path.parent.name, path.name), ()),
            }
            assert (
                head in allowed
                or module.startswith("ansible.module_utils.")
                or module.startswith("ansible_collections.myia.vllm.plugins.module_utils")
            ), module
