# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of recipes are read as vLLM does, and each way in which one comes out is told; the recipes are made up."""

from __future__ import annotations

import importlib
import json
import shutil
import sys

import pytest

NEWEST = "0.33.0"


@pytest.fixture(scope="session")
def tool(root):
    """The program as a module."""
    sys.path.insert(0, str(root / "tools"))
    try:
        return importlib.import_module("recipe_coverage")
    finally:
        sys.path.remove(str(root / "tools"))


def command(tool, *words, **changes):
    """A command of a made-up recipe."""
    given = {"recipe": "org/model", "kind": "chat", "strategy": "single_node_tp", "env": {}, **changes}
    return tool.recipes.Command(argv=["vllm", "serve", "org/model", *words], **given)


# --- reading ----------------------------------------------------------------------------------------------------------

#: words, what vLLM makes of them
READ_CASES = [
    (["--max-num-seqs", "8"], {"max-num-seqs": 8}),
    (["--max-num-seqs=8"], {"max-num-seqs": 8}),
    (["--max_num_seqs", "8", "--max-num-seqs", "16"], {"max-num-seqs": 16}),
    (["-tp", "2"], {"tensor-parallel-size": 2}),
    (["-tp=2"], {"tensor-parallel-size": 2}),
    (["-O3"], {"optimization-level": "3"}),
    (["-O=3"], {"optimization-level": "3"}),
    (["-cc.mode=3"], {"compilation-config": {"mode": 3}}),
    (["-cc.a.b", "1", "--compilation_config.a.c=True"], {"compilation-config": {"a": {"b": 1, "c": True}}}),
    (["-cc", '{"mode":  3}'], {"compilation-config": {"mode": 3}}),
    # vLLM puts the dotted ones behind everything else, and the last one counts
    (["-cc.mode", "3", "-cc", '{"a": 1}'], {"compilation-config": {"mode": 3}}),
    (["--enforce-eager"], {"enforce-eager": True}),
    (["--no-enable-prefix-caching"], {"enable-prefix-caching": False}),
    (["--disable-prefix-caching"], {"enable-prefix-caching": False}),
    (["--enforce-eager", "true"], {"enforce-eager": ["a switch with words behind it", "true"]}),
    (["--served-model-name", "a", "b"], {"served-model-name": ["a", "b"]}),
    (["--max-model-len", "-1"], {"max-model-len": -1}),
    (["--max-model-len", "32k"], {"max-model-len": 32000}),
    (["--max-model-len", "1.5K"], {"max-model-len": 1536}),
    (["--max-model-len", "auto"], {"max-model-len": "auto"}),
    (["--middleware", "a.B", "--middleware", "c.D"], {"middleware": ["a.B", "c.D"]}),
    (["--gpu-memory-utilization", "0.90"], {"gpu-memory-utilization": 0.9}),
    (["--load_format", "auto"], {"load-format": "auto"}),
]


@pytest.mark.parametrize(("words", "expected"), READ_CASES, ids=[" ".join(case[0]) for case in READ_CASES])
def test_read(words, expected, tool) -> None:
    """Spellings, short forms, dots, JSON and switches."""
    found = tool.serve_arguments.read(["vllm", "serve", "org/model", *words], NEWEST)
    assert found.options == {"model": "org/model", **expected}
    assert found.unknown == []


@pytest.mark.parametrize(
    ("words", "version", "expected"),
    [
        (["--max-num-seqs", "8"], NEWEST, []),
        (["--swap-space", "4"], NEWEST, ["option swap-space"]),
        (["--swap-space", "4"], "0.17.0", []),
        (["--runner", "pooled"], NEWEST, ["runner pooled"]),
        (["--tool-call-parser", "hermez"], NEWEST, ["tool-call-parser hermez"]),
        (["--tool-call-parser", "hermez", "--tool-parser-plugin", "/x.py"], NEWEST, []),
        (["--attention-backend", "flashinfer"], NEWEST, []),
        (["--distributed-executor-backend", "own.Executor"], NEWEST, []),
        (["-ac.use_fp4_indexer_cache", "True"], NEWEST, ["attention-config key use_fp4_indexer_cache"]),
        (["-ac.use_fp4_indexer_cache", "True"], "0.29.0", []),
        (["-cc", '{"no_such": 1, "mode": 3}'], NEWEST, ["compilation-config key no_such"]),
    ],
)
def test_lacking(words, version, expected, tool) -> None:
    """What a release does not have, and what it does not know."""
    argv = ["vllm", "serve", "org/model", *words]
    assert tool.serve_arguments.lacking(argv, version) == expected
    without = [item for item in expected if not item.startswith("tool-call") and " key " not in item]
    assert tool.serve_arguments.lacking(argv, version, names_too=False) == without


# --- what an operator writes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["-tp", "2"], {"vllm_tensor_parallel_size": "2", "vllm_gpu_devices": [0, 1]}),
        (["-pp", "2", "-dp", "2"], {"vllm_gpu_devices": [0, 1, 2, 3], "vllm_pipeline_parallel_size": "2"}),
        (["-dp", "8", "--data-parallel-size-local", "2"], {"vllm_gpu_devices": [0, 1]}),
        (["--trust-remote-code"], {"vllm_trust_remote_code": True}),
        (["--served-model-name", "a", "b"], {"vllm_served_model_name": ["a", "b"]}),
        (["--hf-overrides", '{"a": 1}'], {"vllm_hf_overrides": {"a": 1}}),
        (["--hf-overrides.a.b", "1"], {"vllm_hf_overrides": {"a": {"b": 1}}}),
        (["--attention_config.use_x", "True"], {"vllm_extra_options": {"attention_config.use_x": True}}),
        (["--allowed-origins", '["*"]'], {"vllm_extra_options": {"allowed-origins": ["*"]}}),
        (["--enable-auto-tool-choice"], {"vllm_extra_options": {"enable-auto-tool-choice": True}}),
    ],
    ids=str,
)
def test_variables(words, variables, tool) -> None:
    """The variable of an option that has one, whatever its spelling; the rest as a dictionary."""
    found = tool.variables(command(tool, *words), NEWEST)
    assert {name: found[name] for name in variables} == variables
    assert (found["vllm_profile"], found["vllm_model"], found["vllm_version"]) == ("none", "org/model", NEWEST)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        ("", "chat", {}),
        ("vllm/vllm-openai:latest", "chat", {}),
        ("vllm/vllm-openai:v0.30.0", "chat", {}),
        ("vllm/vllm-openai:special", "chat", {"vllm_image": "vllm/vllm-openai:special"}),
        ("other/vllm:latest", "chat", {"vllm_image": "other/vllm:latest"}),
        ("", "omni", {"vllm_check_options": False}),
    ],
)
def test_images(image, kind, expected, tool) -> None:
    """A release needs no image; vLLM-Omni's options are not vLLM's."""
    found = tool.variables(command(tool, image=image, kind=kind), NEWEST)
    assert {name: found[name] for name in ("vllm_image", "vllm_check_options") if name in found} == expected


def test_environment_variables_with_a_variable(tool) -> None:
    """A key has its variable, and nothing else has."""
    found = tool.variables(command(tool, env={"VLLM_API_KEY": "k", "OTHER": "1"}), NEWEST)
    assert found["vllm_api_key"] == "k"
    assert found["vllm_extra_env"] == {"OTHER": "1"}


@pytest.mark.parametrize(
    ("image", "minimum", "expected"),
    [
        ("", "", [NEWEST, "0.11.0"]),
        ("", "0.8.5", [NEWEST, "0.11.0"]),
        ("", "0.20.0", [NEWEST, "0.20.0"]),
        ("", "0.99.0", [NEWEST]),
        ("vllm/vllm-openai:v0.25.0", "0.20.0", ["0.25.0"]),
    ],
)
def test_releases(image, minimum, expected, tool) -> None:
    """The image's, or the newest and then the recipe's own."""
    assert tool.releases(command(tool, image=image, minimum=minimum)) == expected


# --- verdicts ---------------------------------------------------------------------------------------------------------

EXACT = [
    [],
    ["--trust-remote-code", "--max-model-len", "auto", "--dtype", "bfloat16", "--enforce-eager"],
    ["--max-model-len", "32k", "--kv-cache-dtype", "fp8", "-q", "awq"],
    ["-tp", "2", "-pp", "2"],
    ["-dp", "2", "--enable-expert-parallel"],
    ["-O3"],
    ["-cc.mode", "3", "-cc.pass_config.fuse_x", "True"],
    ["-cc", '{"cudagraph_mode": "FULL", "pass_config": {"a": false}}'],
    ["--attention_config.use_non_causal=True", "--default-chat-template-kwargs.thinking", "false"],
    ["--limit-mm-per-prompt.video", "0", "--mm-processor-cache-gb", "0"],
    ["--no-enable-prefix-caching", "--async-scheduling"],
    ["--disable-prefix-caching"],
    ["--served-model-name", "one", "two"],
    ["--allowed-origins", '["*"]', "--middleware", "a.B", "--middleware", "c.D"],
    ["-cc.cudagraph_capture_sizes", "[1, 2]", "--lora-modules", "a=/a", "b=/b"],
    ["--speculative-config", '{"method":"eagle3","model":"org/draft","num_speculative_tokens":3}'],
    ["--speculative_config.method", "mtp", "--speculative-config.num_speculative_tokens", "1"],
    ["--override-generation-config", '{"max_new_tokens": null, "temperature": 0.6}'],
    ["--kv-transfer-config", '{"kv_connector": "C", "kv_connector_extra_config": {"a": [1, "b"]}}'],
    ["--hf-overrides", '{"architectures": ["X"], "rope_parameters": {"factor": 4.0}}'],
    ["--hf-overrides.num_labels", "2"],
    ["--max-num-seqs", "8", "--max-num-seqs", "16"],
    ["--chat-template", "examples/tool chat's {{ template }}.jinja"],
    ["--logits_processors", "pkg.mod:Class", "--runner", "pooling"],
    ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"],
    ["--generation-config", "vllm", "--load_format", "mistral", "--tokenizer_mode", "mistral"],
    ["--gpu-memory-utilization", "0.9", "--block-size", "128", "--port", "9000"],
    ["--cudagraph-capture-sizes", "1", "2", "4"],
]


@pytest.mark.parametrize("words", EXACT, ids=" ".join)
def test_exact(words, tool, options) -> None:
    """Each form in which recipes and people write options comes out as the same options with the same values."""
    assert tool.judge(command(tool, *words, env={"VLLM_X": "1", "TEXT": "a b$c"}), options) == tool.Verdict("exactly")


@pytest.mark.parametrize(
    ("words", "changes", "word", "reason"),
    [
        ([], {"beyond": "two hosts"}, "cannot", "two hosts"),
        (["--no-such", "1"], {}, "refused rightly", "0.33.0 has no option no-such"),
        (["--tool-call-parser", "hermez"], {}, "refused rightly", "tool-call-parser hermez"),
        (["--swap-space", "4"], {"minimum": "0.17.0"}, "exactly", "in 0.17.0, since 0.33.0 has no option swap-space"),
        (
            ["--swap-space", "4"],
            {"image": "vllm/vllm-openai:v0.30.0"},
            "refused rightly",
            "0.30.0 has no option swap-",
        ),
        (["--tool-call-parser", "own"], {"image": "own/image:1"}, "exactly", ""),
        (["--no-such", "1"], {"kind": "omni"}, "exactly", ""),
        (["-ac.use_fp4_indexer_cache", "True"], {}, "refused rightly", "has no attention-config key use_fp4_"),
        (["-ac.use_fp4_indexer_cache", "True"], {"minimum": "0.25.0"}, "exactly", ""),
        (["-ac.no_such", "True"], {"image": "own/image:1"}, "exactly", ""),
        # the collection's own rules, not the release's
        (["--ssl-keyfile", "/k"], {}, "refused wrongly", "vllm_ssl_certfile"),
        ([], {"env": {"LD_PRELOAD": "x"}}, "refused wrongly", "LD_PRELOAD"),
        # one reason does not excuse another, and the problem is told that is none
        (["--no-such", "1"], {"env": {"LD_PRELOAD": "x"}}, "refused wrongly", "LD_PRELOAD"),
        (["-q", "awqq"], {}, "refused rightly", "0.33.0 has no quantization awqq"),
    ],
)
def test_judge(words, changes, word, reason, tool, options) -> None:
    """What cannot be, what the release lacks, and what the collection refuses though the release takes it."""
    found = tool.judge(command(tool, *words, **changes), options)
    assert found.word == word, found
    assert reason in found.reason


@pytest.mark.parametrize(
    ("message", "lack", "expected"),
    [
        ("vllm_extra_options: swap-space is not taken by vLLM 0.30.0", "option swap-space", True),
        ("such has no --no- form", "option no-such", True),
        ("ac is no option of vLLM 0.11.0.", "option ac.use_x", True),
        ("the accelerator is not there", "option ac.use_x", False),
        ("max-swap-space is wrong", "option swap-space", False),
        ("q: vLLM 0.33.0 knows no 'awqq'.", "quantization awqq", True),
        ("LD_PRELOAD is refused", "quantization awqq", False),
    ],
)
def test_is_about(message, lack, expected, tool) -> None:
    """A whole name, or the value as messages write it."""
    assert tool.is_about(message, lack) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exactly", "refused wrongly"], "exactly"),
        (["refused rightly", "exactly"], "exactly"),
        (["refused rightly", "wrong"], "wrong"),
        (["refused rightly", "refused rightly"], "refused rightly"),
        (["refused wrongly", "exactly"], "refused wrongly"),
        (["wrong", "exactly"], "wrong"),
        (["leaking", "exactly"], "leaking"),
    ],
    ids=str,
)
def test_an_older_release_hides_no_fault(words, expected, tool, options, monkeypatch) -> None:
    """It is asked only where the newest lacks something."""
    by_version = dict(zip([NEWEST, "0.20.0"], words))
    monkeypatch.setattr(tool, "judge_in", lambda _command, version, _options: tool.Verdict(by_version[version]))
    assert tool.judge(command(tool, minimum="0.20.0"), options).word == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (({"a": 1}, {"a": 1}, {"E": "1"}, {"E": "1"}), ("exactly", "")),
        (({"a": 1}, {"a": 2}, {}, {}), ("wrong", "a is 2, not 1")),
        (({"a": 1}, {}, {}, {}), ("wrong", "a is None, not 1")),
        (({"a": 1}, {"a": 1, "b": 2}, {}, {}), ("leaking", "--b")),
        (({}, {}, {}, {"E": "1"}), ("leaking", "E")),
        (({}, {}, {"E": "1"}, {"E": "2"}), ("wrong", "E is '2', not '1'")),
        (({}, {}, {}, {"HF_HUB_OFFLINE": "1"}), ("exactly", "")),
        (({}, {}, {"HF_HUB_OFFLINE": "0"}, {"HF_HUB_OFFLINE": "1"}), ("wrong", "HF_HUB_OFFLINE is '1', not '0'")),
    ],
)
def test_differences(given, expected, tool) -> None:
    """Missing and other values weigh more than further ones."""
    assert tool.differences(*given) == tool.Verdict(*expected)


def test_a_profile_would_leak(tool, options) -> None:
    """The whole comparison sees an option that nobody asked for."""
    with_profile = dict(options, vllm_kv_cache_dtype={"type": "str", "default": "fp8"})
    assert tool.judge(command(tool), with_profile) == tool.Verdict("leaking", "--kv-cache-dtype")


def test_accepted_though_lacking(tool, options) -> None:
    """What nobody refuses and the release lacks is wrong, too."""
    unchecked = dict(options, vllm_check_options={"type": "bool", "default": False})
    found = tool.judge(command(tool, "--no-such", "1"), unchecked)
    assert found == tool.Verdict("wrong", "taken, though 0.33.0 has no option no-such")


def test_table(tool) -> None:
    """Counts and shares by kind and strategy, of all, and of those that one container serves."""
    judged = [(command(tool), tool.Verdict("exactly"))] * 3
    judged += [(command(tool, kind="embed"), tool.Verdict("cannot", "why"))]
    lines = [line.split() for line in tool.table(judged)]
    assert lines[1][:5] == ["chat,", "single_node_tp", "3", "3", "(100.0"]
    assert lines[3][:4] == ["all", "4", "3", "("]
    assert lines[4][:6] == ["all", "of", "one", "container", "3", "3"]


def test_reasons(tool) -> None:
    """Each once, with its number and some examples; only those have none that are exact in the newest release."""
    judged = [(command(tool, which="w%d" % number), tool.Verdict("wrong", "why")) for number in range(3)]
    judged += [(command(tool), tool.Verdict("exactly")), (command(tool), tool.Verdict("exactly", "in 0.17.0"))]
    expected = ["1 exactly: in 0.17.0", "org/model", "3 wrong: why", "org/model (w0)"]
    assert [line.strip() for line in tool.reasons(judged, 1)] == expected


# --- rendering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["vllm", "--a", "b c"], ["vllm", "--a", "b c"]),
        (["--max-model-len auto"], ["--max-model-len", "auto"]),
        (['--a={"b": 1}'], ['--a={"b": 1}']),
        (['{"b": 1}'], ['{"b": 1}']),
    ],
)
def test_words(argv, expected, tool) -> None:
    """A value may have spaces, an option not."""
    assert tool.recipes.words(argv) == expected


def test_yaml_as_javascript_reads_it(tool) -> None:
    """Only true and false are switches, and dates stay texts."""
    text = "a: on\nb: true\nc: 2026-01-02\nd: 0.5\n"
    assert tool.recipes.read_yaml(text) == {"a": "on", "b": True, "c": "2026-01-02", "d": 0.5}


@pytest.mark.parametrize(
    ("tasks", "kind"), [(["text"], "chat"), (["text", "multimodal"], "vision"), (["embedding"], "embed"), ([], "chat")]
)
def test_kinds(tasks, kind, tool) -> None:
    """The more special task counts."""
    assert tool.recipes.kind_of(tasks) == kind


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({}, ""),
        ({"model": {"min_vllm_version": "0.20.0"}}, "0.20.0"),
        ({"model": {"min_vllm_version": "0.20.0"}, "variants": {"x": {"min_vllm_version": "0.25.0"}}}, "0.25.0"),
        ({"model": {"min_vllm_version": "nightly"}}, ""),
    ],
)
def test_minimum(recipe, expected, tool) -> None:
    """The variant's own wins; what is no number says nothing."""
    assert tool.recipes.minimum(recipe, "x") == expected


def test_combinations_once(tool) -> None:
    """The same command on other hardware counts once, with another image twice."""
    item = {"recipe": "r", "variant": "v", "hardware": "h", "strategy": "s", "features": "f", "argv": ["vllm"],
            "env": {"A": 1}, "image": "i", "companions": []}  # fmt: skip
    given = [item, {**item, "hardware": "other"}, {**item, "image": "j"}, {**item, "companions": ["a server"]}]
    found = tool.recipes.distinct(given, {"r": {"meta": {"tasks": ["text"]}}})
    assert [(one.image, one.which, one.env, one.beyond) for one in found] == [
        ("i", "v, h, f", {"A": "1"}, ""),
        ("j", "v, h, f", {"A": "1"}, ""),
        ("i", "v, h, f", {"A": "1"}, "a process beside it (a server)"),
    ]


SHOWN = {"strategy": "s", "variant": "default", "hardware": "h", "env": {}, "docker_image": "i", "argv": ["vllm"]}


@pytest.mark.parametrize(
    ("shown", "beyond"),
    [
        ({"deploy_type": "single_node"}, ""),
        ({"deploy_type": "multi_node"}, "more than one host or service (multi_node)"),
        ({"deploy_type": "single_node", "hardware_profile": {"brand": "AMD"}}, "accelerators of AMD"),
        ({"deploy_type": "single_node", "companions": [{"label": "x"}]}, "a process beside it (x)"),
    ],
)
def test_recommended(shown, beyond, tool, tmp_path) -> None:
    """What is more than a container, and what the API leaves out."""
    index = [{"hf_id": "org/model", "json": "/org.json"}, {"hf_id": "org/omni", "json": "/omni.json"}]
    tmp_path.joinpath("models.json").write_text(json.dumps(index))
    model = {"meta": {"tasks": ["text"]}, "recommended_command": {**SHOWN, **shown}}
    tmp_path.joinpath("org.json").write_text(json.dumps(model))
    tmp_path.joinpath("omni.json").write_text(json.dumps({"meta": {"tasks": ["omni"]}}))
    found = tool.recipes.recommended(tmp_path, {}, {})
    assert [(one.recipe, one.kind, one.beyond) for one in found] == [
        ("org/model", "chat", beyond),
        ("org/omni", "omni", "no command"),
    ]
    other = tool.recipes.Command("org/omni", "omni", "omni", ["vllm"], {})
    assert tool.recipes.recommended(tmp_path, {}, {"org/omni": other})[1] == other


def test_without_node(tool, tmp_path, monkeypatch) -> None:
    """It is said, with what to do."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(tool.recipes.RecipeError, match=r"node is not installed.*apt install nodejs"):
        tool.recipes.render(tmp_path)


def test_no_checkout(tool, tmp_path, monkeypatch) -> None:
    """Another folder is named with what it lacks."""
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/node")
    with pytest.raises(tool.recipes.RecipeError, match="is no checkout of vllm-project/recipes"):
        tool.recipes.render(tmp_path)


#: A checkout with one recipe, and code that does the least that the program asks for.
CHECKOUT = {
    "taxonomy.yaml": "hardware_profiles: {gpu: {brand: NVIDIA, gpu_count: 2}, other: {brand: AMD}}\nkv_offload: {}\n",
    "strategies/one.yaml": "name: one\ndeploy_type: single_node\n",
    "models/org/model.yaml": "meta: {tasks: [text], date: 2026-01-02}\nvariants: {default: {}}\nfeatures: {x: {}}\n",
    "models/org/omni.yaml": "meta: {tasks: [omni]}\nvariants: {default: {}}\n",
    "src/lib/omni-tasks.js": "export const resolveOmniTasks = () => [{ id: 't2i' }];\n",
    "src/lib/command-synthesis.js": """
export const listCompatibleHardware = (profiles) => Object.keys(profiles);
export const isHardwareSupported = () => true;
export const isVariantHardwareSupported = () => true;
export const isStrategySupportedOnHardware = () => true;
export const pickDefaultHardware = () => "gpu";
export const computeDockerMeta = (recipe, variant, profile, hardware) => ({ image: hardware });
export const effectiveCompatibleStrategies = () => ["one"];
export const resolveOmniCommand = () => ({ command: "vllm serve org/omni \\\\\\n  --a 'b c'", env: {} });
export const resolveCommand = (recipe, variant, strategy, hardware, features) => ({
  argv: ["vllm", "serve", "org/model", ...features.map((name) => `--${name}`)], env: { A: "1" },
});
""",
    "scripts/build-recipes-api.mjs": """
import fs from "fs";
import yaml from "js-yaml";
const read = (path) => yaml.load(fs.readFileSync(path, "utf8"));
fs.mkdirSync("public");
const { meta } = read("models/org/model.yaml");
const shown = { strategy: "one", deploy_type: "single_node", variant: "default", hardware: "gpu", docker_image: "i",
  env: {}, argv: ["vllm", "serve", "org/model", "--usual"] };
fs.writeFileSync("public/m.json", JSON.stringify({ meta, recommended_command: shown }));
fs.writeFileSync("public/o.json", JSON.stringify({ meta: read("models/org/omni.yaml").meta }));
fs.writeFileSync("public/models.json", JSON.stringify([{ hf_id: "org/model", json: "/m.json" },
  { hf_id: "org/omni", json: "/o.json" }]));
""",
}


#: The recipes' own code is JavaScript. `make coverage` alone runs it, and says so where there is no node; `make test`
#: installs none for it, and what it makes of the commands is tested without.
NEEDS_NODE = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


@pytest.fixture
def checkout(tmp_path):
    """Write CHECKOUT."""
    for name, text in CHECKOUT.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "checkout"


@NEEDS_NODE
def test_render(tool, checkout) -> None:
    """The checkout's own code is asked, on hardware of NVIDIA alone; the folder stays as it was."""
    before = sorted(checkout.rglob("*"))
    shown, combinations = tool.recipes.render(checkout)
    assert [(one.recipe, one.argv[2:]) for one in shown] == [
        ("org/model", ["org/model", "--usual"]),
        ("org/omni", ["org/omni", "--a", "b c"]),
    ]
    assert [(one.recipe, one.strategy, one.argv[2:], one.which) for one in combinations] == [
        ("org/model", "one", ["org/model", "--x"], "default, gpu, usual"),
        ("org/model", "one", ["org/model"], "default, gpu, none"),
        ("org/omni", "omni", ["org/omni", "--a", "b c"], "default, gpu, t2i"),
    ]
    assert sorted(checkout.rglob("*")) == before


@NEEDS_NODE
def test_code_that_fails(tool, checkout) -> None:
    """Its last words are passed on."""
    checkout.joinpath("scripts/build-recipes-api.mjs").write_text("throw new Error('broken')\n")
    with pytest.raises(tool.recipes.RecipeError, match=r"(?s)build-recipes-api.mjs failed.*broken"):
        tool.recipes.render(checkout)
