# SPDX-License-Identifier: GPL-3.0-or-later
"""What was recorded on real GPUs: every field of every GPU against what ``nvidia-smi -q`` prints for people.

The text is read here by its indentation, by nothing that the collection uses. See tests/unit/data/nvidia_smi/README.md.
"""

from __future__ import annotations

import csv
import json
import pathlib
import re

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

DATA = pathlib.Path(__file__).parents[3] / "data" / "nvidia_smi"
RECORDINGS = sorted(path.name.removesuffix(".q.txt") for path in DATA.glob("*.q.txt"))
#: Of each host the recording while nothing used its GPUs, which has the other commands beside it.
IDLE = [name for name in RECORDINGS if not name.endswith("-busy")]

#: Key of a GPU -> where ``nvidia-smi -q`` says the same.
PLACES = {
    "uuid": "GPU UUID",
    "name": "Product Name",
    "minor_number": "Minor Number",
    "pci_bus_id": "PCI/Bus Id",
    "memory_total_mib": "FB Memory Usage/Total",
    "memory_used_mib": "FB Memory Usage/Used",
    "memory_free_mib": "FB Memory Usage/Free",
    "mig_mode": "MIG Mode/Current",
    "ecc_mode": "ECC Mode/Current",
    "power_limit_w": "GPU Power Readings/Current Power Limit",
    "pcie_generation": "PCI/GPU Link Info/PCIe Generation/Current",
    "pcie_generation_max": "PCI/GPU Link Info/PCIe Generation/Max",
    "pcie_width": "PCI/GPU Link Info/Link Width/Current",
    "pcie_width_max": "PCI/GPU Link Info/Link Width/Max",
}
#: Keys that the text words differently, and that a test of its own compares.
OTHERWISE = {"index", "compute_capability", "mig_devices", "processes", "fault"}


def text_of(name: str, ending: str) -> str:
    """One file of a recording."""
    return (DATA / (name + ending)).read_text(encoding="utf-8")


def answer_of(name: str) -> dict:
    """What the module answered on that host, with scrubbed ids."""
    return json.loads(text_of(name, ".json"))


def sections(text: str) -> tuple[dict[str, str], list[list[tuple[str, str]]]]:
    """Return the head of ``nvidia-smi -q`` and, for each GPU, its lines as (path, value) in their order."""
    head: dict[str, str] = {}
    gpus: list[list[tuple[str, str]]] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        label, colon, value = (part.strip() for part in line.partition(" : "))
        depth = len(line) - len(line.lstrip())
        if not label or label.startswith("==="):
            continue
        if re.match(r"GPU [0-9A-F]{8}:", line):
            gpus.append([])
        elif not gpus:
            head[label] = value
        else:
            above = [entry for entry in above if entry[0] < depth] + [(depth, label)]
            if colon:
                gpus[-1].append(("/".join(entry[1] for entry in above), value))
    return head, gpus


def plain(text: str) -> str | int | float:
    """A value as the module types it: numbers without their unit."""
    match = re.fullmatch(r"(\d+)(\.\d+)?(?: MiB| W|x)?", text)
    if not match:
        return text
    return float(match.group(1) + match.group(2)) if match.group(2) else int(match.group(1))


def processes_of(lines: list[tuple[str, str]]) -> list[dict]:
    """The processes of a GPU, in order; a process begins with its GPU instance."""
    found: list[dict] = []
    keys = {"Process ID": "pid", "Type": "type", "Name": "name", "Used GPU Memory": "memory_mib"}
    for path, value in lines:
        label = path.rpartition("/")[2]
        if path == "Processes/GPU instance ID":
            found.append({})
        elif path.startswith("Processes/") and label in keys:
            found[-1][keys[label]] = plain(value)
    return found


def test_there_are_recordings() -> None:
    """Of two kinds of card, idle and in use."""
    assert len(IDLE) >= 2
    assert len(RECORDINGS) == 2 * len(IDLE)


def test_every_key_is_compared() -> None:
    """A key added to the module has to be added here."""
    assert set(PLACES) | OTHERWISE == set(nvidia_smi.UNKNOWN_GPU)


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_field_says_what_nvidia_smi_says(name) -> None:
    """The module's answer on the real host, field by field, against the text."""
    answer = answer_of(name)
    head, gpus = sections(text_of(name, ".q.txt"))
    assert answer["error"] is None
    assert (answer["driver_version"], answer["cuda_version"]) == (head["Driver Version"], head["CUDA Version"])
    assert len(answer["gpus"]) == len(gpus) == int(head["Attached GPUs"])
    for number, (found, lines) in enumerate(zip(answer["gpus"], gpus)):
        said = dict(lines)
        assert {key: found[key] for key in PLACES} == {key: plain(said[place]) for key, place in PLACES.items()}
        assert (found["index"], found["fault"], found["mig_devices"]) == (number, None, [])
        assert found["processes"] == processes_of(lines)
        reserved = plain(said["FB Memory Usage/Reserved"])
        whole = found["memory_used_mib"] + found["memory_free_mib"] + reserved
        # three figures, each rounded up for itself
        assert abs(whole - found["memory_total_mib"]) <= 2


def test_busy_gpus_have_a_process() -> None:
    """The comparison above was one of something: who held memory is named with what it held."""
    for name in set(RECORDINGS) - set(IDLE):
        first = answer_of(name)["gpus"][0]
        assert [process["type"] for process in first["processes"]] == ["C"]
        assert 2048 < first["processes"][0]["memory_mib"] <= first["memory_used_mib"]


@pytest.mark.parametrize("name", IDLE)
def test_csv_says_the_same(name) -> None:
    """The CSV query of that host, by which drivers with unreadable XML are read, gives the same GPUs."""
    header, *rows = csv.reader(text_of(name, ".query.csv").splitlines(), skipinitialspace=True)
    assert [cell.partition(" [")[0] for cell in header] == list(nvidia_smi.CSV_FIELDS)
    bare = "\n".join(", ".join(re.sub(r" (MiB|W)$", "", cell) for cell in row) for row in rows)

    def run(argv, timeout_s):
        return 0, bare if argv[1].startswith("--query-gpu") else "", "", False

    answer, expected = nvidia_smi.query(run), answer_of(name)
    assert answer["driver_version"] == expected["driver_version"]
    for found, wanted in zip(answer["gpus"], expected["gpus"], strict=True):
        # no column tells the minor number in every driver
        assert found == {**wanted, "minor_number": None}


@pytest.mark.parametrize("name", IDLE)
def test_list_and_topology_name_the_same_gpus(name) -> None:
    """``-L`` gives their UUIDs and no MIG device; ``topo -m`` their indexes."""
    gpus = answer_of(name)["gpus"]
    assert nvidia_smi.parse_list(text_of(name, ".list.txt")) == {gpu["uuid"]: [] for gpu in gpus}
    rows = re.findall(r"^GPU(\d+)\t", text_of(name, ".topo.txt"), re.MULTILINE)
    assert [int(row) for row in rows] == [gpu["index"] for gpu in gpus]


@pytest.fixture
def host(tmp_path):
    """Make the folders of /proc, /dev and the PCI bus from a recording; says where."""

    def make(name: str) -> str:
        driver = json.loads(text_of(name, ".driver.json"))
        files = {
            "proc/sys/kernel/osrelease": driver["kernel"],
            "proc/driver/nvidia/version": text_of(name, ".version.txt"),
            "proc/modules": text_of(name, ".modules.txt"),
            "sys/firmware/acpi/tables": "",
        }
        folder = "dev"
        for line in text_of(name, ".dev.txt").splitlines():
            if line.startswith("/dev"):
                folder = line.strip("/:")
            if line.startswith("c"):
                node = line.split()[-1]
                files[node.strip("/") if node.startswith("/") else "%s/%s" % (folder, node)] = ""
        for gpu in answer_of(name)["gpus"]:
            place = "sys/bus/pci/devices/%s/" % gpu["pci_bus_id"][4:].lower()
            files.update({place + "vendor": "0x10de\n", place + "class": "0x030200\n"})
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content, encoding="utf-8")
        return str(tmp_path)

    return make


@pytest.mark.parametrize("name", IDLE)
def test_driver_facts(name, host) -> None:
    """What was read of the driver there agrees with nvidia-smi, and its recorded files are read alike here."""

    def run(argv, timeout_s):
        kinds = {"-q": ".xml", "-L": ".list.txt"}
        return 0, text_of(name, kinds.get(argv[1], ".compute_cap.txt")), "", False

    recorded, answer = json.loads(text_of(name, ".driver.json")), answer_of(name)
    found = nvidia_driver.inspect(run, host(name))
    assert found.pop("smi") == answer
    assert found == recorded
    assert recorded["module_version"] == answer["driver_version"]
    nodes = {"nvidiactl", "nvidia-uvm", *("nvidia%d" % gpu["minor_number"] for gpu in answer["gpus"])}
    assert nodes <= set(recorded["device_nodes"])
    wanted = [str(gpu["index"]) for gpu in answer["gpus"]]
    assert nvidia_driver.problems({**recorded, "smi": answer}, wanted, need_uvm=True) == []


@pytest.mark.parametrize("name", IDLE)
def test_what_cuda_offers(name) -> None:
    """What nvidia-smi calls reserved is what CUDA does not offer; the capacity plan's band holds it."""
    _head, gpus = sections(text_of(name, ".q.txt"))
    for lines in gpus:
        said = dict(lines)
        total, reserved = (plain(said["FB Memory Usage/%s" % key]) / 1024 for key in ("Total", "Reserved"))
        low, expected, high = estimate.offered_gib(total)
        assert low < total - reserved < high
        assert total - reserved == pytest.approx(expected, rel=0.002)
