"""A shell script to tokens: words with their quotes and expansions, operators, redirections.
Nothing is looked up. Pure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dsr1.launcher.importing.shell.ansi_c import decode_ansi_c
from dsr1.launcher.importing.shell.syntax import (
    Assignment,
    Expansion,
    Literal,
    Operator,
    RawWord,
    Redirection,
    Token,
    WordPart,
)

_DEEPEST = 40
_PLAIN = re.compile(r"[^ \t\n\\'\"$`;&|<>()]+")
_SIMPLE_WORD = re.compile(r"[A-Za-z0-9_./:,@%+-]+(?=[ \t\n;]|\Z)")
_IN_QUOTES = re.compile(r"[^\"\\$`]+")
_IN_BRACES = re.compile(r"[^\\'\"$`}]+")
_IN_QUOTED_BRACES = re.compile(r"[^\\\"$`}]+")
_BLANKS = re.compile(r"(?:[ \t]|\\\n)+(?:#.*)?|#.*")
_SINGLE_QUOTED = re.compile(r"'([^']*)'")
_ANSI_C = re.compile(r"\$'((?:\\.|[^'\\])*)'", re.DOTALL)
_BACKTICKS = re.compile(r"`(?:\\.|[^`\\])*`", re.DOTALL)
_OPERATOR = re.compile(r"&&|\|\||;;&|;;|;&|\|&|[;&|()\n]")
_IN_TEST = re.compile(r"&&|\|\||[<>()|&]")
_REDIRECTION = re.compile(r"(?:&>>?|\d*(?:<<<|<<-?|<&|<>|>>|>&|>\||[<>](?!\()))[ \t]*")
_PARAMETER = re.compile(r"\$([A-Za-z_]\w*|[0-9@*#?$!-])", re.ASCII)
_BRACED = re.compile(r"\$\{([#!]?)([A-Za-z_]\w*|\d+|[@*#])(?:\[(@|\*|\d+)\])?(:?[-=+?])?", re.ASCII)
_PARENTHESES = re.compile(r"[()]")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=", re.ASCII)


_DEPTHS = {"(": 1, ")": -1}


def read_tokens(script: str) -> Iterator[Token]:
    """Raises ValueError for a quote or a bracket that is never closed."""
    return _Lexer(script.replace("\r\n", "\n")).tokens()


def _is_for(token: Token) -> bool:
    return isinstance(token, RawWord) and token.plain == "for"


def _is_in_test(token: Token, before: bool) -> bool:
    """Whether [[ has begun and ]] is still to come; an operator ends it, too."""
    if not isinstance(token, RawWord):
        return False
    return token.plain == "[[" or (before and token.plain != "]]")


def _closing_parentheses(text: str) -> dict[int, int]:
    """Where each ( is closed, found once: each of many that nest would look through all of them."""
    found, opened = {}, []
    for match in _PARENTHESES.finditer(text):
        if match[0] == "(":
            opened.append(match.start())
        elif opened:
            found[opened.pop()] = match.start()
    return found


class _Lexer:
    """Every method reads at `_at` and leaves it behind what it read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 0
        self._counted = 0
        self._depth = 0
        self._closing = _closing_parentheses(text)
        self._heredocs: list[tuple[str, bool]] = []

    def tokens(self, opener: str = "") -> Iterator[Token]:
        """To the end of the text; or, after an opener, to the ) that closes it."""
        depth, in_test, begins = 1 if opener else 0, False, True
        while self._at < len(self._text):
            if self._match(_BLANKS):
                continue
            token = (in_test and self._word_in_test()) or self._token(begins)
            if isinstance(token, Operator):
                depth += _DEPTHS.get(token.text, 0)
                if opener and depth == 0:
                    return
            in_test = _is_in_test(token, in_test)
            begins = isinstance(token, Operator) or _is_for(token)
            yield token
        if opener:
            raise ValueError(f"a {opener} is never closed")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _begins(self, *openers: str) -> bool:
        return self._text.startswith(openers, self._at)

    def _word_in_test(self) -> RawWord | None:
        """Between [[ and ]], && and < are words like others."""
        match = self._match(_IN_TEST)
        return RawWord((Literal(match[0], quoted=True),), self._line_here()) if match else None

    def _token(self, begins: bool) -> Token:
        if match := self._match(_SIMPLE_WORD):
            return RawWord((Literal(match[0]),), self._line_here())
        start = self._at
        if begins and self._begins("((") and self._arithmetic("(("):
            return RawWord((Expansion(self._text[start : self._at], False),), self._line_here())
        if match := self._match(_REDIRECTION):
            return self._redirection(start, match[0].strip(" \t"))
        if match := self._match(_OPERATOR):
            if match[0] == "\n":
                self._skip_heredocs()
            return Operator(match[0])
        return self._word()

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _word(self) -> RawWord:
        line = self._line_here()
        parts = tuple(self._parts(_PLAIN))
        return RawWord(parts, line, self._assignment(parts))

    def _assignment(self, parts: tuple[WordPart, ...]) -> Assignment | None:
        first, *others = parts
        if not isinstance(first, Literal) or first.quoted:
            return None
        match = _ASSIGNMENT.match(first.text)
        if not match:
            return None
        value = first.text[match.end() :]
        if others or value or not self._begins("("):
            return Assignment(match[1], match[0], (Literal(value), *others))
        self._at += 1
        with self._nested():
            items = tuple(item for item in self.tokens("(") if isinstance(item, RawWord))
        return Assignment(match[1], match[0], (), items)

    def _redirection(self, start: int, operator: str) -> Redirection:
        target = self._parts(_PLAIN)
        is_heredoc = operator.lstrip("0123456789") in ("<<", "<<-")
        if is_heredoc:
            delimiter = "".join(p.text if isinstance(p, Literal) else p.source for p in target)
            self._heredocs.append((delimiter, operator.endswith("-")))
        return Redirection(self._text[start : self._at], is_heredoc)

    def _skip_heredocs(self) -> None:
        """A body that is never closed takes the rest, as in a shell."""
        for delimiter, may_indent in self._heredocs:
            line = ""
            while self._at < len(self._text):
                end = self._text.find("\n", self._at) + 1 or len(self._text)
                line, self._at = self._text[self._at : end].removesuffix("\n"), end
                if (line.lstrip("\t") if may_indent else line) == delimiter:
                    break
        self._heredocs = []

    def _parts(
        self, plain: re.Pattern[str], closing: str = "", quoted: bool = False
    ) -> list[WordPart]:
        """Up to `closing`, or to what ends a word."""
        parts: list[WordPart] = []
        while self._at < len(self._text) and self._text[self._at] != closing:
            if match := self._match(plain):
                parts.append(Literal(match[0], quoted))
            elif self._begins("\\"):
                parts += self._escaped(quoted)
            elif self._begins("'"):
                parts.append(Literal(self._closed(_SINGLE_QUOTED, "'")[1], quoted=True))
            elif self._begins('"'):
                parts += self._double_quoted()
            elif self._begins("$", "`", "<(", ">("):
                parts += self._expansion(quoted)
            else:
                break
        if closing and not self._begins(closing):
            raise ValueError(f"a {'${' if closing == '}' else closing} is never closed")
        self._at += len(closing)
        return parts

    def _closed(self, pattern: re.Pattern[str], opener: str) -> re.Match[str]:
        match = self._match(pattern)
        if not match:
            raise ValueError(f"a {opener} is never closed")
        return match

    def _escaped(self, quoted: bool) -> list[WordPart]:
        """In double quotes a \\ stays before what has no meaning there."""
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if following == "\n":
            return []
        stays = "\\" if quoted and (not following or following not in '$`"\\') else ""
        return [Literal(stays + following, quoted=True)]

    def _double_quoted(self) -> list[WordPart]:
        self._at += 1
        with self._nested():
            return self._parts(_IN_QUOTES, '"', quoted=True) or [Literal("", quoted=True)]

    def _expansion(self, quoted: bool) -> list[WordPart]:
        start = self._at
        if self._begins("$'") and not quoted:
            return [Literal(decode_ansi_c(self._closed(_ANSI_C, "$'")[1]), quoted=True)]
        if self._begins('$"') and not quoted:
            self._at += 1
            return self._double_quoted()
        if self._begins("${"):
            return [self._braced(quoted)]
        if match := self._match(_PARAMETER):
            return [Expansion(match[0], quoted, match[1])]
        if self._begins("`"):
            self._closed(_BACKTICKS, "`")
        elif self._begins("$(", "<(", ">("):
            self._substitution()
        else:
            self._at += 1
            return [Literal("$", quoted)]
        return [Expansion(self._text[start : self._at], quoted)]

    def _substitution(self) -> None:
        opener = self._text[self._at : self._at + 2]
        if self._begins("$((") and self._arithmetic("$(("):
            return
        self._at += 2
        with self._nested():
            for _ in self.tokens(opener):
                pass

    def _arithmetic(self, opener: str) -> bool:
        """Whether what begins here ends with ))."""
        end = self._closing.get(self._at + len(opener) - 2)
        if end is None:
            raise ValueError(f"a {opener} is never closed")
        if self._text[end - 1] != ")":
            return False
        self._at = end + 1
        return True

    def _braced(self, quoted: bool) -> Expansion:
        start = self._at
        match = self._match(_BRACED)
        if not match:
            self._at += 2
        with self._nested():
            rest = self._parts(_IN_QUOTED_BRACES if quoted else _IN_BRACES, "}", quoted)
        source = self._text[start : self._at]
        if not match or match[1] or (rest and not match[4]):
            return Expansion(source, quoted)
        return Expansion(source, quoted, match[2], match[3] or "", match[4] or "", tuple(rest))

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"quotes and brackets are nested deeper than {_DEEPEST} levels")
        yield
        self._depth -= 1
