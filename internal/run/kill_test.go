package run

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// trainForever, in the environment, makes this test program train the run it names until it is killed.
const trainForever = "DLA_TEST_TRAIN_FOREVER"

func TestMain(m *testing.M) {
	if root := os.Getenv(trainForever); root != "" {
		if err := train(root); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// train resumes the one run under root and trains without end.
func train(root string) error {
	all, err := List(root)
	if err != nil || len(all) != 1 {
		return errors.Join(errors.New("no run to train"), err)
	}
	r, err := Resume(root, all[0].ID, spec().Env, false)
	if err != nil {
		return err
	}
	c, err := r.Restore()
	if err != nil {
		return err
	}
	n := 0
	if c != nil {
		n = c.Epoch
	}
	fmt.Println("training")
	for {
		n++
		if err := trainEpoch(r, n); err != nil {
			return err
		}
	}
}

// TestSIGKILL kills a training process at random moments. Its lock must be free at once and the
// checkpoint whole.
func TestSIGKILL(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	reached := 0
	for range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), trainForever+"="+root)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal("the child did not start training")
		}
		if _, err := Resume(root, r.ID(), spec().Env, false); err == nil {
			t.Error("a run in training was resumed")
		}
		time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed, so never nil

		rec, err := Find(root, r.ID())
		if err != nil || rec.Status != StatusInterrupted {
			t.Errorf("a killed run is listed as %s (%s), %v", rec.Status, rec.Detail, err)
		}
		r := resume(t, root, r.ID())
		c, err := r.Restore()
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			checkWhole(t, r, c)
			if c.Epoch < reached {
				t.Errorf("back at epoch %d, from %d", c.Epoch, reached)
			}
			reached = c.Epoch
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if reached == 0 {
		t.Error("no epoch was ever saved")
	}
}
