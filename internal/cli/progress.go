package cli

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"dla/internal/data"
	"dla/internal/train"
)

// progressView shows what a training does: on a terminal a bar for the epoch, and everywhere one
// line for each finished epoch. Steps come by the hundred a second: they only store numbers, which
// the bar reads ten times a second.
type progressView struct {
	s     *Streams
	bars  *mpb.Progress // nil off a terminal
	bar   *mpb.Bar
	loss  atomic.Uint64 // float bits are not needed: micro-units
	acc   atomic.Uint64
	rate  atomic.Uint64 // items a second
	began time.Time
	shown time.Time
	items int
	done  int

	download     string // file being fetched
	downloadMark int64
}

func newProgress(s *Streams) *progressView { return &progressView{s: s} }

// Event shows one event of the training loop.
func (p *progressView) Event(e train.Event) {
	switch e.Kind {
	case train.EpochStart:
		p.Flush()
		p.began, p.items, p.done = time.Now(), 0, e.Step
		if p.s.ErrTTY {
			p.start(fmt.Sprintf("epoch %d/%d ", e.Epoch, e.Epochs), int64(e.Steps), int64(e.Step))
		}
	case train.Step:
		p.items += e.Items
		if p.bar == nil || time.Since(p.shown) < 50*time.Millisecond && e.Step < e.Steps {
			return
		}
		p.shown = time.Now()
		p.loss.Store(uint64(e.Loss * 1e6))
		p.acc.Store(uint64(e.Accuracy * 1e6))
		p.rate.Store(uint64(float64(p.items) / time.Since(p.began).Seconds()))
		p.bar.IncrInt64(int64(e.Step - p.done))
		p.done = e.Step
	case train.EpochEnd:
		p.Flush()
		best := ""
		if e.Best {
			best = "  * best"
		}
		fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.4f  acc %6.2f %%  val_loss %.4f  val_acc %6.2f %%  %6.0f img/s  %5.1f s%s\n", len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
			e.TrainLoss, 100*e.TrainAcc, e.ValLoss, 100*e.ValAcc, e.Throughput, e.Seconds, best)
	}
}

// start draws a bar of total steps, done of which are over.
func (p *progressView) start(name string, total, done int64) {
	colour := mpb.BarStyle()
	if os.Getenv("NO_COLOR") == "" {
		colour = colour.Filler("█").Tip("█").Padding("░").Lbound("").Rbound("").FillerMeta(func(s string) string { return "\x1b[36m" + s + "\x1b[0m" })
	}
	p.bars = mpb.New(mpb.WithOutput(p.s.Err), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.bars.New(total, colour, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name), decor.CountersNoUnit("%d/%d ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return fmt.Sprintf(" loss %.4f  acc %.2f %%  %d img/s  ETA ", float64(p.loss.Load())/1e6, float64(p.acc.Load())/1e4, p.rate.Load())
		}), decor.AverageETA(decor.ET_STYLE_GO)))
	p.bar.SetRefill(done)
	p.bar.IncrInt64(done)
}

// Download shows how far a file has come: a bar's worth on a terminal, a line at its start elsewhere.
func (p *progressView) Download(d data.Progress) {
	if p.download != d.File {
		p.Flush()
		p.download, p.downloadMark = d.File, 0
		if p.s.ErrTTY {
			p.bars = mpb.New(mpb.WithOutput(p.s.Err), mpb.WithWidth(40))
			p.bar = p.bars.New(d.Total, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(d.File+" ")), mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
		} else {
			fmt.Fprintf(p.s.Err, "fetching %s (%.1f MB)\n", d.File, float64(d.Total)/1e6)
		}
	}
	if p.bar != nil {
		p.bar.IncrInt64(d.Done - p.downloadMark)
		p.downloadMark = d.Done
	}
}

// Flush takes the bar away, so that a line can be printed.
func (p *progressView) Flush() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bar, p.bars = nil, nil
	}
}

// Close ends the display.
func (p *progressView) Close() { p.Flush() }
