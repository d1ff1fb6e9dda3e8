// Package slurm submits the trials of a study to Slurm as job arrays, reads Slurm's queue and lets a process that is a
// task of such an array requeue itself. It calls sbatch, squeue, scontrol and scancel; nothing of it keeps running.
//
// What was submitted is kept in the study's folder, so that a study is understood after Slurm has forgotten its jobs:
//
//	slurm/001-3fa2b1c0/     a submission
//	    array-1.sh          the script of a job array
//	    array-1.tasks       the trials of each of its tasks: line 1 holds those of task 0
//	    array-1.job         the id that Slurm gave it
//	    report.sh           the script of the job that draws tables and figures afterwards
//	    logs/               what the tasks print: array-1-0.log is that of task 0
//	    cancelled           there once the submission is cancelled: its tasks do nothing any more
//
// The folder appears whole before anything is submitted. A job's name is unique, so that a job is found in the queue
// even if the process that submitted it died before it could write down the id.
package slurm

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Options says how jobs are submitted. An empty field leaves the choice to Slurm.
type Options struct {
	Partition, Account, QOS, Constraint string

	Time        string   // limit of a task as Slurm writes it: minutes, H:M:S, D-H, …
	CPUs        int      // of a task
	Mem         string   // of a task: 4G
	Parallelism int      // tasks that run at the same time; 0: no bound
	PerTask     int      // trials of a task
	Args        []string // further options of sbatch, each --name or --name=value
}

// ours are the options of sbatch that a script sets itself, and why another value would break it.
var ours = map[string]string{
	"array": "tasks stand for trials", "a": "tasks stand for trials",
	"job-name": "jobs are found by it", "J": "jobs are found by it",
	"output": "`dla sweep logs` looks there", "o": "`dla sweep logs` looks there",
	"error": "`dla sweep logs` shows both streams", "e": "`dla sweep logs` shows both streams",
	"chdir": "paths start there", "D": "paths start there",
	"open-mode": "a requeued task appends to its log", "no-requeue": "a task requeues itself at its time limit",
	"wrap": "it takes the place of the script", "wait": "it would wait for the end", "W": "it would wait for the end",
	"parsable": "it is given", "test-only": "nothing would be submitted; use --dry-run",
}

var optionForm = regexp.MustCompile(`^(?:--([a-z0-9-]+)|-([A-Za-z]))(?:=|$)`)

// Check returns an error that names the flag of an invalid option.
func (o Options) Check() error {
	for _, v := range []struct{ flag, value string }{{"partition", o.Partition}, {"account", o.Account}, {"qos", o.QOS},
		{"constraint", o.Constraint}, {"time", o.Time}, {"mem", o.Mem}} {
		if strings.ContainsFunc(v.value, unicode.IsControl) {
			return fmt.Errorf("--%s %q: it holds a control character, which a line of a script cannot", v.flag, v.value)
		}
	}
	if o.Time != "" {
		if _, err := limit(o.Time); err != nil {
			return err
		}
	}
	switch {
	case o.CPUs < 1:
		return fmt.Errorf("--cpus %d: want 1 or more", o.CPUs)
	case o.Parallelism < 0:
		return fmt.Errorf("--array-parallelism %d: want 0 (no bound) or more", o.Parallelism)
	case o.PerTask < 1:
		return fmt.Errorf("--trials-per-task %d: want 1 or more", o.PerTask)
	}
	for _, a := range o.Args {
		m := optionForm.FindStringSubmatch(a)
		switch {
		case m == nil || m[2] != "" && strings.Contains(a, "="):
			return fmt.Errorf("--sbatch-arg %q: want one option of sbatch with its value behind an equals sign, such as "+
				"--sbatch-arg=--gres=gpu:1", a)
		case strings.ContainsFunc(a, unicode.IsControl):
			return fmt.Errorf("--sbatch-arg %q: it holds a control character, which a line of a script cannot", a)
		}
		if why, set := ours[m[1]+m[2]]; set {
			return fmt.Errorf("--sbatch-arg %s: dla sets this option (%s); leave it out", a, why)
		}
	}
	return nil
}

var timeForm = regexp.MustCompile(`^(?:(\d{1,5})-)?(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?$`)

// limit reads a time limit as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
// days-hours:minutes or days-hours:minutes:seconds.
func limit(s string) (time.Duration, error) {
	m := timeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("--time %q: want minutes, minutes:seconds, hours:minutes:seconds, days-hours or "+
			"days-hours:minutes:seconds, as in 90, 2:00:00 or 1-12", s)
	}
	var n [4]time.Duration // days and up to three numbers behind them
	for i := range n {
		v, _ := strconv.Atoi(m[i+1]) // digits, or none: 0
		n[i] = time.Duration(v)
	}
	var d time.Duration
	switch {
	case m[1] != "":
		d = n[0]*24*time.Hour + n[1]*time.Hour + n[2]*time.Minute + n[3]*time.Second
	case m[4] != "":
		d = n[1]*time.Hour + n[2]*time.Minute + n[3]*time.Second
	default:
		d = n[1]*time.Minute + n[2]*time.Second
	}
	if d <= 0 {
		return 0, errors.New("--time 0: want a limit above zero; leave --time out for the limit of the partition")
	}
	return d, nil
}

// warning returns how many seconds before its time limit a task is told. Slurm tells it up to a minute earlier. Two
// minutes are enough for any checkpoint; of a short limit they take a quarter.
func (o Options) warning() int {
	const usual = 2 * time.Minute
	d, err := limit(o.Time)
	if err != nil {
		return int(usual / time.Second)
	}
	return int(min(usual, d/4) / time.Second)
}
