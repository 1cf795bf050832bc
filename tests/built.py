"""The runtime and the model that `make model` builds: minutes, 2.8 GB, once."""

import fcntl
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNTIME, MODEL = ROOT / ".cache" / "runtime", ROOT / ".cache" / "tiny-model"
PYTHON = RUNTIME / "bin" / "python"


def build() -> None:
    """Nothing to do: half a second. Of several test processes one builds, and the others wait."""
    MODEL.parent.mkdir(exist_ok=True)
    with (MODEL.parent / "model.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ("make", "--silent", "model")
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
