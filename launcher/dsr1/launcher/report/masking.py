"""Secrets that are known by the names of their flags and keys. Pure."""

from collections.abc import Iterator, Sequence

from dsr1.launcher.secret_names import names_secret

SECRET = "[secret]"


def mask_words(argv: Sequence[str]) -> Iterator[str]:
    """Without the values of flags whose names say that they are secrets: a value may have blanks,
    which no pattern for text would know."""
    before = ""
    for word in argv:
        name, is_set, _ = word.partition("=")
        if is_set and name.startswith("-") and names_secret(name):
            yield f"{name}={SECRET}"
        elif before.startswith("-") and "=" not in before and names_secret(before):
            yield SECRET
        else:
            yield word
        before = word


def mask_values(plain: object, name: str = "") -> object:
    """The same of keys."""
    if isinstance(plain, dict):
        return {key: mask_values(value, str(key)) for key, value in plain.items()}
    if isinstance(plain, list):
        return [mask_values(value, name) for value in plain]
    return SECRET if isinstance(plain, str) and plain and names_secret(name) else plain
