"""Replaces what a bug report must not give away: secrets, tokens, user names and addresses. The
same thing gets the same replacement everywhere, so that lines still fit each other. Pure."""

import re
from collections.abc import Iterable, Mapping

from dsr1.launcher.secret_names import TOKEN, names_secret

SECRET = "[secret]"
_NAMES = (
    r"(?:TOKEN(?!IZ|_?IDS?\b|S)|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|CREDENTIALS?)"
)
# Every repeat has an end, so that no text takes long.
_REST = r"[A-Za-z0-9_.-]{0,80}"
# NAME=value, NAME: value, "NAME": "value", in any letters. Counts of tokens are no secrets, nor are
# names of files.
_ASSIGNED = re.compile(
    rf"(?i)({_NAMES}{_REST}[\"']?\s{{0,9}}(?:=|:)\s{{0,9}}[\"']?)(?![\d.]+\b|none\b|null\b|true\b|false\b)"
    r"([^\s\"',;&]+)"
)
# A plan's variable {"name": NAME, "value": value}, --flag value and VARIABLE=value of any name,
# which `names_secret` judges.
_VARIABLE = re.compile(
    r'("name":\s{0,9}"([^"\\]{1,80})",\s{0,9}"value":\s{0,9}")(?:[^"\\]|\\.)*(?=")'
)
_FLAG = re.compile(r"(--([a-z][a-z-]{1,60})(?:\",\s{0,9}\"|[ =]))[^\s\",]+")
_SHELL = re.compile(
    r"(\b([A-Z][A-Z0-9_]{2,80})[\"']?\s{0,9}[=:]\s{0,9}[\"']?)(?!\d+\b)[^\s\"',;&]+"
)
_BARE = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[opsu]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|sk-[A-Za-z0-9_-]{16,}|nvapi-[\w-]{16,}|AKIA[A-Z0-9]{12,}|xox[a-z]-[\w-]{10,}"
    r"|eyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]{0,1000})"
)
_BEARER = re.compile(r"(?i)\b((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
_IN_URL = re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)")
_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}(?:PRIVATE KEY|CERTIFICATE)-----.{0,20000}?-----END [A-Z ]{1,40}-----",
    re.DOTALL,
)
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b")
_HOME = re.compile(r"(/(?:home|Users)/|~)([a-z_][\w.-]*)")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"(?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\.?\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
    r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}(?![\w:])"
)
_MAC = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])")
OPEN = ("127.0.0.1", "0.0.0.0", "255.255.255.255")

EXPLANATION = """What was replaced in this archive, the same thing by the same word everywhere:

[secret]    values of variables, keys and flags whose names say so (TOKEN, SECRET, PASSWORD, KEY,
            CREDENTIAL, JWT, SAS, DSN ...), those of this user's environment wherever they appear,
            the run's own secrets, tokens of known forms (hf_, ghp_, sk-, nvapi-, AKIA,
            JWT ...), Bearer and Basic, passwords in addresses of the web, keys and certificates
user1 ...   user names: of whoever made this archive, of the accounts on the hosts, and in home
            folders; root stays
address1 .. IPv4, IPv6 and MAC addresses, mail addresses, and the names that SSH reaches hosts by;
            127.0.0.1, 0.0.0.0 and ::1 stay

Names of hosts as dsr1 calls them, of models, folders and Slurm's partitions stay. Look through the
archive before you send it: a secret of another form is not known to be one.
"""


class Redactor:
    """`secrets` are replaced wherever they stand; so are `users` and `addresses`, where they are
    whole words."""

    def __init__(
        self, secrets: Iterable[str], users: Iterable[str], addresses: Iterable[str]
    ) -> None:
        self._names: dict[str, str] = {}
        self._secrets = sorted({one for one in secrets if len(one) >= 6}, key=len, reverse=True)
        self._users = [one for one in dict.fromkeys(users) if one and one != "root"]
        self._addresses = [one for one in dict.fromkeys(addresses) if one and one not in OPEN]
        self._words = self._word_pattern()

    def redact(self, text: str) -> str:
        """The order matters: secrets may hold what looks like an address."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        text = _KEY.sub(SECRET, text)
        for pattern in (_VARIABLE, _FLAG, _SHELL):
            text = pattern.sub(_if_secret, text)
        for pattern in (_ASSIGNED, _BEARER, _IN_URL):
            text = pattern.sub(rf"\1{SECRET}", text)
        text = TOKEN.sub(SECRET, _BARE.sub(SECRET, text))
        text = _HOME.sub(lambda found: f"{found[1]}{self._name(found[2], 'user')}", text)
        text = self._words.sub(self._known, text)
        for pattern in (_MAIL, _MAC, _IPV6, _IPV4):
            text = pattern.sub(self._address, text)
        return text

    def _word_pattern(self) -> "re.Pattern[str]":
        known = sorted({*self._users, *self._addresses}, key=len, reverse=True)
        words = "|".join(map(re.escape, known)) or r"(?!)"
        return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-]|\.\w)")

    def _known(self, found: "re.Match[str]") -> str:
        return self._name(found[0], "user" if found[0] in self._users else "address")

    def _address(self, found: "re.Match[str]") -> str:
        return found[0] if found[0] in OPEN else self._name(found[0], "address")

    def _name(self, word: str, kind: str) -> str:
        if word == "root" or re.fullmatch(r"(?:user|address)\d+", word):
            return word
        number = sum(name.startswith(kind) for name in self._names.values()) + 1
        return self._names.setdefault(word, f"{kind}{number}")


def _if_secret(found: "re.Match[str]") -> str:
    return f"{found[1]}{SECRET}" if names_secret(found[2]) else found[0]


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Of variables whose names say that they are secrets."""
    return [value for name, value in environment.items() if names_secret(name) and value]
