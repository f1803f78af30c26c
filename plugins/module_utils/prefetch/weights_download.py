# SPDX-License-Identifier: GPL-3.0-or-later
"""Download what a service needs from the Hugging Face hub, or say that it is all there.

This file runs INSIDE the service's image, as ``python3 -c <this text> <arguments as JSON>``, with the image's own
huggingface_hub (tried: 0.34, 0.36, 1.0, 1.5, 2.4), which it needs for downloads only. On the host it answers whether a
download is complete (``recorded``), and there the Python standard library is enough. It prints one JSON object a line
(``event``: start, progress, done) and on failure a traceback; its exit status is then 1.

Why not ``snapshot_download`` alone:

- huggingface_hub 2.x gives every process a temporary file of its own, so a download that was killed begins anew, and
  with all shards in flight at once that is nearly everything. Large files are therefore fetched here, by its
  ``http_get``, into ``<sha256>.incomplete``, which goes on where it stopped and is checked by its SHA-256.
- It lets the branch point to the new commit BEFORE the files are there. A service that runs from the same cache without
  the hub would not come back after a reboot at that moment. Here the branch moves when everything is complete.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import fnmatch
import glob
import hashlib
import json
import os
import posixpath
import sys
import threading
import traceback

#: Written beside ``refs``, ``blobs`` and ``snapshots`` of a repository: what was downloaded in full.
RECORD = "myia-vllm.json"

#: Seconds between two lines of progress, and that one request about a model may take.
PROGRESS_S, ASK_S = 2.0, 30.0

#: Files that are fetched at the same time: huggingface_hub's own number.
WORKERS = 8

#: Larger files are not given by plain HTTP: huggingface_hub constants.py, MAX_HTTP_DOWNLOAD_SIZE.
MAX_HTTP_BYTES = 50 * 1000**3

#: Weights that vLLM loads, best first; of each folder only the first kind that it has (vllm default_loader.py).
WEIGHTS = (("*.safetensors",), ("*.bin",), ("*.pt", "*.pth"))

#: The same for values of --load-format that choose themselves (vllm default_loader.py).
BY_FORMAT = {
    **dict.fromkeys(("safetensors", "fastsafetensors", "instanttensor", "runai_streamer"), (("*.safetensors",),)),
    "mistral": (("consolidated*.safetensors",),),
    "pt": (("*.pt",),),
    "npcache": (("*.bin",),),
    "gguf": (("*.gguf",),),
    "dummy": (),
}

#: Other formats of the same weights, and large files that nobody loads (vllm transformers_utils/repo_utils.py).
SKIPPED = (
    "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot", "*.tflite", "*.mlmodel",
    "*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.mp3", "*.mp4", "*.wav", "*.flac",
    "*.parquet", "*.arrow", "*.ipynb", "*.zip", "*.tar*",
)  # fmt: skip

#: Folders that hold the weights once more, for other programs.
COPIES = ("original", "metal", "onnx", "openvino", "coreml")


# ---------------------------------------------------------------------- the cache's layout


def repo_folder(hub: str, model: str) -> str:
    """Return the folder of a repository in a cache of huggingface_hub (``HF_HOME/hub``)."""
    return os.path.join(hub, "models--" + model.replace("/", "--"))


def commit_of(repo: str, revision: str) -> str:
    """Return the commit that a branch or tag points to in the cache, or the commit itself; empty when unknown."""
    try:
        with open(os.path.join(repo, "refs", revision or "main"), encoding="ascii", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return revision if os.path.isdir(os.path.join(repo, "snapshots", revision)) and revision else ""


def recorded(hub: str, model: dict) -> dict:
    """Return the record ``{commit, files: {name: bytes}}`` of a download that is still there in full; else empty.

    Args:
        hub: the cache's folder ``hub``.
        model: ``{id, revision, load_format}``.
    """
    repo = repo_folder(hub, model["id"])
    record = _records(repo).get(_key(model)) or {}
    commit = record.get("commit", "")
    if not commit or commit_of(repo, model["revision"]) != commit:
        return {}
    there = all(_size(os.path.join(repo, "snapshots", commit, name)) == size for name, size in record["files"].items())
    return record if there else {}


def looks_complete(hub: str, model: dict) -> dict:
    """Return a record as ``recorded`` does for a repository that somebody else downloaded, when nothing is missing."""
    repo = repo_folder(hub, model["id"])
    commit = commit_of(repo, model["revision"])
    folder = os.path.join(repo, "snapshots", commit)
    if not commit or not os.path.isdir(folder) or glob.glob(os.path.join(glob.escape(repo), "blobs", "*.incomplete")):
        return {}
    paths = [os.path.join(top, name) for top, _dirs, names in os.walk(folder) for name in names]
    sizes = {os.path.relpath(path, folder): _size(path) for path in paths}
    wanted = set(sizes)
    for name in fnmatch.filter(sizes, "*.index.json"):
        with open(os.path.join(folder, name), encoding="utf-8") as handle:
            wanted.update((json.load(handle).get("weight_map") or {}).values())
    weights = [name for name in sizes if _matches(name, [pattern for kind in WEIGHTS for pattern in kind])]
    if any(sizes.get(name, -1) < 0 for name in wanted) or ("config.json" in sizes and not weights):
        return {}
    return {"commit": commit, "files": sizes}


def selected(sizes: dict, load_format: str = "") -> list:
    """Return the names of the files that vLLM needs.

    Args:
        sizes: bytes by name, of all files of a repository.
        load_format: vLLM's --load-format; empty for auto.
    """
    kinds = BY_FORMAT.get(load_format, WEIGHTS)
    every = [pattern for kind in (*WEIGHTS, *kinds) for pattern in kind]
    folders: dict = {}
    result = []
    for name in sizes:
        folder, file = posixpath.split(name)
        if _matches(file, every):
            folders.setdefault(folder, []).append(file)
        elif not _matches(file, SKIPPED):
            result.append(name)
    for folder, files in folders.items():
        if folder.split("/")[0] in COPIES:
            continue
        chosen = next(filter(None, ([f for f in files if _matches(f, kind)] for kind in kinds)), [])
        if kinds is BY_FORMAT["safetensors"]:
            # the same weights once more, which this format does not read
            chosen = [file for file in chosen if not file.startswith("consolidated")] or chosen
        result += [posixpath.join(folder, file) for file in chosen]
    return sorted(result)


def _matches(file: str, patterns) -> bool:
    return any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns)


def _key(model: dict) -> str:
    return "%s %s" % (model["revision"] or "main", model.get("load_format") or "auto")


def _records(repo: str) -> dict:
    try:
        with open(os.path.join(repo, RECORD), encoding="utf-8") as handle:
            found = json.load(handle)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _size(path: str) -> int:
    """Return the bytes of a file that has its full size; -1 without one."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _written(path: str) -> int:
    """Return the bytes of a file that grows: some programs write its end first."""
    try:
        found = os.stat(path)
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


def _replace(path: str, text: str) -> None:
    """Write a file in one step, for whoever reads it at that moment."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = "%s.%d.new" % (path, os.getpid())
    with open(temporary, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(temporary, path)


# ---------------------------------------------------------------------- one repository


class Download:
    """The files of one commit."""

    def __init__(self, hub: str, model: dict, commit: str, files: dict) -> None:
        """Take the files ``{name: {size (bytes), blob (name in blobs; empty when unknown), lfs (bool)}}``."""
        self.model, self.commit, self.files = model, commit, files
        self.repo = repo_folder(hub, model["id"])
        self.total = sum(file["size"] for file in files.values())

    def _in_snapshot(self, name: str) -> str:
        return os.path.join(self.repo, "snapshots", self.commit, name)

    def _blob(self, file: dict) -> str:
        return os.path.join(self.repo, "blobs", file["blob"])

    def drop_broken(self) -> None:
        """Take away files whose size is wrong, as after a crash of the host, so that they are fetched again."""
        for name, file in self.files.items():
            path = self._in_snapshot(name)
            if os.path.lexists(path) and _size(path) != file["size"]:
                for found in (os.path.realpath(path), path):
                    _remove(found)
            if file["blob"] and _size(self._blob(file)) not in (-1, file["size"]):
                os.unlink(self._blob(file))

    def present(self) -> tuple:
        """Return (bytes, files) that are there; bytes of files that are not complete count too."""
        there = complete = 0
        for name, file in self.files.items():
            if _size(self._in_snapshot(name)) >= 0 or (file["blob"] and _size(self._blob(file)) >= 0):
                there += file["size"]
                complete += 1
            elif file["blob"]:
                # <blob>.incomplete is this program's and older huggingface_hubs', <blob>.<x>.incomplete newer ones'
                parts = glob.glob(glob.escape(self._blob(file)) + "*.incomplete")
                there += min(file["size"], max(map(_written, parts), default=0))
        return there, complete

    def linked(self) -> bool:
        """Tell whether every file is there under its name."""
        return all(_size(self._in_snapshot(name)) == file["size"] for name, file in self.files.items())

    def run(self) -> None:
        """Fetch what is missing; errors are those of huggingface_hub."""
        from huggingface_hub import snapshot_download

        large = [name for name, file in self.files.items() if file["lfs"] and file["size"] <= MAX_HTTP_BYTES]
        # not as a context, which would wait for the other files when one has failed
        pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        for task in concurrent.futures.as_completed([pool.submit(self._fetch, name) for name in large]):
            task.result()
        # small files, and a name for each: by the commit, so that no branch moves yet
        names = [glob.escape(name) for name in self.files]
        snapshot_download(self.model["id"], revision=self.commit, allow_patterns=names, max_workers=WORKERS)
        missing = [name for name, file in self.files.items() if _size(self._in_snapshot(name)) != file["size"]]
        if missing:
            raise OSError("Consistency check failed: file should be of size %d but has size %d (%s)" % (
                self.files[missing[0]]["size"], _size(self._in_snapshot(missing[0])), missing[0]))  # fmt: skip

    def _fetch(self, name: str) -> None:
        """Download one large file into ``blobs``."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        file = self.files[name]
        blob, partial = self._blob(file), self._blob(file) + ".incomplete"
        url = hf_hub_url(self.model["id"], name, revision=self.commit)
        headers = build_hf_headers(library_name="myia.vllm")
        os.makedirs(os.path.dirname(blob), exist_ok=True)
        for _attempt in (1, 2):
            with open(partial, "ab") as handle:
                # another service that shares the cache may want the same file
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.path.exists(blob):
                    _remove(partial)
                    return
                have = handle.tell()
                if have > file["size"]:
                    handle.truncate(0)
                    have = 0
                try:
                    if have < file["size"]:
                        http_get(url, handle, resume_size=have, headers=headers, expected_size=file["size"])
                    handle.flush()
                    if _sha256(partial) == file["blob"]:
                        os.replace(partial, blob)
                        return
                except OSError as error:
                    # how huggingface_hub says that the size is wrong, as after a server that ignored the range
                    if "Consistency check failed" not in str(error):
                        raise
                _remove(partial)
        raise OSError("Consistency check failed: %s of %s is not what the hub says it is." % (name, self.model["id"]))

    def finish(self) -> dict:
        """Let the branch point to the commit, note that everything is there, and return that note."""
        # huggingface_hub 2.x would take a snapshot without the files that nobody needs for incomplete, and refuse it
        _remove(os.path.join(self.repo, "trees", self.commit + ".json"))
        revision = self.model["revision"] or "main"
        if revision != self.commit:
            _replace(os.path.join(self.repo, "refs", revision), self.commit)
        record = {"commit": self.commit, "files": {name: file["size"] for name, file in self.files.items()}}
        records = {**_records(self.repo), _key(self.model): record}
        _replace(os.path.join(self.repo, RECORD), json.dumps(records, sort_keys=True))
        return record


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# ---------------------------------------------------------------------- all of them


def query(hub: str, model: dict) -> Download:
    """Return what the hub says of a model; errors are those of huggingface_hub."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(model["id"], revision=model["revision"] or None, files_metadata=True, timeout=ASK_S)
    found = {sibling.rfilename: sibling for sibling in info.siblings}
    sizes = {name: sibling.size or 0 for name, sibling in found.items()}
    files = {}
    for name in selected(sizes, model.get("load_format", "")):
        lfs = found[name].lfs
        blob = lfs.sha256 if lfs else found[name].blob_id
        files[name] = {"size": sizes[name], "blob": blob or "", "lfs": bool(lfs and blob)}
    return Download(hub, model, info.sha, files)


def size(count: float) -> str:
    """Return bytes as people say them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return "%.*f %s" % (0 if unit == "B" else 1, count, unit)
        count /= 1024
    return "%.2f GiB" % count


def check_space(folder: str, missing: int, total: int) -> None:
    """Raise OSError (ENOSPC) with the arithmetic when a download cannot fit.

    Args:
        folder: the cache's folder; it need not exist.
        missing: bytes that are still to be downloaded.
        total: bytes of everything.
    """
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if missing > free:
        raise OSError(
            "No space left on device for the download: it needs %s (%s less %s that are there), and %s are free in %s."
            % (size(missing), size(total), size(total - missing), size(free), folder)
        )


def emit(event: str, **values: object) -> None:
    """Print one line for whoever watches."""
    sys.stdout.write(json.dumps({"event": event, **values}, sort_keys=True) + "\n")
    sys.stdout.flush()


def prefetch(hub: str, models: list, refresh: bool) -> None:
    """Download all models.

    Args:
        hub: the cache's folder ``hub``.
        models: ``[{id, revision, load_format}]``.
        refresh: ask the hub for newer commits even when everything is there.
    """
    downloads, found, warnings = [], [], []
    for model in models:
        record = {} if refresh else recorded(hub, model)
        try:
            if not record:
                downloads.append(query(hub, model))
                continue
        except Exception as error:
            record = recorded(hub, model) or looks_complete(hub, model)
            if not record:
                raise
            text = "%s: the hub could not be asked (%s: %s). What the cache holds is complete, and is used."
            warnings.append(text % (model["id"], type(error).__name__, " ".join(str(error).split())[:300]))
        found.append(described(model, record))
    for download in downloads:
        download.drop_broken()
    before = [download.present()[0] for download in downloads]
    total, files = sum(download.total for download in downloads), sum(len(download.files) for download in downloads)
    emit("progress", x=sum(before), y=total, files=0, of=files)
    check_space(hub, total - sum(before), total)
    failed: list = []
    work = threading.Thread(target=_run_all, args=(downloads, failed), daemon=True)
    work.start()
    while work.is_alive():
        work.join(PROGRESS_S)
        parts = [download.present() for download in downloads]
        emit("progress", x=sum(part[0] for part in parts), y=total, files=sum(part[1] for part in parts), of=files)
    if failed:
        raise failed[0]
    for download, had in zip(downloads, before):
        found.append(described(download.model, download.finish(), download.total - had))
    emit("done", models=found, warnings=warnings, downloaded=total - sum(before))


def described(model: dict, record: dict, downloaded: int = 0) -> dict:
    """Return what people want to know of a model: its record in numbers, and the bytes downloaded just now."""
    return {
        "id": model["id"],
        "revision": model["revision"],
        "commit": record["commit"],
        "bytes": sum(record["files"].values()),
        "files": len(record["files"]),
        "downloaded": downloaded,
    }


def _run_all(downloads: list, failed: list) -> None:
    try:
        for download in downloads:
            if not download.linked():
                download.run()
    except BaseException as error:
        failed.append(error)


def main() -> None:
    """Run in the container; the arguments are one JSON object ``{models, refresh}``."""
    arguments = json.loads(sys.argv[1])
    # bars would fill the log; hf_transfer writes a file from all ends at once, which cannot be gone on with
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_ENABLE_HF_TRANSFER="0", HF_HUB_DISABLE_TELEMETRY="1")
    from huggingface_hub import __version__, constants

    emit("start", huggingface_hub=__version__)
    try:
        prefetch(constants.HF_HUB_CACHE, arguments["models"], arguments["refresh"])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # threads that still download would keep the process alive
        os._exit(1)


if __name__ == "__main__":
    main()
