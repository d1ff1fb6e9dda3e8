package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Task is the task of a job that this process runs in.
type Task struct {
	ID       string // 123_4; of a job that is no array 123
	Restarts int    // how often it was requeued
}

// Here returns the task that this process runs in; ok is false outside of a batch job.
func Here() (t Task, ok bool) {
	id := os.Getenv("SLURM_JOB_ID")
	if array, n := os.Getenv("SLURM_ARRAY_JOB_ID"), os.Getenv("SLURM_ARRAY_TASK_ID"); array != "" && n != "" {
		id = array + "_" + n // SLURM_JOB_ID is another number
	}
	if !taskForm.MatchString(id) {
		return Task{}, false
	}
	restarts, _ := strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT")) // not set before the first
	return Task{id, restarts}, true
}

var taskForm = regexp.MustCompile(`^[0-9]+(_[0-9]+)?$`)

// Requeue puts the task back into the queue. Slurm then sends SIGTERM, and KillWait seconds later SIGKILL, so the
// caller saves all before and ends. Slurm starts the task again after its delay for requeued jobs, two minutes by
// default. A controller that does not answer is asked again for a while.
func (t Task) Requeue(ctx context.Context) error {
	var err error
	for _, pause := range []time.Duration{0, time.Second, 3 * time.Second, 10 * time.Second} {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
		if _, err = call(ctx, nil, "scontrol", "requeue", t.ID); err == nil {
			return nil
		}
		if r := (*refusal)(nil); errors.As(err, &r) && !strings.Contains(r.said, "contact") {
			break
		}
	}
	return fmt.Errorf("task %s could not be requeued: %w; repeat the command that submitted it", t.ID, err)
}

// status is what Slurm holds of a task. While Slurm sends a signal the state is SIGNALING, and once it has sent the
// SIGTERM of an end it is COMPLETING, whatever comes after.
type status struct {
	running   bool // no end has begun
	timeLimit bool // it ran out of time
	preempted bool // another job takes its place, when the grace time is over
	restarts  int  // counted up at a requeue
}

var fieldForm = regexp.MustCompile(`\b(JobState|Reason|Restarts|PreemptTime)=([^ \n]*)`)

// status asks Slurm about the task.
func (t Task) status(ctx context.Context) (status, error) {
	out, err := call(ctx, nil, "scontrol", "show", "job", "-o", t.ID)
	if err != nil {
		return status{}, err
	}
	field := map[string]string{}
	for _, m := range fieldForm.FindAllStringSubmatch(out, -1) {
		field[m[1]] = m[2]
	}
	restarts, err := strconv.Atoi(field["Restarts"])
	if err != nil || field["JobState"] == "" {
		return status{}, fmt.Errorf("scontrol printed %q about task %s, which this version of dla does not understand",
			out, t.ID)
	}
	at := field["PreemptTime"]
	state := State{State: field["JobState"]}
	return status{running: !state.Ended() && state.State != "COMPLETING", timeLimit: field["Reason"] == "TimeLimit",
		preempted: at != "" && at != "None", restarts: restarts}, nil
}

// ErrNoProgress is the error of a task that would be requeued for ever.
var ErrNoProgress = errors.New("its time limit left no time for a single step of training; submit it again with a " +
	"longer --time")

// Leave decides what becomes of the task when a signal has stopped its work and all is saved: warned by the signal that
// comes before the time limit, and at preemption where Slurm is set so, or else by SIGTERM. It requeues the task unless
// Slurm has done so, or the task was cancelled, or nothing has moved until its time was up. It reports whether the task
// will start again. The caller ends afterwards.
func (t Task) Leave(ctx context.Context, warned, moved bool) (again bool, err error) {
	st, err := t.status(ctx)
	switch {
	case err != nil && !warned:
		return false, err
	case err != nil: // a controller that is back in a moment
	case st.restarts > t.Restarts:
		return true, nil
	case !moved && (st.timeLimit || st.running && warned && !st.preempted):
		return false, fmt.Errorf("task %s is not requeued: %w", t.ID, ErrNoProgress)
	case st.timeLimit: // time was up while it saved
	case !st.running: // cancelled
		return false, nil
	case !warned && !st.preempted: // SIGTERM of somebody
		return false, nil
	}
	// One that ends in the grace time before its preemption would count as one that ran out of time, which Slurm leaves
	// there.
	if err = t.Requeue(ctx); err == nil {
		return true, nil
	}
	if st, unknown := t.status(ctx); unknown == nil && st.restarts > t.Restarts { // Slurm was faster
		return true, nil
	}
	return false, err
}
