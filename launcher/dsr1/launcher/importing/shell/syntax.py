"""What a shell script consists of: words with their quotes and expansions, operators,
redirections."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a $ or a ` begins; `source` is how it is written. Without a `name` only a shell can make
    it. `default` is what follows the `operator`: ${name:-default}."""

    source: str
    quoted: bool
    name: str = ""
    index: str = ""
    operator: str = ""
    default: tuple["WordPart", ...] = ()

    @property
    def is_list(self) -> bool:
        return self.is_star or "@" in (self.name, self.index)

    @property
    def is_star(self) -> bool:
        return "*" in (self.name, self.index)


WordPart = Literal | Expansion


@dataclass(frozen=True, slots=True)
class Assignment:
    """NAME=value, NAME+=value, NAME[index]=value or NAME=( words ). `written` ends with the =."""

    name: str
    written: str
    value: tuple[WordPart, ...]
    array: tuple["RawWord", ...] | None = None

    @property
    def adds(self) -> bool:
        return self.written.endswith("+=")

    @property
    def has_index(self) -> bool:
        return "[" in self.written


@dataclass(frozen=True, slots=True)
class RawWord:
    """A word before expansion."""

    parts: tuple[WordPart, ...]
    line: int
    assignment: Assignment | None = None

    @property
    def plain(self) -> str:
        """The text of a word that has neither quotes nor expansions."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first.text if isinstance(first, Literal) and not first.quoted else ""


@dataclass(frozen=True, slots=True)
class Operator:
    text: str


@dataclass(frozen=True, slots=True)
class Redirection:
    text: str
    is_heredoc: bool = False


Token = RawWord | Operator | Redirection
