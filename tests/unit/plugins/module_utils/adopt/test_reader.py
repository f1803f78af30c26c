# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host that was set up by hand: which containers are meant, their processes, files and answers."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.adopt import reader


def container(name: str, image: str = "vllm/vllm-openai:v0.20.0", argv=(), pid: int = 0, **labels: str) -> dict:
    """What ``docker inspect`` says of a container."""
    return {
        "Id": name, "Name": "/" + name, "Image": "sha256:1", "State": {"Pid": pid}, "Mounts": [],
        "Config": {"Image": image, "Entrypoint": None, "Cmd": list(argv), "Env": ["A=1"], "Labels": labels},
        "HostConfig": {"NetworkMode": "bridge"}, "NetworkSettings": {"Networks": {"net": {"IPAddress": ""}}},
    }  # fmt: skip


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a host with these containers and processes; its units are in a folder of the test."""
    monkeypatch.setattr(reader, "_UNITS", (str(tmp_path / "units" / "*.service"),))

    def call(*containers: dict, only=(), inspect=None, **processes: str) -> dict:
        for pid, text in processes.items():
            folder = tmp_path / "proc" / pid[1:]
            folder.mkdir(parents=True)
            parent, words = text.split(" ", 1)
            (folder / "stat").write_text("%s (a (b) c) S %s 1\n" % (pid[1:], parent), encoding="utf-8")
            (folder / "cmdline").write_text(words.replace(" ", "\0") + "\0", encoding="utf-8")
            (folder / "environ").write_text("VLLM_API_KEY=planted\0A=1\0", encoding="utf-8")

        def run(argv):
            if argv[1] == "ps":
                return 0, "".join(item["Id"] + "\n" for item in containers), ""
            if argv[1] == "container":
                return inspect or (0, json.dumps(containers), "")
            return 1, "[]", "no such image"

        return reader.read(run, str(tmp_path / "proc"), [], "/opt/vllm", list(only))

    return call


def test_which_are_meant(read) -> None:
    """Those of vLLM by image, arguments or process; neither a proxy that names it nor the collection's own."""
    own = {
        "com.docker.compose.project": "vllm-medium",
        "com.docker.compose.project.working_dir": "/opt/vllm/medium/releases/x",
    }
    found = read(
        container("one"),
        container("two", "ours:1", ["vllm", "serve", "m"]),
        container("three", "ours:1", ["start.sh"], 7),
        container("proxy", "nginx:1", ["--upstream", "vllm:8000"]),
        container("mine", "vllm/vllm-openai:v0.20.0", **own),
        p7="1 sh start.sh",
        p8="7 python3 /usr/bin/vllm serve m --port 9000",
    )
    assert sorted(found["containers"]) == ["one", "three", "two"]
    assert sorted(found["neighbours"]) == ["mine", "proxy"]
    assert found["processes"] == {"three": ["python3", "/usr/bin/vllm", "serve", "m", "--port", "9000"]}
    # what the container was given it has anyway
    assert found["environ"]["three"] == {"VLLM_API_KEY": "planted"}
    assert found["http"]["one"] == {}


def test_only_those_that_are_named(read) -> None:
    """By the container's name or the service's in its Compose file."""
    found = read(container("one"), container("two", **{"com.docker.compose.service": "chat"}), only=["chat"])
    assert sorted(found["containers"]) == ["two"]


@pytest.mark.parametrize("answer", [(1, "[]", "Cannot connect to the Docker daemon"), (124, "", ""), (0, "{", "")])
def test_docker_stops_answering(answer, read) -> None:
    """A host of which Docker tells nothing has not nothing."""
    with pytest.raises(RuntimeError):
        read(container("one"), inspect=answer)


def test_one_that_ended_meanwhile(read) -> None:
    """The others are told of all the same."""
    found = read(container("one"), container("gone"), inspect=(1, json.dumps([container("one")]), "No such container"))
    assert sorted(found["containers"]) == ["one"]


def test_files_around(read, tmp_path) -> None:
    """The Compose file, what it names, scripts that are mounted, and the unit that starts the container."""
    texts = {
        "srv/compose.yml": "services: {llm: {env_file: [conf/more.env]}}\n",
        "srv/conf/more.env": "A=1\n",
        "srv/.env": "B=2\n",
        "scripts/start.sh": "vllm serve m\n",
        "units/llm.service": "ExecStart=/usr/bin/docker start -a llm\n",
        "units/other.service": "ExecStart=/usr/bin/other llm-of-others\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    given = container("llm", argv=["/scripts/start.sh"], **{
        "com.docker.compose.project.working_dir": str(tmp_path / "srv"),
        "com.docker.compose.project.config_files": str(tmp_path / "srv/compose.yml"),
    })  # fmt: skip
    given["Mounts"] = [{"Type": "bind", "Source": str(tmp_path / "scripts"), "Destination": "/scripts"}]
    found = read(given)
    expected = ("srv/compose.yml", "srv/conf/more.env", "srv/.env", "scripts/start.sh", "units/llm.service")
    assert {str(tmp_path / name) for name in expected} <= set(found["files"])
    assert sorted(found["units"]) == ["llm.service"]
