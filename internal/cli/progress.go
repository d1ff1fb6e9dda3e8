package cli

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"dla/internal/data"
	"dla/internal/train"
	"dla/internal/watch"
)

// progressView shows the progress of a training: on a terminal a bar for the epoch, and everywhere one line per
// finished epoch. There may be hundreds of steps per second, so a step only counts; the bar is updated ten times per
// second, and the goroutine that draws it reads its values from atomics.
type progressView struct {
	s     *Streams
	items string        // images or sentences
	bars  *mpb.Progress // nil off a terminal
	bar   *mpb.Bar
	name  string        // of the current pass
	loss  atomic.Uint64 // bits of a float64
	acc   atomic.Uint64
	rate  atomic.Uint64 // items per second
	left  atomic.Int64  // nanoseconds to the end of the pass
	began time.Time     // start of the pass
	shown time.Time     // last update of the bar
	done  int           // items, since began
	first int           // steps done before began

	rest      remaining
	all       atomic.Int64 // nanoseconds to the end of the command; negative: not known
	title     titleLine
	sparkline bool      // draw the losses of the epochs
	losses    []float64 // of the present training's epochs
	spark     atomic.Pointer[string]

	download     string // action and file of a download
	downloadMark int64
}

// refresh is the interval between updates of the bar.
const refresh = 100 * time.Millisecond

// heartbeat is the interval between lines off a terminal, for passes that print no closing line.
const heartbeat = 30 * time.Second

func newProgress(s *Streams) *progressView {
	p := &progressView{s: s, items: "images", title: titleLine{s: s}}
	p.all.Store(-1)
	p.rest.start([]string{""}, time.Now())
	return p
}

// Ended notes the end of a run of the command.
func (p *progressView) Ended(reused bool) {
	p.Flush()
	p.rest.ended(reused, time.Now())
	p.losses = nil
}

// leftText returns how long the command goes on, after the words of prefix; "" where that is not known or nothing.
func (p *progressView) leftText(prefix string) string {
	if d, ok := p.rest.left(time.Now()); ok && d >= time.Second {
		return prefix + watch.Short(d)
	}
	return ""
}

// Event shows one event of the training loop.
func (p *progressView) Event(e train.Event) {
	switch e.Kind {
	case train.EpochStart, train.Step, train.EpochEnd:
		p.rest.event(e, time.Now())
	}
	switch e.Kind {
	case train.EpochStart:
		if e.Epoch <= len(p.losses) {
			p.losses = p.losses[:0]
		}
		p.pass(fmt.Sprintf("epoch %d/%d ", e.Epoch, e.Epochs), e.Step)
	case train.EvalStart:
		p.pass(cmp.Or(e.Message, "evaluation")+" ", 0)
	case train.Step, train.EvalStep:
		p.step(e)
	case train.EpochEnd:
		p.Flush()
		p.losses = append(p.losses, e.TrainLoss)
		p.showRemaining(e, time.Now())
		best := ""
		if !p.s.ErrTTY { // else the bar and the title say it
			best = p.leftText("  left ")
		}
		if e.Best {
			best += "  * best"
		}
		if math.IsNaN(e.ValLoss) { // no validation images
			fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.4f  acc %6.2f %%  %6.0f %s/s  %5.1f s%s\n",
				len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs, e.TrainLoss, 100*e.TrainAcc, e.Throughput, p.unit(), e.Seconds,
				best)
			return
		}
		if math.IsNaN(e.ValAcc) {
			fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.6f  val_loss %.6f  %6.0f %s/s  %5.1f s%s\n",
				len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
				e.TrainLoss, e.ValLoss, e.Throughput, p.unit(), e.Seconds, best)
			return
		}
		fmt.Fprintf(p.s.Err, "epoch %*d/%d  loss %.4f  acc %6.2f %%  val_loss %.4f  val_acc %6.2f %%  %6.0f %s/s  "+
			"%5.1f s%s\n", len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
			e.TrainLoss, 100*e.TrainAcc, e.ValLoss, 100*e.ValAcc, e.Throughput, p.unit(), e.Seconds, best)
	}
}

// pass begins a pass over a set with done steps done already. Its bar appears with the first update, so a shorter pass
// has none.
func (p *progressView) pass(name string, done int) {
	p.Flush()
	p.name, p.began, p.done, p.first = name, time.Now(), 0, done
	p.shown = p.began
}

// step counts a step and updates the bar at intervals.
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
	p.showRemaining(e, now)
	if p.bar == nil {
		p.bars = mpb.New(mpb.WithOutput(p.s.barsOut()), mpb.WithAutoRefresh(), mpb.WithWidth(100),
			mpb.WithRefreshRate(refresh))
		p.bar = p.bars.New(int64(e.Steps), barStyle(), mpb.BarWidth(40), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(string(escaped([]byte(p.name)))), decor.CountersNoUnit("%d/%d ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.readings() })))
	}
	p.bar.SetCurrent(int64(e.Step))
}

// showRemaining updates, on a terminal, what is left of the command, beside the bar and in the terminal's title.
func (p *progressView) showRemaining(e train.Event, now time.Time) {
	if !p.s.ErrTTY {
		return
	}
	d, ok := p.rest.left(now)
	if !ok {
		d = -1
	}
	p.all.Store(int64(d))
	title := "dla"
	if n := len(p.rest.kinds); n > 1 {
		title += fmt.Sprintf(" %d/%d", p.rest.at+1, n)
	}
	if title += ": " + strings.TrimSpace(p.name); ok {
		title += ", " + watch.Short(d) + " left"
	}
	p.title.set(title, now)
	if p.sparkline && e.Kind == train.Step {
		text := " " + sparkline(append(p.losses[:len(p.losses):len(p.losses)], e.Loss))
		p.spark.Store(&text)
	}
}

// readings returns the numbers beside the bar. The drawing goroutine calls it.
func (p *progressView) readings() string {
	lossValue, acc := math.Float64frombits(p.loss.Load()), math.Float64frombits(p.acc.Load())
	loss := fmt.Sprintf(" loss %.4f  acc %.2f %%", lossValue, 100*acc)
	switch {
	case math.IsNaN(acc) && math.IsNaN(lossValue): // neither trained nor evaluated
		loss = ""
	case math.IsNaN(acc):
		loss = fmt.Sprintf(" loss %.6f", lossValue)
	case math.IsNaN(lossValue): // attacks report no loss
		loss = fmt.Sprintf(" acc %.2f %%", 100*acc)
	}
	text := fmt.Sprintf("%s  %d %s/s  ETA %s", loss, p.rate.Load(), p.unit(),
		time.Duration(p.left.Load()).Round(time.Second))
	if all := time.Duration(p.all.Load()); all >= time.Second {
		text += ", all " + watch.Short(all)
	}
	if spark := p.spark.Load(); spark != nil {
		text = *spark + text
	}
	return text
}

// unit returns a short name of the items: img for images.
func (p *progressView) unit() string {
	if p.items == "images" {
		return "img"
	}
	return p.items
}

// barStyle returns a cyan block bar, or mpb's ASCII bar under NO_COLOR.
func barStyle() mpb.BarStyleComposer {
	style := mpb.BarStyle()
	if os.Getenv("NO_COLOR") != "" {
		return style
	}
	cyan := func(s string) string { return "\x1b[36m" + s + "\x1b[0m" }
	return style.Filler("█").Tip("█").Padding("░").Lbound("").Rbound("").FillerMeta(cyan).TipMeta(cyan)
}

// Download shows the progress of fetching or decoding a file: a bar on a terminal, elsewhere a line at its start.
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

// Flush removes the bar, so that a line can be printed.
func (p *progressView) Flush() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bar, p.bars = nil, nil
	}
}

// Close ends the display.
func (p *progressView) Close() {
	p.Flush()
	p.title.restore()
}
