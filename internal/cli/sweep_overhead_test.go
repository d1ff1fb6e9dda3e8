package cli

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/sweep"
	"dla/internal/train"
)

// TestOverheadOfATrial: from the claim of a trial to the first step of its training little time passes, since all
// trials of a process share their data. The bound is far above what was measured (internal/sweep/README.md): tests
// share a machine.
func TestOverheadOfATrial(t *testing.T) {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, filepath.Dir(t.TempDir()))
	}
	t.Setenv("DLA_DATA", "")
	dir := filepath.Join(t.TempDir(), "study")
	want(t, 3, strings.Fields("sweep lab1 resnet --depth 1 --data synthetic-digits --set data.limit=256 --set data.val=256 "+
		"--epochs 1 --random train.lr=log:1e-3..0.5 --trials 12 --max-time 1ns --out "+dir))
	f, err := sweep.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	cmd := newRootCmd(s)
	cmd.SetContext(t.Context())
	var o trainingFlags
	x, err := o.begin(cmd, s)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	var begun time.Time
	var took []time.Duration
	x.opt.Sink = func(e train.Event) {
		if e.Kind == train.Step && e.Epoch == 1 && e.Step == 1 {
			took = append(took, time.Since(begun))
		}
	}
	w := (&trialMaker{s: s, session: x, folder: f}).worker(0)
	w.Begun = func(sweep.Trial, int) { begun = time.Now() }
	if _, err := w.Run(x.ctx); err != nil {
		t.Fatal(err)
	}
	if len(took) < 10 {
		t.Fatalf("%d first steps", len(took))
	}
	took = took[1:] // the first reads the data
	slices.Sort(took)
	t.Logf("from claim to first step: %s to %s, median %s", took[0], took[len(took)-1], took[len(took)/2])
	if m := took[len(took)/2]; m > 2*time.Second {
		t.Errorf("%s from claim to first step", m)
	}
}
