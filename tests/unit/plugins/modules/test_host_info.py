# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_info, run as a program with stand-ins for docker and nvidia-smi."""

from __future__ import annotations

import contextlib
import email.utils
import http.server
import json
import os
import socket
import threading
import time
from typing import ClassVar

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

INFO = {"ServerVersion": "26.1.5", "OperatingSystem": "Debian", "DockerRootDir": "/"}
OURS = "c0" * 32
DOCKER = """case "$1 $2" in
"compose version") echo 2.26.1 ;;
"info --format") cat <<'END'
%s
END
;;
"ps --filter") printf 'myia\\tvllm-medium\\t"127.0.0.1:5002->5002/tcp"\\n' ;;
"ps --all") echo myia ;;
"ps --no-trunc") echo %s ;;
"inspect %s") echo '%s' ;;
"network ls") printf 'bridge\\t\\nai\\tstack\\nmade-by-hand\\t\\n' ;;
"image inspect") [ "$5" = 127.0.0.1:9/there:1 ] ;;
*) echo "unexpected: $*" >&2; exit 99 ;;
esac""" % (
    json.dumps(INFO),
    OURS,
    OURS,
    json.dumps(
        [
            {
                "Id": OURS,
                "Name": "/myia",
                "State": {"Running": True},
                "Config": {"Labels": {"com.docker.compose.project": "vllm-medium"}, "Env": ["X=PLANTED"]},
                "HostConfig": {"Runtime": "runc", "DeviceRequests": [{"Count": 0, "DeviceIDs": ["0"]}]},
            }
        ]
    ),
)
SMI = """case "$1" in
-q) cat <<'END'
<nvidia_smi_log><driver_version>580.95.05</driver_version><cuda_version>13.0</cuda_version>
<gpu id="00000000:01:00.0"><product_name>RTX 4090</product_name><uuid>GPU-a</uuid>
<fb_memory_usage><total>24564 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>
END
;;
*) echo '0, GPU-a, 8.9' ;;
esac"""

#: What is said of a model that is not on the host.
NOTHING_ON_DISK = {"commit": "", "files_bytes": None, "missing_files": []}

#: How long a slow hub takes, in seconds: much longer than it is waited for, also on a machine that does other work.
SLOW_S = 30


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module with stand-ins."""

    def call(docker: str = DOCKER, smi: str = SMI, **more):
        folder = tools("docker", docker)
        tools("nvidia-smi", smi)
        args = {"port": 5002, "project": "vllm-medium", "search": "%s:%s" % (folder, bare_path), **more}
        return run_module("host_info", **args)["host"]

    return call


def test_everything(run, tmp_path, documentation) -> None:
    """One call reads all, under the documented keys."""
    host = run(paths=[str(tmp_path / "not" / "yet")], mounts=["/no/such/file", str(tmp_path)],
               files=["/no/such/file", str(tmp_path), __file__], networks=["ai", "made-by-hand", "gone"])  # fmt: skip
    assert set(host) == set(documentation("host_info", "RETURN")["host"]["contains"])
    assert host["uid"] == os.geteuid()
    assert host["os"]["id"]
    assert host["docker"]["version"] == "26.1.5"
    assert host["gpu"] == {
        "gpus": [
            {
                **nvidia_smi.UNKNOWN_GPU,
                "index": 0,
                "uuid": "GPU-a",
                "name": "RTX 4090",
                "pci_bus_id": "00000000:01:00.0",
                "memory_total_mib": 24564,
                "compute_capability": "8.9",
            }
        ],
        "driver_version": "580.95.05",
        "cuda_version": "13.0",
        "error": None,
    }
    assert host["driver"]["kernel"] == os.uname().release
    described = documentation("host_info", "RETURN")["host"]["contains"]["driver"]["description"][0]
    assert all("C(%s)" % key in described for key in host["driver"])
    assert host["port"]["containers"] == [{"name": "myia", "project": "vllm-medium"}]
    assert host["own_containers"] == ["myia"]
    assert set(host["free_gib"]) == {str(tmp_path / "not" / "yet"), "/"}
    assert all(free > 0 for free in host["free_gib"].values())
    assert set(host["file_systems"]) == set(host["free_gib"])
    assert host["containers"] == [{"id": OURS, "name": "myia", "project": "vllm-medium", "gpus": ["0"]}]
    assert (host["docker_root"], host["image_present"], host["registry"]) == ("/", False, {})
    assert host["image_digests"] == []
    assert host["shm_free_mib"] > 0
    assert host["missing_mounts"] == ["/no/such/file"]
    assert host["missing_files"] == ["/no/such/file", str(tmp_path)]
    assert host["tls_problem"] == ""
    assert host["networks"] == {"ai": "stack", "made-by-hand": ""}
    assert host["model"] == {
        "config": None, "weights_bytes": None, "weights_source": "", "cached": False, "error": None,
        "files": dict.fromkeys(("pooling_module", "chat_template", "mistral_tokenizer")),
        **NOTHING_ON_DISK,
    }  # fmt: skip
    assert host["clock"]["skew_s"] is None
    assert abs(host["clock"]["time"] - time.time()) < 10


def test_port_with_its_owner(run) -> None:
    """A listening socket of this process is seen, with the process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert run(port=port)["port"]["listening"] is False
        sock.listen()
        found = run(port=port)["port"]
    assert found["listening"] is True
    assert found["owner"]["pid"] == os.getpid()


def test_without_gpus(run) -> None:
    """Not asked for: no key, and nvidia-smi is not run."""
    host = run(gpus=False, smi="exit 99")
    assert "gpu" not in host
    assert "driver" not in host


def test_broken_driver(run) -> None:
    """nvidia-smi's complaint is returned."""
    gpu = run(smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")["gpu"]
    assert gpu["gpus"] == []
    assert gpu["error"]["id"] == "driver_library_mismatch"
    assert gpu["error"]["text"] == "Failed to initialize NVML: Driver/library version mismatch"


def test_dead_engine(run) -> None:
    """Without an engine no containers are asked for."""
    host = run(docker='[ "$1" = info ] && { echo "Cannot connect" >&2; exit 1; }\n' + DOCKER)
    assert (host["docker"]["answering"], host["own_containers"], host["port"]["containers"]) == (False, [], [])
    assert "/var/lib/docker" in host["free_gib"]


def test_bare_host(run_module, bare_path) -> None:
    """Neither Docker nor nvidia-smi: an answer, no failure."""
    host = run_module("host_info", port=5002, project="p", search=bare_path)["host"]
    assert host["docker"]["installed"] is False
    assert host["gpu"]["error"]["id"] == "not_installed"


@pytest.mark.parametrize("text", [None, "{}", "["])
def test_local_model(text, run, tmp_path) -> None:
    """A model folder is one with a readable config.json in it."""
    if text:
        (tmp_path / "config.json").write_text(text)
    model = run(model_path=str(tmp_path))["model"]
    kinds = {None: "missing", "[": "invalid"}
    assert (model["error"] or {}).get("kind") == kinds.get(text)
    assert bool(model["config"]) is (text == "{}")


class Net(http.server.BaseHTTPRequestHandler):
    """Hub and registry in one; some models are slow, gated, or unknown."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer one request."""
        self.seen.append(self.headers.get("Authorization", ""))
        if "org/slow" in self.path:
            time.sleep(SLOW_S)
        status = 403 if "org/gated" in self.path else 401 if self.path == "/v2/" else 200
        body = b'{"hidden_size": 64}'
        if self.path.startswith("/api/"):
            body = b'{"siblings": [{"rfilename": "model.safetensors", "size": 700}]}'
        self.send_response(status)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def date_time_string(self, timestamp=None) -> str:
        """Let this server's clock be an hour late."""
        return email.utils.formatdate(time.time() - 3600, usegmt=True)

    def log_message(self, *_args) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def net():
    """Port of the server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Net)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def test_hub_and_registry(run, net) -> None:
    """Both are asked in the same call; the token goes to the hub only, and is in no output."""
    Net.seen.clear()
    host = run(
        model="org/m", hf_endpoint="http://127.0.0.1:%d" % net, hf_token="hf_PLANTED", image="127.0.0.1:%d/a:1" % net
    )
    assert host["model"] == {
        "config": {"hidden_size": 64, "_name_or_path": "org/m"},
        "weights_bytes": 700,
        "weights_source": "hub",
        "cached": False,
        "files": dict.fromkeys(("pooling_module", "chat_template", "mistral_tokenizer"), False),
        "error": None,
        **NOTHING_ON_DISK,
    }
    assert host["registry"] == {"registry": "127.0.0.1:%d" % net, "ok": True, "text": "HTTP 401"}
    assert 3590 < host["clock"]["skew_s"] < 3610
    assert sorted(Net.seen) == ["", *["Bearer hf_PLANTED"] * 3]


def test_no_secret_in_the_output(run_module, bare_path, net) -> None:
    """Neither in the answer nor in what Ansible says of the call."""
    answer = run_module(
        "host_info", port=5002, project="p", search=bare_path, model="org/gated", hf_token="hf_PLANTED",
        hf_endpoint="http://127.0.0.1:%d" % net,
    )  # fmt: skip
    assert answer["host"]["model"]["error"]["kind"] == "gated"
    assert "PLANTED" not in answer["_output"]


def test_hub_that_is_slow(run, net) -> None:
    """It is not waited for to the end."""
    start = time.monotonic()
    model = run(model="org/slow", hf_endpoint="http://127.0.0.1:%d" % net)["model"]
    assert time.monotonic() - start < SLOW_S
    assert model["error"]["kind"] == "unreachable"


@pytest.mark.parametrize(
    ("pull", "image", "asked"),
    [
        ("missing", "127.0.0.1:9/there:1", False), ("always", "127.0.0.1:9/there:1", True),
        ("missing", "127.0.0.1:9/a:1", True), ("never", "127.0.0.1:9/a:1", False),
    ],
)  # fmt: skip
def test_when_the_registry_is_asked(pull, image, asked, run) -> None:
    """Only where the image will be pulled from it; nobody listens on this one."""
    host = run(image=image, pull=pull)
    assert host["image_present"] is image.endswith("there:1")
    assert bool(host["registry"]) is asked
    assert not asked or host["registry"]["ok"] is False


@pytest.mark.parametrize("ask", [True, False])
def test_model_in_the_cache(ask, run, tmp_path) -> None:
    """What was downloaded before is used where the hub is silent or not asked."""
    folder = tmp_path / "hub/models--org--m/snapshots/main"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 32}')
    (folder / "model.safetensors").write_text("12345")
    model = run(model="org/m", query_hub=ask, hf_endpoint="http://127.0.0.1:9", hf_cache=str(tmp_path))["model"]
    assert (model["cached"], model["weights_bytes"], model["config"]["hidden_size"]) == (True, 5, 32)
    assert (model["error"] or {}).get("kind") == ("unreachable" if ask else None)


def test_process_with_its_container(run) -> None:
    """A process of a GPU is named with the container that it runs in; this one runs in none that docker names."""
    smi = SMI.replace("</gpu>", "<processes><process_info><pid>%d</pid></process_info></processes></gpu>" % os.getpid())
    process = run(smi=smi)["gpu"]["gpus"][0]["processes"][0]
    assert process["pid"] == os.getpid()
    assert {"container", "project"} <= set(process)


def test_certificate(run, certificate) -> None:
    """One that vLLM could not use is told."""
    asked = {"certificate": str(certificate), "gpus": False}
    assert run(**asked, certificate_key=str(certificate))["tls_problem"] == ""
    assert run(**asked, certificate_key=__file__)["tls_problem"]


@pytest.mark.parametrize("complete", [True, False])
def test_weights_on_the_host(complete, run, tmp_path) -> None:
    """The files of a model's folder, whatever its index says, and which of them are not there."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    index = {"metadata": {"total_size": 99}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    for number in (1, 2) if complete else (1,):
        (tmp_path / ("model-%d.safetensors" % number)).write_bytes(b"12345")
    model = run(model_path=str(tmp_path))["model"]
    assert (model["weights_bytes"], model["files_bytes"]) == (99, 10 if complete else 5)
    assert model["missing_files"] == ([] if complete else ["model-2.safetensors"])
