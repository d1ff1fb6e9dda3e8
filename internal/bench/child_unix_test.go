//go:build unix

package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func shell(script string) *Peer {
	return &Peer{Command: []string{"sh", "-c", script, "sh"}, Threads: 3}
}

// TestPeerRuns: what it is called with, and what it is told.
func TestPeerRuns(t *testing.T) {
	lines, err := shell(`echo "{\"case\": \"$1 $THREADS\", \"min_s\": 1, \"median_s\": 1, \"per_s\": 128, \"n\": 1}"`).run(context.Background(), "mlp d5")
	if err != nil || len(lines) != 1 || lines[0].Case != "mlp d5 3" {
		t.Errorf("%+v, error %v", lines, err)
	}
	_, err = shell(`echo first >&2; echo "the reason" >&2; exit 3`).run(context.Background(), "mlp")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: the reason; run it by itself") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("a peer that fails: error %v", err)
	}
}

// TestPeerEndsWithTheContext, and so does what it has started.
func TestPeerEndsWithTheContext(t *testing.T) {
	late := filepath.Join(t.TempDir(), "late")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := shell(`(sleep 1; touch '`+late+`') & wait`).run(ctx, "mlp")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 900*time.Millisecond {
		t.Errorf("after %v: error %v", time.Since(start), err)
	}
	time.Sleep(time.Until(start.Add(1300 * time.Millisecond)))
	if _, err := os.Stat(late); err == nil {
		t.Error("a process that the peer had started went on")
	}
}
