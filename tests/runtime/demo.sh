#!/usr/bin/env bash
# demo.sh RUNTIME MODEL: launch the tiny recipe, ask it something, stop it. Exit 0 only if all three succeeded.
set -euo pipefail

runtime=${1:?usage: demo.sh RUNTIME MODEL}
model=${2:?usage: demo.sh RUNTIME MODEL}
run=demo-$$
export DSR1_STATE_DIR=${DSR1_STATE_DIR:-$PWD/.cache/state}

# Whatever happens, nothing stays running. dsr1 exits 5 for a run that never came to be.
trap 'dsr1 stop "$run" >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

dsr1 launch tiny --name "$run" --venv "$runtime" --model "$model"
dsr1 smoke "$run"
echo "(random weights, so the answers are noise; that all ranks give the same is what counts)"
dsr1 stop "$run"
trap - EXIT
