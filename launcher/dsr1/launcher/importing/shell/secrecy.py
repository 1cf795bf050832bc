"""Secrets of a manifest: which variables and values are some, and texts with the secrets put out.
Pure.

Known forms are those of detect-secrets, a maintained list, and those here that it lacks.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from dsr1.launcher.secret_names import TOKEN, names_secret

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

_PEM = re.compile(
    r"-{0,5}BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]{1,40}-----|\Z)",
    re.DOTALL,
)
_IN_URL = re.compile(r"(?<=://)[^/\s@:]*:[^\s@\"']+(?=@)")
_IN_QUERY = re.compile(r"([?&;]([A-Za-z][\w-]{0,60})=)([^&;\s\"']+)")
_SIGNATURES = ("sig", "signature", "x-amz-signature", "x-goog-signature", "key", "code", "auth")
_HOOK = re.compile(r"(?<=hooks\.slack\.com/)[\w/]{10,}|(?<=/api/webhooks/)\d+/[\w-]{10,}")
_HEADER = re.compile(
    r"((?:Authorization|(?<![\w-])X-[\w-]*(?:Token|Key)|Api-Key|Cookie)\s*:\s*)"
    r"[^\s\"'][^\"'\n]*",
    re.IGNORECASE,
)
_NPM = re.compile(r"(:_authToken=\s{0,99})[^\s\"']+")
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s;&|,}]+)"
_GIVEN = (
    re.compile(rf"(?<![\w-])(-{{0,2}}[A-Za-z_][\w-]*)(=){_VALUE}"),
    re.compile(rf"(?<!\S)(--[A-Za-z][\w-]*)(\s+){_VALUE}"),
    re.compile(r"(?<=[\"'])([\w.-]+)([\"']\s*:\s*)(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,}\"']+)"),
    re.compile(rf"(?<![\w.\"'-])([A-Za-z_][\w-]*)(:[ \t]+){_VALUE}"),
)
_USER_FLAGS = ("-u", "--user", "--proxy-user", "-U")
# Programs, and their short flags whose value is a secret, beside the flag or right behind it.
_SHORT_FLAGS = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mariadb", "mongo", "mongosh"), "-p"),
    **dict.fromkeys(("sshpass", "docker", "podman", "helm", "skopeo", "nerdctl", "az", "oc"), "-p"),
    **dict.fromkeys(("redis-cli", "valkey-cli"), "-a"),
    **dict.fromkeys(("ldapsearch", "ldapadd", "ldapmodify"), "-w"),
    **dict.fromkeys(("7z", "unzip", "zip"), "-P"),
    "openssl": "-passin",
}
_HIDDEN = "***"


@cache
def _detectors() -> tuple["RegexBasedDetector", ...]:
    """Of forms alone: by a word before it a secret is known here, and by its randomness a hash is
    one, too. npm's form is ours: its detector takes seconds of a line of slashes."""
    from detect_secrets.plugins import (
        aws,
        azure_storage_key,
        basic_auth,
        discord,
        github_token,
        gitlab_token,
        jwt,
        mailchimp,
        openai,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    return (
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        basic_auth.BasicAuthDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        mailchimp.MailchimpDetector(),
        openai.OpenAIDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    )


def is_secret(name: str, value: str = "") -> bool:
    """By the name of a variable or a flag, or by a value that holds what looks like a secret."""
    return names_secret(name) or conceal(value) != value


@cache
def conceal(text: str) -> str:
    """The text without secrets: assignments, flags and keys of secret names, headers, tokens and
    keys of known forms, passwords and signatures in URLs."""
    if len(text) < _SHORTEST:
        return text
    text = _PEM.sub(_HIDDEN, text)
    for pattern in _GIVEN:
        text = pattern.sub(_without_value, text)
    text = _IN_QUERY.sub(_without_signature, _HEADER.sub(rf"\1{_HIDDEN}", text))
    text = _NPM.sub(rf"\1{_HIDDEN}", text)
    text = _HOOK.sub(_HIDDEN, _IN_URL.sub(_HIDDEN, TOKEN.sub(_HIDDEN, text)))
    for detector in _detectors():
        for found in sorted(set(detector.analyze_string(text)), key=len, reverse=True):
            text = text.replace(found, _HIDDEN) if found.strip("*") else text
    return text


_SHORTEST = 6


def _without_value(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{_HIDDEN}" if names_secret(match[1]) else match[0]


def _without_signature(match: re.Match[str]) -> str:
    name = match[2].lower()
    return f"{match[1]}{_HIDDEN}" if name in _SIGNATURES or names_secret(name) else match[0]


def conceal_words(words: Sequence[str]) -> str:
    """A command's words, joined: a value with spaces is hidden to its end."""
    return " ".join(_concealed(words))


def _concealed(words: Sequence[str]) -> Iterator[str]:
    short = ""
    for before, word in pairwise(("", *words)):
        short = _SHORT_FLAGS.get(word.rpartition("/")[2], short)
        name, equals, _ = word.partition("=")
        if (before.startswith("-") and names_secret(before)) or (
            before in _USER_FLAGS and (":" in word or "%" in word)
        ):
            yield _HIDDEN
        elif short and (before == short or (word.startswith(short) and word != short)):
            yield _HIDDEN if before == short else f"{short}{_HIDDEN}"
        elif equals and names_secret(name):
            yield f"{name}={_HIDDEN}"
        else:
            yield conceal(word)


def quoted(text: str, longest: int = 60) -> str:
    """A text of the manifest for a message: without secrets, and cut to what a line can hold."""
    text = conceal(text)
    return repr(text if len(text) <= longest else f"{text[:longest]}...")
