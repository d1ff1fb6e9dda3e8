package slurm

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"dla/internal/run"
)

// directive returns an option of sbatch as a line of a script. The parser of sbatch knows quotation marks and
// backslashes as escapes, within quotation marks too, and takes # as the beginning of a comment.
func directive(option string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`).MatchString(option) {
		return "#SBATCH " + option + "\n"
	}
	return `#SBATCH "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(option) + "\"\n"
}

// variables are the environment variables by which sbatch would override a line of a script.
func variables(o Options) []string {
	v := []string{"SBATCH_ARRAY_INX=", "SBATCH_JOB_NAME=", "SBATCH_OUTPUT=", "SBATCH_ERROR=", "SBATCH_OPEN_MODE=",
		"SBATCH_REQUEUE=", "SBATCH_NO_REQUEUE=", "SBATCH_SIGNAL=", "SBATCH_WAIT=", "SBATCH_CPUS_PER_TASK="}
	for _, s := range []struct{ value, name string }{{o.Partition, "SBATCH_PARTITION="}, {o.Account, "SBATCH_ACCOUNT="},
		{o.QOS, "SBATCH_QOS="}, {o.Constraint, "SBATCH_CONSTRAINT="}, {o.Time, "SBATCH_TIMELIMIT="},
		{o.Mem, "SBATCH_MEM_PER_NODE="}} {
		if s.value != "" {
			v = append(v, s.name)
		}
	}
	return v
}

// head returns the beginning of a script: everything that sbatch reads. Slurm replaces %a and the like in the path of a
// log, also in what --chdir puts before a relative one, and %% by %. Where there is a backslash it replaces nothing.
func (st Study) head(key, name, log string, o Options, own ...string) string {
	all := append([]string{"--job-name=" + name, "--chdir=" + st.Dir,
		"--output=" + strings.ReplaceAll(st.Dir, "%", "%%") + "/" + path.Join(folder, key, logs, log),
		"--open-mode=append", fmt.Sprintf("--cpus-per-task=%d", o.CPUs)}, own...)
	for _, s := range []struct{ name, value string }{{"partition", o.Partition}, {"account", o.Account}, {"qos", o.QOS},
		{"constraint", o.Constraint}, {"time", o.Time}, {"mem", o.Mem}} {
		if s.value != "" {
			all = append(all, "--"+s.name+"="+s.value)
		}
	}
	var b strings.Builder
	b.WriteString("#!/bin/bash\n")
	for _, option := range append(all, o.Args...) {
		b.WriteString(directive(option))
	}
	return b.String()
}

// arrayScript returns the script of the i-th job array of the submission key. It ends in exec, since a signal reaches
// the shell of a batch job and no program that the shell waits for.
func (st Study) arrayScript(key string, i int, j Job, o Options) string {
	tasks := fmt.Sprintf("0-%d", len(j.Tasks)-1)
	if o.Parallelism > 0 {
		tasks += fmt.Sprintf("%%%d", o.Parallelism)
	}
	file := arrayName(i)
	look, trial := "", ""
	if !st.Any {
		look = "# Line 1 of " + file + tasksExt + " holds the trials of task 0, and so on.\n" +
			`trials=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" ` + path.Join(folder, key, file+tasksExt) + ")\n" +
			`[ -n "$trials" ] || exit 1` + "\n"
		trial = ` --trial "$trials"`
	}
	return st.head(key, j.Name, file+"-%a.log", o, "--array="+tasks, "--requeue",
		fmt.Sprintf("--signal=B:USR1@%d", o.warning())) + "\n# Written by dla sweep.\n" + look + "cd " + run.Quote(st.Cwd) +
		" || exit 1\nexec " + run.Quote(append([]string{st.Program, "sweep", "run", st.Dir}, st.Args...)...) + trial +
		" --submission " + key + ` --threads "${SLURM_CPUS_PER_TASK:-1}"` + "\n"
}

// reportScript returns the script of the job that draws tables and figures.
func (st Study) reportScript(key string, j Job, o Options) string {
	return st.head(key, j.Name, reportName+".log", o) + `
# Written by dla sweep: draws tables and figures when the tasks have ended.
cd ` + run.Quote(st.Cwd) + ` || exit 1
exec ` + run.Quote(append([]string{st.Program}, st.Report...)...) + "\n"
}
