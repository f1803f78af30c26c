# SPDX-License-Identifier: GPL-3.0-or-later
"""Run vLLM's own benchmark inside the service's container, and tell how far it is in lines of JSON.

This very file runs there (``docker exec --interactive <container> python3 -c <this text> <settings>``), so the host
needs nothing for it. What it asks goes to 127.0.0.1. The API key is taken from the container's environment and handed
on in the environment only. When its standard input ends, whoever wanted the figures is gone: it ends the benchmark and
itself.

Each line of its output is an event, ``{"event": name, ...}``:

- ``refused``: ``problem``; nothing was sent to the model
- ``begun``: ``vllm_version``
- ``run``: ``index`` of the run whose warm-up begins
- ``progress``: ``x`` requests are done
- ``result``: ``raw``, the JSON that vLLM wrote for this run, as text
- ``broken``: ``problem`` and ``lines``, the last words of a run that gave no result; none follows it
- ``end``

What it relies on was read in vLLM 0.11.0, 0.16.0 and 0.32.0 (vllm/benchmarks/serve.py, datasets): the options in
``argv``, the environment variable OPENAI_API_KEY, and tqdm's ``x/y [`` on the standard error. Embeddings and rerankers
were read and measured in 0.32.0 only; a release whose benchmark lacks their backends says so.

Python standard library only. Private to this collection; may change at any time.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

#: Seconds that an endpoint which does not ask the model may take.
_ASK_S = 10

#: How often the number of requests is looked at before the first run, and seconds between two looks: one moment without
#: a request is no idle service.
_LOOKS, _LOOK_GAP_S = 3, 0.5

#: Lines kept of what vLLM says, and characters of each.
LINES, LINE_CHARS = 40, 1000

#: tqdm's counter: ``  40%|####      | 2/5 [00:00<00:00,  6.73it/s]``.
_BAR = re.compile(r"\b(\d+)/(\d+) \[")

#: Beginning of the names of temporary folders.
_PREFIX = "myia-benchmark-"

_GAUGES = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}

#: Token ids of the warm-up. They are ordinary tokens in every vocabulary; special ones stand at 0 or at the end.
_WARM_TOKENS = range(10, 250)


#: What vLLM's benchmark is told for each sort of work: --backend, --endpoint and --dataset-name.
BACKENDS = {
    "generate": ("openai", "/v1/completions", "random"),
    "embed": ("openai-embeddings", "/v1/embeddings", "random"),
    "rerank": ("vllm-rerank", "/v1/rerank", "random-rerank"),
}


class ServiceError(Exception):
    """The service cannot be measured; the text says why."""


def say(name: str, **more: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps({"event": name, **more}) + "\n")
    sys.stdout.flush()


def address(settings: dict) -> str:
    """Return where the service is asked."""
    return "%s://127.0.0.1:%d" % (settings["scheme"], settings["port"])


def query(base: str, path: str, body: dict | None = None, timeout_s: float = _ASK_S) -> tuple[int, str]:
    """Return (HTTP status, text) of the service's answer; status 0 and the reason when nothing answered.

    A certificate is not looked at: it names what clients ask for, not 127.0.0.1.
    """
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(base + path, data, headers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ways = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*ways).open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", error))


def gauges(text: str) -> dict[str, float | None]:
    """Return ``{running, waiting}``, the numbers of requests in the text of /metrics; None for what is not there."""
    found: dict[str, float | None] = {}
    for key, name in _GAUGES.items():
        values = re.findall(r"^%s(?:\{[^}]*\})? (\S+)$" % re.escape(name), text, re.MULTILINE)
        found[key] = sum(map(float, values)) if values else None
    return found


def check_service(settings: dict, sleep=time.sleep) -> str:
    """Return the vLLM version of a service that can be measured.

    Raises:
        ServiceError: it does not answer, serves another model or shorter requests, or is busy.
    """
    base, name = address(settings), settings["served_model_name"]
    status, text = query(base, "/health")
    if status != 200:
        raise ServiceError("The service does not answer: /health gives %s." % (status or text or "nothing"))
    status, text = query(base, "/v1/models")
    if status != 200:
        raise ServiceError("/v1/models answers %s: %s" % (status or "nothing", text.strip()[:200]))
    models = {str(model.get("id")): model for model in json.loads(text).get("data") or []}
    if name not in models:
        raise ServiceError(
            "The service serves %s; expected %s (vllm_served_model_name)." % (", ".join(models) or "no model", name)
        )
    limit = models[name].get("max_model_len")
    longest = max(run["input_tokens"] + (run["output_tokens"] or 0) for run in settings["runs"])
    if limit and longest > limit:
        raise ServiceError(
            "A request of %d tokens is asked for, and the service takes at most %d. Choose shorter ones in "
            "vllm_benchmark_profiles." % (longest, limit)
        )
    if not settings["on_busy"]:
        _check_idle(base, sleep)
    status, text = query(base, "/version")
    return str(json.loads(text).get("version", "")) if status == 200 else ""


def _check_idle(base: str, sleep=time.sleep) -> None:
    """Look several times whether the service has requests of others.

    Raises:
        ServiceError: it has, or that cannot be seen.
    """
    for look in range(_LOOKS):
        if look:
            sleep(_LOOK_GAP_S)
        _status, text = query(base, "/metrics")
        found = gauges(text)
        if found["running"] is None or found["waiting"] is None:
            raise ServiceError(
                "Whether the service is busy cannot be seen: /metrics does not tell its requests. Set "
                "vllm_benchmark_on_busy: true to measure all the same."
            )
        if found["running"] or found["waiting"]:
            raise ServiceError(
                "The service is busy: %d requests run and %d wait. A benchmark would slow them down, and they would "
                "spoil its figures. Run it at a quiet time, or set vllm_benchmark_on_busy: true."
                % (found["running"], found["waiting"])
            )


def warm_up(settings: dict, run: dict) -> None:
    """Let the model answer one request of this run's size, which counts nowhere.

    Its tokens are random: the prefix cache knows none of the measured prompts by it.

    Raises:
        ServiceError: it does not.
    """
    path, body = _warm_request(settings, run)
    # no limit of its own: whoever runs this has one for the whole benchmark
    status, text = query(address(settings), path, body, timeout_s=settings["timeout_s"] or 86400)
    if status == 404 or (status in (400, 501) and "does not support" in text):
        what = "generates no text" if path == "/v1/completions" else "does no such work"
        raise ServiceError("The model %s (%s answers %d), so there is nothing to measure." % (what, path, status))
    if status != 200:
        raise ServiceError(
            "The request before the measurement was answered by %s: %s" % (status or "nothing", text.strip()[:300])
        )


def _warm_request(settings: dict, run: dict) -> tuple[str, dict]:
    """Return path and body of a request of a run's size."""
    model, work = {"model": settings["served_model_name"]}, settings.get("work", "generate")
    tokens = random.SystemRandom().choices(_WARM_TOKENS, k=run["input_tokens"])
    if work == "embed":
        # an encoder's vocabulary may be smaller than that of a model that writes
        return "/v1/embeddings", {**model, "input": "1 " * max(1, len(tokens) // 2), "truncate_prompt_tokens": -1}
    if work == "rerank":
        text = "1 " * max(1, len(tokens) // 4)
        return "/v1/rerank", {**model, "query": text, "documents": [text], "truncate_prompt_tokens": -1}
    more = {"max_tokens": run["output_tokens"], "ignore_eos": True, "temperature": 0}
    return "/v1/completions", {**model, "prompt": tokens, **more}


def check_tls(settings: dict) -> None:
    """See to it that vLLM's benchmark can ask a service whose certificate does not name 127.0.0.1.

    Raises:
        ServiceError: it cannot: 0.17.0 is the first release of which it can.
    """
    if settings["scheme"] != "https":
        return
    found = importlib.util.find_spec("vllm")  # without importing it
    file = os.path.join(os.path.dirname(found.origin), "benchmarks", "serve.py") if found and found.origin else ""
    try:
        with open(file, encoding="utf-8") as handle:
            able = '"--insecure"' in handle.read()
    except OSError:
        able = False
    if not able:
        raise ServiceError(
            "The benchmark of this vLLM asks no service by TLS whose certificate does not name 127.0.0.1. Use vLLM "
            "0.17.0 or later, or measure it without vllm_ssl_certfile."
        )


def tokenizer_of(settings: dict) -> str:
    """Return what vLLM's benchmark shall load as tokenizer. It knows no revision: a pinned one becomes its folder."""
    name, revision = settings["tokenizer"], settings["tokenizer_revision"]
    if not revision or os.path.isdir(name):
        return name
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, revision=revision, local_files_only=True)
    except Exception as error:  # whatever the library of that release raises
        raise ServiceError(
            "The tokenizer %s of revision %s is not in the container's cache: %s" % (name, revision, error)
        ) from None


def argv(settings: dict, run: dict, seed: int, folder: str, name: str) -> list[str]:
    """Return the command of one run, which writes its result into ``folder``/``name``."""
    work = settings.get("work", "generate")
    backend, endpoint, dataset = BACKENDS[work]
    command = ["vllm", "bench", "serve", "--backend", backend, "--endpoint", endpoint]
    command += ["--base-url", address(settings)]
    command += ["--insecure"] if settings["scheme"] == "https" else []
    # the served name, so that its own questions (/tokenize) are answered too
    command += ["--model", settings["served_model_name"], "--tokenizer", settings["tokenizer"]]
    command += ["--tokenizer-mode", settings["tokenizer_mode"]] if settings["tokenizer_mode"] else []
    command += ["--trust-remote-code"] if settings["trust_remote_code"] else []
    command += ["--dataset-name", dataset, "--random-input-len", str(run["input_tokens"])]
    command += ["--random-output-len", str(run["output_tokens"])] if work == "generate" else []
    command += ["--num-prompts", str(run["num_prompts"])]
    command += ["--request-rate", str(run["request_rate"])] if run["request_rate"] else []
    command += ["--max-concurrency", str(run["max_concurrency"])] if run["max_concurrency"] else []
    if work == "generate":
        # releases differ in what they do without these
        command += ["--temperature", "0", "--ignore-eos"]
    latencies = "ttft,tpot,itl,e2el" if work == "generate" else "e2el"
    command += ["--ready-check-timeout-sec", "0", "--percentile-metrics", latencies]
    command += ["--metric-percentiles", "50,90,99"]
    command += ["--seed", str(seed), "--save-result", "--save-detailed"]
    return [*command, "--result-dir", folder, "--result-filename", name]


class Output:
    """What the benchmark said so far: how many requests are done, and its last lines without bars."""

    def __init__(self, total: int) -> None:
        self.x, self.lines, self._total, self._rest = 0, [], total, ""

    def feed(self, text: str) -> bool:
        """Take more in, cut anywhere; return whether more requests are done now."""
        before = self.x
        pieces = re.split(r"[\r\n]+", self._rest + text)
        self._rest = pieces.pop()[-10 * LINE_CHARS :]
        for piece in [*pieces, self._rest]:
            # a bar is only ended when the next one comes
            for done, total in _BAR.findall(piece):
                if int(total) == self._total:
                    self.x = max(self.x, int(done))
        self.lines += [piece.strip()[:LINE_CHARS] for piece in pieces if piece.strip() and not _BAR.search(piece)]
        del self.lines[:-LINES]
        return self.x > before


class Client:
    """One benchmark: its runs, one after the other."""

    def __init__(self, settings: dict) -> None:
        """Take the settings.

        Args:
            settings: ``scheme``, ``port``, ``served_model_name``, ``tokenizer`` (id or folder), ``tokenizer_revision``,
                ``tokenizer_mode`` (empty for vLLM's choice), ``trust_remote_code``, ``on_busy``, ``timeout_s``,
                ``seed``, ``work`` (a key of BACKENDS), and ``runs``, each with ``num_prompts``, ``request_rate``
                (requests a second, None for all at once), ``max_concurrency`` (None for no limit), ``input_tokens``
                and ``output_tokens`` (None where nothing is written).
        """
        self.settings = settings
        self.folder = ""
        self._process: subprocess.Popen | None = None

    def run(self) -> None:
        """Measure; everything is told by events."""
        for left in glob.glob(os.path.join(tempfile.gettempdir(), _PREFIX + "*")):
            # of a benchmark that ended with its container; whoever runs this sees to it that there is only one
            shutil.rmtree(left, ignore_errors=True)
        self.folder = folder = tempfile.mkdtemp(prefix=_PREFIX)
        try:
            try:
                version = check_service(self.settings)
                check_tls(self.settings)
                self.settings["tokenizer"] = tokenizer_of(self.settings)
                say("begun", vllm_version=version)
            except (ServiceError, ValueError) as error:  # an answer that is no JSON
                say("refused", problem=str(error))
                return
            if all(self._one(index, folder) for index in range(len(self.settings["runs"]))):
                say("end")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _one(self, index: int, folder: str) -> bool:
        """Measure one run; return whether it gave a result."""
        run, name = self.settings["runs"][index], "%d.json" % index
        say("run", index=index)
        try:
            warm_up(self.settings, run)
        except ServiceError as error:
            say("broken", problem=str(error), lines=[])
            return False
        # each run and each benchmark has prompts of its own, else the prefix cache would answer the second one
        try:
            self._process = subprocess.Popen(
                argv(self.settings, run, self.settings["seed"] + index, folder, name),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            say("broken", problem="vllm bench serve cannot be started: %s" % error, lines=[])
            return False
        output = Output(run["num_prompts"])
        while True:
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                break
            if output.feed(data.decode("utf-8", "replace")):
                say("progress", x=output.x)
        output.feed("\n")
        status = self._process.wait()
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as handle:
                raw = handle.read()
        except OSError:
            raw = ""
        if status != 0 or not raw:
            what = "ended with exit code %d" % status if status else "wrote no result"
            last = ": %s" % output.lines[-1] if output.lines else ""
            say("broken", problem="vllm bench serve %s%s" % (what, last), lines=output.lines)
            return False
        say("result", raw=raw)
        return True

    def stop(self) -> None:
        """Kill what runs, and leave nothing in the container."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def _prepare_environment() -> None:
    """Set what vLLM's benchmark reads: the key, nothing from the hub, no proxy before 127.0.0.1."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    key = os.environ.get("VLLM_API_KEY") or key_file()
    if key:
        os.environ["OPENAI_API_KEY"] = key
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", PYTHONUNBUFFERED="1")


def key_file() -> str:
    """Return the key where the container has its secrets as files (definition/secret_env.py); empty without one."""
    try:
        with open("/run/secrets/env_VLLM_API_KEY", encoding="utf-8") as handle:
            return handle.read()
    except OSError:
        return ""


def main() -> None:
    """Run the benchmark that the first argument says."""
    client, abandoned = Client(json.loads(sys.argv[1])), threading.Event()

    def watch_input() -> None:
        while os.read(0, 4096):
            pass
        abandoned.set()
        client.stop()
        os._exit(3)

    _prepare_environment()
    watcher = threading.Thread(target=watch_input, daemon=True)
    watcher.start()
    client.run()
    if abandoned.is_set():
        # the run broke off because it was killed: that is no end of its own
        watcher.join()


if __name__ == "__main__":
    main()
