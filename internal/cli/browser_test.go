//go:build browser

package cli

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dla/internal/config"
	"dla/internal/plot"
	"dla/internal/run"
)

// browser is a tab of Chromium, which reaches this machine alone.
type browser struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string // addresses
	console  []string // errors and warnings
}

// newBrowser starts Chromium.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("this test needs Chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core")
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless,
		chromedp.NoSandbox, // which root must do without; the page is our own
		chromedp.DisableGPU, chromedp.ProxyServer("direct://"), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.WindowSize(1440, 1000))
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); stop() })
	b := &browser{T: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 1000)); err != nil {
		t.Skipf("%s does not start here: %v", path, err)
	}
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		return err
	}))
	sent := chromedp.Events(ctx, network.RequestWillBeSent)
	go func() {
		for e, err := range sent {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.requests = append(b.requests, e.Request.URL)
			b.mu.Unlock()
		}
	}()
	go func() {
		for m := range chromedp.Console(ctx) {
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.Type == chromedp.ConsoleException {
				b.mu.Lock()
				b.console = append(b.console, fmt.Sprintf("%s: %s", m.Type, m.Text))
				b.mu.Unlock()
			}
		}
	}()
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// js returns the value of an expression.
func (b *browser) js(expression string) any {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until the expression is true.
func (b *browser) until(expression string) {
	b.Helper()
	end := time.Now().Add(90 * time.Second)
	for ; b.js("Boolean("+expression+")") != true; time.Sleep(30 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("not so: %s\nthe page: %.3000s", expression, b.js("document.body.innerText"))
		}
	}
}

// want fails the test unless the expression has the value.
func (b *browser) want(expression string, value any) {
	b.Helper()
	if v := b.js(expression); fmt.Sprint(v) != fmt.Sprint(value) {
		b.Errorf("%s is %v, want %v", expression, v, value)
	}
}

// key presses keys.
func (b *browser) key(keys string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// look takes a screenshot, whose colours must show that something is drawn in the colour of the first line. It is kept
// in the folder that DLA_SCREENSHOTS names.
func (b *browser) look(name string, width, height int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	b.js("document.getElementById('view').scrollTop = 0, window.scrollTo(0, 0)")
	time.Sleep(500 * time.Millisecond) // two frames, also on a busy machine
	b.want("document.documentElement.scrollWidth <= innerWidth", true)
	shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		b.Fatal(err)
	}
	line, colours := fmt.Sprint(b.js("shade('"+plot.Palette()[0]+"')")), map[string]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			colours[fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B)]++
		}
	}
	if len(colours) < 50 || colours[line] < 100 {
		b.Errorf("%s: %d colours, %d pixels of %s", name, len(colours), colours[line], line)
	}
	if dir := os.Getenv("DLA_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644); err != nil {
			b.Error(err)
		}
	}
}

// TestPageInABrowser: a run that trains appears, grows and finishes; one that is killed says how to go on; hostile
// records are text; keys do what they should; and no request leaves this machine.
func TestPageInABrowser(t *testing.T) {
	dir := t.TempDir()
	script := `<script>window.hacked=1</script><img src=x onerror="window.hacked=2">`
	hostile, err := run.Create(filepath.Join(dir, "runs"), run.Spec{Experiment: script, Variant: "hostile",
		Label: &run.Label{Network: script}, Config: []byte("seed: 0\n\"" + strings.ReplaceAll(script, `"`, `'`) + "\": 1\n"),
		Env: run.Env{Command: []string{script, strings.Repeat("x", 1<<20)},
			Data: run.DataInfo{Name: "<b>bold", Source: script}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := hostile.SetStatus(run.StatusFailed, script+strings.Repeat("y", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := hostile.Close(); err != nil {
		t.Fatal(err)
	}
	c := config.DefaultResnet() // a config.yaml of 1 MB
	c.Data.Name = strings.Repeat("z", 1<<20)
	text, err := config.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	large, err := run.Create(filepath.Join(dir, "runs"),
		run.Spec{Experiment: "lab1/resnet", Variant: "large", Config: text})
	if err != nil {
		t.Fatal(err)
	}
	if err := large.Close(); err != nil {
		t.Fatal(err)
	}

	server, address := serving(t, dir)
	b := newBrowser(t)
	base := address[:strings.LastIndex(strings.TrimSuffix(address, "/"), "/")+1]
	b.do(chromedp.Navigate(base))
	b.until(`document.body.innerText.includes('needs its token')`)
	b.do(chromedp.Navigate(address))
	b.until(`document.getElementById('live').textContent === 'live'`)

	// Hostile records are text.
	b.until(`rows.size === 2`)
	b.js(`selectAll()`)
	b.until(`document.getElementById('attention').innerText.includes('onerror')`)
	b.js(`open([...series().values()].find(s => s.first.variant === 'hostile').id)`)
	b.until(`document.getElementById('panel').innerText.includes('About')`)
	b.want(`document.getElementById('panel').innerText.includes('<script>window.hacked=1</script>')`, true)
	b.want(`typeof window.hacked`, "undefined")
	b.want(`document.scripts.length`, 5)
	b.want(`document.querySelectorAll('#runs img, #panel img, #attention img, b b').length`, 0)
	b.want(`document.body.innerText.length < 100000`, true)
	b.want(`[...document.querySelectorAll('#runs .status')].map(s => s.className).sort().join()`,
		"status broken,status failed")
	b.js(`show('results'); selectNone(); S.touched = false`)

	// A run that trains, on a fast machine as well for longer than the page looks a few times.
	training := dlaIn(t, dir, "lab1", "resnet", "--depth", "1", "--data", "synthetic-digits", "--epochs", "40")
	var log bytes.Buffer
	training.Stdout, training.Stderr = &log, &log
	if err := training.Start(); err != nil {
		t.Fatal(err)
	}
	b.until(`[...S.runs.values()].some(r => r.status === 'running')`)
	lengths := map[any]bool{}
	for b.js(`[...S.runs.values()].some(r => r.status === 'running')`) == true {
		lengths[b.js(`charts[0].curves && charts[0].curves.length === 1 && charts[0].curves[0].mean.length`)] = true
		if len(lengths) == 4 {
			b.want(`document.querySelector('#runs .running') && document.querySelector('#runs progress').value > 0`, true)
		}
	}
	if err := training.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if len(lengths) < 5 {
		t.Errorf("the curve grew in %d steps: %v", len(lengths), lengths)
	}
	b.until(`[...S.runs.values()].some(r => r.status === 'finished' && r.accuracy > 0)`)
	b.until(`charts[0].curves[0].mean.length === 40`)
	b.until(`document.getElementById('panel').innerText.includes('95 % interval')`)

	// Its figures.
	b.js(`show('figures')`)
	b.until(`[...document.querySelectorAll('.gallery img')].some(i => i.complete && i.naturalWidth > 500)`)
	b.js(`show('results')`)

	// One that is killed, and goes on.
	args := []string{"lab1", "resnet", "--depth", "1", "--data", "synthetic-digits", "--epochs", "300", "--set",
		"data.limit=5000", "--seed", "1"}
	killed := dlaIn(t, dir, args...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	b.until(`[...S.runs.values()].some(r => r.status === 'running' && r.epochs > 2)`)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	b.until(`[...S.runs.values()].some(r => r.status === 'interrupted')`)
	resume := fmt.Sprint(b.js(`[...S.runs.values()].find(r => r.status === 'interrupted').resume`))
	if !strings.HasPrefix(resume, "dla runs resume ") {
		t.Fatalf("resume with %q", resume)
	}
	b.until(`document.getElementById('attention').innerText.includes('` + resume + `')`)
	again := dlaIn(t, dir, append(strings.Fields(resume)[1:], "--max-time", "2s")...)
	if err := again.Run(); again.ProcessState.ExitCode() != 0 && again.ProcessState.ExitCode() != exitMaxTime {
		t.Fatal(err)
	}
	b.until(`[...S.runs.values()].some(r => ['paused', 'finished'].includes(r.status) && r.seed === '1')`)

	// Keys.
	b.js(`document.activeElement.blur()`)
	b.key("/")
	b.want(`document.activeElement.id`, "filter")
	b.js(`document.getElementById('filter').value = ''`) // the driver sends the character as well
	b.key("status:finished")
	b.until(`listed().length === 1`)
	b.key(kb.ArrowDown)
	b.want(`document.activeElement.matches('#runs li:first-child input')`, true)
	b.key("x")
	b.want(`S.selected.size`, 0)
	b.key(" ")
	b.until(`S.selected.size === 1`)
	b.key(kb.Enter)
	b.until(`S.tab === 'run' && document.getElementById('panel').innerText.includes('train.epochs')`)
	b.key("1")
	b.want(`document.querySelector('[role=tab][aria-selected=true]').textContent`, "Results")
	b.key("g")
	b.until(`!S.grouped && S.selected.size >= 1`)
	b.key("g")
	b.key("]")
	b.want(`S.smooth`, 0.1)
	b.key("[")
	b.key("l")
	b.want(`document.getElementById('logy').checked`, false)
	b.key("l")
	b.key("?")
	b.want(`document.getElementById('keys').open`, true)
	b.key(kb.Escape)
	b.until(`!document.getElementById('keys').open`)
	b.js(`document.querySelector('[data-chart=loss] .plot').focus()`)
	b.key(kb.ArrowRight + kb.ArrowRight)
	b.until(`!document.querySelector('[data-chart=loss] .tip').hidden`)
	b.want(`document.querySelector('[data-chart=loss] .tip h4').textContent`, "epoch 2")
	b.js(`document.activeElement.blur()`)
	b.want(`[...document.querySelectorAll('button, input, select')]
		.filter(e => !(e.textContent || e.getAttribute('aria-label') || e.labels && e.labels.length)).length`, 0)

	b.look("light", 1440, 1000, "light")
	b.look("dark", 1440, 1000, "dark")
	b.look("phone", 390, 844, "light")

	// The end.
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
	b.until(`document.getElementById('live').className === 'off'`)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) < 10 {
		t.Errorf("only %d requests were seen", len(b.requests))
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, base) && !strings.HasPrefix(url, "data:") {
			t.Errorf("a request to %.200s", url)
		}
	}
	for _, m := range b.console {
		if !strings.Contains(m, "403") && !strings.Contains(m, "ERR_CONNECTION_REFUSED") &&
			!strings.Contains(m, "ERR_INCOMPLETE") {
			t.Errorf("the console: %s", m)
		}
	}
}
