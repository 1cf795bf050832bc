"""Answers a shell that completes, without typer and the verbs' modules: verbs, options and words
come from index.json, which a test holds to the commands; runs and host sets from the disk."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsr1.launcher.cli.options.completion import complete_runs, complete_sets

INDEX = Path(__file__).with_name("index.json")
VARIABLE = "_DSR1_COMPLETE"
FROM_DISK = {"runs": complete_runs, "sets": complete_sets}
Outline = Mapping[str, Any]
Rows = Sequence[tuple[str, str]]


def answer_shell(env: Mapping[str, str]) -> tuple[str, int] | None:
    """What to print, and the exit code. None: typer knows that shell."""
    shell = env.get(VARIABLE, "").removeprefix("complete_")
    if shell not in ("bash", "zsh", "fish"):
        return None
    words, incomplete = typed_words(shell, env)
    rows = complete_words(json.loads(INDEX.read_text()), words, incomplete)
    if env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if rows else 1
    return FORMS[shell](rows), 0


def typed_words(shell: str, env: Mapping[str, str]) -> tuple[list[str], str]:
    """Those after dsr1, and the one that is being typed."""
    if shell == "bash":
        words, at = split_words(env.get("COMP_WORDS", "")), int(env.get("COMP_CWORD") or 1)
        return words[1:at], words[at] if at < len(words) else ""
    line = env.get("_TYPER_COMPLETE_ARGS", "")
    words = split_words(line)[1:]
    typing = bool(words) and not line.endswith(" ")
    return (words[:-1], words[-1]) if typing else (words, "")


def split_words(line: str) -> list[str]:
    """As a shell does; a quote that isn't closed yet belongs to the last word."""
    reader, words = shlex.shlex(line, posix=True), list[str]()
    reader.whitespace_split, reader.commenters = True, ""
    try:
        words.extend(reader)
    except ValueError:
        words.append(reader.token)
    return words


def complete_words(index: Outline, words: Sequence[str], incomplete: str) -> Rows:
    """What may stand there, each with its help."""
    node, options, given, value_of = index, dict(index["options"]), 0, ""
    for word in words:
        takes, value_of = (options.get(word, {}).get("takes") if not value_of else None), ""
        if takes is not None:
            value_of = word
        elif word in node.get("verbs", {}):
            node, given = node["verbs"][word], 0
            options = node["options"]
        elif not word.startswith("-"):
            given += 1
    if value_of:
        return _values(index, options[value_of]["takes"], incomplete)
    if incomplete.startswith("-"):
        return _beginning({name: one["help"] for name, one in options.items()}, incomplete)
    if "verbs" in node:  # a word that is none leads nowhere
        return (
            ()
            if given
            else _beginning({n: one["help"] for n, one in node["verbs"].items()}, incomplete)
        )
    arguments = node["arguments"]
    return (
        _values(index, arguments[min(given, len(arguments) - 1)], incomplete) if arguments else ()
    )


def _values(index: Outline, kind: str, incomplete: str) -> Rows:
    if kind in FROM_DISK:
        return [(word, "") for word in FROM_DISK[kind](incomplete)]
    return _beginning(dict.fromkeys(index["words"].get(kind, ()), ""), incomplete)


def _beginning(rows: Mapping[str, str], incomplete: str) -> Rows:
    return [(word, text) for word, text in rows.items() if word.startswith(incomplete)]


def _bash(rows: Rows) -> str:
    return "\n".join(word for word, _ in rows)


def _fish(rows: Rows) -> str:
    return "\n".join(_with_help(word, "\t", re.sub(r"\s", " ", text)) for word, text in rows)


def _zsh(rows: Rows) -> str:
    """Evaluated by zsh: as typer quotes it."""
    if not rows:
        return "_files"
    quoted = "\n".join(_zsh_row(word, text) for word, text in rows)
    return f"_arguments '*: :(({quoted}))'"


def _zsh_row(word: str, text: str) -> str:
    def quote(part: str) -> str:
        doubled = part.replace('"', '""').replace("'", "''")
        return doubled.replace("$", r"\$").replace("`", r"\`").replace(":", r"\\:")

    return _with_help(f'"{quote(word)}"', ":", f'"{quote(text)}"' if text else "")


def _with_help(word: str, between: str, text: str) -> str:
    return f"{word}{between}{text}" if text else word


FORMS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
