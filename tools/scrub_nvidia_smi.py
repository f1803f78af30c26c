# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what was recorded on a GPU host into test fixtures that tell nobody which cards and host they came from.

Usage: ``python tools/scrub_nvidia_smi.py FOLDER [TARGET]``; prints the names of the files written to TARGET
(``tests/unit/data/nvidia_smi``). How FOLDER is recorded is told by the README.md there.

A value that identifies a card or a host (serial numbers, UUIDs and other GUIDs, the PDI, MAC addresses, host ids,
folders of programs, the kernel's own name and addresses) becomes one made-up value, the same in all files. What merely
names a kind of card (part numbers, VBIOS, PCI device id) or a place in the machine (PCI address, board id) stays.
"""

from __future__ import annotations

import csv
import io
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

import yaml

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "unit" / "data" / "nvidia_smi"

#: File of the recording -> ending of the fixture; whatever is not there is left out.
FILES = {
    "q.xml": ".xml",
    "q.txt": ".q.txt",
    "gpu_info.json": ".json",
    "list.txt": ".list.txt",
    "query.csv": ".query.csv",
    "topo.txt": ".topo.txt",
    "dev.txt": ".dev.txt",
    "modules.txt": ".modules.txt",
    "version.txt": ".version.txt",
    "busy.xml": "-busy.xml",
    "busy.txt": "-busy.q.txt",
    "busy.json": "-busy.json",
}

#: Elements of the XML, and the labels of ``nvidia-smi -q`` for them, whose value belongs to one card or chassis.
TAGS = "serial|pdi|chassis_serial_number|host_id|gpu_fabric_guid|ibmnpu_serial|board_serial"
LABELS = "(?:Chassis )?Serial Number|GPU PDI|Host ID|GPU Fabric GUID|Board Serial"
LABELLED = re.compile(r"<(?:%s)>\s*([^<]+?)\s*</|^ *(?:%s) +: (.+?) *$" % (TAGS, LABELS), re.MULTILINE)

#: Such values wherever they stand. A GUID of zeros is none.
GUID = r"\b(?!0{8}-0{4}-0{4}-0{4}-0{12})[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
MAC = r"\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\b"
ANYWHERE = re.compile("%s|%s" % (GUID, MAC))

#: Folders of a program, who built the module and where, addresses in the kernel: what is put instead says nothing.
FIXED = (
    (re.compile(r"(<process_name>|^ *Name +: |\"name\": \")/(?:[^/<\"\n]+/)+", re.MULTILINE), r"\1/path/to/"),
    (re.compile(r"\(\w+@[^)]*\)"), "(builder@host)"),
    (re.compile(r"\b0xffff[0-9a-f]{12}\b"), "0x0000000000000000"),
)


def replacements(texts: list[str]) -> dict[str, str]:
    """Return what is put for each identifying value of these texts, numbered as they come."""
    found: list[str] = []
    for text in texts:
        found += [first or second for first, second in LABELLED.findall(text)] + ANYWHERE.findall(text)
    # "N/A" and words are no values, and a number of few digits would be found everywhere
    ids = (value for value in found if len(value) > 3 and re.search(r"\d", value) and value.strip("0x"))
    return {value: made_up(value, number) for number, value in enumerate(dict.fromkeys(ids), 1)}


def made_up(value: str, number: int) -> str:
    """Return a value of the same form that holds nothing but a number."""
    if re.fullmatch(GUID, value):
        return "00000000-0000-4000-8000-%012d" % number
    if re.fullmatch(MAC, value):
        return "02:00:00:00:%02x:%02x" % divmod(number, 256)
    head = "0x" if value.startswith("0x") else ""
    return head + str(number).zfill(len(value) - len(head))


def scrub(texts: dict[str, str]) -> dict[str, str]:
    """Return the texts without what identifies a card or a host, by the same keys.

    Raises:
        ValueError: such a value is still there, as part of a longer word.
    """
    table = replacements(list(texts.values()))
    # whole words: a short serial number must not be found inside another number
    words = re.compile(
        "|".join(r"(?<!\w)%s(?!\w)" % re.escape(value) for value in sorted(table, key=len)[::-1]) or "$^"
    )
    clean = {}
    for name, text in texts.items():
        text = words.sub(lambda match: table[match.group(0)], text)
        for pattern, instead in FIXED:
            text = pattern.sub(instead, text)
        left = [value for value in table if value in text]
        if left:
            raise ValueError("%s still holds %s" % (name, ", ".join(left)))
        clean[name] = text
    return clean


def name_of(xml: str) -> str:
    """Return the fixture's name: driver, card, number of cards, day of the recording."""
    root = ET.fromstring(xml)
    cards = [node.text or "" for node in root.findall("gpu/product_name")]
    slug = re.sub(r"[^a-z0-9]+", "-", cards[0].removeprefix("NVIDIA ").lower())
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    _weekday, month, day, _time, year = (root.findtext("timestamp") or "").split()
    driver = ".".join((root.findtext("driver_version") or "").split(".")[:2])
    date = "%s-%02d-%02d" % (year, months.index(month) + 1, int(day))
    return "driver-%s-%s-x%d-recorded-%s" % (driver, slug, len(cards), date)


def answer_of(text: str) -> str:
    """Return a module's answer as JSON without Ansible's own keys; ``text`` is JSON or what ``ansible -m`` printed."""
    answer = yaml.safe_load(re.sub(r"\A(?:\[.*\n)*\S+ \| \w+ +=> *\n?", "", text))
    for key in ("changed", "failed"):
        answer.pop(key, None)
    return json.dumps(answer, indent=2, sort_keys=True) + "\n"


def capabilities_of(query: str) -> str:
    """Return index, uuid and compute_cap of a CSV query with headers, as the module asks for them."""
    rows = csv.DictReader(io.StringIO(query), skipinitialspace=True)
    return "".join("%(index)s, %(uuid)s, %(compute_cap)s\n" % row for row in rows)


def driver_of(preflight: str) -> str:
    """Return the facts of the driver in a result of preflight; of the kernel's name the part that kernel.org gave."""
    driver = json.loads(preflight)["host"]["driver"]
    driver["kernel"] = re.split(r"[^\d.]", driver["kernel"])[0]
    return json.dumps(driver, indent=2, sort_keys=True) + "\n"


def fixtures(folder: pathlib.Path) -> dict[str, str]:
    """Return the texts of the fixtures by file name, for a folder of recordings."""
    texts = {
        ending: (folder / name).read_text(encoding="utf-8")
        for name, ending in FILES.items()
        if (folder / name).exists()
    }
    texts = {ending: answer_of(text) if ending.endswith(".json") else text for ending, text in texts.items()}
    for ending, needs in ((".compute_cap.txt", ".xml"), ("-busy.compute_cap.txt", "-busy.xml")):
        # a host that was only seen idle has no busy recording for this to belong to
        if needs in texts:
            texts[ending] = capabilities_of(texts[".query.csv"])
    if (folder / "preflight.json").exists():
        texts[".driver.json"] = driver_of((folder / "preflight.json").read_text(encoding="utf-8"))
    name = name_of(texts[".xml"])
    return {name + ending: text for ending, text in scrub(texts).items()}


def main(argv: list[str]) -> int:
    """Write the fixtures."""
    target = pathlib.Path(argv[1]) if len(argv) > 1 else TARGET
    for name, text in sorted(fixtures(pathlib.Path(argv[0])).items()):
        (target / name).write_text(text, encoding="utf-8")
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
