#!/bin/bash
#SBATCH --job-name=dsr1-dep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --output=/home/u/.local/state/dsr1/jobs/%x-%j.out
#SBATCH --no-requeue
#SBATCH --signal=B:USR1@120

# Recipe dsr1-dep, rendered by dsr1: submit it with sbatch. It starts the deployment and watches it.
set -euo pipefail
export DSR1_STATE_DIR=/home/u/.local/state/dsr1
exec /opt/dsr1/bin/python -P -m dsr1.launcher.batch.main "$0" <<'RECIPE'
name: dsr1-dep
description: DeepSeek-R1 aggregated, data parallel attention and expert parallel MoE on all given 8-GPU Hopper hosts
model:
  path: deepseek-ai/DeepSeek-R1
  served_name: deepseek-ai/DeepSeek-R1
  reasoning_parser: deepseek_r1
frontend:
  router_mode: kv
engines:
  main:
    ranks_per_node: 8
    all2all_backend: deepep_low_latency
    moe_backend: deep_gemm
    max_model_len: 32768
    max_num_seqs: 64
    max_num_batched_tokens: 256
    gpu_memory_utilization: 0.92
    compilation_config:
      cudagraph_mode: FULL_DECODE_ONLY
    kv_events: true
slurm:
  nodes: 2
RECIPE
