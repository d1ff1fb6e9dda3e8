package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// patience is how long a program of Slurm may take. It gives up a controller that is down within a minute, but sbatch
// tries again and again while the cluster takes no more jobs (MaxJobCount). Tests shorten it.
var patience = 2 * time.Minute

// ErrNoSlurm is the error of a machine without Slurm's programs.
var ErrNoSlurm = errors.New("there is no Slurm on this machine")

// call runs a program of Slurm and returns what it prints. without are variables that it shall not see.
func call(ctx context.Context, without []string, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not found: %w; type the command on a login node of the cluster", name, ErrNoSlurm)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
	})
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Run(); err == nil {
		return out.String(), nil
	}
	said := strings.Join(strings.Fields(errs.String()), " ")
	switch {
	case ctx.Err() != nil && said == "":
		return "", fmt.Errorf("%s did not answer within %s; see whether Slurm runs, with `scontrol ping`", name, patience)
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end within %s, and said: %s", name, patience, said)
	case said == "":
		said = err.Error()
	}
	return "", &refusal{name, said}
}

// refusal is the error of a program of Slurm that ran and failed.
type refusal struct{ program, said string }

func (r *refusal) Error() string { return r.program + " failed: " + r.said }

// unknownJob reports whether err says that Slurm knows no such job (any more).
func unknownJob(err error) bool {
	var r *refusal
	return errors.As(err, &r) && strings.Contains(r.said, "Invalid job id")
}
