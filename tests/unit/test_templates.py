# SPDX-License-Identifier: GPL-3.0-or-later
"""The Compose file and .env, rendered as the role vllm_config does it, and validated by the real Docker Compose."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys

import pytest
import yaml
from ansible.template import Templar, trust_as_template

#: Time a graph capture took on the seed's host, in seconds; a health check must not count before.
GRAPH_CAPTURE_S = 535

CASES = {
    "medium": {},
    "cpu": {"vllm_accelerator": "cpu"},
    "ipc-host": {"vllm_ipc": "host", "vllm_shm_size": ""},
    "deploy": {"vllm_gpu_access": "deploy"},
    "cdi": {"vllm_gpu_access": "cdi", "vllm_gpu_devices": [0, 1]},
    "local-model": {"vllm_model": "/srv/models/qwen", "vllm_hf_cache": "/srv/hf", "vllm_compile_cache": "/srv/compile"},
    "other-name": {"vllm_name": "small-2", "vllm_container_name": "small.2", "vllm_port": "5003"},
    "address-6": {"vllm_publish_address": "2001:db8::7"},
    "localhost": {"vllm_publish_address": "localhost"},
    "extras": {
        "vllm_check_options": False,
        "vllm_extra_options": {"a": True, "b": False, "c": ["x y", "$HOME"], "d": {"e": 'it\'s "q" $$'}},
        "vllm_extra_env": {"HTTPS_PROXY": "http://u:p#$@proxy:1/", "N": 1, "EMPTY": ""},
        "vllm_extra_volumes": ["/a:/b:ro", "models:/models"],
        "vllm_enforce_eager": True,
    },
    "name-no": {"vllm_name": "no"},
}

#: Names that YAML takes for something else when they stand there without quotes.
UNQUOTED = {
    "name-true": {"vllm_name": "true"},
    "name-null": {"vllm_name": "null"},
    "container-number": {"vllm_container_name": "1234"},
    "container-float": {"vllm_container_name": "1e3"},
    "volume-number": {"vllm_hf_cache": "1234"},
    "volume-null": {"vllm_hf_cache": "null"},
}


@pytest.fixture
def render(root, loader, define, planted):
    """Render both files for the defaults with changes; returns definition, Compose text and .env text."""

    def call(engine: str = "20.10.24+dfsg1", secrets: bool = True, **changes) -> tuple[dict, str, str]:
        changes = {**(planted if secrets else {}), **changes}
        found, problems, _warnings = define(**changes)
        assert problems == []
        variables = {
            **changes,
            "vllm_definition": found,
            "docker_engine_result": {"engine": {"version": engine}},
        }
        templar = Templar(loader=loader, variables=variables)

        def text(name: str) -> str:
            lookup = "{{ lookup('ansible.builtin.template', '%s') }}" % (root / "templates" / name)
            return templar.template(trust_as_template(lookup))

        return found, text("compose.yml.j2"), text("env.j2")

    return call


@pytest.fixture
def service(render):
    """The service of the Compose file, parsed."""

    def call(**changes) -> dict:
        found, compose_text, _env = render(**changes)
        data = yaml.safe_load(compose_text)
        assert data["name"] == found["project"]
        assert next(iter(data["services"])) == found["name"]
        return data["services"][found["name"]]

    return call


@pytest.mark.parametrize("engine", ["20.10.24+dfsg1", "26.1.5+dfsg1"])
@pytest.mark.parametrize("case", CASES)
def test_compose_accepts(case, engine, render, compose, tmp_path) -> None:
    """The real Docker Compose takes it without a warning, and starts vLLM with the given values."""
    found, compose_text, env_text = render(engine=engine, **CASES[case])
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert compose(tmp_path, "config", "--quiet").returncode == 0
    data = json.loads(done.stdout.replace("$$", "$"))
    assert list(data["services"]) == [found["name"]]
    result = data["services"][found["name"]]
    assert result["container_name"] == found["container_name"]
    assert result["command"][0] == found["model"]
    assert str(found["port"]) in result["command"]
    (port,) = result["ports"]
    assert (port["target"], port["published"]) == (found["port"], str(found["port"]))
    assert port["host_ip"] == {"localhost": "127.0.0.1"}.get(found["publish_address"], found["publish_address"])
    assert set(data.get("volumes") or {}) == set(found["named_volumes"])
    assert all(volume["name"] == name for name, volume in (data.get("volumes") or {}).items())


@pytest.mark.parametrize("case", UNQUOTED)
def test_compose_accepts_every_accepted_name(case, render, compose, tmp_path) -> None:
    """What the definition accepts as a name, Compose takes for one too."""
    _found, compose_text, env_text = render(**UNQUOTED[case])
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "config", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_in_the_environment(render, compose, tmp_path) -> None:
    """A service that needs no variable has no key for them: Compose refuses one that holds nothing."""
    found, compose_text, env_text = render(
        secrets=False, vllm_gpu_access="deploy", vllm_usage_stats=True, vllm_prefetch=False
    )
    assert found["environment"] == {}
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "environment" not in json.loads(done.stdout)["services"][found["name"]]


def test_extras_arrive(render, compose, tmp_path, planted) -> None:
    """Values with every odd character reach the command line and the environment as they are."""
    _found, compose_text, env_text = render(**CASES["extras"])
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    # --no-interpolate is of no use here: it shows ${NAME}; dollar signs are doubled in the output
    result = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["services"]["medium"]
    command = [argument.replace("$$", "$") for argument in result["command"]]
    environment = {name: value.replace("$$", "$") for name, value in result["environment"].items()}
    start = command.index("--a")
    assert command[start:] == ["--a", "--no-b", "--c", "x y", "$HOME", "--d", json.dumps({"e": 'it\'s "q" $$'})]
    assert "--enforce-eager" in command
    assert environment["HTTPS_PROXY"] == "http://u:p#$@proxy:1/"
    assert (environment["N"], environment["EMPTY"]) == ("1", "")
    assert environment["VLLM_API_KEY"] == planted["vllm_api_key"]
    assert "HF_TOKEN" not in environment


def test_prefetch_gets_the_token_and_no_gpu(render, compose, tmp_path, planted) -> None:
    """The container that downloads: on demand only, from the image that is there, with the cache and the token."""
    found, compose_text, env_text = render(**CASES["extras"])
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "--profile", "prefetch", "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout.replace("$$", "$"))["services"]
    assert set(services) == {"medium", "medium-prefetch"}
    result = services["medium-prefetch"]
    assert result["environment"] == {
        "NVIDIA_VISIBLE_DEVICES": "void",
        "HF_TOKEN": planted["vllm_hf_token"],
        "HTTPS_PROXY": "http://u:p#$@proxy:1/",
    }
    assert (result["image"], result["pull_policy"]) == (found["image"], "never")
    assert (result["entrypoint"], result["restart"]) == (["python3"], "no")
    assert result["container_name"] == "myia-vllm-medium-qwen3-prefetch"
    assert result["volumes"] == services["medium"]["volumes"]
    assert not {"ports", "runtime", "deploy", "healthcheck"} & set(result)


@pytest.mark.parametrize("changes", [{"vllm_prefetch": False}, {"vllm_model": "/srv/m"}], ids=["off", "folder"])
def test_nothing_to_prefetch(changes, render) -> None:
    """No second service where there is nothing to download."""
    found, compose_text, _env = render(**changes)
    assert list(yaml.safe_load(compose_text)["services"]) == [found["name"]]


@pytest.mark.parametrize("case", CASES)
def test_no_secret_in_the_compose_file(case, render, planted) -> None:
    """Secrets stand in .env, once each, and nowhere else."""
    _found, compose_text, env_text = render(**CASES[case])
    assert "PLANTED" not in compose_text
    for value in planted.values():
        assert env_text.count("='%s'\n" % value) == 1
    assert "http://u:p" not in compose_text


@pytest.mark.parametrize("case", CASES)
def test_env_file(case, render) -> None:
    """One line a value, each quoted, after one comment; every reference of the Compose file has its line."""
    _found, compose_text, env_text = render(**CASES[case])
    first, *lines = env_text.splitlines()
    assert first.startswith("# ")
    assert env_text.endswith("'\n")
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*='.*'", line) for line in lines)
    names = [line.partition("=")[0] for line in lines]
    used = set(re.findall(r"\$\{(\w+)", compose_text.partition("\nname:")[2]))
    assert used <= set(names)
    unused = set(names) - used
    # with deploy and cdi the GPUs stand in the Compose file; their line is there for people who know the seed's .env
    # and the token of a model that is a folder, which is served as it always was
    assert {name.partition("_DEVICES_")[0] for name in unused} <= {"CUDA_VISIBLE"}


def test_medium(service) -> None:
    """The seed's service."""
    found = service(secrets=False)
    assert found["runtime"] == "nvidia"
    assert found["environment"]["NVIDIA_VISIBLE_DEVICES"] == "${CUDA_VISIBLE_DEVICES_MEDIUM:-0,1}"
    assert found["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "${NVIDIA_DRIVER_CAPABILITIES}"
    assert "HF_TOKEN" not in found["environment"]
    assert found["image"] == "vllm/vllm-openai:v0.32.0"
    assert found["container_name"] == "myia-vllm-medium-qwen3"
    assert found["entrypoint"] == ["vllm", "serve"]
    assert found["command"][0] == "${VLLM_MODEL_MEDIUM}"
    assert found["shm_size"] == "16gb"
    assert "ipc" not in found
    assert "deploy" not in found
    assert found["ports"] == ["127.0.0.1:${VLLM_PORT_MEDIUM}:${VLLM_PORT_MEDIUM}"]
    assert found["volumes"] == ["vllm-hf-cache:/root/.cache/huggingface", "vllm-compile-cache:/root/.cache/vllm"]
    assert found["restart"] == "no"


def test_healthcheck(service) -> None:
    """A failed check does not count while graphs are captured; it asks /health on the service's own port."""
    check = service(secrets=False)["healthcheck"]
    assert check["test"][:3] == ["CMD", "python3", "-c"]
    compile(check["test"][3].replace("${VLLM_PORT_MEDIUM}", "5002"), "healthcheck", "exec")
    assert "http://127.0.0.1:${VLLM_PORT_MEDIUM}/health" in check["test"][3]
    assert "timeout=10" in check["test"][3]
    assert int(check["start_period"].rstrip("s")) > GRAPH_CAPTURE_S
    assert (check["interval"], check["timeout"], check["retries"]) == ("30s", "10s", 3)


@pytest.mark.parametrize(
    ("engine", "there"), [("20.10.24+dfsg1", False), ("24.0.9", False), ("25.0.0", True), ("26.1.5+dfsg1", True)]
)
def test_start_interval(engine, there, service) -> None:
    """Engines before 25.0 do not know start_interval and would refuse it."""
    assert ("start_interval" in service(engine=engine)["healthcheck"]) is there


def test_cpu(service) -> None:
    """Nothing of a GPU is left."""
    found = service(**CASES["cpu"])
    assert found["image"] == "vllm/vllm-openai-cpu:v0.32.0"
    assert not {"runtime", "deploy"} & set(found)
    assert "NVIDIA" not in json.dumps(found)
    assert found["environment"]["VLLM_CPU_KVCACHE_SPACE"] == "${VLLM_CPU_KVCACHE_SPACE}"


def test_ipc_host(service) -> None:
    """The host's /dev/shm, and no size beside it."""
    found = service(**CASES["ipc-host"])
    assert found["ipc"] == "host"
    assert "shm_size" not in found


@pytest.mark.parametrize(
    ("case", "driver", "ids"),
    [("deploy", "nvidia", ["0", "1"]), ("cdi", "cdi", ["nvidia.com/gpu=0", "nvidia.com/gpu=1"])],
    ids=["deploy", "cdi"],
)
def test_devices(case, driver, ids, service) -> None:
    """GPUs asked for by `deploy`: one id each, no runtime, no container variable."""
    found = service(**CASES[case])
    assert "runtime" not in found
    assert "NVIDIA_VISIBLE_DEVICES" not in found["environment"]
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": driver, "device_ids": ids, "capabilities": ["gpu"]}


@pytest.mark.parametrize(
    ("changes", "external"),
    [
        ({}, set()),
        ({"vllm_name": "chat"}, {"vllm-hf-cache"}),
        ({"vllm_name": "chat", "vllm_compile_cache": "compiled"}, {"vllm-hf-cache", "compiled"}),
        ({"vllm_name": "chat", "vllm_compile_cache": "vllm-compile-cache"}, {"vllm-hf-cache", "vllm-compile-cache"}),
        ({"vllm_hf_cache": "hub", "vllm_extra_volumes": ["models:/models"]}, {"hub", "models"}),
    ],
    ids=["medium", "chat", "chat-named", "chat-as-medium", "medium-named"],
)
def test_volumes_of_others(changes, external, render, compose, tmp_path) -> None:
    """Compose is to make what is named after the service only: of what another project has made it warns."""
    found, compose_text, env_text = render(**changes)
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    declared = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["volumes"]
    assert {name for name, volume in declared.items() if volume.get("external")} == external
    assert set(found["shared_volumes"]) == external
    # the medium service may come second, and declares these two as its own
    owned = {"vllm-hf-cache", "vllm-compile-cache"}
    assert {name for name, owner in found["shared_volumes"].items() if owner == "vllm-medium"} == external & owned
    # as module_utils/service/volumes.py looks for a service that uses one
    assert all("    name: %s\n" % json.dumps(name) in compose_text for name in declared)


def test_local_model(render) -> None:
    """Mounted read-only at its own path; no volume is declared for caches that are folders."""
    found, compose_text, _env = render(**CASES["local-model"])
    data = yaml.safe_load(compose_text)
    assert data["services"]["medium"]["volumes"] == [
        "/srv/hf:/root/.cache/huggingface",
        "/srv/compile:/root/.cache/vllm",
        "/srv/models/qwen:/srv/models/qwen:ro",
    ]
    assert "volumes" not in data
    assert found["model_is_local"] is True


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1", "127.0.0.1:${VLLM_PORT_MEDIUM}:${VLLM_PORT_MEDIUM}"),
        ("localhost", "127.0.0.1:${VLLM_PORT_MEDIUM}:${VLLM_PORT_MEDIUM}"),
        ("::1", "[::1]:${VLLM_PORT_MEDIUM}:${VLLM_PORT_MEDIUM}"),
        ("", "0.0.0.0:${VLLM_PORT_MEDIUM}:${VLLM_PORT_MEDIUM}"),
    ],
)
def test_ports(address, port, service) -> None:
    """Published on one address, IPv6 in brackets."""
    assert service(vllm_publish_address=address)["ports"] == [port]


def test_rendering_is_stable(render) -> None:
    """The same variables give the same text, or every run would be a new release."""
    assert render(**CASES["extras"]) == render(**CASES["extras"])


def test_apt_repository(root, loader) -> None:
    """A source in deb822 form, with and without components and architecture."""

    def text(**more: str) -> str:
        repository = {"title": "X", "uri": "https://x/", "suites": "/", "signed_by": "/k.asc", **more}
        lookup = "{{ lookup('ansible.builtin.template', '%s') }}" % (root / "templates" / "apt-repository.sources.j2")
        return Templar(loader=loader, variables={"apt_repository": repository}).template(trust_as_template(lookup))

    plain = [line for line in text().splitlines() if not line.startswith("#")]
    assert plain == ["Types: deb", "URIs: https://x/", "Suites: /", "Signed-By: /k.asc"]
    full = text(suites="bookworm", components="stable", architecture="amd64").splitlines()
    assert full[3:] == ["Suites: bookworm", "Components: stable", "Architectures: amd64", "Signed-By: /k.asc"]


def test_templates_are_no_programs(root) -> None:
    """Nothing in templates/ is executable."""
    files = [path for path in (root / "templates").rglob("*") if path.is_file()]
    assert not [path for path in files if path.stat().st_mode & stat.S_IXUSR]


@pytest.mark.parametrize("engine", ["20.10", "26.1"])
def test_medium_is_what_it_was(engine, render, root) -> None:
    """A byte that differs recreates users' containers: a change that is meant has a changelog line, too."""
    golden = root / "tests" / "unit" / "data" / "golden" / "medium"
    given = yaml.safe_load((root / "inventories/medium/group_vars/medium/main.yml").read_text(encoding="utf-8"))
    _found, compose_text, env_text = render(engine=engine, **given)
    assert compose_text == (golden / ("compose-engine-%s.txt" % engine)).read_text(encoding="utf-8")
    assert env_text == (golden / "env").read_text(encoding="utf-8")


#: What a user of Compose may ask for: the changes, and the keys that Docker Compose then understands.
OPTIONS = {
    "labels": ({"vllm_labels": {"a": True, "b.c": "$x"}}, {"labels": {"a": "true", "b.c": "$x"}}),
    "ulimits": (
        {"vllm_ulimits": {"memlock": -1, "nofile": {"soft": 1, "hard": 2}}},
        {"ulimits": {"memlock": -1, "nofile": {"soft": 1, "hard": 2}}},
    ),
    "log": (
        {"vllm_log_driver": "local", "vllm_log_options": {"max-size": "50m", "max-file": 5}},
        {"logging": {"driver": "local", "options": {"max-size": "50m", "max-file": "5"}}},
    ),
    "user": ({"vllm_user": "2000:2000"}, {"user": "2000:2000"}),
    "limits": ({"vllm_memory_limit": "26g", "vllm_cpu_limit": "2.5"}, {"mem_limit": str(26 * 1024**3), "cpus": 2.5}),
    "extra-hosts": ({"vllm_extra_hosts": {"hub": "10.0.0.7"}}, {"extra_hosts": ["hub=10.0.0.7"]}),
    "secret": (
        {"vllm_secret_files": {"hf": "/srv/hf-token"}, "vllm_labels": {"a": "b"}},
        {
            "secrets": [{"source": "hf", "target": "/run/secrets/hf"}],
            "labels": {"a": "b", "myia.vllm.files": "what they hold"},
        },
    ),
    "networks": (
        {"vllm_networks": ["own", {"name": "ai", "external": True, "aliases": ["vllm"]}]},
        {"networks": {"own": {}, "ai": {"aliases": ["vllm"]}}},
    ),
    "network-host": ({"vllm_network_mode": "host"}, {"network_mode": "host", "ports": None}),
    "no-port": ({"vllm_publish": False}, {"ports": None}),
    "override": (
        {"vllm_compose_override": {"security_opt": ["no-new-privileges:true"], "stop_grace_period": "2m"}},
        {"security_opt": ["no-new-privileges:true"], "stop_grace_period": "2m0s"},
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_arrive(case, render, compose, tmp_path) -> None:
    """Each key stands in the file as Docker Compose understands it, and in none that does not ask for it."""
    changes, expected = OPTIONS[case]
    found, compose_text, env_text = render(**changes)
    if found["files"]:  # the host adds the line
        env_text += "%s='what they hold'\n" % found["files_variable"]
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "--profile", "prefetch", "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout.replace("$$", "$"))
    result = data["services"][found["name"]]
    assert {key: result.get(key) for key in expected} == expected
    downloads = data["services"][found["prefetch"]["service"]]
    for key in ("user", "logging", "extra_hosts", "secrets", "network_mode"):
        assert downloads.get(key) == result.get(key)
    if case == "networks":
        assert data["networks"]["ai"] == {"name": "ai", "ipam": {}, "external": True}
        assert data["networks"]["own"] == {"name": "own", "ipam": {}}
    if case == "secret":
        assert data["secrets"]["hf"]["file"] == "/srv/hf-token"


def test_container_port(render, compose, tmp_path) -> None:
    """Clients ask the host's port; vLLM and the health check have the container's."""
    _found, compose_text, env_text = render(vllm_container_port=8000)
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    result = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["services"]["medium"]
    assert [(port["target"], port["published"]) for port in result["ports"]] == [(8000, "5002")]
    assert result["command"][result["command"].index("--port") + 1] == "8000"
    assert "http://127.0.0.1:8000/health" in result["healthcheck"]["test"][3]


def test_health_check_by_tls(render, compose, tmp_path, tls_server) -> None:
    """Run as Docker runs it, the health check takes a certificate of nobody known; without TLS it asks plain HTTP."""
    given = {"vllm_ssl_certfile": "/srv/llm.pem", "vllm_ssl_keyfile": "/srv/llm.key", "vllm_container_port": tls_server}
    found, compose_text, env_text = render(**given)
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text + "%s='x'\n" % found["files_variable"], encoding="utf-8")
    done = compose(tmp_path, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    service = json.loads(done.stdout)["services"]["medium"]
    program = service["healthcheck"]["test"][3]
    assert "https://127.0.0.1:%d/health" % tls_server in program
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=20).returncode == 0
    plain = program.replace("https:", "http:")
    assert subprocess.run([sys.executable, "-c", plain], check=False, timeout=20, capture_output=True).returncode != 0
    mounted = {item["target"]: item["read_only"] for item in service["volumes"] if "vllm-tls" in item["target"]}
    assert mounted == {"/etc/vllm-tls/certfile.pem": True, "/etc/vllm-tls/keyfile.pem": True}
    assert service["command"][service["command"].index("--ssl-keyfile") + 1] == "/etc/vllm-tls/keyfile.pem"


def test_compose_refuses_what_is_no_key(render, compose, tmp_path) -> None:
    """A key that Docker Compose does not know is refused before the service is touched."""
    _found, compose_text, env_text = render(vllm_compose_override={"securty_opt": ["x"]})
    (tmp_path / "compose.yml").write_text(compose_text, encoding="utf-8")
    (tmp_path / ".env").write_text(env_text, encoding="utf-8")
    done = compose(tmp_path, "config", "--quiet")
    assert done.returncode != 0
    assert "securty_opt" in done.stderr
