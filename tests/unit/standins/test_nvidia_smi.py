# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in nvidia-smi: fields, formats, selection, faults."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

UUID = "GPU-57a4d140-0000-4000-8000-00000000000{}"
NAME = "NVIDIA GeForce RTX 4090 (stand-in)"


def ask(standins: Path, timeout_s: float = 20) -> dict[str, Any]:
    """What the collection's reader makes of the stand-in, run as a program."""

    def run(argv: list[str], limit_s: float) -> tuple[int, str, str, bool]:
        return host_command.run([sys.executable, str(standins / "bin" / argv[0]), *argv[1:]], limit_s)

    return nvidia_smi.query(run, timeout_s)


def query(smi: ModuleType, fields: str, fmt: str = "csv,noheader", *more: str) -> list[str]:
    """Lines of a --query-gpu answer."""
    text, code = smi.run([f"--query-gpu={fields}", f"--format={fmt}", *more])
    assert code == 0
    return text.splitlines()


@pytest.mark.parametrize(
    ("field", "header", "value", "bare"),
    [
        ("index", "index", "0", "0"),
        ("uuid", "uuid", UUID.format(0), UUID.format(0)),
        ("gpu_uuid", "uuid", UUID.format(0), UUID.format(0)),
        ("name", "name", NAME, NAME),
        ("gpu_name", "name", NAME, NAME),
        ("memory.total", "memory.total [MiB]", "24564 MiB", "24564"),
        ("memory.used", "memory.used [MiB]", "1 MiB", "1"),
        ("memory.free", "memory.free [MiB]", "24081 MiB", "24081"),
        ("driver_version", "driver_version", "580.95.05", "580.95.05"),
        ("compute_cap", "compute_cap", "8.9", "8.9"),
        ("pci.bus_id", "pci.bus_id", "00000000:01:00.0", "00000000:01:00.0"),
        ("mig.mode.current", "mig.mode.current", "[N/A]", "[N/A]"),
        ("ecc.mode.current", "ecc.mode.current", "Disabled", "Disabled"),
        ("power.limit", "power.limit [W]", "450.00 W", "450.00"),
        ("pcie.link.gen.current", "pcie.link.gen.current", "4", "4"),
        ("pcie.link.width.current", "pcie.link.width.current", "16", "16"),
        ("utilization.gpu", "utilization.gpu [%]", "0 %", "0"),
        ("temperature.gpu", "temperature.gpu", "35", "35"),
        ("count", "count", "2", "2"),
    ],
)
def test_fields(smi: ModuleType, etc: Path, field: str, header: str, value: str, bare: str) -> None:
    """Each field has the real program's header, unit and bare form."""
    assert query(smi, field, "csv")[:2] == [header, value]
    assert query(smi, field, "csv,nounits")[:2] == [header, bare]
    assert query(smi, field)[0] == value


def test_as_the_real_program(smi: ModuleType, etc: Path) -> None:
    """Headers and units are those recorded on real GPUs, and the XML has no element that a real driver lacks."""
    recorded = sorted((Path(__file__).parents[1] / "data" / "nvidia_smi").glob("*-recorded-*.query.csv"))
    assert recorded
    for path in recorded:
        header, row, *_more = path.read_text(encoding="utf-8").splitlines()
        fields = ",".join(cell.split(" [")[0] for cell in header.split(", "))
        ours, first, *_others = query(smi, fields, "csv")
        assert ours == header
        units = [cell.rpartition(" ")[2] if cell[-1] in "BW" else "" for cell in row.split(", ")[3:]]
        assert [cell.rpartition(" ")[2] if cell[-1] in "BW" else "" for cell in first.split(", ")[3:]] == units
        real = ET.fromstring(path.with_name(path.name.replace(".query.csv", ".xml")).read_text(encoding="utf-8"))
        text, _code = smi.run(["-q", "-x"])
        assert paths(ET.fromstring(text)) <= paths(real)


def paths(node: ET.Element, above: str = "") -> set[str]:
    """The places of all elements."""
    below = [paths(child, f"{above}/{child.tag}") for child in node]
    return {above}.union(*below)


def test_several_fields(smi: ModuleType, etc: Path) -> None:
    """Fields are separated by a comma and a space, one line a GPU."""
    assert query(smi, "index, uuid") == [f"0, {UUID.format(0)}", f"1, {UUID.format(1)}"]


def test_unknown_field(smi: ModuleType, etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text and exit code of the real program, on standard output."""
    assert smi.main(["--query-gpu=index,nope", "--format=csv"]) == 2
    assert capsys.readouterr().out == 'Field "nope" is not a valid field to query.\n\n'


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("mismatch", 18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95\n"),
        ("no-devices", 6, "No devices were found\n"),
        ("nvml-unknown", 255, "Failed to initialize NVML: Unknown Error\n"),
        (
            "not-loaded",
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
            "Make sure that the latest NVIDIA driver is installed and running.\n\n",
        ),
        ("permissions", 4, "Failed to initialize NVML: Insufficient Permissions\n"),
    ],
)
@pytest.mark.parametrize("argv", [[], ["-L"], ["-q", "-x"], ["--query-gpu=name", "--format=csv"]])
def test_faults(
    smi: ModuleType,
    etc: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    code: int,
    text: str,
    argv: list[str],
) -> None:
    """A fault shows in every command, with the real wording and exit code."""
    (etc / "nvidia-smi.fault").write_text(f"{fault}\n", encoding="utf-8")
    assert smi.main(argv) == code
    assert capsys.readouterr().out == text


def test_hang(standins: Path, etc: Path) -> None:
    """The fault `hang` never answers."""
    (etc / "nvidia-smi.fault").write_text("hang", encoding="utf-8")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, standins / "bin" / "nvidia-smi"], timeout=1, check=False)


@pytest.mark.parametrize(
    ("fault", "identity"),
    [
        ("mismatch", "driver_library_mismatch"),
        ("no-devices", "no_devices"),
        ("nvml-unknown", "nvml_unknown"),
        ("not-loaded", "driver_not_loaded"),
        ("permissions", "insufficient_permissions"),
        ("library", "library_missing"),
        ("hang", "hang"),
    ],
)
def test_faults_are_recognised(standins: Path, etc: Path, fault: str, identity: str) -> None:
    """The collection's own reader gives each fault its id."""
    (etc / "nvidia-smi.fault").write_text(fault, encoding="utf-8")
    assert ask(standins, 1 if fault == "hang" else 20)["error"]["id"] == identity


def test_slow(standins: Path, etc: Path) -> None:
    """The fault `slow N` answers late, and in time only for who waits long enough."""
    (etc / "nvidia-smi.fault").write_text("slow 1.5\n", encoding="utf-8")
    assert ask(standins, 1)["error"]["id"] == "hang"
    answer = ask(standins, 20)
    assert (answer["error"], len(answer["gpus"])) == (None, 2)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (True, [NAME, NAME]),
        (False, []),
        ([], []),
        ([{}], [NAME]),
        ([{"name": "NVIDIA L4"}, {}], ["NVIDIA L4 (stand-in)", NAME]),
        ({"gpus": 3}, [NAME] * 3),
        ({"driver_version": "570.1"}, [NAME, NAME]),
    ],
)
def test_description(smi: ModuleType, write_gpus: Callable[[Any], None], content: Any, names: list[str]) -> None:
    """Every form of gpus.json is understood, and the stand-in mark cannot be lost."""
    write_gpus(content)
    text, code = smi.run(["--query-gpu=name", "--format=csv,noheader"])
    assert (text, code) == (("\n".join(names), 0) if names else ("No devices were found", 6))


def test_device_nodes(smi: ModuleType, tmp_path: Path, write_gpus: Callable[[Any], None]) -> None:
    """With check_nodes a GPU without its node is not there, and the rest is numbered from 0."""
    write_gpus({"check_nodes": True})
    assert smi.run(["-L"]) == ("No devices were found", 6)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia1").touch()
    assert smi.run(["-L"]) == (f"GPU 0: {NAME} (UUID: {UUID.format(1)})", 0)


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [("1", ["1"]), ("0,1", ["0", "1"]), (UUID.format(1), ["1"]), ("00000000:01:00.0", ["0"])],
)
def test_select(smi: ModuleType, etc: Path, wanted: str, indexes: list[str]) -> None:
    """`-i` takes an index, a UUID or a bus id."""
    assert query(smi, "index", "csv,noheader", "-i", wanted) == indexes
    assert query(smi, "index", "csv,noheader", f"--id={wanted}") == indexes


def test_select_unknown(smi: ModuleType, etc: Path) -> None:
    """An unknown GPU ends with code 6."""
    assert smi.main(["-L", "-i", "7"]) == 6


def test_xml(smi: ModuleType, etc: Path) -> None:
    """The XML report parses and holds what readers of the real one look for."""
    text, code = smi.run(["-q", "-x"])
    root = ET.fromstring(text)
    assert code == 0
    assert root.tag == "nvidia_smi_log"
    assert root.findtext("driver_version") == "580.95.05"
    assert root.findtext("cuda_version") == "13.0"
    assert root.findtext("attached_gpus") == "2"
    gpus = root.findall("gpu")
    assert [gpu.get("id") for gpu in gpus] == ["00000000:01:00.0", "00000000:02:00.0"]
    assert gpus[1].findtext("product_name") == NAME
    assert gpus[1].findtext("uuid") == UUID.format(1)
    assert gpus[1].findtext("minor_number") == "1"
    assert gpus[1].findtext("fb_memory_usage/total") == "24564 MiB"
    assert len(ET.fromstring(smi.run(["-x", "-q", "-i", "1"])[0]).findall("gpu")) == 1


def test_read_by_the_collection(standins: Path, write_gpus: Callable[[Any], None]) -> None:
    """The collection's reader finds every value of gpus.json, by the XML and without CSV instead of it."""
    write_gpus(
        {
            "driver_version": "570.1.2",
            "gpus": [
                {
                    "memory_used": 1000,
                    "pcie_gen_current": 1,
                    "pcie_width": 16,
                    "pcie_width_current": 8,
                    "power_limit": 350.0,
                    "ecc_mode": "Enabled",
                },
                {"memory_total": None, "power_limit": None, "ecc_mode": None, "compute_cap": None, "minor": 7},
            ],
            "processes": [{"gpu_uuid": UUID.format(0), "pid": 7, "process_name": "a & <b>", "used_memory": 900}],
        }
    )
    answer = ask(standins)
    unknown = dict.fromkeys(("memory_total_mib", "memory_used_mib", "memory_free_mib", "power_limit_w", "ecc_mode"))
    common = {
        **nvidia_smi.UNKNOWN_GPU,
        "name": NAME,
        "pcie_generation": 4,
        "pcie_generation_max": 4,
        "pcie_width": 16,
        "pcie_width_max": 16,
    }
    assert answer["gpus"] == [
        {
            **common,
            "index": 0,
            "minor_number": 0,
            "uuid": UUID.format(0),
            "pci_bus_id": "00000000:01:00.0",
            "memory_total_mib": 24564,
            "memory_used_mib": 1000,
            "memory_free_mib": 24564 - 1000 - 482,
            "compute_capability": "8.9",
            "ecc_mode": "Enabled",
            "power_limit_w": 350.0,
            "pcie_generation": 1,
            "pcie_width": 8,
            "processes": [{"pid": 7, "name": "a & <b>", "type": "C", "memory_mib": 900}],
        },
        {**common, **unknown, "index": 1, "minor_number": 7, "uuid": UUID.format(1), "pci_bus_id": "00000000:02:00.0"},
    ]
    assert (answer["driver_version"], answer["cuda_version"], answer["error"]) == ("570.1.2", "13.0", None)


def test_mig(smi: ModuleType, standins: Path, write_gpus: Callable[[Any], None]) -> None:
    """As with the real program, the XML has the MIG devices and `-L` has their UUIDs."""
    device = {"profile": "3g.20gb", "memory_total": 19968, "memory_used": 15000, "gpu_instance_id": 2}
    write_gpus([{"mig_mode": "Enabled", "mig_devices": [{}, device]}, {"mig_mode": "Disabled", "mig_devices": [{}]}])
    assert "<uuid>MIG-" not in smi.run(["-q", "-x"])[0]
    assert smi.run(["-L"])[0].splitlines() == [
        f"GPU 0: {NAME} (UUID: {UUID.format(0)})",
        "  MIG 1g.5gb      Device  0: (UUID: MIG-57a4d140-0000-5000-8000-000000000000)",
        "  MIG 3g.20gb     Device  1: (UUID: MIG-57a4d140-0000-5000-8000-000000000001)",
        f"GPU 1: {NAME} (UUID: {UUID.format(1)})",
    ]
    gpus = ask(standins)["gpus"]
    assert [(gpu["mig_mode"], len(gpu["mig_devices"])) for gpu in gpus] == [("Enabled", 2), ("Disabled", 0)]
    assert gpus[0]["mig_devices"][1] == {
        "index": 1,
        "uuid": "MIG-57a4d140-0000-5000-8000-000000000001",
        "name": "3g.20gb",
        "gpu_instance_id": 2,
        "compute_instance_id": 0,
        "memory_total_mib": 19968,
        "memory_used_mib": 15000,
        "memory_free_mib": 4968,
    }


def test_lost_gpu(standins: Path, write_gpus: Callable[[Any], None]) -> None:
    """A lost GPU is left out and named on standard error; the others keep their numbers."""
    write_gpus([{}, {"lost": True}, {}])
    answer = ask(standins)
    assert [gpu["index"] for gpu in answer["gpus"]] == [0, 2]
    assert answer["error"]["id"] == "gpu_lost"
    assert "GPU1: 0000:02:00.0" in answer["error"]["text"]
    write_gpus([{"lost": True}])
    answer = ask(standins)
    assert (answer["gpus"], answer["error"]["id"]) == ([], "gpu_lost")


def test_processes(smi: ModuleType, write_gpus: Callable[[Any], None]) -> None:
    """Processes are shown in the query, the table and the XML, for visible GPUs only."""
    write_gpus(
        {
            "gpus": [{}],
            "processes": [
                {"gpu_uuid": UUID.format(0), "pid": 4242, "process_name": "VLLM::Worker", "used_memory": 20000},
                {"gpu_uuid": UUID.format(1), "pid": 4343},
            ],
        }
    )
    fields = "pid,process_name,gpu_uuid,used_memory"
    text, _code = smi.run([f"--query-compute-apps={fields}", "--format=csv"])
    assert text.splitlines() == [
        "pid, process_name, gpu_uuid, used_gpu_memory [MiB]",
        f"4242, VLLM::Worker, {UUID.format(0)}, 20000 MiB",
    ]
    assert "VLLM::Worker" in smi.run([])[0]
    root = ET.fromstring(smi.run(["-q", "-x"])[0])
    assert [item.findtext("pid") for item in root.iter("process_info")] == ["4242"]


def test_table(smi: ModuleType, etc: Path, write_gpus: Callable[[Any], None]) -> None:
    """All lines of the frame are equally wide and the mark is in the header."""
    lines = smi.run([])[0].splitlines()
    assert {len(line) for line in lines[1:] if line} == {91}
    write_gpus([{"memory_total": None, "power_limit": None}])
    assert {len(line) for line in smi.run([])[0].splitlines()[1:] if line} == {91}
    assert "NVIDIA-SMI 580.95.05 (stand-in)" in lines[2]
    assert "CUDA Version: 13.0" in lines[2]


def test_version(smi: ModuleType, etc: Path) -> None:
    """--version names the stand-in."""
    assert smi.run(["--version"])[0].splitlines()[0] == "NVIDIA-SMI version  : 580.95.05 (stand-in)"


def test_refuses_what_it_does_not_know(smi: ModuleType, etc: Path) -> None:
    """An option that the stand-in lacks is an error, never ignored."""
    assert smi.main(["-pl", "300"]) == 2
    assert smi.main(["--query-gpu=name"]) == 2
