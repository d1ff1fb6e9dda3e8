#!/usr/bin/env bash
# Starts a Slurm cluster for tests: controller and nodes on the loopback interface, no accounting, no cgroups.
# Prints the path of its slurm.conf. Installs Debian's packages where they are missing and the user is root.
# SLURM_TEST_DIR: folder of its state; SLURM_TEST_NODES: number of nodes; SLURM_TEST_PORT: first of their ports.
# slurm-down.sh stops it.
set -euo pipefail
dir=${SLURM_TEST_DIR:?the folder of the cluster\'s state} nodes=${SLURM_TEST_NODES:-1} port=${SLURM_TEST_PORT:-26817}
export PATH=$PATH:/usr/sbin
exec 3>&1 >&2

for program in slurmctld slurmd sbatch munged; do
	command -v $program >/dev/null && continue
	[ "$(id -u)" = 0 ] || { echo "$program is missing, and only root can install it"; exit 1; }
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	apt-get -q install -y --no-install-recommends slurmctld slurmd slurm-client munge
	break
done

mkdir -p "$dir"/{state,log,run}
for i in $(seq "$nodes"); do mkdir -p "$dir/spool-n$i"; done
mkdir -p -m 711 "$dir/munge" # the daemon wants a folder that others cannot read
head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 600 "$dir/munge/key"
munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/run/munged.pid" \
	--log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 3>&-

# At preemption a job's own --signal is sent first. The setting has another name since 23.02.
signal=PreemptParameters=send_user_signal
case $(slurmctld -V) in *" 2"[0-2].*) signal=SlurmctldParameters=preempt_send_user_signal ;; esac
host=$(hostname -s)
# cred_expire is also what a requeued job waits before it starts again: two minutes by default.
cat >"$dir/slurm.conf" <<CONF
ClusterName=dlatest
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd-%n
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
KillWait=3
ReturnToService=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$signal
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=2 RealMemory=4000
PartitionName=debug Nodes=ALL Default=YES DefaultTime=10 PreemptMode=OFF
PartitionName=low Nodes=ALL DefaultTime=10 PreemptMode=REQUEUE
PartitionName=lowgrace Nodes=ALL DefaultTime=10 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes=ALL DefaultTime=10 PriorityTier=10 PreemptMode=OFF
CONF
export SLURM_CONF=$dir/slurm.conf
slurmctld 3>&-
for i in $(seq "$nodes"); do slurmd -N "n$i" 3>&-; done

for _ in $(seq 300); do
	[ "$(sinfo -h -N -p debug -t idle -o %N 2>/dev/null | wc -l)" -ge "$nodes" ] && { echo "$SLURM_CONF" >&3; exit; }
	sleep 0.1
done
echo "the cluster does not come up"
tail -n 20 "$dir"/log/*
exit 1
