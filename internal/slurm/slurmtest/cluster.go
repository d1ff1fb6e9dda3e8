//go:build slurm

// Package slurmtest starts a real Slurm for tests, which `make test-slurm` runs.
package slurmtest

import (
	_ "embed" // the scripts
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	//go:embed slurm-up.sh
	up []byte
	//go:embed slurm-down.sh
	down []byte
)

// Up starts a cluster of two nodes with two processors each for the test, by the scripts beside this file, or by those
// in the folder of the script that DLA_SLURM_UP names. The test is skipped where Slurm is missing and cannot be
// installed.
func Up(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // munged wants a socket that everybody gets at
		t.Fatal(err)
	}
	script := os.Getenv("DLA_SLURM_UP")
	if script == "" {
		script = filepath.Join(dir, "slurm-up.sh")
		for path, content := range map[string][]byte{script: up, filepath.Join(dir, "slurm-down.sh"): down} {
			if err := os.WriteFile(path, content, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	env := append(os.Environ(), "SLURM_TEST_DIR="+dir, "SLURM_TEST_NODES=2",
		fmt.Sprint("SLURM_TEST_PORT=", 20000+os.Getpid()%1000*4)) // tests of two packages at once
	t.Cleanup(func() {
		cmd := exec.Command(filepath.Join(filepath.Dir(script), "slurm-down.sh"))
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil && !t.Skipped() {
			t.Errorf("%v: %s", err, out)
		}
	})
	// Files, not pipes: the daemons hold what they inherit.
	said := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	out, errs := said("out"), said("err")
	defer out.Close()
	defer errs.Close()
	cmd := exec.Command(script)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, errs
	err := cmd.Run()
	conf, _ := os.ReadFile(out.Name())
	if err != nil {
		why, _ := os.ReadFile(errs.Name())
		if exec.Command("bash", "-c", "PATH=$PATH:/usr/sbin; type slurmctld slurmd sbatch munged").Run() == nil {
			t.Fatalf("the cluster does not come up: %v\n%s", err, why)
		}
		t.Skipf("there is no Slurm, and it cannot be installed: %v\n%s", err, why)
	}
	t.Setenv("SLURM_CONF", strings.TrimSpace(string(conf)))
}

// Eventually waits until ok holds, two minutes at most.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	out, _ := exec.Command("squeue", "-t", "all").CombinedOutput()
	errs, _ := exec.Command("bash", "-c",
		`grep -h -E 'error|requeue|Requeue' "$(dirname "$SLURM_CONF")"/log/*`).CombinedOutput()
	t.Fatalf("waited in vain: %s\n%s%s", what, out, errs)
}

// Do runs a program of Slurm and returns what it prints.
func Do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
