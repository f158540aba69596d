"""A SLURM of shell scripts: runs an array at once, and keeps the script that was handed in."""

import stat
from pathlib import Path

SBATCH = """\
here=$(dirname "$0")
cp "$1" "$here/script.sh"
if [ -e "$here/refuse" ]; then echo "sbatch: error: invalid partition" >&2; exit 1; fi
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "$last"); do
  (
    export SLURM_JOB_ID=$((4711 + task)) SLURM_ARRAY_JOB_ID=4711 SLURM_ARRAY_TASK_ID=$task
    export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0
    while true; do
      bash "$here/script.sh"; code=$?
      rm "$here/requeued-4711_$task" || break
    done
    echo "4711_$task $code" >> "$here/ended"
  ) > /dev/null 2>&1 &
done
echo "Submitted batch job 4711"
"""
SRUN = """\
while [[ $1 == --* ]]; do
  case $1 in --output) log=$2; shift 2 ;; *) shift ;; esac
done
log=${log//%A/$SLURM_ARRAY_JOB_ID}; log=${log//%a/$SLURM_ARRAY_TASK_ID}; log=${log//%t/0}
exec "$@" >> "$log" 2>&1
"""
SACCT = """\
echo "JobID|State|NodeList"
while read -r job code; do
  if [ "$code" = 0 ]; then echo "$job|COMPLETED|n1"; else echo "$job|FAILED|n1"; fi
done < "$(dirname "$0")/ended"
"""
SCONTROL = 'touch "$(dirname "$0")/requeued-$2"\n'
SCANCEL = 'echo "$1" >> "$(dirname "$0")/cancelled"\n'


def write_slurm(folder: Path) -> Path:
    """Write the commands into a folder, which belongs on the PATH; returns it."""
    folder.mkdir()
    (folder / "ended").touch()
    texts = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}
    texts |= {"scontrol": SCONTROL, "scancel": SCANCEL}
    for name, text in texts.items():
        path = folder / name
        path.write_text("#!/bin/bash\n" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder
