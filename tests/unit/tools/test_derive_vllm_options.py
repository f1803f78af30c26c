# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options is derived rightly: a small hand-made wheel with each kind of definition that vLLM uses."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import zipfile

import pytest

SOURCES = {
    "vllm/model_executor/models/registry.py": '_TEXT_GENERATION_MODELS = {"AForCausalLM": ("a", "A")}\n',
    "vllm/model_executor/models/a.py": "class A:\n    def compute_logits(self):\n        pass\n",
    "vllm/envs.py": 'VLLM_MAIN_CUDA_VERSION: str = "12.9"\n',
    "vllm/config/__init__.py": "from .model import ModelConfig, Inner\n",
    "vllm/config/model.py": '''
from typing import Annotated, Literal, TypeAlias, TYPE_CHECKING
from pydantic import Field, InitVar
from vllm.constants import LIMIT
if TYPE_CHECKING:
    Methods = Literal["a", "b"]
else:
    Methods = str
Mode = Literal["fast", "slow"]
AnyMode: TypeAlias = Literal[Mode, "auto"]
@config
class Inner:
    x: int = 1
@config
class Base:
    inherited: bool = False
@config
class ModelConfig(Base):
    plain: str | None = None
    number: int = LIMIT
    share: float = Field(default=0.5, gt=0)
    several: list[int] | None = None
    mode: AnyMode = "auto"
    open_mode: Mode | str = "fast"
    maybe_mode: Mode | None = None
    methods: Methods | None = None
    inner: Inner | None = None
    anything: dict[str, str] | str = ""
    old: bool = False
    """Deprecated: has no effect."""
    new: bool = True
    """Show deprecated things."""
    made: InitVar[int] = 1
    ranged: Annotated[int, Field(gt=0)] = 2
''',
    "vllm/constants.py": "LIMIT = 4 * 2**10\n",
    "vllm/engine/arg_utils.py": '''
import argparse
from vllm.config import ModelConfig
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        kwargs = get_kwargs(ModelConfig)
        group = parser.add_argument_group(title="x")
        if not ("serve" in sys.argv):
            group.add_argument("--plain", "-p", **kwargs["plain"])
        group.add_argument("--number", **{**kwargs["number"], "default": None})
        group.add_argument("--limit", **kwargs["number"])
        group.add_argument("--share", **kwargs["share"])
        group.add_argument("--several", "-sv", "--many", **kwargs["several"])
        kwargs["mode"]["choices"].remove("auto")
        group.add_argument("--mode", **kwargs["mode"])
        group.add_argument("--open-mode", **kwargs["open_mode"])
        group.add_argument("--maybe-mode", **kwargs["maybe_mode"])
        group.add_argument("--methods", **kwargs["methods"])
        group.add_argument("--inner", **kwargs["inner"])
        group.add_argument("--anything", **kwargs["anything"])
        group.add_argument("--enable-old", **kwargs["old"])
        group.add_argument("--new", **kwargs["new"])
        group.add_argument("--ranged", **kwargs["ranged"])
        for name, kind in [("--one", str), ("--two", int)]:
            group.add_argument(name, type=kind, deprecated=True)
        parser.add_argument("--bare", action="store_true")
        parser.add_argument("--token", nargs="?", const=True)
        parser.add_argument("--again", action="append", type=str)
        return parser
class AsyncEngineArgs(EngineArgs):
    verbose: bool = False
    @staticmethod
    def add_cli_args(parser, async_args_only=False):
        if not async_args_only:
            parser = EngineArgs.add_cli_args(parser)
        parser.add_argument("--verbose", action=argparse.BooleanOptionalAction, default=not AsyncEngineArgs.verbose)
        return parser
''',
    "vllm/entrypoints/cli/serve.py": "from vllm.entrypoints.args import make_arg_parser\n",
    "vllm/entrypoints/args.py": '''
import json
from dataclasses import field
from vllm.engine.arg_utils import AsyncEngineArgs
class BaseArgs:
    shared_name: str | None = None
    @classmethod
    def _customize_cli_kwargs(cls, kwargs):
        kwargs["shared_name"]["choices"] = ["u", "v"]
        return kwargs
    @classmethod
    def add_cli_args(cls, parser):
        kwargs = get_kwargs(cls)
        kwargs = cls._customize_cli_kwargs(kwargs)
        group = parser.add_argument_group(title="x")
        for key, value in kwargs.items():
            extra = value.pop("flags", [])
            group.add_argument(*extra, f"--{key.replace('_', '-')}", **value)
        return parser
class FrontendArgs(BaseArgs):
    host: str | None = None
    origins: list[str] = field(default_factory=list)
    @classmethod
    def _customize_cli_kwargs(cls, kwargs):
        kwargs = super()._customize_cli_kwargs(kwargs)
        kwargs["origins"]["type"] = json.loads
        del kwargs["origins"]["nargs"]
        return kwargs
def make_arg_parser(parser):
    parser.add_argument("model_tag", nargs="?")
    parser = FrontendArgs.add_cli_args(parser)
    parser = AsyncEngineArgs.add_cli_args(parser)
    return parser
''',
    "vllm/v1/metrics/loggers.py": '''
class Logger:
    def __init__(self):
        self.a = self._gauge_cls(name="vllm:running", documentation="vllm:not_a_metric")
        self.b = self._counter_cls(name="vllm:tokens")
        if self.show_hidden_metrics:
            self.c = self._histogram_cls(name="vllm:old_seconds")
''',
    "vllm/v1/metrics/reader.py": 'KNOWN = ("vllm:tokens", "vllm:other:thing")\n',
}  # fmt: skip

OPTIONS = {
    "shared-name": {"form": "value", "type": "str", "choices": ["u", "v"]},
    "host": {"form": "value", "type": "str"},
    "origins": {"form": "value", "type": "json"},
    "plain": {"form": "value", "aliases": ["-p"], "type": "str"},
    "number": {"form": "value", "type": "int"},
    "limit": {"form": "value", "type": "int", "default": 4096},
    "share": {"form": "value", "type": "float", "default": 0.5},
    "several": {"form": "list", "aliases": ["-sv", "--many"], "type": "int"},
    "mode": {"form": "value", "type": "str", "choices": ["fast", "slow"], "default": "auto"},
    "open-mode": {"form": "value", "type": "str", "default": "fast"},
    "maybe-mode": {"form": "value", "type": "str", "choices": ["fast", "slow", "None"]},
    "methods": {"form": "value", "type": "str"},
    "inner": {"form": "value", "type": "json"},
    "anything": {"form": "value", "type": "str"},
    "enable-old": {"form": "boolean", "default": False, "deprecated": True},
    "new": {"form": "boolean", "default": True},
    "ranged": {"form": "value", "type": "int", "default": 2},
    "one": {"form": "value", "type": "str", "deprecated": True},
    "two": {"form": "value", "type": "int", "deprecated": True},
    "bare": {"form": "flag"},
    "token": {"form": "optional", "type": "str"},
    "again": {"form": "repeated", "type": "str"},
    "verbose": {"form": "boolean", "default": True},
}


@pytest.fixture(scope="session")
def tool(root):
    """The script as a module."""
    folder = str(root / "tools")
    sys.path.insert(0, folder)
    loader = importlib.machinery.SourceFileLoader("derive_vllm_options", folder + "/derive_vllm_options")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = written
    return module


@pytest.fixture
def wheel(tmp_path):
    """Write a wheel of SOURCES with changes (path -> text, or None to leave it out)."""

    def write(**changes):
        path = tmp_path / "vllm-0.1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in {**SOURCES, **changes}.items():
                if text is not None:
                    archive.writestr(name, text)
        return path

    return write


def test_options(tool, wheel) -> None:
    """Every kind of definition, nothing left out and nothing invented."""
    found = tool.read_wheel(wheel())["options"]
    assert found == OPTIONS


def test_metrics_and_cuda(tool, wheel) -> None:
    """Hidden ones are marked, documentation and other words are not metrics."""
    found = tool.read_wheel(wheel())
    assert found["metrics"] == {
        "vllm:running": {"kind": "gauge"},
        "vllm:tokens": {"kind": "counter"},
        "vllm:old_seconds": {"kind": "histogram", "hidden": True},
    }
    assert found["cuda"] == "12.9"


def test_enable_and_disable(tool, wheel) -> None:
    """Newer releases pair --enable-x with --disable-x."""
    found = tool.read_wheel(wheel(**{"vllm/utils/argparse_utils.py": "class EnableDisableAction: pass\n"}))["options"]
    assert found["enable-old"]["inverse"] == "disable-old"
    assert "inverse" not in found["new"]


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("vllm/entrypoints/cli/serve.py", "from", "# from", "does not lead to make_arg_parser"),
        ("vllm/engine/arg_utils.py", '"--share"', "share_name()", "an option without a known name"),
        ("vllm/engine/arg_utils.py", '**kwargs["share"]', "**more()", "unknown arguments of"),
        ("vllm/engine/arg_utils.py", '[("--one", str), ("--two", int)]', "names()", "loops over something unknown"),
        (
            "vllm/entrypoints/args.py",
            "FrontendArgs.add_cli_args",
            "Other.add_cli_args",
            "unknown add_cli_args",
        ),
    ],
)
def test_what_is_not_understood(path, old, new, words, tool, wheel) -> None:
    """An error, not a table with holes."""
    assert old in SOURCES[path]
    with pytest.raises(tool.vllm_source.SourceError, match=words):
        tool.read_wheel(wheel(**{path: SOURCES[path].replace(old, new)}))


LAZY = '_TOOL_PARSERS_TO_REGISTER = {"one": ("file", "Class"), "two": ("file", "Class")}\n'
EAGER = """
@ToolParserManager.register_module("one")
@ToolParserManager.register_module(["two", "three"], force=True)
class Parser: pass
ToolParserManager.register_module(name="four", module=Parser)
"""
ENUM = """
class AttentionBackendEnum(Enum, metaclass=Meta):
    \"\"\"Not a member.\"\"\"
    FLASH = "a"
    CUSTOM = None
    def get(self): return 1
"""
OPTIONAL = 'def f(value):\n    if value.lower() == "auto":\n        return None\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"vllm/tool_parsers/__init__.py": LAZY}, {"tool-call-parser": ["one", "two"]}, id="lazy"),
        pytest.param(
            {"vllm/entrypoints/openai/tool_parsers/some.py": EAGER},
            {"tool-call-parser": ["four", "one", "three", "two"]},
            id="decorators",
        ),
        pytest.param(
            {"vllm/tool_parsers/__init__.py": LAZY, "vllm/entrypoints/openai/tool_parsers/some.py": EAGER},
            {"tool-call-parser": ["one", "two"]},
            id="the folder that stands now",
        ),
        pytest.param({"vllm/tool_parsers/x.py": EAGER.replace('"one"', "NAME")}, {}, id="a name not understood"),
        pytest.param({"vllm/reasoning/x.py": EAGER}, {}, id="another manager"),
        pytest.param(
            {"vllm/reasoning/x.py": EAGER.replace("Tool", "Reasoning")},
            {"reasoning-parser": ["four", "one", "three", "two"]},
            id="reasoning",
        ),
        pytest.param(
            {
                "vllm/reasoning/x.py": EAGER.replace("Tool", "Reasoning"),
                "vllm/engine/arg_utils.py": "def parse_reasoning_parser(value): pass\n",
            },
            {"reasoning-parser": ["four", "none", "one", "three", "two"]},
            id="none is a value",
        ),
        pytest.param(
            {"vllm/v1/attention/backends/registry.py": ENUM},
            {"attention-backend": ["CUSTOM", "FLASH"], "mm-encoder-attn-backend": ["CUSTOM", "FLASH"]},
            id="enumeration",
        ),
        pytest.param(
            {"vllm/attention/backends/registry.py": ENUM, "vllm/config/attention.py": OPTIONAL},
            {"attention-backend": ["CUSTOM", "FLASH", "auto"], "mm-encoder-attn-backend": ["CUSTOM", "FLASH"]},
            id="enumeration with auto",
        ),
        pytest.param(
            {"vllm/model_executor/layers/quantization/__init__.py": 'QuantizationMethods = Literal["b", "a"]\n'},
            {"quantization": ["a", "b"]},
            id="literal",
        ),
        pytest.param(
            {"vllm/model_executor/model_loader/__init__.py": "_LOAD_FORMAT_TO_MODEL_LOADER: dict = {'b': X, 'a': Y}\n"},
            {"load-format": ["a", "b"]},
            id="dictionary",
        ),
        pytest.param(
            {"vllm/model_executor/model_loader/__init__.py": "_LOAD_FORMAT_TO_MODEL_LOADER = {'b': X, **more}\n"},
            {},
            id="dictionary with more",
        ),
        pytest.param(
            {"vllm/transformers_utils/config.py": "_CONFIG_FORMAT_TO_CONFIG_PARSER: dict = {'hf': X, 'b': Y}\n"},
            {"config-format": ["auto", "b", "hf"]},
            id="formats of configurations",
        ),
        pytest.param(
            {"vllm/config/mamba.py": ENUM.replace("Attention", "Mamba")},
            {"mamba-backend": ["CUSTOM", "FLASH"]},
            id="Mamba",
        ),
        pytest.param({"vllm/config/model.py": 'TokenizerMode = Literal["auto"]\n'}, {}, id="half of the tokenizers"),
        pytest.param(
            {
                "vllm/config/model.py": 'TokenizerMode = Literal["auto"]\n',
                "vllm/tokenizers/registry.py": "_VLLM_TOKENIZERS = {'hf': 1}\n",
            },
            {"tokenizer-mode": ["auto", "hf"]},
            id="tokenizers",
        ),
    ],
)
def test_known(files, expected, tool) -> None:
    """Each kind of table; one that is not found or not understood gives no list."""
    assert tool.vllm_choices.read_known(files.get, files) == expected


def test_known_goes_to_its_option(tool, wheel) -> None:
    """Where the command line has choices of its own, those stay alone."""
    options = {"quantization": {"form": "value"}, "load-format": {"form": "value", "choices": ["a"]}}
    tool.vllm_choices.add_known(options, {"quantization": ["q"], "load-format": ["b"], "gone": ["x"]})
    assert options == {
        "quantization": {"form": "value", "known": ["q"]},
        "load-format": {"form": "value", "choices": ["a"]},
    }
    path = "vllm/engine/arg_utils.py"
    text = SOURCES[path].replace("--plain", "--quantization")
    layers = {"vllm/model_executor/layers/quantization/__init__.py": 'QuantizationMethods = Literal["a"]\n'}
    found = tool.read_wheel(wheel(**{path: text, **layers}))["options"]
    assert found["quantization"]["known"] == ["a"]


DECORATOR = {
    "vllm/config/utils.py": """
@overload
def config(cls): ...
def config(cls=None, *, config=None, **kwargs):
    merged = ConfigDict(extra="forbid")
    return dataclass(cls, config=merged)
"""
}
FIELDS = """
    one: int = 1
    two: InitVar[int] = 2
    three: ClassVar[int] = 3
    four: int = field(init=False)
"""
KEYS = ["four", "one", "two"]


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        pytest.param("@config\nclass C:" + FIELDS, DECORATOR, KEYS, id="vLLM's decorator"),
        pytest.param("@config(kw_only=True)\nclass C:" + FIELDS, DECORATOR, KEYS, id="with arguments"),
        pytest.param(
            "@config(config=ConfigDict(extra='ignore'))\nclass C:" + FIELDS, DECORATOR, [], id="it allows others"
        ),
        pytest.param("@config\n@dataclass\nclass C:" + FIELDS, {}, [], id="a decorator that forbids nothing"),
        pytest.param(
            "@config\n@dataclass(config=ConfigDict(extra='forbid'))\nclass C:" + FIELDS, {}, KEYS, id="by itself"
        ),
        pytest.param("@dataclass\nclass C:" + FIELDS, DECORATOR, [], id="without the decorator"),
        pytest.param(
            "@config\nclass B:\n    zero: int = 0\n@config\nclass C(B):" + FIELDS,
            DECORATOR,
            [*KEYS, "zero"],
            id="what it inherits",
        ),
        pytest.param("@config\nclass C(Foreign):" + FIELDS, DECORATOR, [], id="inherits what is not vLLM's"),
        pytest.param("@config\nclass C:\n    five: int = Field(1, alias='x')" + FIELDS, DECORATOR, [], id="alias"),
        pytest.param('@config\nclass C:\n    """An alias= here."""' + FIELDS, DECORATOR, KEYS, id="the word"),
        pytest.param(
            "@config\nclass C:" + FIELDS + "    @model_validator(mode='before')\n    def f(cls, data): return data\n",
            DECORATOR,
            [],
            id="changes what it is given",
        ),
        pytest.param(
            "@config\nclass C:" + FIELDS + "    @model_validator(mode='after')\n    def f(self): return self\n",
            DECORATOR,
            KEYS,
            id="looks at what it was given",
        ),
        pytest.param(
            "@config\nclass C:" + FIELDS + "    def __get_pydantic_core_schema__(cls): ...\n",
            DECORATOR,
            [],
            id="its own reader",
        ),
    ],
)
def test_keys(text, files, expected, tool) -> None:
    """The fields of a class that forbids others; nothing of one that may take more."""
    sources = tool.vllm_source.Sources({"vllm/config/c.py": text, **files}.get)
    assert tool.vllm_arguments.read_keys(sources, sources.class_ref("vllm.config.c", "C")) == sorted(expected)


def test_keys_go_to_their_option(tool, wheel) -> None:
    """Where the class is what reads the option; not where add_argument gives another reader."""
    path, old = "vllm/engine/arg_utils.py", '"--inner", **kwargs["inner"]'
    assert old in SOURCES[path]
    assert tool.read_wheel(wheel(**DECORATOR))["options"]["inner"]["keys"] == ["x"]
    other = SOURCES[path].replace(old, '"--inner", **{**kwargs["inner"], "type": json.loads}')
    found = tool.read_wheel(wheel(**{path: other, **DECORATOR}))["options"]["inner"]
    assert (found["type"], "keys" in found) == ("json", False)


RELEASES = {
    "0.9.0": {"from": "a", "cuda": "1", "options": {"x": {"form": "flag"}, "z": {"form": "flag"}}, "metrics": {}},
    "0.10.0": {"from": "a", "cuda": "1", "options": {"x": {"form": "flag"}}, "metrics": {"m": {"kind": "gauge"}}},
    "0.11.0": {"from": "b", "cuda": "2", "options": {"x": {"form": "list"}, "z": {"form": "flag"}}, "metrics": {}},
}


def test_spans(tool) -> None:
    """A gap or a change begins a new span; the newest release leaves it open; 0.9 comes before 0.10."""
    data = tool.fold(dict(reversed(RELEASES.items())))
    assert list(data["versions"]) == list(RELEASES)
    assert data["options"] == {
        "x": [{"since": "0.9.0", "until": "0.10.0", "form": "flag"}, {"since": "0.11.0", "form": "list"}],
        "z": [{"since": "0.9.0", "until": "0.9.0", "form": "flag"}, {"since": "0.11.0", "form": "flag"}],
    }
    assert data["metrics"] == {"m": [{"since": "0.10.0", "until": "0.10.0", "kind": "gauge"}]}


def test_back_and_forth(tool) -> None:
    """The file is JSON and gives back what went in."""
    assert tool.unfold(json.loads(tool.dump(tool.fold(RELEASES)))) == RELEASES


def test_committed_file_is_what_the_script_writes(tool) -> None:
    """Nobody edited it by hand, and adding a release changes nothing else."""
    text = tool.DATA.read_text(encoding="utf-8")
    assert tool.dump(tool.fold(tool.unfold(json.loads(text)))) == text


def real(**changes) -> dict:
    """What a real parser with two options says."""
    return {
        "--x": {"action": "_StoreAction", "nargs": None, "default": 1, "choices": ["1", "2"]},
        "-x": {"action": "_StoreAction", "nargs": None, "default": 1, "choices": ["1", "2"]},
        "--y": {"action": "BooleanOptionalAction", "nargs": 0, "default": False, "choices": None},
        "--no-y": {"action": "BooleanOptionalAction", "nargs": 0, "default": False, "choices": None},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, "", id="same"),
        pytest.param({"--z": real()["--y"]}, "--z: only the real parser has it", id="missing"),
        pytest.param({"-x": {**real()["-x"], "nargs": "+"}}, "-x: form is 'value' in the data file, 'list'", id="form"),
        pytest.param({"--y": {**real()["--y"], "default": True}}, "--y: default is False", id="default"),
        pytest.param({"--x": {**real()["--x"], "choices": ["1"]}}, "--x: choices is ['1', '2']", id="choices"),
        pytest.param({"--x": {**real()["--x"], "action": "_AppendAction"}}, "'repeated' in the real", id="append"),
        pytest.param({"--y": {**real()["--y"], "action": "_StoreTrueAction"}}, "'flag' in the real", id="switch"),
    ],
)
def test_differences(changes, words, tool) -> None:
    """Each difference is one sentence."""
    mine = {
        "x": {"form": "value", "aliases": ["-x"], "choices": [1, 2], "default": 1},
        "y": {"form": "boolean", "default": False},
    }
    found = tool.differences(mine, real(**changes))
    assert len(found) == bool(words)
    assert words in "".join(found)
    assert tool.differences({**mine, "w": {"form": "flag"}}, real()) == ["--w: only the data file has it"]
