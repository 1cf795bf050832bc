"""verify.py [FOLDER]: seconds that `dsr1 model verify` takes for a sparse copy of DeepSeek-R1: 163
shards, 689 GB.

The headers and the index are as long as R1's: 91,991 tensors.
"""

import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DSR1 = (sys.executable, "-m", "dsr1.launcher.cli.main")
SHARDS, TENSORS, SHARD_BYTES, ROUNDS = 163, 91_991, 4_227_000_000, 3


def make_sparse(folder: Path) -> None:
    """Files that take no room: a header, and then nothing for 4 GB."""
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05}-of-{SHARDS:06}.safetensors"
        tensors = range(shard, TENSORS, SHARDS)
        each = SHARD_BYTES // len(tensors)
        names = [
            f"model.layers.{n % 62}.mlp.experts.{n % 256}.down_proj.weight_scale_inv.{n}"
            for n in tensors
        ]
        told = {
            tensor: {
                "dtype": "F8_E4M3",
                "shape": [each],
                "data_offsets": [place * each, (place + 1) * each],
            }
            for place, tensor in enumerate(names)
        }
        header = json.dumps(told).encode()
        with (folder / name).open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + each * len(names))
        weight_map |= dict.fromkeys(names, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text('{"model_type": "deepseek_v3"}')
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_text("{}")


def main(folder: Path) -> None:
    make_sparse(folder)
    files = list(folder.iterdir())
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1e9:.1f} GB")
    for _ in range(ROUNDS):
        began = time.monotonic()
        done = subprocess.run(
            (*DSR1, "model", "verify", str(folder), "--all"),
            capture_output=True,
            text=True,
            check=True,
        )
        print(
            f"{time.monotonic() - began:.2f} s, the command's start included:"
            f" {done.stdout.splitlines()[-1]}"
        )


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
