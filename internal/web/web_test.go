package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/run"
	tabular "dla/internal/table"
)

// begin begins a run under root with the settings of lab1 resnet on MNIST.
func begin(t testing.TB, root, variant string, seed uint64, change func(*config.Resnet, *run.Spec)) *run.Run {
	t.Helper()
	c := config.DefaultResnet()
	c.Seed = seed
	c.Train.Epochs = 4
	s := run.Spec{Experiment: "lab1/resnet", Variant: variant, Seed: seed, Env: run.Env{Kernel: "portable",
		Started: time.Now().UTC(), Command: []string{"dla", "lab1", "resnet"}, Data: run.DataInfo{Name: "mnist",
			Source: "here", Fingerprint: "abc"}}}
	if change != nil {
		change(&c, &s)
	}
	var err error
	if s.Config, err = config.Marshal(c); err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(root, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// epoch records epoch n of r.
func epoch(t testing.TB, r *run.Run, n int) {
	t.Helper()
	err := r.AppendMetrics(run.Epoch{Epoch: n, Step: 10 * n, LR: 0.1,
		Train: run.Measure{Loss: 1 / float64(n), Accuracy: 0.5}, Val: run.Measure{Loss: 2 / float64(n), Accuracy: 0.6}})
	if err != nil {
		t.Fatal(err)
	}
}

// finish finishes r with a test accuracy.
func finish(t testing.TB, r *run.Run, accuracy float64) {
	t.Helper()
	if err := r.Finish(record.Classifier{Test: record.Test{N: 1000, Accuracy: accuracy}, BestEpoch: 1, Epochs: 1,
		Val: run.Measure{Loss: 1, Accuracy: 0.6}, LastVal: run.Measure{Loss: 1, Accuracy: 0.6}, WallSeconds: 3,
		Checks: []record.Check{{What: "it holds", Found: "so", OK: true}, {What: "this", Found: "not so"}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// serve starts a server of dirs that looks every 10 ms, and returns it with its address.
func serve(t testing.TB, opt Options, dirs ...string) (*Server, string) {
	t.Helper()
	opt.Every = 10 * time.Millisecond
	s := New(dirs, opt)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	l := httptest.NewServer(s.Handler())
	t.Cleanup(func() { cancel(); <-done; l.Close() })
	s.Runs(ctx)
	return s, l.URL
}

// answer is the head of a response.
type answer struct {
	StatusCode int
	Header     http.Header
}

// get returns the answer to a request with headers, given in pairs, and its content. Host is one of them.
func get(t testing.TB, method, address string, headers ...string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header}, string(b)
}

// follower is a page that follows a stream.
type follower struct {
	t      testing.TB
	events chan event
	runs   map[string]row
	groups map[string]group
	curves map[string][]json.RawMessage
}

type event struct {
	name string
	data []byte
}

// follow opens the stream of the runs with the keys.
func follow(t testing.TB, address string, keys ...string) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	address += "/api/stream?" + url.Values{"run": keys}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // the goroutine closes it
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, events: make(chan event, 1000), runs: map[string]row{}, groups: map[string]group{},
		curves: map[string][]json.RawMessage{}}
	go func() {
		defer res.Body.Close()
		defer close(f.events)
		lines := bufio.NewReader(res.Body)
		var e event
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "event: "):
				e.name = strings.TrimSpace(line[len("event: "):])
			case strings.HasPrefix(line, "data: "):
				e.data = []byte(line[len("data: "):])
			case line == "\n" && e.name != "":
				f.events <- e
				e = event{}
			}
		}
	}()
	return f
}

// until takes events until what is so. It fails after a while.
func (f *follower) until(what string, so func() bool) {
	f.t.Helper()
	late := time.After(20 * time.Second)
	for !so() {
		select {
		case e, ok := <-f.events:
			if !ok {
				f.t.Fatalf("the stream ended before %s", what)
			}
			f.take(e)
		case <-late:
			f.t.Fatalf("not so: %s; runs %+v", what, f.runs)
		}
	}
}

func (f *follower) take(e event) {
	f.t.Helper()
	switch e.name {
	case "list":
		var l struct {
			Runs       []row
			Groups     []group
			Gone       []string
			GoneGroups []string `json:"gone_groups"`
		}
		if err := json.Unmarshal(e.data, &l); err != nil {
			f.t.Fatal(err)
		}
		for _, r := range l.Runs {
			f.runs[r.Key] = r
		}
		for _, g := range l.Groups {
			f.groups[g.Key] = g
		}
		for _, key := range l.Gone {
			delete(f.runs, key)
		}
		for _, key := range l.GoneGroups {
			delete(f.groups, key)
		}
	case "curve":
		var c struct {
			Key    string
			From   int
			Points []json.RawMessage
		}
		if err := json.Unmarshal(e.data, &c); err != nil {
			f.t.Fatal(err)
		}
		f.curves[c.Key] = append(f.curves[c.Key][:c.From], c.Points...)
	}
}

// TestWhoMayAsk: nothing is said without the token, to another name of this machine, or to a page of another site.
func TestWhoMayAsk(t *testing.T) {
	_, address := serve(t, Options{Token: "secret"}, t.TempDir())
	host := strings.TrimPrefix(address, "http://")
	port := host[strings.LastIndexByte(host, ':'):]
	for _, c := range []struct {
		what, method, path string
		status             int
		headers            []string
	}{
		{"the page", "GET", "/secret/", 200, nil},
		{"its script", "GET", "/secret/app.js", 200, nil},
		{"the page without a slash", "GET", "/secret", 302, nil},
		{"by the name localhost", "GET", "/secret/", 200, []string{"Host", "localhost" + port}},
		{"through a tunnel", "GET", "/secret/", 200, []string{"Host", "localhost:9999"}},
		{"from its own script", "GET", "/secret/api/compare", 200,
			[]string{"Origin", address, "Sec-Fetch-Site", "same-origin"}},
		{"by a link on another site", "GET", "/secret/", 200,
			[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		{"no token", "GET", "/", 403, nil},
		{"no token, a script", "GET", "/app.js", 403, nil},
		{"no token, data", "GET", "/api/stream", 403, nil},
		{"the beginning of the token", "GET", "/secre/", 403, nil},
		{"another token", "GET", "/secreT/api/run", 403, nil},
		{"a name that leads here", "GET", "/secret/", 403, []string{"Host", "evil.example" + port}},
		{"a name that begins like it", "GET", "/secret/", 403, []string{"Host", "127.0.0.1.evil.example"}},
		{"no name", "GET", "/secret/", 403, []string{"Host", "10.0.0.1" + port}},
		{"another site", "GET", "/secret/api/run", 403, []string{"Origin", "http://evil.example"}},
		{"another port", "GET", "/secret/api/run", 403, []string{"Origin", "http://127.0.0.1:1"}},
		{"a page in a sandbox", "GET", "/secret/api/run", 403, []string{"Origin", "null"}},
		{"another site's picture", "GET", "/secret/file", 403,
			[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}},
		{"another site's frame", "GET", "/secret/", 403,
			[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}},
		{"writing", "POST", "/secret/api/run", 405, nil},
		{"deleting", "DELETE", "/secret/", 405, nil},
		{"what there is not", "GET", "/secret/page/app.js", 404, nil},
	} {
		res, body := get(t, c.method, address+c.path, c.headers...)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %.80s, want %d", c.what, res.StatusCode, body, c.status)
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
			strings.Contains(csp, "unsafe") || res.Header.Get("Referrer-Policy") != "no-referrer" ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.what, res.Header)
		}
	}
	if a, b := NewToken(), NewToken(); a == b || len(a) < 20 || url.PathEscape(a) != a {
		t.Errorf("tokens %q, %q", a, b)
	}
	_, open := serve(t, Options{}, t.TempDir())
	if res, _ := get(t, "GET", open+"/"); res.StatusCode != 200 {
		t.Errorf("without a token: %d", res.StatusCode)
	}
}

// TestPageFetchesNothing: what the page is made of names no other host, and puts no data into markup.
func TestPageFetchesNothing(t *testing.T) {
	for _, name := range []string{"index.html", "app.js", "list.js", "view.js", "charts.js", "style.css", "uplot.js",
		"uplot.css"} {
		b, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		harmless := strings.NewReplacer("http://www.w3.org/2000/svg", "", "https://github.com/leeoniya/uPlot", "")
		for _, bad := range []string{"http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
			"eval(", "@import", "srcdoc"} {
			if strings.Contains(harmless.Replace(string(b)), bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
}

// TestLive: a run that begins while a page is open appears there, grows epoch by epoch and finishes, and a removed one
// goes.
func TestLive(t *testing.T) {
	root := t.TempDir()
	_, address := serve(t, Options{}, root)
	list := follow(t, address)
	list.until("an empty list", func() bool { return len(list.events) == 0 })
	r := begin(t, filepath.Join(root, "study"), "mlp-d5-res", 0, nil)
	var key string
	list.until("the run appears", func() bool {
		for k, r := range list.runs {
			key = k
			return r.Status == "running" && r.Data == "mnist"
		}
		return false
	})
	page := follow(t, address, key, "no-such-run")
	for n := 1; n <= 3; n++ {
		epoch(t, r, n)
		page.until(fmt.Sprintf("epoch %d", n), func() bool {
			return len(page.curves[key]) == n && page.runs[key].Epochs == n
		})
	}
	if p := string(page.curves[key][1]); p != "[2,20,0.1,0.5,0.5,1,0.6,null]" {
		t.Errorf("epoch 2 is %s", p)
	}
	if s := page.runs[key]; s.Loss != number(1.0/3) && fmt.Sprint(s.Loss) != "0.3333333" || s.Share != 0.75 {
		t.Errorf("%+v", s)
	}
	finish(t, r, 0.9)
	page.until("it finishes", func() bool { return page.runs[key].Status == "finished" })
	if s := page.runs[key]; s.Accuracy != 0.9 || s.N != 1000 || s.Held != 1 || s.Failed != 1 || s.Resume != "" {
		t.Errorf("%+v", s)
	}
	for _, seed := range []uint64{1, 2} {
		finish(t, begin(t, filepath.Join(root, "study"), "mlp-d5-res", seed, nil), 0.9+float64(seed)/100)
	}
	other := begin(t, filepath.Join(root, "study"), "mlp-d5-res", 0,
		func(c *config.Resnet, _ *run.Spec) { c.Train.LR = 0.5 })
	page.until("seeds are one group", func() bool {
		g := page.groups[page.runs[key].Group]
		return len(page.runs) == 4 && len(page.groups) == 2 && g.Seeds == 3
	})
	g := page.groups[page.runs[key].Group]
	if fmt.Sprintf("%.4f %.4f %.4f %.4f %d", g.Mean, g.SD, g.Lo, g.Hi, g.N) != "0.9100 0.0100 0.8907 0.9262 1000" {
		t.Errorf("group %+v", g)
	}
	if !strings.Contains(g.Label, "d5 residual") || !g.Residual {
		t.Errorf("line %+v", g.Line)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run.Remove(filepath.Join(root, "study"), other.ID()); err != nil {
		t.Fatal(err)
	}
	page.until("the removed one goes", func() bool { return len(page.runs) == 3 && len(page.groups) == 1 })
}

// TestStates: each state of a run has its word, its reason, and the command that goes on.
func TestStates(t *testing.T) {
	root := t.TempDir()
	dead := begin(t, root, "dead", 0, nil)
	dead.Close()
	paused := begin(t, root, "paused", 0, nil)
	if err := paused.SetStatus(run.StatusPaused, "time is up"); err != nil {
		t.Fatal(err)
	}
	paused.Close()
	failed := begin(t, root, "failed", 0, nil)
	if err := failed.SetStatus(run.StatusFailed, "the loss is NaN"); err != nil {
		t.Fatal(err)
	}
	failed.Close()
	trained := begin(t, root, "trained", 0, nil)
	if err := trained.SetStatus(run.StatusTrained, ""); err != nil {
		t.Fatal(err)
	}
	trained.Close()
	broken := begin(t, root, "broken", 0, nil)
	broken.Close()
	if err := os.WriteFile(filepath.Join(broken.Dir(), "config.yaml"), []byte("a: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stale := begin(t, root, "stale", 0,
		func(_ *config.Resnet, s *run.Spec) { s.Env.Started = time.Now().Add(-125 * time.Minute) })
	epoch(t, stale, 1)
	err := filepath.WalkDir(stale.Dir(), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)))
	})
	if err != nil {
		t.Fatal(err)
	}
	// On a file system that does not share locks, nobody here owns the run of another machine. It is seen to grow.
	afar := begin(t, root, "afar", 0, nil)
	afar.Close()
	_, address := serve(t, Options{}, root)
	page := follow(t, address)
	state := func(r *run.Run) row { return page.runs[keyOf(r.Dir())] }
	want := func(r *run.Run, status, detail string, resumes bool) {
		t.Helper()
		page.until(r.ID()+" is "+status, func() bool { return state(r).Status == status })
		if s := state(r); !strings.Contains(s.Detail, detail) || (s.Resume != "") != resumes {
			t.Errorf("%s: %q, resume %q", r.ID(), s.Detail, s.Resume)
		}
	}
	want(dead, "interrupted", run.Died, true)
	want(paused, "paused", "time is up", true)
	want(failed, "failed", "the loss is NaN", true)
	want(trained, "trained", "", false)
	want(broken, "broken", "config.yaml is not what the run began with", false)
	want(stale, "stale", "written nothing for 2h", false)
	want(afar, "interrupted", run.Died, true)
	if s := state(dead); s.Resume != run.Command(root, "runs", "resume", dead.ID()) {
		t.Errorf("resume with %q", s.Resume)
	}
	line := `{"epoch":1,"step":1,"lr":1,"train":{"loss":1},"val":null}` + "\n"
	if err := os.WriteFile(filepath.Join(afar.Dir(), "metrics.jsonl"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	want(afar, "running", "on another machine", false)
}

// TestHostileRecords: what a record holds is bounded and has no control characters, whatever it is.
func TestHostileRecords(t *testing.T) {
	root := t.TempDir()
	script := "<script>alert(1)</script>"
	big := strings.Repeat("x", 1<<20)
	r := begin(t, root, "a-b", 0, func(_ *config.Resnet, s *run.Spec) {
		s.Experiment = script + "\x1b[2J\u202e"
		s.Env.Command = []string{"dla", big}
		s.Env.Data.Source = script + big
		s.Label = &run.Label{Network: script + strings.Repeat("y", 1<<20)}
	})
	if err := r.SetStatus(run.StatusFailed, script+big); err != nil {
		t.Fatal(err)
	}
	r.Logger().Error(script, "long", big)
	r.Close()
	_, address := serve(t, Options{}, root)
	page := follow(t, address)
	key := keyOf(r.Dir())
	page.until("it is listed", func() bool { return page.runs[key].Status == "failed" })
	s := page.runs[key]
	if len(s.Detail) > 2*longest || !strings.HasPrefix(s.Detail, script) || !strings.Contains(s.Detail, "bytes in all") {
		t.Errorf("detail of %d bytes: %.100s", len(s.Detail), s.Detail)
	}
	if s.Experiment != script+`\x1b[2J\u202e` {
		t.Errorf("experiment %q", s.Experiment)
	}
	if g := page.groups[s.Group]; len(g.Label) > 2*longest || !strings.HasPrefix(g.Label, script) {
		t.Errorf("label of %d bytes", len(g.Label))
	}
	for _, path := range []string{"/api/run?run=", "/api/compare?run="} {
		res, body := get(t, "GET", address+path+key)
		if res.StatusCode != 200 || len(body) > 100<<10 || res.Header.Get("Content-Type") != "application/json" ||
			strings.Contains(body, "<script") { // encoding/json writes \u003c
			t.Errorf("%s: %d, %d bytes, %s", path, res.StatusCode, len(body), res.Header.Get("Content-Type"))
		}
	}
}

// TestFiles: pictures of a run and of its study are served, and nothing else.
func TestFiles(t *testing.T) {
	root := t.TempDir()
	r := begin(t, filepath.Join(root, "study"), "a", 0, nil)
	put := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(r.Dir(), "figures", "loss.png"), "a picture")
	put(filepath.Join(r.Dir(), "figures", "loss.svg"), "<svg><script/></svg>")
	put(filepath.Join(r.Dir(), "sheet.PNG"), "a sheet")
	put(filepath.Join(r.Dir(), "checkpoints", "x.png"), "no figure")
	put(filepath.Join(root, "study", "figures", "lab1-resnet", "accuracy.png"), "of the study")
	put(filepath.Join(root, "secret.png"), "SECRET")
	if err := os.Symlink(filepath.Join(root, "secret.png"), filepath.Join(r.Dir(), "link.png")); err != nil {
		t.Logf("this system makes no links: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(r.Dir(), "folder.png"), 0o777); err != nil {
		t.Fatal(err)
	}
	_, address := serve(t, Options{}, root)
	key := keyOf(r.Dir())
	var all []picture
	_, body := get(t, "GET", address+"/api/figures?run="+key)
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range all {
		names = append(names, fmt.Sprintf("%v %s", p.Study, p.Name))
	}
	want := []string{"true lab1-resnet/accuracy.png", "false figures/loss.png", "false sheet.PNG"}
	if !slices.Equal(names, want) {
		t.Errorf("pictures %q, want %q", names, want)
	}
	file := func(name, study string) (answer, string) {
		return get(t, "GET", address+"/file?"+url.Values{"run": {key}, "name": {name}, "study": {study}}.Encode())
	}
	if res, body := file("figures/loss.png", ""); body != "a picture" || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if _, body := file("lab1-resnet/accuracy.png", "1"); body != "of the study" {
		t.Errorf("%q", body)
	}
	for _, name := range []string{"", ".", "..", "../secret.png", "../../secret.png", "figures/../../../secret.png",
		filepath.Join(root, "secret.png"), "link.png", "folder.png", "config.yaml", "env.json", "figures/loss.svg",
		"figures//loss.png", `..\..\secret.png`, "figures/loss.png\x00", "%2e%2e/%2e%2e/secret.png", "figures/none.png"} {
		for _, study := range []string{"", "1"} {
			if res, body := file(name, study); res.StatusCode != 404 || strings.Contains(body, "SECRET") {
				t.Errorf("%q: %d %.40q", name, res.StatusCode, body)
			}
		}
	}
	for _, path := range []string{"/file?run=../x&name=a.png", "/api/run?run=" + root, "/api/run"} {
		if res, _ := get(t, "GET", address+path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestCompare: settings that differ, the lines that figures would have, and the program's tables.
func TestCompare(t *testing.T) {
	root := t.TempDir()
	var keys []string
	for _, res := range []bool{false, true} {
		for seed := range uint64(2) {
			variant := map[bool]string{false: "mlp-d5-plain", true: "mlp-d5-res"}[res]
			r := begin(t, root, variant, seed, func(c *config.Resnet, _ *run.Spec) { c.Model.Depth, c.Model.Res = 5, res })
			epoch(t, r, 1)
			finish(t, r, 0.9)
			keys = append(keys, keyOf(r.Dir()))
		}
	}
	_, address := serve(t, Options{}, root)
	ask := func(keys ...string) (c comparison) {
		t.Helper()
		_, body := get(t, "GET", address+"/api/compare?"+url.Values{"run": keys}.Encode())
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err, body)
		}
		return c
	}
	c := ask(keys...)
	if fmt.Sprint(c.Heads, c.Settings) != "[d5 plain d5 residual] [{model.res [false true]}]" || c.Note != "" {
		t.Errorf("%v %v %q", c.Heads, c.Settings, c.Note)
	}
	if len(c.Tables) != 1 || len(c.Tables[0].Rows) != 2 || c.Tables[0].Rows[1][0] != "d5 residual" ||
		!slices.Contains(c.Tables[0].Rows[1], "90.00 ± 0.00") || !c.Tables[0].Right[1] || c.Tables[0].Right[0] {
		t.Errorf("tables %+v", c.Tables)
	}
	c = ask(keys[:2]...) // seeds of one network
	if fmt.Sprint(c.Heads, c.Settings) != "[seed 0 seed 1] [{seed [0 1]}]" {
		t.Errorf("%v %v", c.Heads, c.Settings)
	}
	if c = ask("no-such-run"); len(c.Heads) != 0 {
		t.Errorf("%v", c.Heads)
	}
	var d detail
	_, body := get(t, "GET", address+"/api/run?run="+keys[0])
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if d.Error != "" || len(d.Checks) != 2 || d.Checks[1] != (check{"this", "not so", "FAILS"}) || len(d.Tables) == 0 ||
		!slices.Contains(d.Settings, pair{"train.epochs", "4"}) || d.About[0][0] != "data" {
		t.Errorf("%+v", d)
	}
}

// TestAnnotations: the list has the tags and the note of a run, also those that it gets while it is looked at.
func TestAnnotations(t *testing.T) {
	root := t.TempDir()
	r := begin(t, root, "a", 0, nil)
	finish(t, r, 0.5)
	tr := newTree([]string{root})
	tr.look(true, func(string, []byte) {})
	if got := tr.items[r.Dir()].row(time.Now()); got.Tags != nil || got.Note != "" {
		t.Errorf("tags %q and note %q", got.Tags, got.Note)
	}
	if _, _, err := run.Annotate(root, r.ID(), func(a *run.Annotation) {
		a.Note, a.Tags = "the one to \x1b[31mkeep", []string{"final"}
	}); err != nil {
		t.Fatal(err)
	}
	tr.look(true, func(string, []byte) {})
	got := tr.items[r.Dir()].row(time.Now())
	if !slices.Equal(got.Tags, []string{"final"}) || got.Note != text("the one to \x1b[31mkeep") {
		t.Errorf("tags %q and note %q", got.Tags, got.Note)
	}
}

// TestIndexIsNotTrusted: what has not changed is taken from the index, and what has is read again, as is everything
// where the index is damaged or of another version.
func TestIndexIsNotTrusted(t *testing.T) {
	root, file := t.TempDir(), filepath.Join(t.TempDir(), "index", "a.json")
	r := begin(t, root, "a", 0, nil)
	finish(t, r, 0.5)
	age := func(by time.Duration) {
		t.Helper()
		files, err := os.ReadDir(r.Dir())
		for _, f := range files {
			err = errors.Join(err, os.Chtimes(filepath.Join(r.Dir(), f.Name()), time.Time{}, time.Now().Add(-by)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	variant := func() string {
		tr := newTree([]string{root})
		tr.load(file)
		tr.look(true, func(string, []byte) {})
		tr.save(file)
		return tr.items[r.Dir()].Variant
	}
	age(time.Hour)
	if v := variant(); v != "a" {
		t.Fatalf("variant %q", v)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forged := strings.Replace(string(b), `"Variant":"a"`, `"Variant":"b"`, 1)
	write(forged)
	if v := variant(); v != "b" {
		t.Errorf("the index was not used: %q", v)
	}
	write(forged)
	age(2 * time.Hour)
	if v := variant(); v != "a" {
		t.Errorf("the index was trusted over the record: %q", v)
	}
	for what, text := range map[string]string{"damaged": forged[:len(forged)/2], "empty": "",
		"of another version": strings.Replace(forged, `"Version":"`, `"Version":"x`, 1)} {
		write(text)
		if v := variant(); v != "a" {
			t.Errorf("an index that is %s: %q", what, v)
		}
	}
	age(0) // a change may follow in the same instant
	variant()
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), `"Variant"`) {
		t.Errorf("a record of this instant is in the index: %v", err)
	}
}

// TestPoints: of a long run a page gets means, at the same epochs as of other seeds.
func TestPoints(t *testing.T) {
	c := newCurve("k", t.TempDir())
	for n := 1; n <= 2*mostPoints+2; n++ {
		c.epochs = append(c.epochs, run.Epoch{Epoch: n, Train: run.Measure{Loss: float64(n)}, Val: run.Unmeasured()})
	}
	frame := string(c.all())
	if n := strings.Count(frame, "["); n > mostPoints+1 || !strings.Contains(frame, `"each":4,`) ||
		!strings.Contains(frame, "[[4,0,0,2.5,0,null,null,null],[8,") || !strings.Contains(frame, "[4002,0,0,4001.5,") {
		t.Errorf("%d points: %.200s … %s", n, frame, frame[len(frame)-100:])
	}
}

// TestEnd: the end of the server ends its streams, and says so to them.
func TestEnd(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := New([]string{t.TempDir()}, Options{})
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()
	page := follow(t, "http://"+l.Addr().String())
	ready := false
	for e := range page.events {
		if e.name == "ready" {
			ready = true
			cancel()
		}
		if e.name == "end" && ready {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the server goes on")
			}
			return
		}
	}
	t.Error("the page was not told")
}

// TestFolders: runs are found in folders of folders, once, whichever folders are named; a folder may be a run itself.
func TestFolders(t *testing.T) {
	root := t.TempDir()
	r := begin(t, filepath.Join(root, "a", "b"), "x", 0, nil)
	begin(t, filepath.Join(root, "c"), "y", 0, nil)
	for _, dir := range []string{".hidden/d", "c/figures/e", "0/1/2/3/4/5/6/7/8"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	begin(t, filepath.Join(root, ".hidden"), "z", 0, nil)
	t.Chdir(root)
	for _, c := range []struct {
		dirs []string
		n    int
	}{
		{[]string{root}, 2}, {[]string{"."}, 2}, {[]string{root, root + "/a", ".", "c"}, 2}, {[]string{"c", "a"}, 2},
		{[]string{"c", root}, 2}, {[]string{r.Dir()}, 1}, {[]string{"none"}, 0}, {nil, 0},
	} {
		tr := newTree(c.dirs)
		for range 2 {
			tr.look(true, func(string, []byte) {})
			if tr.len() != c.n || len(tr.byKey) != c.n || len(tr.rows) != c.n {
				t.Errorf("%q: %d runs, %d keys, %d rows, want %d", c.dirs, tr.len(), len(tr.byKey), len(tr.rows), c.n)
			}
		}
	}
}

// TestTables: the text before a table is its caption.
func TestTables(t *testing.T) {
	var ts tabular.Tables
	ts.Say("Two seeds")
	first := tabular.New("lr", "a", "b")
	first.Row("x | y", 1)
	ts.Add(first)
	ts.Say("then")
	ts.Add(tabular.New("l", "c"))
	all := tables(ts)
	if fmt.Sprint(all) != "[{Two seeds [a b] [false true] [[x | y 1]]} {then [c] [false] []}]" {
		t.Errorf("%v", all)
	}
}
