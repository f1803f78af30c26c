# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading nvidia-smi: samples of several driver generations, its failures, and what it leaves out."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

#: NAME.xml is what `nvidia-smi -q -x` printed; beside it may be NAME.compute_cap.txt (of the CSV query of index, uuid
#: and compute_cap), NAME.list.txt (of -L) and NAME.json (what must be made of it: all keys of all GPUs).
SAMPLES = sorted((pathlib.Path(__file__).parents[4] / "unit" / "data" / "nvidia_smi").glob("*.xml"))

INTEGERS = ("index", "minor_number", "memory_total_mib", "memory_used_mib", "memory_free_mib", "pcie_width")
XML = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><driver_version>580.95.05</driver_version><cuda_version>13.0</cuda_version>%s</nvidia_smi_log>
"""
GPU = """<gpu id="0000000%(i)d:01:00.0"><product_name>RTX</product_name><uuid>GPU-%(i)d</uuid>%(more)s</gpu>"""


def gpu(i: int = 0, more: str = "") -> str:
    """XML of one GPU."""
    return GPU % {"i": i, "more": more}


class Smi:
    """A nvidia-smi with prepared answers by the first option, which notes its calls."""

    def __init__(self, **answers):
        self.answers = answers
        self.calls: list[list[str]] = []
        self.limits: list[float] = []

    def __call__(self, argv, timeout_s):
        self.calls.append(argv[1:])
        self.limits.append(timeout_s)
        assert argv[0] == "nvidia-smi"
        kind = {"-q": "xml", "-L": "list"}.get(argv[1])
        if kind is None:
            apps = argv[1].startswith("--query-compute-apps")
            kind = "apps" if apps else "cap" if "=index,uuid,compute_cap" in argv[1] else "csv"
        answer = self.answers.get(kind, (0, "", "", False))
        answer = answer(argv) if callable(answer) else answer
        return answer if isinstance(answer, tuple) else (0, answer, "", False)


def replay(path: pathlib.Path) -> dict:
    """What query makes of a sample."""
    texts = {}
    for kind, suffix in (("xml", ".xml"), ("cap", ".compute_cap.txt"), ("list", ".list.txt")):
        file = path.with_name(path.stem + suffix)
        texts[kind] = file.read_text(encoding="utf-8") if file.exists() else ""
    return nvidia_smi.query(Smi(**texts))


def test_there_are_samples() -> None:
    """The loops below loop over something."""
    assert len(SAMPLES) >= 5


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_understood(path) -> None:
    """Whatever a driver prints: all keys, the right types, a plausible GPU."""
    answer = replay(path)
    assert set(answer) == {"gpus", "driver_version", "cuda_version", "error"}
    assert answer["driver_version"]
    assert len(answer["gpus"]) == path.read_text(encoding="utf-8").count("<gpu id=") > 0
    for item in answer["gpus"]:
        assert set(item) == set(nvidia_smi.UNKNOWN_GPU)
        assert item["uuid"].startswith("GPU-")
        assert item["name"]
        assert item["pci_bus_id"].count(":") == 2
        assert all(item[key] is None or type(item[key]) is int for key in INTEGERS)
        if item["memory_total_mib"] is not None and item["memory_free_mib"] is not None:
            # each is rounded for itself
            assert 0 <= item["memory_used_mib"] + item["memory_free_mib"] <= item["memory_total_mib"] + 1
        for device in item["mig_devices"]:
            assert device["uuid"].startswith("MIG-")
            assert 0 < device["memory_total_mib"] <= item["memory_total_mib"]


@pytest.mark.parametrize(
    "path", [path for path in SAMPLES if path.with_suffix(".json").exists()], ids=lambda path: path.stem
)
def test_sample_exactly(path) -> None:
    """Every value of the samples whose meaning was written down."""
    answer = replay(path)
    if answer["error"]:
        assert answer["error"].pop("fix")
    assert answer == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24564 MiB", 24564), ("16x", 16), ("450.00 W", 450.0), ("0 MiB", 0), ("1", 1),
        ("N/A", None), ("[N/A]", None), ("ERR!", None), ("[Unknown Error]", None), ("Unknown Error", None),
        ("[Insufficient Permissions]", None), ("Not Supported", None), ("[GPU is lost]", None), ("", None),
        ("[GPU requires reset]", None), (None, None), ("Requested functionality has been deprecated", None),
    ],
)  # fmt: skip
def test_number(text, expected) -> None:
    """Numbers come without units; every way to say nothing is None."""
    assert nvidia_smi.number(text) == expected


@pytest.mark.parametrize(
    ("answer", "identity", "found", "fix"),
    [
        pytest.param((127, "", "x", False), "not_installed", "not installed", "driver", id="missing"),
        pytest.param(
            (18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95", "", False),
            "driver_library_mismatch", "580.95", "Reboot", id="mismatch",
        ),
        pytest.param((18, "", "", False), "driver_library_mismatch", "exited with 18", "Reboot", id="mismatch-status"),
        pytest.param(
            (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. ...", "", False),
            "driver_not_loaded", "couldn't communicate", "modprobe nvidia", id="not-loaded",
        ),
        pytest.param(
            (255, "Failed to initialize NVML: Driver Not Loaded", "", False),
            "driver_not_loaded", "Not Loaded", "modprobe", id="not-loaded-nvml",
        ),
        pytest.param((6, "No devices were found", "", False), "no_devices", "No devices", "lspci", id="no-devices"),
        pytest.param((0, "No devices were found", "", False), "no_devices", "No devices", "lspci", id="no-devices-0"),
        pytest.param(
            (4, "Failed to initialize NVML: Insufficient Permissions", "", False),
            "insufficient_permissions", "Insufficient", "become", id="permissions",
        ),
        pytest.param((124, "", "", True), "hang", "no answer within its time limit", "reboot", id="hang"),
        pytest.param(
            (15, "", "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot ...", False),
            "gpu_lost", "0000:01:00.0", "vllm_gpu_devices", id="lost",
        ),
        pytest.param(
            (0, "", "Unable to determine the device handle for GPU3: 0000:04:00.0: Unknown Error", False),
            "gpu_lost", "GPU3", "Xid", id="lost-exits-0",
        ),
        pytest.param(
            (255, "Failed to initialize NVML: Unknown Error", "", False),
            "nvml_unknown", "Unknown Error", "daemon-reload", id="nvml-unknown",
        ),
        pytest.param(
            (12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please ...", "", False),
            "library_missing", "libnvidia-ml", "Install", id="library",
        ),
        pytest.param(
            (17, "Failed to initialize NVML: GPU access blocked by the operating system", "", False),
            "gpu_access_blocked", "blocked", "wsl --update", id="wsl",
        ),
        pytest.param((3, "what\nnow", "", False), "other", "exited with 3: what now", "Run nvidia-smi", id="other"),
        pytest.param((126, "", "Exec format error", False), "other", "Exec format", "Run nvidia-smi", id="no-program"),
    ],
)  # fmt: skip
def test_failure(answer, identity, found, fix) -> None:
    """Every failure has its id, the program's own words in one line, and a fix; query returns them."""
    result = nvidia_smi.failure(*answer)
    assert result["id"] == identity
    assert found in result["found"]
    assert "\n" not in result["found"]
    assert fix in result["fix"]
    asked = nvidia_smi.query(Smi(xml=answer))
    assert asked["error"] == {"id": identity, "text": result["found"], "fix": result["fix"]}
    assert asked["gpus"] == []


def test_no_failure() -> None:
    """A zero and no known words are no failure."""
    assert nvidia_smi.failure(0, "WARNING: infoROM is corrupted at gpu 0000:41:00.0", "", False) is None


def test_calls() -> None:
    """Without MIG devices two calls are made, and together they keep the time limit."""
    smi = Smi(xml=XML % gpu(), cap="0, GPU-0, 8.9\n")
    assert nvidia_smi.query(smi, 7.0)["gpus"][0]["compute_capability"] == "8.9"
    assert smi.calls == [["-q", "-x"], ["--query-gpu=index,uuid,compute_cap", "--format=csv,noheader,nounits"]]
    assert all(1 <= limit <= 7 for limit in smi.limits)


def test_no_second_call_when_nothing_is_missing() -> None:
    """Should a driver tell the capability in XML, it is not asked again."""
    smi = Smi(xml=XML % gpu(more="<compute_cap>12.0</compute_cap>"))
    assert nvidia_smi.query(smi)["gpus"][0]["compute_capability"] == "12.0"
    assert len(smi.calls) == 1


def test_gpu_that_is_left_out() -> None:
    """Beside a lost GPU the others keep their numbers, and both the GPUs and the loss are told."""
    lost = "Unable to determine the device handle for GPU1: 0000:02:00.0: Unknown Error\n"
    smi = Smi(xml=(0, XML % (gpu(0) + gpu(2)), lost, False), cap="0, GPU-0, 8.9\n2, GPU-2, 8.9\n")
    answer = nvidia_smi.query(smi)
    assert [item["index"] for item in answer["gpus"]] == [0, 2]
    assert answer["error"]["id"] == "gpu_lost"
    assert "GPU1" in answer["error"]["text"]


@pytest.mark.parametrize("status", [0, 14])
def test_warnings_are_no_errors(status) -> None:
    """nvidia-smi exits with 14 for a corrupted infoROM and still answers."""
    smi = Smi(xml=(status, XML % gpu() + "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n", "", False))
    answer = nvidia_smi.query(smi)
    assert (len(answer["gpus"]), answer["error"]) == (1, None)


def test_words_in_process_names_are_no_failure() -> None:
    """What stands inside the document is not what nvidia-smi says about itself."""
    process = "<processes><process_info><pid>1</pid><process_name>%s</process_name></process_info></processes>"
    answer = nvidia_smi.query(Smi(xml=XML % gpu(more=process % "grep 'GPU is lost' No devices were found")))
    assert answer["error"] is None
    assert answer["gpus"][0]["fault"] is None


def test_document_without_gpus() -> None:
    """An empty list is the same as the words."""
    assert nvidia_smi.query(Smi(xml=XML % ""))["error"]["id"] == "no_devices"


@pytest.mark.parametrize("name", ["a & b", "a\x01b", "R&amp;D", "&#x41;"], ids=ascii)
def test_document_that_is_not_quite_xml(name) -> None:
    """Process names that were not escaped do not cost the answer, nor another call."""
    process = "<processes><process_info><pid>7</pid><process_name>%s</process_name></process_info></processes>"
    smi = Smi(xml=XML % gpu(more=process % name))
    found = nvidia_smi.query(smi)["gpus"][0]["processes"][0]
    assert (found["pid"], found["name"]) == (7, {"a\x01b": "ab", "R&amp;D": "R&D", "&#x41;": "A"}.get(name, name))
    assert len(smi.calls) == 2


CSV = "0, GPU-0, RTX 4090, 00000000:01:00.0, 550.1, 24564, 100, 24118, 8.9, [N/A], Disabled, 450.00, 1, 4, 16, 16\n"


def csv_answer(unknown: tuple[str, ...] = ()):
    """Answer a CSV query as a driver that does not know the columns ``unknown``."""

    def answer(argv):
        columns = argv[1].partition("=")[2].split(",")
        for column in columns:
            if column in unknown:
                return (2, 'Field "%s" is not a valid field to query.\n\n' % column, "", False)
        cells = dict(zip(nvidia_smi.CSV_FIELDS, CSV.strip().split(", ")))
        return ", ".join(cells[column] for column in columns) + "\n"

    return answer


@pytest.mark.parametrize("document", ["", "<nvidia_smi_log><gpu>", "Hello\n", XML % "<gpu></broken>"], ids=ascii)
@pytest.mark.parametrize("unknown", [(), ("compute_cap", "mig.mode.current")], ids=["new-driver", "old-driver"])
def test_csv_instead(document, unknown) -> None:
    """Where the XML cannot be read, the CSV query answers, less what the driver does not know."""
    apps = "GPU-0, 4242, 100, VLLM::Worker\nGPU-9, 1, 1, other\n"
    answer = nvidia_smi.query(Smi(xml=document, csv=csv_answer(unknown), apps=apps))
    assert answer["error"] is None
    assert answer["driver_version"] == "550.1"
    assert answer["gpus"] == [
        {
            **nvidia_smi.UNKNOWN_GPU,
            "index": 0,
            "uuid": "GPU-0",
            "name": "RTX 4090",
            "pci_bus_id": "00000000:01:00.0",
            "memory_total_mib": 24564,
            "memory_used_mib": 100,
            "memory_free_mib": 24118,
            "compute_capability": None if unknown else "8.9",
            "ecc_mode": "Disabled",
            "power_limit_w": 450.0,
            "pcie_generation": 1,
            "pcie_generation_max": 4,
            "pcie_width": 16,
            "pcie_width_max": 16,
            "processes": [{"pid": 4242, "name": "VLLM::Worker", "type": "C", "memory_mib": 100}],
        }
    ]
    assert nvidia_smi.UNKNOWN_GPU["processes"] == []


def test_neither_xml_nor_csv() -> None:
    """An answer that nobody understands is an error with its words."""
    error = nvidia_smi.query(Smi(xml="Hello", csv="What?"))["error"]
    assert (error["id"], "What?" in error["text"]) == ("other", True)


def test_mig_devices_of_old_drivers() -> None:
    """Before 470 a MIG UUID was put together from the GPU's."""
    text = "GPU 0: A100 (UUID: GPU-0)\n  MIG 1g.5gb Device 3: (UUID: MIG-GPU-0/7/0)\nGPU 1: A100 (UUID: GPU-1)\n"
    assert nvidia_smi.parse_list(text) == {
        "GPU-0": [{"name": "1g.5gb", "index": 3, "uuid": "MIG-GPU-0/7/0"}],
        "GPU-1": [],
    }
