# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of vLLM's source text what it knows by name: parsers, quantization, backends, load formats.

vLLM's command line takes any text for these options; the engine refuses what is not in a table of its own, minutes
later. The tables stand in the source: as a ``Literal``, an enumeration, a dictionary, or as decorators of the classes.
A table that is not found, or not understood, leaves that option without a list in that release.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from vllm_source import OPAQUE, SourceError, Sources, literal_values

#: Folders of the parsers, the one that stands now first: 0.13 moved those of tools.
_TOOL_PARSERS = ("vllm.tool_parsers", "vllm.entrypoints.openai.tool_parsers")
_REASONING_PARSERS = ("vllm.reasoning",)

#: Modules of the attention backends: 0.14 moved them.
_ATTENTION = ("vllm.v1.attention.backends.registry", "vllm.attention.backends.registry")


class Tables:
    """The tables of one vLLM release."""

    def __init__(self, read: Callable[[str], str | None], paths: Iterable[str]) -> None:
        """Take ``read`` (path inside the wheel -> source text, or None) and the ``paths`` that there are."""
        self.sources, self.read, self.paths = Sources(read), read, sorted(paths)

    def literal(self, module: str, name: str) -> list[str]:
        """Return the values of the ``Literal`` called ``name``."""
        found = self.sources.resolve(module, name)
        return literal_values(self.sources, *found) if found and isinstance(found[1], ast.expr) else []

    def keys(self, module: str, name: str) -> list[str]:
        """Return the keys of the dictionary called ``name``."""
        found = self.sources.resolve(module, name)
        if not found or not isinstance(found[1], ast.Dict):
            return []
        if not all(isinstance(key, ast.Constant) for key in found[1].keys):
            raise SourceError("%s of %s holds a key that is no text" % (name, module))
        return [key.value for key in found[1].keys]

    def members(self, module: str, name: str) -> list[str]:
        """Return the members of the enumeration called ``name``."""
        found = self.sources.resolve(module, name)
        if not found or not isinstance(found[1], ast.ClassDef):
            return []
        return [
            node.targets[0].id
            for node in found[1].body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        ]

    def decorated(self, folder: str, manager: str) -> list[str]:
        """Return what ``manager.register_module`` registers in the modules of ``folder``."""
        names: list[str] = []
        for path in self.paths:
            if not path.startswith(folder.replace(".", "/") + "/") or not path.endswith(".py"):
                continue
            for node in ast.walk(ast.parse(self.read(path) or "")):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == manager + ".register_module":
                    names += self._registered(node, path)
        return names

    @staticmethod
    def _registered(node: ast.Call, path: str) -> list[str]:
        given = [*node.args[:1], *[word.value for word in node.keywords if word.arg == "name"]]
        try:
            value = ast.literal_eval(given[0]) if given else OPAQUE
        except ValueError:
            value = OPAQUE
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SourceError("line %d of %s registers an unknown name" % (node.lineno, path))
        return names

    def parsers(self, folders: tuple[str, ...], table: str, manager: str) -> list[str]:
        """Return the parsers of the first of ``folders`` that holds any."""
        for folder in folders:
            found = [*self.keys(folder, table), *self.decorated(folder, manager)]
            if found:
                return found
        return []

    def backends(self) -> list[str]:
        """Return the attention backends."""
        return next(filter(None, (self.members(module, "AttentionBackendEnum") for module in _ATTENTION)), [])

    def tokenizers(self) -> list[str]:
        """Return the tokenizer modes of the registry, of the command line, and those that a model gets by itself."""
        known = self.keys("vllm.tokenizers.registry", "_VLLM_TOKENIZERS")
        chosen = re.findall(r'tokenizer_mode = "(\w+)"', self.read("vllm/config/model.py") or "")
        return [*known, *chosen, *self.literal("vllm.config.model", "TokenizerMode")] if known else []


def _with(names: list[str], word: str, is_taken: bool) -> list[str]:
    return [*names, word] if names and is_taken else names


def read_known(read: Callable[[str], str | None], paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the values that vLLM knows, by the long name of the option; an option without a list is left out.

    Args:
        read: path inside the wheel -> source text, or None where there is no such file.
        paths: every path inside the wheel.
    """
    tables = Tables(read, paths)
    attention_config, arg_utils = read("vllm/config/attention.py") or "", read("vllm/engine/arg_utils.py") or ""
    ways: dict[str, Callable[[], list[str]]] = {
        "quantization": lambda: tables.literal("vllm.model_executor.layers.quantization", "QuantizationMethods"),
        "load-format": lambda: tables.keys("vllm.model_executor.model_loader", "_LOAD_FORMAT_TO_MODEL_LOADER"),
        "kv-cache-dtype": lambda: tables.literal("vllm.config.cache", "CacheDType"),
        "distributed-executor-backend": lambda: tables.literal("vllm.config.parallel", "DistributedExecutorBackend"),
        "data-parallel-backend": lambda: tables.literal("vllm.config.parallel", "DataParallelBackend"),
        "attention-backend": lambda: _with(tables.backends(), "auto", '.lower() == "auto"' in attention_config),
        "mm-encoder-attn-backend": tables.backends,
        "tool-call-parser": lambda: tables.parsers(_TOOL_PARSERS, "_TOOL_PARSERS_TO_REGISTER", "ToolParserManager"),
        "reasoning-parser": lambda: _with(
            tables.parsers(_REASONING_PARSERS, "_REASONING_PARSERS_TO_REGISTER", "ReasoningParserManager"),
            "none",
            "def parse_reasoning_parser" in arg_utils,
        ),
        "tokenizer-mode": tables.tokenizers,
        "config-format": lambda: _with(
            tables.keys("vllm.transformers_utils.config", "_CONFIG_FORMAT_TO_CONFIG_PARSER"), "auto", True
        ),
        "mamba-backend": lambda: tables.members("vllm.config.mamba", "MambaBackendEnum"),
    }
    found = {}
    for option, way in ways.items():
        try:
            names = way()
        except SourceError:
            continue  # no list: every value is left to vLLM
        if names:
            found[option] = sorted(set(names))
    return found


def add_known(options: dict[str, dict], known: dict[str, list[str]]) -> None:
    """Write each list to its option, where the command line does not hold the value against choices itself."""
    for name, names in known.items():
        if name in options and "choices" not in options[name]:
            options[name]["known"] = names
