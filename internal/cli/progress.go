package cli

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"dla/internal/data"
	"dla/internal/train"
)

// progressView shows what a training does: on a terminal a bar for the epoch, and everywhere one
// line for each finished epoch. Steps come by the hundred a second, so a step only counts; ten times
// a second the bar is told, and what it shows is read from atomics by the goroutine that draws it.
type progressView struct {
	s     *Streams
	items string        // what a training goes through: images, sentences
	bars  *mpb.Progress // nil off a terminal
	bar   *mpb.Bar
	name  string        // of the pass the bar is about
	loss  atomic.Uint64 // bits of a float64
	acc   atomic.Uint64
	rate  atomic.Uint64 // items a second
	left  atomic.Int64  // nanoseconds to the end of the pass
	began time.Time     // when the pass did
	shown time.Time     // when the bar was last told
	done  int           // items, since began
	first int           // steps that were over then

	download     string // what is being done to which file
	downloadMark int64
}

// refresh is how often the bar is told and drawn.
const refresh = 100 * time.Millisecond

// heartbeat is how often there is a line off a terminal, of a pass that no line follows.
const heartbeat = 30 * time.Second

func newProgress(s *Streams) *progressView { return &progressView{s: s, items: "images"} }

// Event shows one event of the training loop.
func (p *progressView) Event(e train.Event) {
	switch e.Kind {
	case train.EpochStart:
		p.pass(fmt.Sprintf("epoch %d/%d ", e.Epoch, e.Epochs), e.Step)
	case train.EvalStart:
		p.pass(cmp.Or(e.Message, "evaluation")+" ", 0)
	case train.Step, train.EvalStep:
		p.step(e)
	case train.EpochEnd:
		p.Flush()
		best := ""
		if e.Best {
			best = "  * best"
		}
		if math.IsNaN(e.ValAcc) {
			fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.6f  val_loss %.6f  %6.0f %s/s  %5.1f s%s\n", len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
				e.TrainLoss, e.ValLoss, e.Throughput, p.unit(), e.Seconds, best)
			return
		}
		fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.4f  acc %6.2f %%  val_loss %.4f  val_acc %6.2f %%  %6.0f %s/s  %5.1f s%s\n", len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
			e.TrainLoss, 100*e.TrainAcc, e.ValLoss, 100*e.ValAcc, e.Throughput, p.unit(), e.Seconds, best)
	}
}

// pass begins a pass over a set, done steps of which are over. Its bar comes with the first step
// that is worth showing: a pass shorter than that has none.
func (p *progressView) pass(name string, done int) {
	p.Flush()
	p.name, p.began, p.done, p.first = name, time.Now(), 0, done
	p.shown = p.began
}

// step counts a step and, now and then, tells the bar.
func (p *progressView) step(e train.Event) {
	p.done += e.Items
	now := time.Now()
	if !p.s.ErrTTY {
		if math.IsNaN(e.Loss) && math.IsNaN(e.Accuracy) && now.Sub(p.shown) >= heartbeat {
			p.shown = now
			fmt.Fprintf(p.s.Err, "%s%d/%d\n", p.name, e.Step, e.Steps)
		}
		return
	}
	if now.Sub(p.shown) < refresh && (p.bar == nil || e.Step < e.Steps) {
		return
	}
	p.shown = now
	elapsed := now.Sub(p.began)
	p.loss.Store(math.Float64bits(e.Loss))
	p.acc.Store(math.Float64bits(e.Accuracy))
	p.rate.Store(uint64(float64(p.done) / elapsed.Seconds()))
	p.left.Store(int64(elapsed) / int64(max(e.Step-p.first, 1)) * int64(e.Steps-e.Step))
	if p.bar == nil {
		p.bars = mpb.New(mpb.WithOutput(p.s.barsOut()), mpb.WithAutoRefresh(), mpb.WithWidth(100),
			mpb.WithRefreshRate(refresh))
		p.bar = p.bars.New(int64(e.Steps), barStyle(), mpb.BarWidth(40), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(string(escaped([]byte(p.name)))), decor.CountersNoUnit("%d/%d ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.readings() })))
	}
	p.bar.SetCurrent(int64(e.Step))
}

// readings are the numbers beside the bar; the drawing goroutine calls it.
func (p *progressView) readings() string {
	lossValue, acc := math.Float64frombits(p.loss.Load()), math.Float64frombits(p.acc.Load())
	loss := fmt.Sprintf(" loss %.4f  acc %.2f %%", lossValue, 100*acc)
	switch {
	case math.IsNaN(acc) && math.IsNaN(lossValue): // nothing is learnt or tested
		loss = ""
	case math.IsNaN(acc):
		loss = fmt.Sprintf(" loss %.6f", lossValue)
	case math.IsNaN(lossValue): // under attack there is none worth showing
		loss = fmt.Sprintf(" acc %.2f %%", 100*acc)
	}
	return fmt.Sprintf("%s  %d %s/s  ETA %s", loss, p.rate.Load(), p.unit(), time.Duration(p.left.Load()).Round(time.Second))
}

// unit is short for the items: img for images.
func (p *progressView) unit() string {
	if p.items == "images" {
		return "img"
	}
	return p.items
}

// barStyle is a cyan block bar, or mpb's ASCII one under NO_COLOR.
func barStyle() mpb.BarStyleComposer {
	style := mpb.BarStyle()
	if os.Getenv("NO_COLOR") != "" {
		return style
	}
	cyan := func(s string) string { return "\x1b[36m" + s + "\x1b[0m" }
	return style.Filler("█").Tip("█").Padding("░").Lbound("").Rbound("").FillerMeta(cyan).TipMeta(cyan)
}

// Download shows how far a file has been fetched or decoded: a bar's worth on a terminal, a line at its
// start elsewhere.
func (p *progressView) Download(d data.Progress) {
	what := cmp.Or(d.Verb, "fetching") + " " + d.File
	if p.download != what {
		p.Flush()
		p.download, p.downloadMark = what, 0
		if p.s.ErrTTY {
			p.bars = mpb.New(mpb.WithOutput(p.s.barsOut()), mpb.WithAutoRefresh(), mpb.WithWidth(40))
			p.bar = p.bars.New(d.Total, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(string(escaped([]byte(what)))+" ")),
				mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
		} else {
			fmt.Fprintf(p.s.Err, "%s (%.1f MB)\n", what, float64(d.Total)/1e6)
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
