package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/data"
)

// chaosEnv holds, in the environment of a child of TestChaos, what that is to meet.
const chaosEnv = "DLA_TEST_CHAOS"

// disturbance is what a child meets. Operations on files are counted from 1, as atomicfile.Fault sees them.
type disturbance struct {
	Count  string // the file that it writes the number of its operations to
	KillAt int    // all operations are slowed, and at this one it dies as by kill -9
	FailAt int    // this one fails, as on a full disk
	Set    smallSet
}

// disturb readies this process for what its environment says. done is called when it has come to its end.
func disturb() (done func()) {
	text := os.Getenv(chaosEnv)
	if text == "" {
		return func() {}
	}
	var d disturbance
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		panic(err)
	}
	d.Set.publish()
	if d.Count == "" && d.KillAt == 0 && d.FailAt == 0 {
		return func() {}
	}
	var n atomic.Int64
	atomicfile.Fault = func(operation, path string) error {
		at := int(n.Add(1))
		if d.KillAt > 0 {
			time.Sleep(time.Millisecond)
		}
		switch at {
		case d.KillAt:
			me, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			go func() { // at a random instant of what begins here, which a save is made of
				time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Millisecond))))
				_ = me.Kill()
			}()
		case d.FailAt:
			return &fs.PathError{Op: operation, Path: path, Err: syscall.ENOSPC}
		}
		return nil
	}
	return func() {
		if d.KillAt > 0 && int(n.Load()) >= d.KillAt { // its end was faster than the kill
			time.Sleep(time.Minute)
		}
		_ = os.WriteFile(d.Count, fmt.Append(nil, n.Load()), 0o600)
	}
}

// smallSet takes the place of CIFAR-10 in a child: some images in the published form, which are fetched, imported
// and decoded in no time.
type smallSet struct {
	Archive     data.File
	Mirror      string
	Fingerprint string
}

// publish puts the set into the catalogue of this process.
func (s smallSet) publish() {
	for i, e := range data.Catalogue {
		if e.Name != "cifar10" || s.Archive.Name == "" {
			continue
		}
		forms := append([]data.Form{}, e.Forms...)
		forms[0].Files, forms[0].Mirrors = []data.File{s.Archive}, []string{s.Mirror}
		data.Catalogue[i].Forms, data.Catalogue[i].Fingerprint = forms, s.Fingerprint
	}
}
