"""Secrets of a manifest: which variables and values are some, and texts with the secrets put out.
Pure."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

_ENDS = "TOKEN|SECRET|PASSWD|API_?KEY|ACCESS_KEY|SECRET_KEY|CREDENTIALS?"
_PARTS = "PASS|PASSWORD|PASSPHRASE|PAT|PRIVATE_KEY"
_NAME = re.compile(rf"(^|_)((?:{_ENDS})$|(?:{_PARTS})(_|$))", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(hf_(?=[a-z]*[A-Z0-9])|sk-|gh[oprsu]_|github_pat_|glpat-|nvapi-|AKIA|xox[abp]-)[A-Za-z0-9_-]{6,}"
)
_IN_URL = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_HEADER = re.compile(
    r"((?:Authorization|(?<![\w-])X-[\w-]*(?:Token|Key)|Api-Key)\s*:\s*)"
    r"[^\s\"'][^\"'\n]*",
    re.IGNORECASE,
)
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s;&|]+)"
_GIVEN = (
    re.compile(rf"(?<![\w-])(-{{0,2}}[A-Za-z_][\w-]*)(=){_VALUE}"),
    re.compile(rf"(?<!\S)(--[A-Za-z][\w-]*)(\s+){_VALUE}"),
    re.compile(r"(?<=\")([\w-]+)(\"\s*:\s*)(\"[^\"]*\")"),
)
_USER_FLAGS = ("-u", "--user", "--proxy-user")
_HIDDEN = "***"


def is_secret(name: str, value: str = "") -> bool:
    """By the name of a variable or a flag, or by a value that looks like a token or a URL with a
    password."""
    return bool(_names_secret(name) or _TOKEN.search(value) or _IN_URL.search(value))


def _names_secret(name: str) -> bool:
    return bool(_NAME.search(name.lstrip("-").replace("-", "_")))


def conceal(text: str) -> str:
    """The text without secrets: assignments and flags of secret names, headers, tokens, passwords
    in URLs."""
    for pattern in _GIVEN:
        text = pattern.sub(_without_value, text)
    text = _HEADER.sub(rf"\1{_HIDDEN}", text)
    return _IN_URL.sub(_HIDDEN, _TOKEN.sub(_HIDDEN, text))


def _without_value(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{_HIDDEN}" if _names_secret(match[1]) else match[0]


def conceal_words(words: Sequence[str]) -> str:
    """A command's words, joined: a value with spaces is hidden to its end."""
    return " ".join(_concealed(words))


def _concealed(words: Sequence[str]) -> Iterator[str]:
    for before, word in pairwise(("", *words)):
        name, equals, _ = word.partition("=")
        if (before.startswith("-") and _names_secret(before)) or (
            before in _USER_FLAGS and ":" in word
        ):
            yield _HIDDEN
        elif equals and _names_secret(name):
            yield f"{name}={_HIDDEN}"
        else:
            yield conceal(word)


def quoted(text: str, longest: int = 60) -> str:
    """A text of the manifest for a message: without secrets, and cut to what a line can hold."""
    text = conceal(text)
    return repr(text if len(text) <= longest else f"{text[:longest]}...")
