#!/bin/bash
# The driver of a run as a job of its own:
#   sbatch deploy/slurm/driver.sh process RUN.zarr --filter FILTER
# It needs little, and may be preempted: it comes back, and goes on where it was.
#SBATCH --job-name=stemscale
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -euo pipefail

# Five minutes before its time is over: end the run as Ctrl-C does, and queue up again.
again() {
    kill -INT "$run"
    wait "$run" || true
    scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

set -m # so that the run can be interrupted
stemscale "$@" --quiet --scheduler slurm --cluster "${STEMSCALE_JOBS:-jobs.yaml}" &
run=$!
wait "$run"
