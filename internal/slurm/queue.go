package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dla/internal/atomicfile"
)

// Limits are those of a cluster on job arrays.
type Limits struct {
	ArrayTasks int // of one array
}

// DefaultLimits are those of a Slurm whose configuration says nothing.
var DefaultLimits = Limits{ArrayTasks: 1001}

var (
	arraySizeForm  = regexp.MustCompile(`(?m)^MaxArraySize\s*=\s*(\d+)`)
	arrayTasksForm = regexp.MustCompile(`\bmax_array_tasks=(\d+)`)
)

// ReadLimits asks Slurm for its limits.
func ReadLimits(ctx context.Context) (Limits, error) {
	out, err := call(ctx, nil, "scontrol", "show", "config")
	if err != nil {
		return Limits{}, err
	}
	l := DefaultLimits
	if m := arraySizeForm.FindStringSubmatch(out); m != nil {
		l.ArrayTasks, _ = strconv.Atoi(m[1]) // digits
	}
	if m := arrayTasksForm.FindStringSubmatch(out); m != nil {
		n, _ := strconv.Atoi(m[1])
		l.ArrayTasks = min(l.ArrayTasks, n)
	}
	return l, nil
}

// State is what Slurm says about a task.
type State struct {
	ID     string `json:"id"`     // 123_4; of a job that is no array 123
	State  string `json:"state"`  // RUNNING, PENDING, …
	Reason string `json:"reason"` // why it is pending; None
}

// ended are the states in which a task stays. Any other, also one of a future version, may still come to run.
var ended = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
	"OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"}

// Ended reports whether the task will not run any more.
func (s State) Ended() bool { return slices.Contains(ended, s.State) }

// Queue is what Slurm says about the jobs of a study. A job that Slurm has forgotten is not in it, which happens some
// minutes after its end: then the study's folder alone tells what became of it.
type Queue struct {
	tasks map[string]map[int]State // by the end of the job's name and the task; -1 for a job that is no array
}

// Task returns what Slurm says about the task of job j.
func (q Queue) Task(j Job, task int) (State, bool) {
	s, ok := q.tasks[j.end][task]
	return s, ok
}

// Job returns what Slurm says about j, which is no array.
func (q Queue) Job(j Job) (State, bool) { return q.Task(j, -1) }

// Trials returns for every trial that a task of subs may still run what Slurm says about that task. Those of a
// cancelled submission do nothing any more.
func (q Queue) Trials(subs []Submission) map[int]State {
	all := map[int]State{}
	for _, s := range subs {
		if s.Cancelled {
			continue
		}
		for _, j := range s.Arrays {
			for task, trials := range j.Tasks {
				state, ok := q.Task(j, task)
				if !ok || state.Ended() {
					continue
				}
				for _, n := range trials {
					all[n] = state
				}
			}
		}
	}
	return all
}

// Free returns the number of tasks of subs that may still make whatever trials are next.
func (q Queue) Free(subs []Submission) int {
	n := 0
	for _, s := range subs {
		for _, j := range s.Arrays {
			for task, trials := range j.Tasks {
				if state, ok := q.Task(j, task); ok && trials == nil && !state.Ended() && !s.Cancelled {
					n++
				}
			}
		}
	}
	return n
}

// Gone reports whether the task id, 123_4, is one of subs that has ended. ok is false for a task of another job.
func (q Queue) Gone(subs []Submission, id string) (state State, gone, ok bool) {
	job, number, _ := strings.Cut(id, "_")
	task, err := strconv.Atoi(number)
	if err != nil {
		return State{}, false, false
	}
	for _, s := range subs {
		for _, j := range s.Arrays {
			if j.ID != job || task >= len(j.Tasks) {
				continue
			}
			state, known := q.Task(j, task)
			return state, !known || state.Ended(), true
		}
	}
	return State{}, false, false
}

// ReadQueue asks squeue for the jobs of subs, also for those whose id was not written down.
func ReadQueue(ctx context.Context, subs []Submission) (Queue, error) {
	q := Queue{tasks: map[string]map[int]State{}}
	ids := map[string][]string{} // by cluster
	lost := false                // a job without an id, which may be in the queue
	own := map[string]bool{}     // ends of names
	for _, s := range subs {
		for _, j := range append(s.Arrays[:len(s.Arrays):len(s.Arrays)], s.Report) {
			own[j.end] = true
			if j.ID == "" {
				lost = true
				continue
			}
			ids[j.Cluster] = append(ids[j.Cluster], j.ID)
		}
	}
	if lost {
		me, err := user.Current()
		if err != nil {
			return q, err
		}
		if err := q.ask(ctx, own, "", "-u", me.Username); err != nil {
			return q, err
		}
	}
	for cluster, ids := range ids {
		if err := q.ask(ctx, own, cluster, "-j", strings.Join(ids, ",")); err != nil && !unknownJob(err) {
			return q, err
		}
	}
	return q, nil
}

// ask adds to q what squeue says, with the given filter, about the jobs whose names end as own says. An id alone would
// not do: those of a cluster that was set up anew begin again.
func (q Queue) ask(ctx context.Context, own map[string]bool, cluster string, filter ...string) error {
	args := append([]string{"-h", "-r", "-t", "all", "-o", "%i|%T|%r|%j"}, filter...)
	if cluster != "" {
		args = append(args, "-M", cluster)
	}
	out, err := call(ctx, []string{"SQUEUE_"}, "squeue", args...) // whose filters and forms would count as well
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 4)
		if len(f) < 4 {
			continue // the name of a cluster
		}
		end := nameForm.FindString(f[3])
		if !own[end] {
			continue
		}
		job, tasks, err := parseID(f[0])
		if err != nil {
			return err
		}
		if q.tasks[end] == nil {
			q.tasks[end] = map[int]State{}
		}
		for _, t := range tasks {
			id := job
			if t >= 0 {
				id = fmt.Sprintf("%s_%d", job, t)
			}
			q.tasks[end][t] = State{ID: id, State: f[1], Reason: f[2]}
		}
	}
	return nil
}

// nameForm is the end of a job's name.
var nameForm = regexp.MustCompile(`-[0-9]{3,}-[0-9a-f]{8}-(?:[0-9]+|report)$`)

var idsForm = regexp.MustCompile(`^([0-9]+)(?:_([0-9]+)|_\[([0-9,:-]+)(?:%[0-9]+)?\])?$`)

// parseID reads the id of a task, 123_4, of a job that is no array, 123 (task -1), or of the pending tasks of an
// array, 123_[4-9:2,17%2], which squeue prints although it is asked for one line each where it does not know -r.
func parseID(s string) (job string, tasks []int, err error) {
	bad := fmt.Errorf("squeue printed %q, which is no id of a job that this version of dla knows", s)
	m := idsForm.FindStringSubmatch(s)
	if m == nil {
		return "", nil, bad
	}
	if m[3] == "" {
		if m[2] == "" {
			return m[1], []int{-1}, nil
		}
		n, err := strconv.Atoi(m[2])
		return m[1], []int{n}, err
	}
	for part := range strings.SplitSeq(m[3], ",") {
		span, by, stepped := strings.Cut(part, ":")
		first, last, isRange := strings.Cut(span, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		step, err3 := 1, error(nil)
		if stepped {
			step, err3 = strconv.Atoi(by)
		}
		const largest = 4_000_000 // of an index, by Slurm's own bound
		if errors.Join(err1, err2, err3) != nil || step < 1 || b > largest {
			return "", nil, bad
		}
		for t := a; t <= b; t += step {
			tasks = append(tasks, t)
		}
	}
	return m[1], tasks, nil
}

// Cancel marks the submissions of the study in dir as cancelled, so that a task that begins does nothing, and cancels
// those of their jobs that are in the queue. It returns the ids of these. A task that is running saves its state.
func Cancel(ctx context.Context, dir string) ([]string, error) {
	subs, err := Submissions(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		if s.Cancelled {
			continue
		}
		when := time.Now().UTC().Format(time.RFC3339) + "\n"
		if err := atomicfile.WriteBytes(filepath.Join(dir, folder, s.Key, mark), []byte(when)); err != nil {
			return nil, err
		}
	}
	const marked = "%w; the sweep's tasks are marked as cancelled, and those that have not begun will do nothing"
	q, err := ReadQueue(ctx, subs)
	if err != nil {
		return nil, fmt.Errorf(marked, err)
	}
	ids := map[string][]string{} // by cluster
	for _, s := range subs {
		for _, j := range append(s.Arrays[:len(s.Arrays):len(s.Arrays)], s.Report) {
			for _, state := range q.tasks[j.end] {
				if !state.Ended() {
					job, _, _ := strings.Cut(state.ID, "_")
					ids[j.Cluster] = append(ids[j.Cluster], job)
					break
				}
			}
		}
	}
	var all []string
	for cluster, ids := range ids {
		args := ids
		if cluster != "" {
			args = append([]string{"-M", cluster}, args...)
		}
		if _, err := call(ctx, []string{"SCANCEL_"}, "scancel", args...); err != nil {
			return all, fmt.Errorf(marked, err)
		}
		all = append(all, ids...)
	}
	slices.Sort(all)
	return all, nil
}

// Cancelled reports whether the submission key of the study in dir is cancelled.
func Cancelled(dir, key string) bool {
	_, err := os.Lstat(filepath.Join(dir, folder, key, mark))
	return err == nil
}

// Log is what a task has printed, in all of its runs.
type Log struct {
	Path   string
	Task   string // 123_4; of a job whose id was not written down _4
	Trials []int  // nil: whatever was next
}

// Logs returns the logs of the study in dir that exist, oldest first, and last of each submission that of its tables.
func Logs(dir string) ([]Log, error) {
	subs, err := Submissions(dir)
	if err != nil {
		return nil, err
	}
	var all []Log
	add := func(s Submission, name string, l Log) {
		l.Path = filepath.Join(dir, folder, s.Key, logs, name+".log")
		if _, err := os.Stat(l.Path); err == nil {
			all = append(all, l)
		}
	}
	for _, s := range subs {
		for _, j := range s.Arrays {
			for task, trials := range j.Tasks {
				add(s, fmt.Sprintf("%s-%d", j.file, task), Log{Task: fmt.Sprintf("%s_%d", j.ID, task), Trials: trials})
			}
		}
		add(s, reportName, Log{Task: s.Report.ID, Trials: []int{}})
	}
	return all, nil
}
