"""Scripts are read as a shell would split them, and what only a shell knows is called unknown."""

import shlex
import time
from contextlib import suppress

import pytest

from dsr1.launcher.importing.manifest.kubernetes import expand_kubernetes
from dsr1.launcher.importing.shell.script import read_script
from dsr1.launcher.importing.shell.words import Word


def words(script: str, arguments: tuple[str, ...] = (), **variables: str) -> list[list[str]]:
    return [
        [word.text for word in command.words]
        for command in read_script(script, variables, [Word(argument) for argument in arguments])
    ]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("a b", [["a", "b"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a \\\n  b \\\n  c", [["a", "b", "c"]]),
        ("a \\\r\n b", [["a", "b"]]),
        ("a && b; c | d\ne", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a # not this\nb", [["a"], ["b"]]),
        ("a#b '#c'", [["a#b", "#c"]]),
        ("a ''", [["a", ""]]),
        ('a "x\\"y" \'z"\'', [["a", 'x"y', 'z"']]),
        ("a 2>&1 >/dev/null b", [["a", "b"]]),
        ("a >x\nb", [["a"], ["b"]]),
        ("a <<EOF >x && b\nc 'd\nEOF\ne", [["a"], ["b"], ["e"]]),
        ("a <<-'E F'\nc\n\tE F\ne", [["a"], ["e"]]),
        ('a <<X <<"Y"\nc\nX\nd\nY\ne', [["a"], ["e"]]),
        ("a <<X\nc\n X\ne", [["a"], []]),
        ("a <<<x\ne", [["a"], ["e"]]),
        ("a &>log b2 >>x", [["a", "b2"]]),
        ('a --json=\'{"b": "c d"}\'', [["a", '--json={"b": "c d"}']]),
    ],
)
def test_words(script: str, wanted: list[list[str]]) -> None:
    assert words(script) == wanted


@pytest.mark.parametrize(
    "text", ["a b", "';id", '"', "$(id)", "`id`", "\\", "x\ny", "#", "${A}", "&&", "é"]
)
def test_what_shlex_quotes_is_one_word(text: str) -> None:
    assert words(f"run {shlex.quote(text)} end") == [["run", text, "end"]]


def test_variables() -> None:
    assert words("a $X \"$X\" ${X} '$X' ${Y:-d} $X$X", X="1 2") == [
        ["a", "1", "2", "1 2", "1", "2", "$X", "d", "1", "21", "2"]
    ]
    assert words("X=1\nexport Y=$X\na $X $Y") == [["X=1"], ["export", "Y=1"], ["a", "1", "1"]]
    assert words("a $EMPTY b", EMPTY="") == [["a", "b"]]
    assert words('a "$EMPTY" b', EMPTY="") == [["a", "", "b"]]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("X=1; [ -z a ] || X=2; run $X", "$X"),
        ("X=1; [ -z a ] && X=2; run $X", "$X"),
        ("X=1; [ -z a ] || X=2; run ${X:-d}", "${X:-d}"),
        ("if a; then X=1; else X=2; fi; run $X", "$X"),
        ("if a\nthen\n  export X=1\nfi\nrun $X", "$X"),
        ("case a in\n  a) X=1 ;;\nesac\nrun $X", "$X"),
        ("for X in 1 2; do a; done; run $X", "$X"),
        ("while a; do X=1; done; run $X", "$X"),
        ("a && { X=1; }; run $X", "$X"),
        ("a && X=1 && run $X", "1"),
        ("a &&\n X=1 &&\n run $X", "1"),
        ("a || X=2; X=1; run $X", "1"),
        ("if a; then b; fi; X=1; run $X", "1"),
        ("echo if; X=1; run $X", "1"),
    ],
)
def test_a_condition_leaves_a_variable_unknown(script: str, wanted: str) -> None:
    (word,) = (c.words[1] for c in read_script(script, {}) if c.words and c.words[0].text == "run")
    assert (word.text, word.unknown) == (wanted, (wanted,) if wanted != "1" else ())


def test_a_scripts_own_arguments() -> None:
    assert words('a "$@" b', ("sh", "x y", "z")) == [["a", "x y", "z", "b"]]
    assert words("a $1", ("sh", "x")) == [["a", "x"]]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("A=(1 '2 3' # no\n  $X)\nrun \"${A[@]}\"", ["1", "2 3", "x"]),
        ("A=(1); A+=(2); run z${A[*]}z", ["z1", "2z"]),
        ("A=(); run ${A[@]} end", ["end"]),
        ("A=(1); if b; then A+=(2); fi; A+=(3); run ${A[@]}", ["${A[@]}"]),
        ("A=($(id)); run ${A[@]}", ["$(id)"]),
    ],
)
def test_arrays(script: str, wanted: list[str]) -> None:
    (run,) = (c for c in read_script(script, {"X": "x"}) if c.words[0].text == "run")
    assert [word.text for word in run.words[1:]] == wanted
    assert all(word.unknown for word in run.words[1:] if "$" in word.text)


@pytest.mark.parametrize("script", ["A=(1 2", "A=(x" + "\nA+=(${A[@]}" * 3])
def test_an_open_array_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="never closed"):
        read_script(script, {})


def test_an_array_does_not_grow_for_ever() -> None:
    with pytest.raises(ValueError, match="grows beyond"):
        read_script("A=(" + "x" * 1000 + ")" + "\nA+=(${A[@]})" * 40, {})


@pytest.mark.parametrize(
    "text",
    [
        "$(id)",
        "`id`",
        "$((x + 1))",
        "${A[@]}",
        "${A:+b}",
        "$UNSET",
        "$(a $(b) c)",
        "$((1<<2))",
        "$(a ')' b)",
        "$(a <<'E'\nx)'\nE\n)",
    ],
)
def test_only_a_shell_knows(text: str) -> None:
    for quoted in (text, f'"{text}"'):
        (command,) = read_script(f"run {quoted}", {})
        assert command.words[1].unknown == (text,)
        assert command.words[1].text == text


def test_lines_are_counted() -> None:
    first, second = read_script("a \\\n  b\n\nc", {})
    assert [word.line for word in (*first.words, *second.words)] == [0, 1, 3]


@pytest.mark.parametrize("script", ["a 'b", 'a "b', 'a "$(b"'])
def test_an_open_quote_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="never closed"):
        read_script(script, {})


def test_kubernetes_own_expansion() -> None:
    assert expand_kubernetes("$(A)-$(B)-$$(A)-$A", {"A": "1"}) == "1-$(B)-$(A)-$A"


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("X=1; (X=2); run $X", "$X"),
        ("X=1; X=2 | a; run $X", "$X"),
        ("X=1; X=2 & run $X", "$X"),
        ("X=1; f() { X=2; }; run $X", "$X"),
        ("X=1; function f { X=2; }; run $X", "$X"),
        ("X=1; read X; run $X", "$X"),
        ("X=1; ((X = 2)); run $X", "$X"),
        ("X=1; let X+=2; run $X", "$X"),
        ("X=1; a && unset X; run $X", "$X"),
        ("X=1; X+=$(a); run $X", "$X"),
        ("X=1; declare -i X+=2; run $X", "$X"),
        ("{ X=1; }; run $X", "1"),
        ("X=1; X=2 a; run $X", "1"),
        ("X=; X+=1; run $X", "1"),
        ("set -a; X=1; run $X", "1"),
    ],
)
def test_which_changes_last(script: str, wanted: str) -> None:
    (word,) = (c.words[1] for c in read_script(script, {}) if c.words and c.words[0].text == "run")
    assert (word.text, word.unknown) == (wanted, (wanted,) if wanted != "1" else ())


@pytest.mark.parametrize("script", ["a `b", "a ${b", "a $(b", "a $((b", "(( a", "a $'b", 'a $"b'])
def test_an_open_bracket_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="never closed"):
        read_script(script, {})


SIZE = 128 * 1024


@pytest.mark.parametrize(
    "piece",
    [
        "(", "$(", '"$(', "{ ", "if a; then ", '"', "'", "`", "${", "${A:-", "a <<E\n", "A=(", "x",
        "--a ", "case x in a) ", "A=$A$A; ", "<<", "$((1+", "[[", "a|", "f() ", ")", "a && ", "<(",
        "A+=(x)\n", "X+=a; ", "((a) b); ", "X-", "shift; ", "export A=b ", 'a "$X" \\\n', "\\",
        'B=("${B[@]}" 1); ', "://a:b", "{a,", "$'", "&", "a;",
    ],
)  # fmt: skip
def test_a_script_of_any_kind_is_read_in_time(piece: str) -> None:
    """In a second on an idle core; what takes a minute grows with the square of the length."""
    script = piece * (SIZE // len(piece))
    started = time.process_time()
    with suppress(ValueError):
        read_script(script, {})
    spent = time.process_time() - started
    print(f"{len(script)} bytes of {piece!r}: {spent:.2f} s")
    assert spent < 10


def test_brackets_are_followed_to_a_depth() -> None:
    with pytest.raises(ValueError, match="nested deeper than 40 levels"):
        read_script("a " + "${A:-" * 41 + "}" * 41, {})
