#!/bin/bash
#SBATCH --job-name=dsr1-dep
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --constraint=h100&ib
#SBATCH --exclude=node[01-03,7]
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --partition=h100
#SBATCH --account=phys
#SBATCH --qos=high
#SBATCH --reservation=r1
#SBATCH --time=1-12
#SBATCH --output=/logs/%x-%j.out
#SBATCH --mail-user=u@example.org
#SBATCH --mail-type=END
#SBATCH --comment="it's R1"
#SBATCH --no-requeue
#SBATCH --signal=B:USR1@300
#SBATCH --licenses=a:1

# Recipe dsr1-dep, rendered by dsr1: submit it with sbatch. It starts the deployment and watches it.
set -euo pipefail
set +u
module load cuda/12.9
set -u
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
  partition: h100
  account: phys
  qos: high
  reservation: r1
  time: 1-12
  nodes: 2
  spares: 1
  constraint: h100&ib
  exclude: node[01-03,7]
  mail_user: u@example.org
  mail_type: END
  output: /logs/%x-%j.out
  comment: it's R1
  warn: 300
  directives:
  - --licenses=a:1
  setup:
  - module load cuda/12.9
RECIPE
