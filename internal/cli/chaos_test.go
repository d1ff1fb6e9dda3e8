package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"dla/internal/atomicfile"
	"dla/internal/hub"
	"dla/internal/labs"
	"dla/internal/run"
)

// What a child of TestChaos reads in its environment.
const (
	killAt  = "DLA_TEST_KILL"       // the operation on the file system that it dies at; 0: it lives
	countIn = "DLA_TEST_OPERATIONS" // the file that it writes the number of its operations to
)

// kill makes this process, where the environment says so, die as by kill -9: at a random instant after an operation on
// the file system has begun, all of which are slowed. done is called when it has come to its end.
func kill() (done func()) {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		return func() {}
	}
	var n atomic.Int64
	atomicfile.Fault = func(string, string) error {
		if n.Add(1) == int64(at) {
			me, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			go func() {
				time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Millisecond))))
				_ = me.Kill()
			}()
		}
		time.Sleep(time.Millisecond)
		return nil
	}
	return func() {
		if at > 0 && n.Load() >= int64(at) { // its end was faster than the kill
			time.Sleep(time.Minute)
		}
		_ = os.WriteFile(os.Getenv(countIn), fmt.Append(nil, n.Load()), 0o600)
	}
}

// victim is a command that is killed.
type victim struct {
	name  string
	ready func() []string // makes what it wants and gives its arguments
	right func() error    // of what it left
	in    string          // the folder that it writes into
}

// TestChaos kills every command that writes a folder or deletes one, at random instants. Whenever that is, what is
// there is whole, the same command goes well then, and what was left is deleted by it. The long form (make chaos)
// kills more often.
func TestChaos(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there a killed process has the exit code of an error")
	}
	script, err := os.ReadFile("testdata/script/finetune.txtar")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	t.Chdir(work)
	for v, to := range map[string]string{"XDG_CACHE_HOME": "cache", "HOME": ".", "LocalAppData": "cache", "HF_HOME": "hub",
		"DLA_DATA": "", "DLA_MODELS": ""} {
		if to != "" {
			to = filepath.Join(work, to)
		}
		t.Setenv(v, to)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// child runs a command to its end, or until it dies at an operation, and says how many there were.
	child := func(at int, args ...string) (operations int, died bool) {
		t.Helper()
		cmd := exec.Command(exe)
		cmd.Args = append([]string{"dla"}, args...)
		count := filepath.Join(work, "operations")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", killAt, at), countIn+"="+count)
		out, err := cmd.CombinedOutput()
		if at > 0 && err != nil && cmd.ProcessState.ExitCode() != 1 {
			return 0, true
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		b, err := os.ReadFile(count)
		if err == nil {
			operations, err = strconv.Atoi(string(b))
		}
		if err != nil {
			t.Fatal(err)
		}
		return operations, false
	}

	for _, v := range victims(t, script, func(args ...string) { child(0, args...) }) {
		operations, _ := child(0, v.ready()...)
		tries, failures := 0, 0
		for range kills {
			args := v.ready()
			if _, died := child(1+rand.IntN(operations), args...); !died {
				t.Errorf("%v was not killed", args)
				continue
			}
			tries++
			if err := v.right(); err != nil {
				t.Errorf("%v was killed: %v", args, err)
				failures++
			}
			child(0, v.ready()...)
			err := v.right()
			list, readErr := os.ReadDir(v.in)
			for _, e := range list {
				if atomicfile.IsTemporary(e.Name()) {
					readErr = fmt.Errorf("%s is left", e.Name())
				}
			}
			if err != nil || readErr != nil {
				t.Errorf("%v was killed, and again it leaves: %v, %v", args, err, readErr)
				failures++
			}
		}
		t.Logf("%-14s %2d operations, killed %d times, %d failures", v.name, operations, tries, failures)
	}
}

// victims makes what the commands want and gives them. The encoder's files are those in script.
func victims(t *testing.T, script []byte, do func(args ...string)) []victim {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for seed, name := range []string{"tiny", "tiny2"} {
		must(os.Mkdir(name, 0o777))
		for _, f := range txtar.Parse(script).Files {
			if in, base := filepath.Split(f.Name); in == "tiny/" {
				must(os.WriteFile(filepath.Join(name, base), f.Data, 0o666))
			}
		}
		must(drawEncoder(name, uint64(seed)))
	}
	var ids, prints []string
	for _, seed := range []string{"0", "1"} {
		do("lab1", "resnet", "--depth", "1", "--res", "--set", "model.width=8", "--data", "synthetic-digits",
			"--fast-dev-run", "--seed", seed)
	}
	trained, err := run.List("runs")
	must(err)
	for _, r := range trained {
		n, err := labs.LoadRun("runs", r.ID)
		must(err)
		ids, prints = append(ids, r.ID), append(prints, n.Weights)
	}
	turn := 0
	next := func() int { turn = 1 - turn; return turn }
	absent := func(path string) bool { _, err := os.Lstat(path); return os.IsNotExist(err) }

	all := []victim{{
		name:  "models export",
		ready: func() []string { return []string{"models", "export", ids[next()], "checkpoints/net"} },
		right: func() error {
			n, err := labs.LoadCheckpoint("checkpoints/net")
			if err == nil && n.Weights != prints[n.Config.Seed] {
				err = fmt.Errorf("the weights of seed %d are %s", n.Config.Seed, n.Weights)
			}
			return err
		},
		in: "checkpoints",
	}, {
		name: "models import",
		ready: func() []string {
			return []string{"models", "import", []string{"tiny", "tiny2"}[next()], "--name", "mine"}
		},
		right: func() error {
			e, err := hub.Find("mine")
			if err != nil {
				return err
			}
			got, err := os.ReadFile(filepath.Join(e.Dir, "model.safetensors"))
			if err != nil {
				return err
			}
			for _, name := range []string{"tiny", "tiny2"} {
				if b, err := os.ReadFile(filepath.Join(name, "model.safetensors")); err == nil && bytes.Equal(got, b) {
					return nil
				}
			}
			return fmt.Errorf("%s has the weights of neither", e.Dir)
		},
		in: filepath.Join(os.Getenv("XDG_CACHE_HOME"), "dla", "models"),
	}, {
		name: "runs rm",
		ready: func() []string {
			id := fmt.Sprintf("copy-%d", rand.Int())
			must(os.CopyFS(filepath.Join("copies", id), os.DirFS(filepath.Join("runs", ids[0]))))
			return []string{"runs", "rm", id, "--yes", "--out", "copies"}
		},
		right: func() error {
			left, err := run.List("copies")
			for _, r := range left {
				if r.Status != run.StatusFinished {
					err = fmt.Errorf("%s is %s: %s", r.ID, r.Status, r.Detail)
				}
			}
			return err
		},
		in: "copies",
	}}
	if kills < 10 { // the others take seconds each time; TestMergeIsWhole and TestSavedSetIsWhole fail each of their operations
		return all
	}
	finetune := []string{"lab3", "finetune", "--encoder", "tiny", "--data", "synthetic-sentences", "--epochs", "1",
		"--out", "tuned"}
	do(finetune...)
	return append(all, victim{
		name: "--merge",
		ready: func() []string {
			must(os.RemoveAll("merged/one"))
			return append(finetune, "--resume", "--merge", "merged/one")
		},
		right: func() error {
			if absent("merged/one") {
				return nil
			}
			_, err := labs.FindSentiment("runs", "merged/one")
			return err
		},
		in: "merged",
	}, victim{
		name: "--save",
		ready: func() []string {
			must(os.RemoveAll("sets/fgsm"))
			return []string{"lab4", "fgsm", "--checkpoint", ids[0], "--save", "sets/fgsm", "--save-as", "safetensors",
				"--attack", "fgsm", "--eps", "8", "--limit", "10"}
		},
		right: func() error {
			for _, name := range []string{"about.json", "adversarial.safetensors"} {
				if _, err := os.Stat(filepath.Join("sets/fgsm", name)); err != nil && !absent("sets/fgsm") {
					return err
				}
			}
			return nil
		},
		in: "sets",
	})
}
