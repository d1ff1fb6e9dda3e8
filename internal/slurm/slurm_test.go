package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake puts programs that stand for Slurm's on the PATH. They write their arguments into calls, and answer with the
// content of files: queue (squeue), config (scontrol show), job (a line for every call of scontrol show job),
// refuse-PROGRAM (an error), wait-PROGRAM (a warning, and no end).
type fake struct {
	t   *testing.T
	dir string
}

const fakeProgram = `#!/bin/sh
cd "%[1]s" || exit 1
name=${0##*/}
printf '%%s' "$name" >>calls
for a; do printf ' [%%s]' "$a" >>calls; done
echo >>calls
if [ -e "wait-$name" ]; then cat "wait-$name" >&2; exec sleep 10; fi
if [ -e "refuse-$name" ]; then cat "refuse-$name" >&2; exit 1; fi
case "$name $1 $2" in
sbatch*)
	n=$(cat count 2>/dev/null || echo 100)
	n=$((n + 1))
	echo $n >count
	if [ "$n" -gt "$(cat most 2>/dev/null || echo 1000)" ]; then
		echo "sbatch: error: Job violates policy (job submit limit)" >&2
		exit 1
	fi
	for a; do last=$a; done
	ls "$(dirname "$last")" >seen
	echo $n ;;
squeue*) cat queue 2>/dev/null ;;
"scontrol show config") cat config 2>/dev/null ;;
"scontrol show job") head -n 1 job; [ "$(wc -l <job)" = 0 ] || sed -i 1d job ;;
"scontrol requeue"*) if [ -e refuse-requeue ]; then cat refuse-requeue >&2; exit 1; fi ;;
esac
exit 0
`

func newFake(t *testing.T) fake {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("the programs that stand for Slurm's need a shell")
	}
	f := fake{t, t.TempDir()}
	bin := t.TempDir()
	for _, name := range []string{"sbatch", "squeue", "scontrol", "scancel"} {
		if err := os.WriteFile(filepath.Join(bin, name), fmt.Appendf(nil, fakeProgram, f.dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return f
}

func (f fake) put(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f fake) get(name string) string {
	b, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(b)
}

// calls returns the calls so far and forgets them.
func (f fake) calls() []string {
	all := strings.Split(strings.TrimSuffix(f.get("calls"), "\n"), "\n")
	os.Remove(filepath.Join(f.dir, "calls"))
	return all
}

func study(t *testing.T) Study {
	return Study{Dir: t.TempDir(), Program: "/opt/dla", Cwd: "/home/me", Report: []string{"sweep", "report", "DIR"}}
}

// submit submits the trials and returns the submission as the folder holds it.
func submit(t *testing.T, st Study, trials []int, o Options, l Limits) Submission {
	t.Helper()
	s, err := st.Plan(trials, o, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Submit(t.Context(), func(Job) {}); err != nil {
		t.Fatal(err)
	}
	all, err := Submissions(st.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return all[len(all)-1]
}

var plain = Options{CPUs: 1, PerTask: 1}

// TestOptions: what Slurm would misread or a script cannot hold is an error that names the flag.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string // in the error; empty: none
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Time = "1-12" }, ""},
		{func(o *Options) { o.Time = "2h" }, `--time "2h"`},
		{func(o *Options) { o.Time = "0:00" }, "--time 0"},
		{func(o *Options) { o.CPUs = 0 }, "--cpus 0"},
		{func(o *Options) { o.Parallelism = -1 }, "--array-parallelism -1"},
		{func(o *Options) { o.PerTask = 0 }, "--trials-per-task 0"},
		{func(o *Options) { o.Partition = "a\nb" }, "--partition"},
		{func(o *Options) { o.Args = []string{"--gres=gpu:1", "--exclusive", "-C=x"} }, `"-C=x"`},
		{func(o *Options) { o.Args = []string{"--gres gpu:1"} }, "--sbatch-arg=--gres=gpu:1"},
		{func(o *Options) { o.Args = []string{"gpu"} }, `"gpu"`},
		{func(o *Options) { o.Args = []string{"--comment=a\nb"} }, "control character"},
		{func(o *Options) { o.Args = []string{"--array=0-3"} }, "tasks stand for trials"},
		{func(o *Options) { o.Args = []string{"--output=x"} }, "dla sweep logs"},
	} {
		o := plain
		c.change(&o)
		err := o.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want %q", o, err, c.want)
		}
	}
}

// TestWarning: the signal before the time limit leaves time for work in a short limit too.
func TestWarning(t *testing.T) {
	for limit, want := range map[string]int{"": 120, "1": 15, "2": 30, "90": 120, "4:00": 60, "0:30:00": 120, "1-0": 120,
		"2-00:30": 120, "1-00:00:30": 120} {
		if got := (Options{Time: limit}).warning(); got != want {
			t.Errorf("--time %q: warned %d s before, want %d", limit, got, want)
		}
	}
	for s, want := range map[string]string{"90": "1h30m0s", "1:30": "1m30s", "1:02:03": "1h2m3s", "1-2": "26h0m0s",
		"1-2:3": "26h3m0s", "1-2:3:4": "26h3m4s"} {
		if d, err := limit(s); err != nil || d.String() != want {
			t.Errorf("--time %s is %s, %v; want %s", s, d, err, want)
		}
	}
}

// TestScriptRuns: a script runs in bash with odd names all over and ends in the dla of its task, with its trials.
func TestScriptRuns(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	f := newFake(t)
	const odd = ` o'dd "name" $HOME %j #1`
	base := t.TempDir()
	st := Study{Dir: filepath.Join(base, "study"+odd), Program: filepath.Join(base, "dla"+odd),
		Cwd: filepath.Join(base, "cwd"+odd), Report: []string{"sweep", "report", odd}}
	for _, dir := range []string{st.Dir, st.Cwd} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(st.Program, []byte("#!/bin/sh\npwd\nfor a; do echo \"[$a]\"; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := submit(t, st, []int{4, 7, 9}, Options{CPUs: 3, PerTask: 2}, DefaultLimits)
	run := func(name string, env ...string) string {
		cmd := exec.Command("bash", filepath.Join(st.Dir, "slurm", s.Key, name))
		cmd.Dir, cmd.Env = st.Dir, append(os.Environ(), env...) // as --chdir does
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	want := fmt.Sprintf("%s\n[sweep]\n[run]\n[%s]\n[--trial]\n[9]\n[--submission]\n[%s]\n[--threads]\n[3]\n", st.Cwd,
		st.Dir, s.Key)
	if got := run("array-1.sh", "SLURM_ARRAY_TASK_ID=1", "SLURM_CPUS_PER_TASK=3"); got != want {
		t.Errorf("task 1 runs\n%swant\n%s", got, want)
	}
	if got := run("array-1.sh", "SLURM_ARRAY_TASK_ID=0"); !strings.Contains(got, "[4,7]") {
		t.Errorf("task 0 runs\n%s", got)
	}
	if got, want := run("report.sh"), st.Cwd+"\n[sweep]\n[report]\n["+odd+"]\n"; got != want {
		t.Errorf("the report runs\n%swant\n%s", got, want)
	}
	if calls := f.calls(); !strings.HasSuffix(calls[1],
		"[--dependency=afterany:101] ["+st.Dir+"/slurm/"+s.Key+"/report.sh]") {
		t.Errorf("the report is submitted by %s", calls[1])
	}
}

// TestDirectives: what sbatch reads of a script, also where a value needs quotes.
func TestDirectives(t *testing.T) {
	st := Study{Dir: `/a/my "study" %j #2`, Program: "/opt/dla", Cwd: "/"}
	s, err := st.Plan([]int{0, 1, 2}, Options{Partition: "low", Account: "a", QOS: "q", Constraint: "x&y",
		Time: "2:00:00", CPUs: 2,
		Mem: "4G", Parallelism: 2, PerTask: 1, Args: []string{"--gres=gpu:1", `--comment=a \ b`}}, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(s.scripts["array-1"], "\n\n")
	want := strings.ReplaceAll(`#!/bin/bash
#SBATCH "--job-name=my \"study\" %j #2-KEY-1"
#SBATCH "--chdir=/a/my \"study\" %j #2"
#SBATCH "--output=/a/my \"study\" %%j #2/slurm/KEY/logs/array-1-%a.log"
#SBATCH --open-mode=append
#SBATCH --cpus-per-task=2
#SBATCH --array=0-2%2
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --partition=low
#SBATCH --account=a
#SBATCH --qos=q
#SBATCH "--constraint=x&y"
#SBATCH --time=2:00:00
#SBATCH --mem=4G
#SBATCH --gres=gpu:1
#SBATCH "--comment=a \\ b"
`, "KEY", s.Key)
	if head != strings.TrimSuffix(want, "\n") {
		t.Errorf("the script begins\n%s\nwant\n%s", head, want)
	}
	for bad, want := range map[string]string{"/a\n/b": "control character", "/a\x01": "control character",
		`/a\b`: "backslash"} {
		if _, err := (Study{Dir: bad, Program: "/opt/dla", Cwd: "/"}).Plan([]int{0}, plain, DefaultLimits); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("folder %q: error %v", bad, err)
		}
	}
}

// TestSubmission: the mapping of tasks to trials is in the folder, whole, before sbatch is called; ids are noted after.
func TestSubmission(t *testing.T) {
	f := newFake(t)
	st := study(t)
	s := submit(t, st, []int{3, 5, 8, 13, 21}, Options{CPUs: 1, PerTask: 2}, DefaultLimits)
	if got, want := f.get("seen"), "array-1.job\narray-1.sh\narray-1.tasks\nlogs\nreport.sh\n"; got != want {
		t.Errorf("when the report was submitted, the folder had\n%swant\n%s", got, want)
	}
	if len(s.Arrays) != 1 || s.Arrays[0].ID != "101" || s.Report.ID != "102" ||
		!reflect.DeepEqual(s.Arrays[0].Tasks, [][]int{{3, 5}, {8, 13}, {21}}) {
		t.Errorf("the folder says %+v", s)
	}
	if s.Arrays[0].Name != filepath.Base(st.Dir)+"-"+s.Key+"-1" {
		t.Errorf("name %q", s.Arrays[0].Name)
	}
}

// TestManyTasks: more tasks than an array may have are several arrays, and the report waits for all of them.
func TestManyTasks(t *testing.T) {
	f := newFake(t)
	f.put("config", "MaxArraySize            = 1001\nSchedulerParameters     = bf_interval=2,max_array_tasks=1000\n")
	l, err := ReadLimits(t.Context())
	if err != nil || l.ArrayTasks != 1000 {
		t.Fatalf("limits %+v, %v", l, err)
	}
	f.calls()
	trials := make([]int, 2500)
	for i := range trials {
		trials[i] = i
	}
	st := study(t)
	s := submit(t, st, trials, plain, l)
	var all []int
	for i, j := range s.Arrays {
		for _, task := range j.Tasks {
			all = append(all, task...)
		}
		script, err := os.ReadFile(filepath.Join(st.Dir, "slurm", s.Key, fmt.Sprintf("array-%d.sh", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"--array=0-999\n", "--array=0-999\n", "--array=0-499\n"}[i]; !strings.Contains(string(script),
			want) {
			t.Errorf("array %d has no %s", i, want)
		}
	}
	if !slices.Equal(all, trials) {
		t.Errorf("the arrays hold %d trials", len(all))
	}
	if calls := f.calls(); len(calls) != 4 || strings.Contains(calls[1], "dependency") ||
		!strings.Contains(calls[3], "[--dependency=afterany:101:102:103]") {
		t.Errorf("calls\n%s", strings.Join(calls, "\n"))
	}

	submit(t, st, trials, Options{CPUs: 1, PerTask: 1, Parallelism: 8}, l)
	if calls := f.calls(); !strings.Contains(calls[1], "[--dependency=afterany:105]") ||
		!strings.Contains(calls[2], "[--dependency=afterany:106]") {
		t.Errorf("with a bound on tasks at the same time arrays follow one another; calls\n%s", strings.Join(calls, "\n"))
	}
	f.put("config", "MaxArraySize = 0\n")
	if l, err = ReadLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Plan(trials, plain, l); err == nil || !strings.Contains(err.Error(), "MaxArraySize is 0") {
		t.Errorf("without arrays: %v", err)
	}
}

// TestAnyTrial: tasks that take whatever trial is next name none, and are counted while they are in the queue.
func TestAnyTrial(t *testing.T) {
	f := newFake(t)
	st := study(t)
	st.Any, st.Args = true, []string{"--data", "a b"}
	s := submit(t, st, []int{1, 2, 3}, plain, DefaultLimits)
	script, err := os.ReadFile(filepath.Join(st.Dir, "slurm", s.Key, "array-1.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nexec /opt/dla sweep run " + st.Dir + " --data 'a b' --submission " + s.Key +
		` --threads "${SLURM_CPUS_PER_TASK:-1}"` + "\n"; !strings.HasSuffix(string(script), want) {
		t.Errorf("the script ends in\n%s\nwant%s", script, want)
	}
	f.put("queue", "101_0|RUNNING|None|NAME\n101_1|FAILED|NonZeroExitCode|NAME\n101_2|PENDING|Resources|NAME\n")
	f.put("queue", strings.ReplaceAll(f.get("queue"), "NAME", s.Arrays[0].Name))
	q, err := ReadQueue(t.Context(), []Submission{s})
	if err != nil {
		t.Fatal(err)
	}
	if n := q.Free([]Submission{s}); n != 2 {
		t.Errorf("%d tasks are in the queue, want 2", n)
	}
	for id, want := range map[string][2]bool{"101_0": {false, true}, "101_1": {true, true}, "101_7": {false, false},
		"99_0": {false, false}, "101": {false, false}} {
		if _, gone, ok := q.Gone([]Submission{s}, id); gone != want[0] || ok != want[1] {
			t.Errorf("task %s: gone %v, ours %v", id, gone, ok)
		}
	}
}

// TestRefused: what sbatch took before it refused stays, and the error says what was said and what to do.
func TestRefused(t *testing.T) {
	f := newFake(t)
	f.put("most", "101")
	st := study(t)
	s, err := st.Plan([]int{0, 1}, plain, Limits{ArrayTasks: 1})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Submit(t.Context(), func(Job) {})
	if err == nil || !strings.Contains(err.Error(), "job submit limit") || !strings.Contains(err.Error(),
		"1 of 2 job arrays") {
		t.Errorf("error %v", err)
	}
	f.put("queue", "101_0|PENDING|Priority|"+s.Arrays[0].Name+"\n")
	subs, err := Submissions(st.Dir)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ReadQueue(t.Context(), subs)
	if err != nil {
		t.Fatal(err)
	}
	if got := q.Trials(subs); len(got) != 1 || got[0].ID != "101_0" {
		t.Errorf("in the queue are %v, want trial 0", got)
	}
}

// TestFull: a cluster that takes no more jobs makes sbatch wait; that is given up, and what sbatch said is told.
func TestFull(t *testing.T) {
	f := newFake(t)
	was := patience
	t.Cleanup(func() { patience = was })
	patience = 200 * time.Millisecond
	s, err := study(t).Plan([]int{0, 1}, plain, Limits{ArrayTasks: 1})
	if err != nil {
		t.Fatal(err)
	}
	f.put("wait-sbatch", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n")
	if err := s.Submit(t.Context(), func(Job) {}); err == nil || !strings.Contains(err.Error(), "unable to accept job") ||
		!strings.Contains(err.Error(), "0 of 2 job arrays") {
		t.Errorf("error %v", err)
	}
	f.put("wait-squeue", "")
	if _, err := ReadQueue(t.Context(), []Submission{s}); err == nil || !strings.Contains(err.Error(), "scontrol ping") {
		t.Errorf("error %v", err)
	}
}

// TestNoSlurm: a machine without Slurm is told as such.
func TestNoSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := ReadLimits(t.Context())
	if !errors.Is(err, ErrNoSlurm) || !strings.Contains(err.Error(), "login node") {
		t.Errorf("error %v", err)
	}
	if _, err := ReadQueue(t.Context(), nil); err != nil {
		t.Errorf("a study that was never submitted needs no Slurm: %v", err)
	}
}

// TestQueue: tasks in all forms that squeue prints, jobs of others under the same id, jobs whose id was not written
// down, and jobs that Slurm has forgotten.
func TestQueue(t *testing.T) {
	f := newFake(t)
	st := study(t)
	trials := []int{10, 11, 12, 13, 14, 15}
	s := submit(t, st, trials, plain, DefaultLimits)
	name := s.Arrays[0].Name
	f.calls()
	f.put("queue", strings.ReplaceAll(`101_0|RUNNING|None|NAME
101_1|COMPLETED|None|NAME
101_[2-3,5%2]|PENDING|JobArrayTaskLimit|NAME
101_4|FAILED|NonZeroExitCode|other
77|RUNNING|None|other | name
CLUSTER: test
`, "NAME", name))
	subs := []Submission{s}
	q, err := ReadQueue(t.Context(), subs)
	if err != nil {
		t.Fatal(err)
	}
	if calls := f.calls(); len(calls) != 1 || calls[0] != "squeue [-h] [-r] [-t] [all] [-o] [%i|%T|%r|%j] [-j] [101,102]" {
		t.Errorf("calls\n%s", strings.Join(calls, "\n"))
	}
	want := map[int]State{10: {"101_0", "RUNNING", "None"}, 12: {"101_2", "PENDING", "JobArrayTaskLimit"},
		13: {"101_3", "PENDING", "JobArrayTaskLimit"}, 15: {"101_5", "PENDING", "JobArrayTaskLimit"}}
	if got := q.Trials(subs); !reflect.DeepEqual(got, want) {
		t.Errorf("in the queue are\n%v\nwant\n%v", got, want)
	}

	os.Remove(filepath.Join(st.Dir, "slurm", s.Key, "array-1.job")) // killed between sbatch and the note of its id
	if subs, err = Submissions(st.Dir); err != nil {
		t.Fatal(err)
	}
	if q, err = ReadQueue(t.Context(), subs); err != nil {
		t.Fatal(err)
	}
	if got := q.Trials(subs); !reflect.DeepEqual(got, want) {
		t.Errorf("without the id in the queue are\n%v\nwant\n%v", got, want)
	}
	if calls := f.calls(); !strings.Contains(calls[0], "[-u]") {
		t.Errorf("calls\n%s", strings.Join(calls, "\n"))
	}

	if err := os.WriteFile(filepath.Join(st.Dir, "slurm", s.Key, "array-1.job"), []byte(`{"id":"101"}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	if subs, err = Submissions(st.Dir); err != nil {
		t.Fatal(err)
	}
	f.put("refuse-squeue", "slurm_load_jobs error: Invalid job id specified\n")
	if q, err = ReadQueue(t.Context(), subs); err != nil || len(q.Trials(subs)) != 0 {
		t.Errorf("a forgotten job: %v, %v", q.Trials(subs), err)
	}
	f.put("refuse-squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
	if _, err = ReadQueue(t.Context(), subs); err == nil || !strings.Contains(err.Error(), "Unable to contact") {
		t.Errorf("a controller that is down: %v", err)
	}
}

// TestIDs: forms of ids that squeue prints.
func TestIDs(t *testing.T) {
	for in, want := range map[string]string{"12": "12 [-1]", "12_3": "12 [3]",
		"12_[0-8:4,11,13-14%3]": "12 [0 4 8 11 13 14]"} {
		job, tasks, err := parseID(in)
		if got := fmt.Sprint(job, " ", tasks); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "12_", "12_[3", "12_[1-99999999999999999999]", "12_[0-9:0]", "12_[4-]",
		"12_[...]"} {
		if _, tasks, err := parseID(in); err == nil {
			t.Errorf("%q is taken for tasks %v", in, tasks)
		}
	}
}

// TestCancel: jobs of the study alone are cancelled, and their submissions are marked, first.
func TestCancel(t *testing.T) {
	f := newFake(t)
	st := study(t)
	s := submit(t, st, []int{0, 1}, plain, DefaultLimits)
	old := submit(t, st, []int{2}, plain, DefaultLimits)
	f.calls()
	f.put("queue", "101_0|RUNNING|None|"+s.Arrays[0].Name+"\n101_1|PENDING|Resources|"+s.Arrays[0].Name+
		"\n102|PENDING|Dependency|"+s.Report.Name+"\n103_0|COMPLETED|None|"+old.Arrays[0].Name+
		"\n104|RUNNING|None|somebody's\n")
	ids, err := Cancel(t.Context(), st.Dir)
	if err != nil || !slices.Equal(ids, []string{"101", "102"}) {
		t.Errorf("cancelled %v, %v", ids, err)
	}
	calls := f.calls()
	if len(calls) != 2 || calls[1] != "scancel [101] [102]" {
		t.Errorf("calls\n%s", strings.Join(calls, "\n"))
	}
	subs, err := Submissions(st.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subs {
		if !s.Cancelled || !Cancelled(st.Dir, s.Key) {
			t.Errorf("%s is not marked", s.Key)
		}
	}
	q, err := ReadQueue(t.Context(), subs)
	if err != nil || len(q.Trials(subs)) != 0 {
		t.Errorf("tasks that do nothing any more keep trials %v from being submitted, %v", q.Trials(subs), err)
	}
	f.put("refuse-squeue", "Unable to contact slurm controller\n")
	if _, err := Cancel(t.Context(), st.Dir); err == nil {
		t.Error("no word of a controller that is down")
	}
}

// TestTask: a task knows itself by the id of its array, requeues itself and reads what Slurm holds of it.
func TestTask(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"} {
		t.Setenv(name, "")
	}
	if task, ok := Here(); ok {
		t.Errorf("outside of Slurm: task %+v", task)
	}
	t.Setenv("SLURM_JOB_ID", "12")
	if task, _ := Here(); task.ID != "12" {
		t.Errorf("of no array: %+v", task)
	}
	t.Setenv("SLURM_ARRAY_JOB_ID", "10")
	t.Setenv("SLURM_ARRAY_TASK_ID", "3")
	task, _ := Here()
	if err := task.Requeue(t.Context()); err != nil {
		t.Error(err)
	}
	if calls := f.calls(); calls[0] != "scontrol [requeue] [10_3]" {
		t.Errorf("calls\n%s", strings.Join(calls, "\n"))
	}
	f.put("job", "nothing")
	if _, err := task.Leave(t.Context(), false, true); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("what is not understood: %v", err)
	}
	f.put("refuse-scontrol", "Requested operation is presently disabled for job 10_3\n")
	if err := task.Requeue(t.Context()); err == nil || !strings.Contains(err.Error(), "presently disabled") {
		t.Errorf("a job that may not be requeued: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := task.Requeue(ctx); err == nil {
		t.Error("a cancelled context requeues")
	}
}

// TestLeave: a task is requeued once, by itself or by Slurm, and not if it was cancelled.
func TestLeave(t *testing.T) {
	f := newFake(t)
	const running, grace = "JobState=RUNNING Reason=None Restarts=1 PreemptTime=None",
		"JobState=RUNNING Restarts=1 PreemptTime=2026-11-30T07:00:05"
	const signaling = "JobState=SIGNALING Reason=None Restarts=1 PreemptTime=2026-11-30T07:00:05"
	const timeout, cancelled = "JobState=COMPLETING Reason=TimeLimit Restarts=1",
		"JobState=COMPLETING Reason=None Restarts=1"
	const requeued = "JobState=COMPLETING Reason=None Restarts=2"
	for _, c := range []struct {
		name, job string
		warned    bool
		refuse    string
		again     bool
		requeues  int
		err       string
	}{
		{"time is nearly up", running, true, "", true, 1, ""},
		{"preempted, warned", grace, true, "", true, 1, ""},
		{"preempted, while Slurm sends the signal", signaling, true, "", true, 1, ""},
		{"preempted, SIGTERM in the grace time", grace, false, "", true, 1, ""},
		{"time is up", timeout, false, "", true, 1, ""},
		{"time was up while it saved", timeout, true, "", true, 1, ""},
		{"no step, time is nearly up", running, true, "", false, 0, "--time"},
		{"no step, time is up", timeout, false, "", false, 0, "--time"},
		{"no step, preempted", grace, true, "", true, 1, ""},
		{"requeued by Slurm", requeued, false, "", true, 0, ""},
		{"requeued by Slurm while it saved", requeued, true, "", true, 0, ""},
		{"cancelled", cancelled, false, "", false, 0, ""},
		{"cancelled while it saved", cancelled, true, "", false, 0, ""},
		{"SIGTERM of somebody", running, false, "", false, 0, ""},
		{"may not be requeued", running, true, "presently disabled", false, 1, "presently disabled"},
		{"Slurm was faster", running + "\n" + requeued, true, "Job is pending execution", true, 1, ""},
	} {
		f.t = t
		f.put("job", c.job)
		os.Remove(filepath.Join(f.dir, "refuse-requeue"))
		if c.refuse != "" {
			f.put("refuse-requeue", c.refuse)
		}
		again, err := Task{"10_3", 1}.Leave(t.Context(), c.warned, !strings.HasPrefix(c.name, "no step"))
		if again != c.again || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(),
			c.err)) {
			t.Errorf("%s: starts again %v, error %v", c.name, again, err)
		}
		if n := strings.Count(strings.Join(f.calls(), "\n"), "[requeue] [10_3]"); n != c.requeues {
			t.Errorf("%s: requeued %d times, want %d", c.name, n, c.requeues)
		}
	}
}

// TestDamaged: files of a submission that were changed are an error that names them.
func TestDamaged(t *testing.T) {
	newFake(t)
	st := study(t)
	s := submit(t, st, []int{0, 1}, plain, DefaultLimits)
	for name, content := range map[string]string{"array-1.tasks": "0\nx\n", "array-1.job": "{}", "report.job": "12"} {
		path := filepath.Join(st.Dir, "slurm", s.Key, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Submissions(st.Dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(st.Dir, "slurm", s.Key, "logs", "array-1-1.log"), []byte("text"),
		0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Logs(st.Dir)
	if err != nil || len(got) != 1 || filepath.Base(got[0].Path) != "array-1-1.log" || got[0].Task != "101_1" ||
		!slices.Equal(got[0].Trials, []int{1}) {
		t.Errorf("logs: %+v, %v", got, err)
	}
}
