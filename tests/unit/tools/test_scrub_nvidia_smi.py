# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings of GPU hosts lose what identifies card and host, alike in all files, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "unit" / "data" / "nvidia_smi"
SPEC = importlib.util.spec_from_file_location("scrub_nvidia_smi", ROOT / "tools" / "scrub_nvidia_smi.py")
scrub = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scrub)

UUIDS = ("GPU-a1b2c3d4-2b55-edb2-ca74-1fb2a83f6001", "GPU-0fedcba9-46e2-3424-7cd4-2941b5bc7002")
GPU = """	<gpu id="00000000:0%(n)d:00.0">
		<product_name>NVIDIA GeForce RTX 4090</product_name>
		<serial>132402301%(n)d</serial>
		<uuid>%(uuid)s</uuid>
		<pdi>0x59d016a65fd3d91%(n)d</pdi>
		<minor_number>%(n)d</minor_number>
		<vbios_version>95.02.3C.00.8C</vbios_version>
		<platformInfo><chassis_serial_number>N/A</chassis_serial_number><host_id>1</host_id></platformInfo>
		<fabric><clusterUuid>00000000-0000-0000-0000-000000000000</clusterUuid></fabric>
		<fb_memory_usage><total>24564 MiB</total><used>1 MiB</used><free>24081 MiB</free></fb_memory_usage>
		<processes><process_info><pid>7</pid><type>C</type><process_name>/home/jane/venv/bin/python3</process_name>
		<used_memory>1 MiB</used_memory></process_info></processes>
	</gpu>
"""
XML = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<timestamp>Tue Mar  4 10:15:00 2025</timestamp>
	<driver_version>570.133.20</driver_version>
	<cuda_version>12.8</cuda_version>
%s</nvidia_smi_log>
""" % "".join(GPU % {"n": n, "uuid": uuid} for n, uuid in enumerate(UUIDS))
TEXT = """
    Serial Number                                      : 1324023010
    GPU UUID                                           : %s
    GPU PDI                                            : 0x59d016a65fd3d910
    GPU PDI                                            : 0x7066c12cbb01aaa1
        Chassis Serial Number                          : 9988776655
        Host ID                                        : 0xfeedcafe
        Peer                                           : de:ad:be:ef:00:01
    Processes
        Process ID                        : 7
            Name                          : /home/jane/venv/bin/python3
""" % UUIDS[0]
QUERY = "index, uuid, name, compute_cap\n0, %s, NVIDIA GeForce RTX 4090, 8.9\n1, %s, NVIDIA GeForce RTX 4090, 8.9\n"
ANSWER = {"changed": False, "failed": False, "gpus": [], "driver_version": "570.133.20"}
SECRETS = (
    "a1b2c3d4", "0fedcba9", "1324023010", "1324023011", "59d016a65fd3d91", "7066c12c", "feedcafe", "9988776655",
    "de:ad:be:ef", "jane", "buildbox", "ffffffffc0", "-acme",
)  # fmt: skip


@pytest.fixture
def recorded(tmp_path) -> pathlib.Path:
    """A folder as it is recorded on a host."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    driver = {"kernel": "6.8.0-79-acme", "cards": ["0000:00:00.0"]}
    files = {
        "q.xml": XML,
        "q.txt": TEXT,
        "query.csv": QUERY % UUIDS,
        "gpu_info.json": json.dumps({**ANSWER, "gpus": [{"uuid": UUIDS[0], "processes": [{"name": "/home/jane/x"}]}]}),
        "busy.xml": XML,
        "busy.json": "[WARNING]: none\nlocalhost | SUCCESS => \n    changed: false\n    gpus:\n    -   uuid: %s\n"
        % UUIDS[1],
        "preflight.json": json.dumps({"host": {"driver": driver}}),
        "modules.txt": "nvidia 14299136 - - Live 0xffffffffc0400000 (O)\n",
        "version.txt": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.20  (jane@buildbox)\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_nothing_identifying_stays(recorded) -> None:
    """Ids of cards, chassis and network, folders, builders and kernels are gone from all files."""
    before = "".join(path.read_text(encoding="utf-8") for path in recorded.iterdir())
    after = "".join(scrub.fixtures(recorded).values())
    for secret in SECRETS:
        assert secret in before
        assert secret not in after


def test_the_same_in_all_files(recorded) -> None:
    """One value becomes one value everywhere, different ones stay different, and the files stay readable."""
    made = scrub.fixtures(recorded)
    name = "driver-570.133-geforce-rtx-4090-x2-recorded-2025-03-04"
    uuids = [gpu["uuid"] for gpu in nvidia_smi.parse_xml(made[name + ".xml"])["gpus"]]
    assert len({*uuids, *UUIDS}) == 4
    assert all(re.fullmatch("GPU-" + scrub.GUID.replace(r"\b", ""), uuid) for uuid in uuids)
    assert made[name + ".compute_cap.txt"] == "0, %s, 8.9\n1, %s, 8.9\n" % tuple(uuids)
    assert made[name + "-busy.compute_cap.txt"] == made[name + ".compute_cap.txt"]
    assert "GPU UUID                                           : %s\n" % uuids[0] in made[name + ".q.txt"]
    idle, busy = (json.loads(made[name + ending]) for ending in (".json", "-busy.json"))
    assert idle["gpus"] == [{"uuid": uuids[0], "processes": [{"name": "/path/to/x"}]}]
    assert busy == {"gpus": [{"uuid": uuids[1]}]}
    serial = re.search("<serial>(.*)</serial>", made[name + ".xml"]).group(1)
    assert len(serial) == 10
    assert "Serial Number                                      : %s\n" % serial in made[name + ".q.txt"]


def test_idle_only(recorded) -> None:
    """A host that was recorded idle gives no file of a busy one."""
    for name in ("busy.xml", "busy.json"):
        (recorded / name).unlink()
    made = scrub.fixtures(recorded)
    assert made
    assert not [name for name in made if "-busy" in name]


def test_the_rest_stays(recorded) -> None:
    """Everything but ids reads as before: the same answer, the same lines."""
    made = scrub.fixtures(recorded)["driver-570.133-geforce-rtx-4090-x2-recorded-2025-03-04.xml"]
    answers = [nvidia_smi.parse_xml(text) for text in (XML, made)]
    for answer in answers:
        for gpu in answer["gpus"]:
            gpu["uuid"] = None
            gpu["processes"][0]["name"] = gpu["processes"][0]["name"].rpartition("/")[2]
    assert answers[0] == answers[1]
    changed = [old for old, new in zip(XML.splitlines(), made.splitlines(), strict=True) if old != new]
    assert {re.search(r"<(\w+)>(?!.*<\w+>)", line.strip()).group(1) for line in changed} == {
        "serial", "uuid", "pdi", "process_name",
    }  # fmt: skip


def test_what_cannot_be_replaced_is_refused() -> None:
    """A serial number inside a longer word is an error, not a leak."""
    with pytest.raises(ValueError, match="b still holds 1324023010"):
        scrub.scrub({"a": "<serial>1324023010</serial>", "b": "host1324023010x"})


def test_the_fixtures_are_clean() -> None:
    """Scrubbing what is in the repository once more finds made-up values only."""
    names = [path for path in DATA.iterdir() if "-recorded-" in path.name]
    assert len(names) >= 20
    found = scrub.replacements([path.read_text(encoding="utf-8") for path in names])
    assert found
    for value in found:
        assert re.fullmatch(r"00000000-0000-4000-8000-\d{12}|(0x)?0+\d{1,3}", value), value
    text = "".join(path.read_text(encoding="utf-8") for path in names)
    assert not re.search(r"0xffff[0-9a-f]{12}|\w+@(?!host\))|/home/", text)


def test_one_command(recorded, tmp_path, capsys) -> None:
    """Files are written where it is told, and named."""
    assert scrub.main([str(recorded), str(tmp_path)]) == 0
    for name in capsys.readouterr().out.split():
        assert (tmp_path / name).stat().st_size > 0
    assert len(list(tmp_path.glob("driver-570.133-*"))) == 11
