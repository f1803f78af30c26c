# SPDX-License-Identifier: GPL-3.0-or-later
"""Make texts fit for strangers: secrets, host names, addresses, people and prompts give way to names of their own.

The same value gets the same name everywhere (``<host-1>``), so that a reader can still follow it. What is not known for
certain to be harmless is taken for a secret: a bundle that says too little costs a question, a leaked key costs more.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import urllib.parse
from collections.abc import Iterable

from ansible_collections.myia.vllm.plugins.module_utils.common import disguises
from ansible_collections.myia.vllm.plugins.plugin_utils.common import prompts, redaction

#: Shortest known value that is looked for, in characters.
_MIN_SECRET = 4

#: Names of hosts that tell nobody anything, and that stand in logs for other things.
_COMMON_NAMES = frozenset(
    ("localhost", "localhost.localdomain", "vllm", "gpu", "docker", "medium", "host", "node", "server", "default",
     "local", "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters")
)  # fmt: skip

#: Public places that a log names, and what a reader has to know.
_PUBLIC = re.compile(
    r"(?:^|\.)(?:huggingface\.co|hf\.co|github\.com|githubusercontent\.com|docker\.io|docker\.com|ghcr\.io|quay\.io|"
    r"nvcr\.io|nvidia\.com|pytorch\.org|pypi\.org|vllm\.ai|python\.org|pydantic\.dev|kernel\.org|debian\.org|"
    r"ubuntu\.com|redhat\.com|example\.com|localhost)\Z"
)

#: Container variables whose values are shown: settings of libraries, never credentials.
_OPEN_ENV = re.compile(
    r"^(?:CUDA_VERSION|CUDA_VISIBLE_DEVICES|NVIDIA_(?:VISIBLE_DEVICES|DRIVER_CAPABILITIES|REQUIRE_CUDA|DISABLE_REQUIRE)|"
    r"NCCL_[A-Z0-9_]+|OMP_NUM_THREADS|TORCH_CUDA_ARCH_LIST|PYTORCH_(?:CUDA_)?ALLOC_CONF|HF_HUB_OFFLINE|"
    r"VLLM_(?:NO_USAGE_STATS|LOGGING_LEVEL|ATTENTION_BACKEND|USE_V1|CPU_[A-Z_]+|WORKER_MULTIPROC_METHOD|"
    r"ALLOW_LONG_MAX_MODEL_LEN|ENGINE_[A-Z_]+|SERVER_DEV_MODE)|DO_NOT_TRACK|PATH|LD_LIBRARY_PATH|UV_[A-Z_]+|"
    r"PYTHON[A-Z_]+|DEBIAN_FRONTEND|LANG|LC_ALL|HOME)\Z"
)

#: Further shapes of secrets, beside those of ``redaction``; what is replaced is the group ``secret``.
_SHAPES = (
    re.compile(r"(?P<secret>-----BEGIN [A-Z0-9 ]+-----(?:.{1,20000}?-----END [A-Z0-9 ]+-----|.{0,8000}))", re.DOTALL),
    # JSON web tokens; keys of clouds and services with a prefix of their own, also when a line end cuts them
    re.compile(r"\b(?P<secret>eyJ[\w-]{6,}(?:\.[\w-]+){1,2}(?:\\?\r?\n\s*[\w.-]{6,})?)"),
    re.compile(
        r"\b(?P<secret>(?:hf_|api_org_|sk-|sk_live_|sk_test_|rk_live_|ghp_|gho_|ghs_|ghu_|github_pat_|glpat-|xox[abprs]-|"
        r"nvapi-|gsk_|r8_|dckr_pat_|npm_|pypi-|AIza|ya29\.|hvs\.|dop_v1_|SG\.)[\w.-]{6,}"
        r"(?:[\"'\\+ ]{0,4}\r?\n[^\n]{0,120}?[\"' ]?[\w-]{6,})?)"
    ),
    re.compile(r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{12,})"),
    # a header whose name or scheme says it
    re.compile(
        r"(?i)\b(?:proxy-authorization|authorization|x-[\w-]*(?:key|token|auth|secret)[\w-]*|(?:set-)?cookie)[\"']?\s*"
        r"(?:[:=,]|\\?u?003a)\s*[b]?[\"'\\]*(?:(?:bearer|basic|token|digest|apikey)\s+)?(?P<secret>[^\r\n\"'}\]]{4,})"
    ),
    re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<secret>[A-Za-z0-9._~+/=-]{6,})"),
    # user and password, or either, in an address
    re.compile(r"://(?P<secret>[^/\s@\"'<>]+)@"),
    # assignments, arguments and keys of mappings, whose name says it; a list of keys too. What stands before such a
    # word in a name is not looked at: in a long text without spaces that would take for ever
    re.compile(
        r"(?i)(?:(?:api[_-]?keys?|access[_-]?keys?|private[_-]?key|signing[_-]?key|secret|token(?!s|iz|_id)"
        r"|passwo?r?d|passphrase|passwd|pwd|credentials?|dsn|signature)[\w.-]*|_(?:KEY|PASS|AUTH)(?=[\"'\s]*[:=]))"
        r"[\"'\\]*\]?(?:\s*(?::|=>?|,(?=\s*[\"']))\s*|\s+(?=[\"']))(?:[|>][+-]?\s*\n\s*)?[b]?[\"'\\\[(]*"
        r"(?!(?:None|null|true|false|\*\*\*)\b)(?P<secret>[^\s\"'\\,;&)}\]<>]{4,}(?:[\"']\s*,\s*[\"'][^\"']+)*)"
    ),
    re.compile(
        r"(?i)(?<![\w-])--?(?:[\w-]*(?:api-key|token|password|secret)|p(?=\S*:))[ =,]+[\"']*(?P<secret>[^\s\"']{4,})"
    ),
    re.compile(r"(?i)[?&](?:x-amz-[\w-]+|sig|signature|key|key-pair-id|policy|auth|code|token|access_token)="
               r"(?P<secret>[^&\s\"'<>]{4,})"),
)  # fmt: skip

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])")
_MAC = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}(?![\w:])")
_URL_HOST = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]{0,30}://)(?P<host>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
#: A full name by its last part; those of Python's and vLLM's modules end in none of them.
_FULL_NAME = re.compile(
    r"(?<![\w.-])(?:[A-Za-z0-9-]+\.)+(?:lan|local|internal|intra|intranet|corp|home|arpa|private|net|org|com|edu|gov|"
    r"de|fr|ch|at|uk|eu|nl|it|es|pl|se|jp|cn|us|cloud|company)\b(?![\w(/])",
    re.IGNORECASE,
)
_HOME = re.compile(r"(?P<before>/(?:home|Users)/)(?P<user>[^/\s:\"']+)")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?<!sha256:)(?<!sha256-)[0-9a-fA-F]{32,}(?![0-9A-Za-z])")
_PERCENT = re.compile(r"(?<![^\s\"'<>])[^\s\"'<>]*%[0-9A-Fa-f]{2}[^\s\"'<>]*")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{12,}={0,2}(?![A-Za-z0-9+/_=-])")
_RANDOM = re.compile(r"(?<![A-Za-z0-9_+])[A-Za-z0-9_+]{20,}(?![A-Za-z0-9_+])")

#: Changes between small letters, capitals and digits in a random text, as a part of its signs: 0.6 in a random one of
#: all three, 0.3 in a name in CamelCase with its version.
_RANDOM_CHANGES = 0.42

#: Keys of mappings that hold container variables.
_ENV_KEYS = ("env", "environment")


class Anonymizer:
    """Gives each value that must not be seen a name, the same one in every text."""

    def __init__(self, secrets: Iterable[str] = (), hosts: Iterable[str] = (), users: Iterable[str] = ()) -> None:
        """Replace ``secrets`` in every form, ``hosts`` and ``users`` as words; what else looks like one too."""
        self.secrets = sorted({str(s) for s in secrets if len(str(s)) >= _MIN_SECRET}, key=len, reverse=True)
        named = {str(name).strip().lower().rstrip(".") for name in hosts}
        self._hosts = _words(name for name in named if name not in _COMMON_NAMES and not _is_address(name))
        self._users = _words(name for name in users if name not in ("root", "nobody", "vllm", "") and len(name) > 2)
        self._names: dict[tuple[str, str], str] = {}

    def counts(self) -> dict[str, int]:
        """Return how many different values of each kind were replaced."""
        counted: dict[str, int] = {}
        for kind, _value in self._names:
            counted[kind] = counted.get(kind, 0) + 1
        return counted

    def text(self, text: str) -> str:
        """Return a text that may be shown to strangers."""
        text = disguises.replaced(text, self.secrets, lambda secret: self._name("secret", secret))
        text = prompts.replaced(text, lambda prompt: self._name("prompt", prompt))
        text = self._plain(text)
        text = _PERCENT.sub(self._decoded_percent, text)
        text = _BASE64.sub(self._decoded_base64, text)
        text = _HEX.sub(lambda match: self._name("id", match[0].lower()), text)
        return _RANDOM.sub(lambda match: self._name("secret", match[0]) if is_random(match[0]) else match[0], text)

    def data(self, value: object, key: str = "") -> object:
        """Return plain data without what strangers must not see; values of container variables are left out."""
        if str(key).lower() in _ENV_KEYS:
            return self._environment(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self.data(item, name) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            before = ["", *value]
            return [
                self._name("secret", item) if _announces(last) and isinstance(item, str) else self.data(item)
                for last, item in zip(before, value)
            ]
        if isinstance(value, str):
            # the name of a key says what its value is
            marked = "%s: %s" % (key, value) if key and value else ""
            shown = self.text(marked) if marked else self.text(value)
            return shown[len(key) + 2 :] if marked and shown.startswith("%s: " % key) else self.text(value)
        return value

    def _environment(self, value: object) -> object:
        if isinstance(value, dict):
            return {str(name): self._variable(str(name), item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            pairs = [str(item).partition("=") for item in value]
            return [name + sign + (self._variable(name, item) if sign else "") for name, sign, item in pairs]
        return self.data(value)

    def _variable(self, name: str, value: object) -> str:
        text = "" if value is None else str(value)
        if re.fullmatch(r"\$\{\w+\}|-?\d{0,6}|true|false", text, re.IGNORECASE):
            return text
        shown = self.text(text) if _OPEN_ENV.match(name) or text in self.secrets else ""
        return shown or self._name("value", text)

    def _plain(self, text: str) -> str:
        """Replace what is seen without decoding anything."""
        for pattern in _SHAPES:
            text = pattern.sub(self._shaped, text)
        for pattern, replacement in redaction.SHAPES:
            text = pattern.sub(lambda match, new=replacement: _masked(match, new), text)
        text = _EMAIL.sub(lambda match: self._name("email", match[0].lower()), text)
        text = _HOME.sub(lambda match: match["before"] + self._name("user", match["user"]), text)
        text = _UUID.sub(lambda match: self._name("uuid", match[0].lower()), text)
        text = _MAC.sub(lambda match: self._name("address", match[0].lower()), text)
        for pattern in (_IPV4, _IPV6):
            text = pattern.sub(self._address, text)
        for kind, pattern in (("host", self._hosts), ("user", self._users)):
            if pattern:
                text = pattern.sub(lambda match, kind=kind: self._name(kind, match[0].lower()), text)
        text = _URL_HOST.sub(lambda match: match["before"] + self._host(match["host"]), text)
        return _FULL_NAME.sub(lambda match: self._host(match[0]), text)

    def _shaped(self, match: re.Match) -> str:
        secret = match["secret"]
        # what has its name already, and references into .env
        if re.match(r"<[a-z0-9]+-\d+>|\*\*\*|\$\{?\w+\}?\Z", secret):
            return match[0]
        begin = match.start("secret") - match.start()
        return match[0][:begin] + self._name("secret", secret) + match[0][begin + len(secret) :]

    def _address(self, match: re.Match) -> str:
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            return match[0]
        if address.is_loopback or address.is_unspecified:
            return match[0]
        return self._name("address", str(address))

    def _host(self, name: str) -> str:
        plain = name.lower().rstrip(".")
        if _PUBLIC.search(plain) or plain in _COMMON_NAMES or _is_address(plain):
            return name
        return self._name("host", plain)

    def _decoded_percent(self, match: re.Match) -> str:
        decoded = urllib.parse.unquote(match[0], errors="replace")
        shown = self._plain(prompts.replaced(decoded, lambda prompt: self._name("prompt", prompt)))
        return shown if shown != decoded or _holds_base64(decoded) else match[0]

    def _decoded_base64(self, match: re.Match) -> str:
        """Replace what is text in base64: nobody sees what it says, so nobody would see what it gives away."""
        return self._name("base64", match[0]) if is_base64_text(match[0]) else match[0]

    def _name(self, kind: str, value: str) -> str:
        known = self._names.get((kind, value))
        if known is None:
            known = "<%s-%d>" % (kind, sum(1 for other, _value in self._names if other == kind) + 1)
            self._names[kind, value] = known
        return known


def is_base64_text(token: str) -> bool:
    """Tell whether ``token`` is printable text in base64."""
    plain = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        text = data.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return len(text) >= 8 and all(sign.isprintable() or sign in "\r\n\t" for sign in text) and text.isascii()


def is_random(token: str) -> bool:
    """Tell whether ``token`` changes between kinds of signs as no word does."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "" for c in token]
    kinds = [kind for kind in kinds if kind]
    changes = sum(1 for one, other in zip(kinds, kinds[1:]) if one != other)
    return "d" in kinds and len(kinds) >= 16 and changes / len(kinds) >= _RANDOM_CHANGES


def _masked(match: re.Match, replacement: str) -> str:
    """Mask what only ``redaction`` knows; what has its name already keeps it."""
    return match[0] if re.search(r"<[a-z0-9]+-\d+>|\$\{", match[0]) else match.expand(replacement)


def _announces(argument: object) -> bool:
    """Tell whether the argument behind this one is a secret."""
    return bool(re.fullmatch(r"--?[\w-]*(?:api-key|token|password|secret)", str(argument), re.IGNORECASE))


def _holds_base64(text: str) -> bool:
    return any(is_base64_text(match[0]) for match in _BASE64.finditer(text))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _words(names: Iterable[str]) -> re.Pattern | None:
    found = sorted({name for name in names if len(name) > 1}, key=len, reverse=True)
    if not found:
        return None
    return re.compile(r"(?<![A-Za-z0-9])(?:%s)(?![A-Za-z0-9])" % "|".join(map(re.escape, found)), re.IGNORECASE)
