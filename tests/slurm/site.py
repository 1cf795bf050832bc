"""A real Slurm on the hosts of a cluster: slurmctld (and slurmdbd) on `login`, a slurmd on every
other host."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.answers import phases_of
from tests.cluster.hosts import LOGIN, Cluster, Completed
from tests.cluster.login import Login
from tests.waiting import until

GPUS = 8
KILL_WAIT_S, LOST_S = 5, 10
CONF = """\
ClusterName=lab
SlurmctldHost=login
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/run/slurmctld
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout={lost}
KillWait={kill_wait}
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobRequeue=1
{accounting}
NodeName=DEFAULT Sockets=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=1000000 Gres=gpu:h100:{gpus} State=UNKNOWN
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=7-0 DefMemPerCPU=100 State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL MaxTime=7-0 DefMemPerCPU=100 State=UP PriorityTier=9
PartitionName=brief Nodes=ALL DefaultTime=1 MaxTime=60 DefMemPerCPU=100 State=UP PriorityTier=1
PartitionName=closed Nodes=ALL MaxTime=7-0 DefMemPerCPU=100 State=UP AllowGroups=root
"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=login
AccountingStorageTRES=gres/gpu"""
DBD_CONF = """\
DbdHost=login
SlurmUser=root
AuthType=auth/munge
LogFile=/var/log/slurmdbd.log
PidFile=/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
MUNGED = (
    "mkdir -p -m 755 /run/munge && munged --key-file=/etc/slurm/munge.key"
    " --socket=/run/munge/munge.socket.2 --pid-file=/run/munge/munged.pid"
    " --log-file=/var/log/munged.log --seed-file=/run/munge/seed"
)
# A database of this login host's own, in its memory; the machine's own one, if there is one, is not
# touched.
DATABASE = """set -e
mkdir -p /run/mysql
options="--no-defaults --user=root --datadir=/run/mysql/data --socket=/run/mysql/sock --pid-file=/run/mysql/pid
  --bind-address=127.0.0.1 --innodb-buffer-pool-size=32M --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=0
  --innodb-lock-wait-timeout=900 --skip-name-resolve --skip-log-bin"
mariadb-install-db --no-defaults --user=root --datadir=/run/mysql/data \
  --auth-root-authentication-method=normal --skip-test-db >/var/log/mysql.log 2>&1
setsid mariadbd $options >>/var/log/mysql.log 2>&1 &
client="mariadb --no-defaults -uroot -S /run/mysql/sock"
until $client -e 'select 1' >/dev/null 2>&1; do sleep 0.1; done
$client -e "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';
  grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
slurmdbd
until sacctmgr -n list cluster >/dev/null 2>&1; do sleep 0.1; done
sacctmgr -i add cluster lab >/dev/null
sacctmgr -i add account science >/dev/null
sacctmgr -i add user launch account=science >/dev/null
"""
TOOLS = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
TOOLS |= {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
"""The Debian package of each."""


class Site:
    """Slurm's daemons on the hosts of a cluster; every process of theirs lives and dies with its
    host."""

    def __init__(self, cluster: Cluster, accounting: bool) -> None:
        self.cluster = cluster
        self.nodes = [name for name in cluster.boxes if name != LOGIN]
        self._accounting, self._lost_s = accounting, LOST_S

    def up(self) -> None:
        for box in self.cluster.boxes:
            self._write_configuration(box)
            self.must(box, MUNGED)
        if self._accounting:
            self.must(LOGIN, DATABASE)
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        until(lambda: self.idle() == len(self.nodes), "every node is idle")

    def start_controller(self) -> None:
        self.must(LOGIN, "mkdir -p /run/slurmctld && slurmctld")
        until(lambda: self.root("scontrol", "ping").returncode == 0, "slurmctld answers")

    def stop_controller(self) -> None:
        self.must(
            LOGIN,
            "p=$(cat /run/slurmctld.pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.05;"
            " done",
        )

    def start_node(self, node: str) -> None:
        gpus = (
            f"mkdir -p /run/gpus; for i in $(seq 0 {GPUS - 1}); do mknod -m 666 /run/gpus/nvidia$i"
            " c 1 3; done"
        )
        self.must(node, f"mkdir -p /run/slurmd; [ -e /run/gpus ] || {{ {gpus}; }}; slurmd")

    def kill_slurmd(self, node: str) -> None:
        """The daemon alone: its steps go on without it."""
        self.must(node, "kill -KILL $(cat /run/slurmd.pid)")

    def slurmd_runs(self, node: str) -> bool:
        alive = "kill -0 $(cat /run/slurmd.pid)"
        if not self.cluster.boxes[node].up:
            return False
        return self.cluster.run(node, ("sh", "-c", alive), user="root").returncode == 0

    def notice_after(self, seconds: int) -> None:
        """How long a node may be silent before Slurm gives it up."""
        self._lost_s = seconds
        for name, box in self.cluster.boxes.items():
            if box.up:
                self._write_configuration(name)
        self.must(LOGIN, "scontrol reconfigure")

    def boot(self, node: str) -> None:
        """A crashed node, back in service."""
        self.cluster.boot(node)
        self._write_configuration(node)
        self.must(node, MUNGED)
        self.start_node(node)

    def idle(self) -> int:
        told = self.root("sinfo", "-h", "-N", "-p", "gpu", "-t", "idle", "-o", "%N").stdout.split()
        return len(set(told))

    @contextmanager
    def salloc(self, nodes: int) -> Iterator[dict[str, str]]:
        """A shell in an allocation, as its user has it: what Slurm put into its environment. At the
        end of the block the shell ends, and the allocation with it."""
        shell = "env | grep ^SLURM >salloc.new; mv salloc.new salloc.env; read end"
        argv = (
            "salloc",
            f"--nodes={nodes}",
            "--exclusive",
            "--time=60",
            "--immediate=60",
            "sh",
            "-c",
            shell,
        )
        command = self.cluster.command(LOGIN, argv)
        home = self.cluster.run(LOGIN, ("sh", "-c", "rm -f salloc.env; echo $HOME")).stdout.strip()
        told = self.cluster.path(LOGIN, f"{home}/salloc.env")
        with subprocess.Popen(command, stdin=subprocess.PIPE):
            until(told.exists, "the allocation is granted")
            yield dict(line.split("=", 1) for line in told.read_text().splitlines())

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        self.stop_controller()
        try:
            yield
        finally:
            self.start_controller()

    def root(self, *argv: str) -> Completed:
        return self.cluster.run(LOGIN, argv, user="root")

    def user(self, *argv: str) -> Completed:
        return self.cluster.run(LOGIN, argv)

    def state(self, job: str) -> str:
        """As squeue has it, for as long as slurmctld remembers."""
        return self.root("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").stdout.strip()

    def await_phase(self, login: Login, run: str, *phases: str) -> str:
        """The phase that it came to."""
        seen = ""

        def came() -> bool:
            nonlocal seen
            seen = phases_of(login.dsr1("ps", "--json").stdout).get(run, "")
            return seen in phases

        until(came, f"{run} is {' or '.join(phases)}")
        return seen

    def output(self, job: str) -> str:
        """The job's own, and the word of its run, for a test that fails."""
        said = self.user("sh", "-c", f"cat ~/.local/state/dsr1/jobs/*-{job}.out").stdout
        runs = "~/.local/state/dsr1/runs/*"
        return said + self.user("sh", "-c", f"tail -n 30 {runs}/state.json {runs}/*.log").stdout

    def clear(self) -> None:
        """Ends all jobs, and waits until every node is idle again."""
        self.root("scancel", "--user=launch")
        until(lambda: self.idle() == len(self.nodes), "every node is idle")

    def _write_configuration(self, box: str) -> None:
        etc = self.cluster.path(box, "/etc/slurm")
        etc.mkdir(exist_ok=True)
        (etc / "munge.key").write_bytes(b"the key of a test's cluster, and of no other" * 4)
        (etc / "munge.key").chmod(0o400)
        nodes = "\n".join(
            f"NodeName={name} NodeAddr={self.cluster.boxes[name].address}" for name in self.nodes
        )
        accounting = (
            ACCOUNTING if self._accounting else "AccountingStorageType=accounting_storage/none"
        )
        conf = CONF.format(
            lost=self._lost_s, kill_wait=KILL_WAIT_S, accounting=accounting, gpus=GPUS, nodes=nodes
        )
        (etc / "slurm.conf").write_text(conf)
        gres = (
            f"NodeName={','.join(self.nodes)} Name=gpu Type=h100"
            f" File=/run/gpus/nvidia[0-{GPUS - 1}]\n"
        )
        (etc / "gres.conf").write_text("AutoDetect=off\n" + gres)
        (etc / "cgroup.conf").write_text(
            "# without cgroups: the tests want to see what Slurm then leaves\n"
        )
        (etc / "slurmdbd.conf").write_text(DBD_CONF)
        (etc / "slurmdbd.conf").chmod(0o600)

    def must(self, box: str, script: str) -> None:
        done = self.cluster.run(box, ("bash", "-c", script), user="root")
        if done.returncode != 0:
            raise RuntimeError(f"{box}: {script}: {done.stdout}{done.stderr}")
