# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the options of ``vllm serve`` out of vLLM's source text, without running any of it.

vLLM builds its parser by ``add_argument`` calls whose arguments come from the annotated fields of its config classes
(vllm/engine/arg_utils.py: ``get_kwargs``). This module follows that code in the syntax tree: a small interpreter walks
``make_arg_parser`` and what it calls, and knows just the statements that stand there. What it does not know has the
value ``OPAQUE``; an option whose name turns out opaque is an error, never left out in silence.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

from vllm_keys import read_keys
from vllm_source import OPAQUE, ClassRef, Opaque, SourceError, Sources, Symbol, hints, literal_values

#: The module of ``vllm serve``. It imports ``make_arg_parser``, whose own module has moved three times.
SERVE_MODULE = "vllm.entrypoints.cli.serve"

DEPRECATED = re.compile(r"^\W*deprecated\b|\bis deprecated\b", re.IGNORECASE)


class Parser:
    """What ``make_arg_parser`` of one vLLM version registers."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.options: dict[str, dict] = {}
        arg_utils = sources.read("vllm/engine/arg_utils.py") or ""
        tools = (sources.read("vllm/utils/argparse_utils.py") or "") + arg_utils
        # rules of get_kwargs that came with later versions, known by their traces in the source
        self.optional_flags = "{bool, str, type(None)}" in arg_utils
        self.enable_disable = "class EnableDisableAction" in tools

    # --- get_kwargs ---------------------------------------------------------------------------------------------------

    def get_kwargs(self, ref: ClassRef) -> dict[str, dict]:
        """Return the arguments of ``add_argument`` for each field of a config class, as vLLM's ``get_kwargs`` does."""
        result: dict[str, dict] = {}
        for owner in reversed(self.sources.bases(ref)):
            body = owner.node.body
            for index, node in enumerate(body):
                if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                    continue
                if re.match(r"(\w+\.)?(InitVar|ClassVar)\b", ast.unparse(node.annotation)):
                    continue
                kwargs = self._field(owner.module, node)
                following = body[index + 1] if index + 1 < len(body) else None
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    kwargs["help"] = str(following.value.value)
                result[node.target.id] = kwargs
        return result

    def _field(self, module: str, node: ast.AnnAssign) -> dict:
        found = hints(self.sources, module, node.annotation)
        kinds = {hint[0] for hint in found}
        plain = {hint[1] for hint in found if hint[0] == "plain"}
        first = {hint[0]: hint for hint in found}
        kwargs: dict = {"default": self._default(module, node.value), "help": ""}
        if "dataclass" in kinds:
            kwargs["type"] = "json"
            classes = [self.sources.class_ref(module, hint[1]) for hint in found if hint[0] == "dataclass"]
            if len(classes) == 1 and classes[0]:
                kwargs["keys"] = read_keys(self.sources, classes[0])
        elif self.optional_flags and kinds == {"plain"} and plain == {"bool", "str", "None"}:
            kwargs.update(type="str", nargs="?")
        elif "bool" in plain:
            kwargs["action"] = Symbol("BooleanOptionalAction")
        elif "literal" in kinds:
            kwargs.update(self._literal(first["literal"][1], "str" in plain))
        elif "list" in kinds:
            kwargs.update(nargs="+", **self._element(first["list"][1], first["list"][2]))
        elif "int" in plain or "float" in plain:
            kwargs["type"] = "int" if "int" in plain else "float"
        elif "dict" in plain:
            kwargs["type"] = "str" if "str" in plain or "class" in kinds else "json"
        else:
            kwargs["type"] = "str"
        if "None" in plain and kwargs.get("choices"):
            kwargs["choices"] = [*kwargs["choices"], "None"]
        return kwargs

    @staticmethod
    def _literal(values: list, open_ended: bool) -> dict:
        kind = type(values[0]).__name__ if values else "str"
        return {"type": kind} if open_ended or not values else {"type": kind, "choices": sorted(values)}

    def _element(self, module: str, node: ast.expr) -> dict:
        found = hints(self.sources, module, node)
        if found[0][0] == "literal" and len(found) == 1:
            return self._literal(found[0][1], False)
        plain = [hint[1] for hint in found if hint[0] == "plain"]
        return {"type": plain[0] if len(found) == 1 and plain and plain[0] in ("int", "float") else "str"}

    def _default(self, module: str, node: ast.expr | None) -> object:
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("Field", "field"):
            given = [word.value for word in node.keywords if word.arg == "default"] or node.args[:1]
            return self._default(module, given[0]) if given else OPAQUE
        return self.value(node, {}, module) if node is not None else OPAQUE

    # --- the interpreter ----------------------------------------------------------------------------------------------

    def run(self, body: list, env: dict, module: str) -> object:
        """Run statements; return the value of a return statement that is reached."""
        for node in body:
            if isinstance(node, ast.Return):
                return self.value(node.value, env, module) if node.value else None
            if isinstance(node, ast.Assign):
                self._assign(node.targets[0], self.value(node.value, env, module), env, module)
            elif isinstance(node, ast.AugAssign):
                old, more = self.value(node.target, env, module), self.value(node.value, env, module)
                both = isinstance(old, (list, str)) and type(old) is type(more)
                self._assign(node.target, old + more if both else OPAQUE, env, module)
            elif isinstance(node, ast.Expr):
                self.value(node.value, env, module)
            elif isinstance(node, ast.Delete):
                self._delete(node.targets[0], env, module)
            elif isinstance(node, ast.If):
                test = self.value(node.test, env, module)
                # an unknown test asks for help output or async arguments alone: neither is how the server starts
                branch = node.body if isinstance(test, Opaque) or test else node.orelse
                returned = self.run(branch, env, module)
                if returned is not None:
                    return returned
            elif isinstance(node, ast.For):
                items = self.value(node.iter, env, module)
                if isinstance(items, Opaque):
                    raise SourceError("line %d of %s loops over something unknown" % (node.lineno, module))
                for item in items:
                    self._assign(node.target, item, env, module)
                    self.run(node.body, env, module)
            elif isinstance(node, ast.With):
                self.run(node.body, env, module)
        return None

    def _assign(self, target: ast.expr, value: object, env: dict, module: str) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = value
        elif isinstance(target, ast.Tuple):
            for part, item in zip(target.elts, value):
                self._assign(part, item, env, module)
        elif isinstance(target, ast.Subscript):
            owner, key = self.value(target.value, env, module), self.value(target.slice, env, module)
            if isinstance(owner, dict):
                owner[key] = value

    def _delete(self, target: ast.expr, env: dict, module: str) -> None:
        if isinstance(target, ast.Subscript):
            owner = self.value(target.value, env, module)
            if isinstance(owner, dict):
                owner.pop(self.value(target.slice, env, module), None)

    def value(self, node: ast.expr, env: dict, module: str) -> object:  # noqa: PLR0911, PLR0912 - one branch a node
        """Return the value of an expression, or OPAQUE."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return env[node.id] if node.id in env else self._global(module, node.id)
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self.value(item, env, module) for item in node.elts]
        if isinstance(node, ast.Dict):
            result: dict = {}
            for key, item in zip(node.keys, node.values):
                value = self.value(item, env, module)
                if key is not None:
                    result[self.value(key, env, module)] = value
                elif isinstance(value, dict):
                    result.update(value)
            return result
        if isinstance(node, ast.JoinedStr):
            parts = [self.value(p.value if isinstance(p, ast.FormattedValue) else p, env, module) for p in node.values]
            return "".join(map(str, parts)) if not any(isinstance(p, Opaque) for p in parts) else OPAQUE
        if isinstance(node, ast.Subscript):
            owner, key = self.value(node.value, env, module), self.value(node.slice, env, module)
            return owner.get(key, OPAQUE) if isinstance(owner, dict) and not isinstance(key, Opaque) else OPAQUE
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value, env, module)
            if isinstance(owner, ClassRef):
                return self.get_kwargs(owner).get(node.attr, {}).get("default", OPAQUE)
            return Symbol(node.attr)
        if isinstance(node, ast.UnaryOp):
            value = self.value(node.operand, env, module)
            if isinstance(node.op, ast.Not):
                return OPAQUE if isinstance(value, Opaque) else not value
            return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else OPAQUE
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            owner, key = self.value(node.comparators[0], env, module), self.value(node.left, env, module)
            return key in owner if isinstance(owner, dict) else OPAQUE
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult, ast.Pow)):
            both = [self.value(side, env, module) for side in (node.left, node.right)]
            return self._arithmetic(node.op, *both)
        if isinstance(node, ast.Lambda):
            return Symbol("str")
        return self._call(node, env, module) if isinstance(node, ast.Call) else OPAQUE

    @staticmethod
    def _arithmetic(op: ast.operator, left: object, right: object) -> object:
        if isinstance(left, int) and isinstance(right, int):
            compute = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Pow: operator.pow}[type(op)]
            return compute(left, right)
        same = isinstance(op, ast.Add) and isinstance(left, str) and isinstance(right, str)
        return left + right if same else OPAQUE

    def _global(self, module: str, name: str) -> object:
        found = self.sources.resolve(module, name)
        if not found:
            return Symbol(name)
        where, node = found
        if isinstance(node, ast.ClassDef):
            return ClassRef(where, node)
        return self.value(node, {}, where) if isinstance(node, ast.expr) else Symbol(name)

    def _call(self, node: ast.Call, env: dict, module: str) -> object:
        args = [self.value(arg, env, module) for arg in node.args]
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("add_argument", "add_cli_args", "_customize_cli_kwargs"):
            return self._call_method(name, node, args, env, module)
        if isinstance(node.func, ast.Attribute):
            return self._builtin_method(self.value(node.func.value, env, module), name, args)
        if name == "get_kwargs":
            return self.get_kwargs(args[0])
        if name == "get_args" and isinstance(node.args[0], ast.Name):
            return literal_values(self.sources, module, node.args[0])
        if name in ("list", "sorted", "optional_type", "parse_type"):
            return args[0] if args else OPAQUE
        return OPAQUE

    @staticmethod
    def _builtin_method(owner: object, name: str, args: list) -> object:
        if any(isinstance(arg, Opaque) for arg in args):
            return OPAQUE
        if isinstance(owner, dict) and name == "items":
            return [list(item) for item in owner.items()]
        if isinstance(owner, dict) and name in ("pop", "get"):
            return getattr(owner, name)(args[0], args[1] if len(args) > 1 else OPAQUE)
        if isinstance(owner, list) and name in ("remove", "append"):
            return getattr(owner, name)(*args)
        if isinstance(owner, str) and name in ("replace", "removeprefix", "removesuffix"):
            return getattr(owner, name)(*args)
        return OPAQUE

    def _call_method(self, name: str, node: ast.Call, args: list, env: dict, module: str) -> object:
        if name == "add_argument":
            return self._add_argument(node, env, module)
        owner_node = node.func.value
        is_super = isinstance(owner_node, ast.Call) and ast.unparse(owner_node.func) == "super"
        ref = env.get("cls") if is_super else self.value(owner_node, env, module)
        after = env["__owner__"] if is_super else None
        found = self.sources.method(ref, name, after) if isinstance(ref, ClassRef) else None
        if not found:
            raise SourceError("line %d of %s calls an unknown %s" % (node.lineno, module, name))
        owner, function = found
        names = [arg.arg for arg in function.args.args if arg.arg not in ("self", "cls")]
        inner = {"cls": ref, "__owner__": owner, **dict.fromkeys(names, OPAQUE), **dict(zip(names, args))}
        for default_name, default in zip(reversed(names), reversed(function.args.defaults)):
            if isinstance(inner[default_name], Opaque):
                inner[default_name] = self.value(default, {}, owner.module)
        return self.run(function.body, inner, owner.module)

    def _add_argument(self, node: ast.Call, env: dict, module: str) -> object:
        names: list = []
        for arg in node.args:
            value = self.value(arg.value if isinstance(arg, ast.Starred) else arg, env, module)
            names += value if isinstance(arg, ast.Starred) and isinstance(value, list) else [value]
        kwargs: dict = {}
        for word in node.keywords:
            value = self.value(word.value, env, module)
            if word.arg:
                kwargs[word.arg] = value
            elif isinstance(value, dict):
                kwargs.update(value)
            else:
                raise SourceError("line %d of %s: unknown arguments of %s" % (node.lineno, module, names))
        if any(isinstance(name, Opaque) for name in names):
            raise SourceError("line %d of %s: an option without a known name" % (node.lineno, module))
        long_names = [name[2:] for name in names if name.startswith("--")]
        if long_names:
            others = [name for name in names if name != "--" + long_names[0]]
            self.options[long_names[0]] = self._describe(long_names, others, kwargs)
        return OPAQUE

    def _describe(self, long_names: list[str], others: list[str], kwargs: dict) -> dict:
        """Return what the data file says of an option. Keys without content are left out."""
        action, nargs, kind = kwargs.get("action"), kwargs.get("nargs"), kwargs.get("type", "str")
        form = "value"
        if action == "BooleanOptionalAction":
            form = "boolean"
        elif action in ("store_true", "store_false"):
            form = "flag"
        elif action == "append":
            form = "repeated"
        elif nargs == "?":
            form = "optional"
        elif nargs is not None and not isinstance(nargs, Opaque):
            form = "list"
        result: dict = {"form": form}
        if others:
            result["aliases"] = others
        if form == "boolean" and self.enable_disable:
            result.update(_inverse(long_names))
        if form not in ("boolean", "flag") and isinstance(kind, str):
            names = {"loads": "json", "union_dict_and_str": "str", "human_readable_int": "int"}
            result["type"] = names.get(kind, kind if kind in ("int", "float", "json", "bool") else "str")
        choices = kwargs.get("choices")
        if isinstance(choices, list) and choices and not any(isinstance(item, (Opaque, Symbol)) for item in choices):
            result["choices"] = choices
        if kwargs.get("keys") and kind == "json":  # not where add_argument gives another reader of JSON
            result["keys"] = kwargs["keys"]
        default = kwargs.get("default")
        if isinstance(default, (bool, int, float, str)) and not isinstance(default, Symbol) and default != "":
            result["default"] = default
        text = str(kwargs.get("help") or "")
        if kwargs.get("deprecated") is True or "Deprecated" in str(action) or DEPRECATED.search(text[:160]):
            result["deprecated"] = True
        return result


def _inverse(long_names: list[str]) -> dict:
    """The other name of a switch where vLLM pairs --enable-x with --disable-x (argparse_utils.EnableDisableAction)."""
    for mine, other in (("enable-", "disable-"), ("disable-", "enable-")):
        if long_names[0].startswith(mine):
            return {"inverse": other + long_names[0][len(mine) :]}
    return {}


def read_options(read: Callable[[str], str | None]) -> dict[str, dict]:
    """Return every option of ``vllm serve``, by its long name without dashes.

    Args:
        read: path inside the wheel -> source text, or None where there is no such file.

    Raises:
        SourceError: the source is not understood.
    """
    sources = Sources(read)
    found = sources.resolve(SERVE_MODULE, "make_arg_parser")
    if not found or not isinstance(found[1], ast.FunctionDef):
        raise SourceError("%s does not lead to make_arg_parser" % SERVE_MODULE)
    parser = Parser(sources)
    parser.run(found[1].body, {"parser": OPAQUE}, found[0])
    return parser.options
