#!/bin/sh
# Mirrors with the tasks of a Slurm job array, each a part of the target repositories:
#
#   sbatch --array=1-4 slurm-array.sh /shared/mirror.yaml [OPTION...]
#
# Every node needs rpull, or RPULL with its path, and the file. Tasks need not run at the same time: a task that fails or is
# repeated affects no other, and continues from what the registries have.
#SBATCH --job-name=rpull-mirror
#SBATCH --ntasks=1
#SBATCH --requeue

set -eu
: "${SLURM_ARRAY_TASK_ID:?submit this script with sbatch --array=1-N}"
: "${1:?usage: sbatch --array=1-N $0 FILE [OPTION...]}"

# Arrays may begin at any number; parts begin at 1.
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
exec "${RPULL:-rpull}" mirror --shard "$part/$SLURM_ARRAY_TASK_COUNT" "$@"
