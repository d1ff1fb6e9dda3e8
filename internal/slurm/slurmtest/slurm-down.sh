#!/usr/bin/env bash
# Stops the cluster of slurm-up.sh in SLURM_TEST_DIR, and its jobs, which would outlive the nodes' daemons.
set -uo pipefail
dir=${SLURM_TEST_DIR:?the folder of the cluster\'s state}
export SLURM_CONF=$dir/slurm.conf
timeout 20 scancel --full -u "$(id -un)" 2>/dev/null
for _ in $(seq 100); do
	[ -z "$(timeout 10 squeue -h 2>/dev/null)" ] && break
	sleep 0.1
done
for file in "$dir"/run/slurmd-*.pid "$dir"/run/slurmctld.pid "$dir"/run/munged.pid; do
	pid=$(cat "$file" 2>/dev/null) || continue
	case $(cat "/proc/$pid/comm" 2>/dev/null) in slurmd | slurmctld | munged) ;; *) continue ;; esac
	kill "$pid"
	for _ in $(seq 50); do
		[ -d "/proc/$pid" ] || break
		sleep 0.1
	done
	[ -d "/proc/$pid" ] && kill -9 "$pid"
done
exit 0
