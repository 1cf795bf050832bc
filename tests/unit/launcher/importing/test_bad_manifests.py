"""What is no manifest, or another's, ends with a message that names file, line and key, and exit
code 2."""

import sys
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.main import main
from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import render_imported_recipe

HEAD = "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: a}\nspec:\n"


def manifest(args: str, more: str = "", command: str = "[python3, -m, dynamo.vllm]") -> str:
    container = f"{{command: {command}, args: {args}}}"
    return (
        f"{HEAD}  services:\n    Worker: {{{more}extraPodSpec: {{mainContainer: {container}}}}}\n"
    )


def proven(text: str) -> int:
    result = import_manifest(text, "f.yaml")
    return prove(result, render_imported_recipe(result, "f.yaml"), "f.yaml")


def growing(item: str) -> str:
    """Variables of which each is twice the one before."""
    items = ", ".join(
        ["{name: V0, value: 12345678}", *(item % (n, n - 1, n - 1) for n in range(1, 60))]
    )
    return manifest("[--model, m]", f"envs: [{items}], ")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "f.yaml: must contain a DynamoGraphDeployment .* but is empty"),
        ("a: [\n", r"f\.yaml:\d+: not YAML"),
        ("a: 1\n", r"but contains an object of unknown kind \(line 1\)"),
        ("apiVersion: apps/v1\nkind: Deployment\n", r"but contains apps/v1 Deployment \(line 1\)"),
        (
            "apiVersion: other.io/v1\nkind: DynamoGraphDeployment\n",
            r"but contains other.io/v1 DynamoGraphDeployment \(line 1\)",
        ),
        (
            HEAD + "  backendFramework: sglang\n",
            r"f\.yaml:5: spec\.backendFramework: backend is 'sglang'",
        ),
        (HEAD + "  backendFramework: [vllm]\n", "the backend is not a text"),
        (HEAD + "  x: 1\n", "has neither services nor components"),
        (HEAD + "  services: {F: {componentType: frontend}}\n", "no service runs vLLM workers"),
        (f"{HEAD}  a: 1\n{HEAD}", "f.yaml:6: key 'apiVersion' appears twice"),
        (
            f"{HEAD}  a: 1\n---\n{HEAD}  a: 1\n",
            "2 of kind DynamoGraphDeployment: 'a', 'a'; choose one with --name",
        ),
        (
            manifest("[--model, m]", command="[python3, -m, dynamo.sglang]"),
            r"f\.yaml:6: .*Worker: runs 'dynamo.sglang'",
        ),
        (manifest("[trtllm-serve]", command="[]"), "runs 'trtllm-serve'"),
        (
            manifest("[--model, m, --max-modl-len, '1']"),
            r"args\[2\]: unknown flag 'max-modl-len' .did you mean --max-mod",
        ),
        (
            manifest("[--model, m, --tensor-parallel-size, two]"),
            "--tensor-parallel-size 'two': must be a whole number",
        ),
        (manifest("[--model, m, --tensor-parallel-size, '16']"), "exceeds a host's 8 GPUs"),
        (
            manifest("[--model, m, --tensor-parallel-size, '${TP}']"),
            "what .* stands for is not in the manifest",
        ),
        (manifest("[--model, m, --pipeline-parallel-size, '2']"), "no pipeline parallelism"),
        (
            manifest("[--model, m, -dp, '3']", "multinode: {nodeCount: 2}, "),
            "3 can't be divided evenly by 2 nodes",
        ),
        (
            manifest("[--model, m, -dp, '8']", "resources: {limits: {gpu: '4'}}, "),
            "need 8 on each node, which has 4",
        ),
        (manifest("[--model, m, -dp, '16']"), "need 16 on each node; dsr1's hosts have 8"),
        (manifest("[--model, m]", "replicas: 999999, "), "replicas: .* must be at most 1024"),
        (
            HEAD + "  services: {" + ", ".join(f"W{n}: {{}}" for n in range(26)) + "}\n",
            "26 services; Dynamo's API allows 25",
        ),
        (manifest("[--model, m, -dp, '8', -dpl, '4']"), "is 8 each, not 4"),
        (
            manifest("[--model, m]", "replicas: many, "),
            "replicas is 'many'; it must be a whole number",
        ),
        (
            manifest("[--model, m, --max-num-seqs, '9', --max-num-batched-tokens, '8']"),
            "at least max_num_seqs",
        ),
        (manifest("[--model, m, --eplb-config, '{']"), "JSON of the form"),
        (manifest("[--model, m, stray]"), "argument 'stray' belongs to no flag"),
        (manifest('["--model", "a\\0b"]'), "a NUL byte"),
        (
            manifest('["python3 -m dynamo.vllm --model \'a"]', command="[sh, -c]"),
            "the script can't be read: a ' is",
        ),
        (BOMB, "more than 50000 values once aliases are followed"),
        (growing("{name: V%d, value: '$(V%d)$(V%d)'}"), "'V15': it grows beyond 131072 bytes"),
        (
            manifest(
                "['A=12345678; " + "A=$A$A; " * 40 + "python3 -m dynamo.vllm --model $A']",
                command="[sh, -c]",
            ),
            "grows",
        ),
        (
            manifest("[--model, " + "m" * 140000 + "]"),
            "more than 131072 bytes, which no process can be given",
        ),
        ("[" * 100, "nested deeper than 60 levels"),
        ("a: &a [*a]\n", r"alias \*a has no anchor"),
        ("a: !!python/object/apply:os.system [id]\n", "tag .*only YAML's own"),
        ("a: !run id\n", "tag '!run': only YAML's own"),
        ("{a: 1}: b\n", "a key is a list or a mapping"),
    ],
)
def test_it_says_where_and_what(text: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        proven(text)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["dsr1", "import", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(
    "content", [b"\x7fELF\x02\x01\xff\xfe", b"a: 1\0", b"\xff\xfea\0", b"x" * (2**22 + 1)]
)
def test_files_that_are_no_text(
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(content)
    assert run(monkeypatch, str(file)) == 2
    error = capsys.readouterr().err
    assert str(file) in error
    assert "Traceback" not in error


def test_no_such_file_a_folder_and_an_endless_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [
        run(monkeypatch, name) for name in (str(tmp_path / "none"), str(tmp_path), "/dev/zero")
    ] == [2, 2, 2]
    error = capsys.readouterr().err
    assert "No such file" in error
    assert "Is a directory" in error
    assert "larger than" in error


def test_a_file_is_written_whole_and_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "m.yaml", tmp_path / "r.yaml"
    source.write_text(manifest("[--model, m]"))
    assert run(monkeypatch, str(source), "-o", str(target)) == 0
    first = target.read_text()
    assert run(monkeypatch, str(source), "-o", str(target)) == 2
    assert "--force writes over it" in capsys.readouterr().err
    target.write_text("old")
    assert run(monkeypatch, str(source), "-o", str(target), "--force") == 0
    assert target.read_text() == first
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.yaml", "r.yaml"]


def test_a_broken_manifest_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "m.yaml"
    source.write_text(manifest("[--model, m, --nope]"))
    assert run(monkeypatch, str(source), "-o", str(tmp_path / "r.yaml")) == 2
    assert not (tmp_path / "r.yaml").exists()


def test_unknown_flags_pass_on_demand() -> None:
    result = import_manifest(manifest("[--model, m, --nope, '3']"), "f.yaml", keep_unknown=True)
    assert result.recipe["engines"]["worker"]["args"] == {"nope": 3}
