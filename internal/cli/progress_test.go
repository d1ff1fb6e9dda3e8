package cli

import (
	"bytes"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"dla/internal/data"
	"dla/internal/train"
)

// epoch sends the events of an epoch of four steps, each taking pause.
func epoch(p *progressView, pause time.Duration) {
	p.Event(train.Event{Kind: train.EpochStart, Epoch: 3, Epochs: 10, Steps: 4})
	for i := 1; i <= 4; i++ {
		time.Sleep(pause)
		p.Event(train.Event{Kind: train.Step, Epoch: 3, Epochs: 10, Step: i, Steps: 4, Items: 128, Loss: 0.5, Accuracy: 0.75})
	}
	p.Event(train.Event{Kind: train.EvalStart, Steps: 1})
	p.Event(train.Event{Kind: train.EvalStep, Step: 1, Steps: 1, Items: 128})
	p.Event(train.Event{Kind: train.EpochEnd, Epoch: 3, Epochs: 10, TrainLoss: 0.0512, TrainAcc: 0.9841, ValLoss: 0.0701,
		ValAcc: 0.979, Throughput: 12345, Seconds: 4.06, Best: true})
	p.Close()
}

// terminal is a stream that several may write to.
type terminal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(b)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

const epochLine = "epoch  3/10  loss 0.0512  acc  98.41 %  val_loss 0.0701  val_acc  97.90 %   12345 img/s    4.1 s  * best\n"

func TestProgressOffATerminalIsOneLineAnEpoch(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&Streams{Err: &out})
	p.Download(data.Progress{File: "a.gz", Total: 2e6})
	p.Download(data.Progress{File: "a.gz", Total: 2e6, Done: 1e6})
	epoch(p, 0)
	if want := "fetching a.gz (2.0 MB)\n" + epochLine; out.String() != want {
		t.Errorf("printed %q\nwant    %q", out.String(), want)
	}
}

// TestProgressOffATerminalSaysWhatIsLeft of the whole command: the log of a study is all that its user has.
func TestProgressOffATerminalSaysWhatIsLeft(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&Streams{Err: &out})
	p.rest.start([]string{"a", "a", "b"}, time.Now())
	e := train.Event{Kind: train.EpochStart, Epoch: 1, Epochs: 10, Steps: 4, ValLoss: math.NaN()}
	p.Event(e)
	p.rest.trains = time.Now().Add(-10100 * time.Millisecond)
	e.Kind = train.EpochEnd
	p.Event(e)
	if want := "    0.0 s  left 4m53s\n"; !strings.HasSuffix(out.String(), want) { // 9 + 10 + 10 epochs
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestProgressOnATerminalDrawsABar(t *testing.T) {
	for name, tc := range map[string]struct{ noColor, want, not string }{
		"colour":   {"", "\x1b[36m█", "==="},
		"NO_COLOR": {"1", "===", "\x1b[36m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tc.noColor)
			t.Setenv("TERM", "xterm")
			out := &terminal{}
			p := newProgress(&Streams{Err: out, ErrTTY: true})
			p.sparkline = true
			epoch(p, refresh+20*time.Millisecond)
			got := out.String()
			for _, want := range []string{"epoch 3/10", "3/4", " ▄ loss 0.5000  acc 75.00 %", "img/s  ETA", ", all ", tc.want,
				"\x1b[22;2t\x1b]2;dla: epoch 3/10, "} {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing from %q", want, got)
				}
			}
			if strings.Contains(got, tc.not) {
				t.Errorf("%q in %q", tc.not, got)
			}
			got, titled := strings.CutSuffix(got, "\x1b]2;\x07\x1b[23;2t")
			if !strings.HasSuffix(got, epochLine) || !titled {
				t.Errorf("ends with %q, want the line of the epoch, and the title restored", got[max(0, len(got)-200):])
			}
		})
	}
}

// TestProgressStepsAreFree: a training step lasts a few hundred microseconds; showing it must cost
// nothing that counts.
func TestProgressStepsAreFree(t *testing.T) {
	for _, tty := range []bool{false, true} {
		p := newProgress(&Streams{Err: &terminal{}, ErrTTY: tty})
		p.sparkline = true
		p.Event(train.Event{Kind: train.EpochStart, Epoch: 1, Epochs: 1, Steps: 1 << 30})
		e := train.Event{Kind: train.Step, Epoch: 1, Epochs: 1, Step: 1, Steps: 1 << 30, Items: 128}
		if n := testing.AllocsPerRun(1000, func() { p.Event(e) }); n != 0 {
			t.Errorf("terminal %v: %v allocations a step", tty, n)
		}
		p.Close()
	}
}

// TestProgressWithoutAccuracy of a program that has none: its losses to more digits, on a terminal and off it.
func TestProgressWithoutAccuracy(t *testing.T) {
	none := math.NaN()
	var out bytes.Buffer
	p := newProgress(&Streams{Err: &out})
	p.Event(train.Event{Kind: train.EpochEnd, Epoch: 3, Epochs: 10, TrainLoss: 0.0512, TrainAcc: none, ValLoss: 0.00701,
		ValAcc: none, Throughput: 345, Seconds: 4.06})
	if want := "epoch  3/10  loss 0.051200  val_loss 0.007010     345 img/s    4.1 s\n"; out.String() != want {
		t.Errorf("printed %q\nwant    %q", out.String(), want)
	}
	p.loss.Store(math.Float64bits(0.01))
	p.acc.Store(math.Float64bits(none))
	if got := p.readings(); got != " loss 0.010000  0 img/s  ETA 0s" {
		t.Errorf("beside the bar: %q", got)
	}
}
