package sweep

// Claims. The K-th attempt at trial N is the file claims/N-K. Whoever creates it, exclusively, makes the attempt, and
// nobody else ever writes to it. Its owner counts up a number in it every few seconds, and at the end replaces it by
// what came of the attempt. A claim whose number stands still for long by the observer's own clock, or whose process
// is known to be gone, is taken over by creating N-(K+1): of two takers one fails. No claim is removed or renamed, no
// times of two machines are compared, and nothing but exclusive creation and renaming is asked of the file system.
//
// An owner that could not count for half that time, since it was stopped or its file system was away, gives up by
// itself before anybody may take over, and writes no more to the run (run.Run.Guard).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
	"dla/internal/slurm"
)

// Times of claims. Tests shorten them.
var (
	beatEvery  = 5 * time.Second
	staleAfter = time.Minute // without a count, by the observer's clock
)

// attempt is the content of a claim.
type attempt struct {
	Trial   int     `json:"trial"`
	Attempt int     `json:"attempt"`
	Owner   string  `json:"owner"` // see atomicfile.Owner
	Host    string  `json:"host"`
	PID     int     `json:"pid"`
	Job     string  `json:"job,omitempty"`    // of Slurm: 123_4 for a task of an array
	Restart int     `json:"restart"`          // of that job, from 0
	Target  int     `json:"target"`           // the epoch to come to; 0: the last
	Beat    int     `json:"beat"`             // counted up while the owner lives
	Status  Status  `json:"status"`           // Running, or what came of it
	Detail  string  `json:"detail,omitempty"` // of a failure
	Seconds float64 `json:"seconds"`          // of training, in all attempts
	// Curve is the objective after each epoch: that of the epoch selected so far.
	Curve []float64 `json:"curve,omitempty"`
	Test  *Test     `json:"test,omitempty"` // of the winner
}

// Test is the result on the test set.
type Test struct {
	Reached  string   `json:"reached"`            // test accuracy 97.80 %
	Accuracy *float64 `json:"accuracy,omitempty"` // a fraction, where there is one
}

const maxClaim = 1 << 20 // bytes

func claimName(n, k int) string { return fmt.Sprintf("%05d-%d", n, k) }

// parseClaim returns the trial and the attempt in a claim's name; ok is false for another file.
func parseClaim(name string) (n, k int, ok bool) {
	a, b, found := strings.Cut(name, "-")
	if !found {
		return 0, 0, false
	}
	n, err := strconv.Atoi(a)
	if err == nil {
		k, err = strconv.Atoi(b)
	}
	return n, k, err == nil && n > 0 && k > 0 && claimName(n, k) == name
}

// self describes this process.
func self() attempt {
	host, _ := os.Hostname() // for people to read
	t, _ := slurm.Here()
	return attempt{Owner: atomicfile.Owner(), Host: host, PID: os.Getpid(), Job: t.ID, Restart: t.Restarts,
		Status: Running}
}

// Claim is an attempt that this process makes.
type Claim struct {
	dir    string
	cancel context.CancelCauseFunc
	stop   func() // ends the counting

	mu     sync.Mutex
	a      attempt
	beaten time.Time // when the last count was begun that arrived
	lost   error
}

// ErrLost is wrapped by the errors of a process that has lost its claim.
var ErrLost = errors.New("the trial was taken over by another process")

// take makes the k-th attempt at trial n this process's. It returns nil if it is another's. cancel is called if the
// claim is lost.
func take(dir string, n, k, target int, cancel context.CancelCauseFunc) (*Claim, error) {
	c := &Claim{dir: dir, cancel: cancel, a: self()}
	c.a.Trial, c.a.Attempt, c.a.Target = n, k, target
	b, err := json.Marshal(c.a)
	if err != nil {
		return nil, err
	}
	c.beaten = time.Now()
	f, err := os.OpenFile(c.path(k), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("claiming trial %d: %w", n, err)
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go c.count(done, gone)
	c.stop = sync.OnceFunc(func() { close(done); <-gone })
	return c, nil
}

func (c *Claim) path(k int) string { return filepath.Join(c.dir, claimsDir, claimName(c.a.Trial, k)) }

// count counts up the claim's number until done is closed.
func (c *Claim) count(done <-chan struct{}, gone chan<- struct{}) {
	defer close(gone)
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
		}
		if c.Err() != nil {
			return
		}
		began := time.Now()
		c.a.Beat++
		b, err := json.Marshal(c.a)
		if err == nil {
			err = overwrite(c.path(c.a.Attempt), b)
		}
		if err == nil { // else it is tried again until Err says that it was too long
			c.mu.Lock()
			c.beaten = began
			c.mu.Unlock()
		}
	}
}

// overwrite writes b over the beginning of the file at path, which must be there.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// Err returns an error that wraps ErrLost once the claim may be another's.
func (c *Claim) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost != nil {
		return c.lost
	}
	now := time.Now()
	// The monotonic clock stands still while a machine sleeps, and the other one may be set.
	since := max(now.Sub(c.beaten), now.Round(0).Sub(c.beaten.Round(0)))
	if _, err := os.Lstat(c.path(c.a.Attempt + 1)); err == nil {
		c.lost = fmt.Errorf("trial %d: %w", c.a.Trial, ErrLost)
	} else if since > staleAfter/2 {
		c.lost = fmt.Errorf("trial %d: %w, or may be: this one could not renew its claim for %s", c.a.Trial, ErrLost,
			since.Round(time.Second))
	}
	if c.lost != nil {
		c.cancel(c.lost)
	}
	return c.lost
}

// end records what came of the attempt. Of a lost claim it records that alone, for those who know that this process
// lives, and returns the error.
func (c *Claim) end(a attempt) error {
	c.stop()
	lost := c.Err()
	if lost != nil {
		a = attempt{Status: Stopped, Detail: lost.Error()}
	}
	return errors.Join(lost, c.write(a))
}

// write replaces the claim by a.
func (c *Claim) write(a attempt) error {
	a.Trial, a.Attempt, a.Owner, a.Host, a.PID = c.a.Trial, c.a.Attempt, c.a.Owner, c.a.Host, c.a.PID
	a.Job, a.Restart, a.Target, a.Beat = c.a.Job, c.a.Restart, c.a.Target, c.a.Beat
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(c.path(a.Attempt), append(b, '\n'))
}

// readAttempt reads a claim. ok is false if it is being written, or its owner died in writing it.
func readAttempt(path string) (a attempt, content string, ok bool, err error) {
	b, err := plainfile.Read(path, maxClaim)
	if err != nil {
		return a, "", false, err
	}
	ok = json.Unmarshal(b, &a) == nil && a.Status != ""
	return a, string(b), ok, nil
}

// look is what an observer last saw of a claim.
type look struct {
	content string
	since   time.Time
	moved   bool // it has changed under this observer's eyes
}

// gone reports whether the owner of the claim called name is gone: by its process on this host, by its job, else by
// a count that stands still. It must be called again and again to find the last.
func (f *Folder) gone(name string, a attempt, content string) bool {
	if gone, known := atomicfile.Gone(a.Owner); known {
		return gone
	}
	if me := self(); a.Job != "" && a.Job == me.Job && a.Restart < me.Restart { // Slurm ended it before it began this one
		return true
	}
	seen, ok := f.looks[name]
	if !ok || seen.content != content {
		f.looks[name] = look{content, time.Now(), ok}
		return false
	}
	return time.Since(seen.since) > staleAfter
}

// alive reports whether the process that has claimed s is known to live.
func (f *Folder) alive(s State) bool {
	gone, known := atomicfile.Gone(s.owner)
	return known && !gone || f.looks[claimName(s.N, s.Attempts)].moved
}
