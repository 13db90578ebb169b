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

# Arrays may begin at any number and have a step; parts begin at 1.
part=$(((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN) / ${SLURM_ARRAY_TASK_STEP:-1} + 1))
if [ "$part" -gt "$SLURM_ARRAY_TASK_COUNT" ]; then
  echo "$0: submit one range, as --array=1-$SLURM_ARRAY_TASK_COUNT: parts are counted" >&2
  exit 2
fi
exec "${RPULL:-rpull}" mirror --shard "$part/$SLURM_ARRAY_TASK_COUNT" "$@"
