"""$'...', the quotes of a shell that know C's escapes. Pure."""

import re

_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.)|(.))",
    re.DOTALL,
)
_LETTERS = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))
_LAST_CHARACTER = 0x10FFFF


def decode_ansi_c(text: str) -> str:
    """What stands between $' and ', as bash reads it: bytes, which end at the first zero."""
    result = bytearray()
    end = 0
    for match in _ESCAPE.finditer(text):
        result += text[end : match.start()].encode() + _bytes_of(match)
        end = match.end()
    result += text[end:].encode()
    return result.split(b"\0")[0].decode(errors="replace")


def _bytes_of(escape: re.Match[str]) -> bytes:
    octal, byte, short, long, control, letter = escape.groups()
    if octal or byte:
        return bytes([int(octal, 8) & 0xFF if octal else int(byte, 16)])
    if short or long:
        number = min(int(short or long, 16), _LAST_CHARACTER)
        return chr(number).encode(errors="replace")
    if control:
        return bytes([ord(control.upper()) & 0x1F])
    return _LETTERS.get(letter, escape[0]).encode()
