package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/bench"
	"dla/internal/buildinfo"
	"dla/internal/kernel"
	"dla/internal/table"
)

// benchOptions holds the flags of `dla bench`.
type benchOptions struct {
	seconds    float64
	batch      int
	threads    int
	peer       string
	profile    bool
	cpuprofile string
	tableFlags
	child bool
}

func newBenchCmd(s *Streams) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [GROUP | PART_OF_A_NAME]…",
		Short: "Measure the speed of kernels, layers, training steps and evaluation",
		Long: `Measure the time of each case on noise: two warm-up runs, then runs for --seconds, at least five.
Rates are those of the median. The groups:

  kernels   matrix products and convolutions; Winograd's algorithm is counted as the direct one,
            so its rate may exceed the peak, which is measured first
  layers    batch normalisation, cross-entropy, updates: memory-bound
  steps     whole training steps
  eval      evaluation
  fgsm      gradients of the loss with respect to the input, twice --batch images
  encoders  sentence encoders with random weights on 32 sentences of 32 tokens: forward, and training
            steps of all weights and of LoRA
  memory    peak resident memory of a process that trains (only when named; on Linux)

Other words select the cases of the named groups whose names contain them. speedrun, and resnet32
and larger, are measured only when named; resnet20-b and resnet20-w32-b have projection shortcuts,
cnn-2x32-res, cnn-5x32-res and cnn-7x32-res blocks of equal width, as the peer's networks do.

--peer CMD alternates with another program, such as one for PyTorch, on the cases that both have: CMD runs
with the name of a case as its last argument and prints lines of JSON such as
{"case": "resnet20-w16 nhwc step", "min_s": 0.2, "median_s": 0.21, "per_s": 609.5, "n": 10}. Words
of CMD are separated by spaces; its environment has THREADS, the number of threads. Ratios are images or
sentences per second, ours over the peer's.`,
		Example: `  dla bench kernels
  dla bench steps eval
  dla bench steps resnet20 --profile
  dla bench conv3x3-64ch --threads 1 --seconds 3
  dla bench steps resnet110 --cpuprofile cpu.prof
  dla bench encoders minilm --profile
  dla bench memory
  dla bench steps --format markdown
  dla bench steps eval fgsm --peer "python3 torch_bench.py --compile" --json
  dla bench steps eval speedrun --batch 1000 --peer "python3 torch_speedrun.py 1000"`,
		ValidArgsFunction: completeCases,
		RunE:              func(cmd *cobra.Command, args []string) error { return runBench(cmd, s, args, o) },
	}
	f := cmd.Flags()
	f.Float64Var(&o.seconds, "seconds", 1, "time per case; with --peer, per turn")
	f.IntVar(&o.batch, "batch", 128, "images in a batch")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core")
	f.StringVar(&o.peer, "peer", "", "command of another program that measures the same cases; only cases that it "+
		"has are run")
	f.BoolVar(&o.profile, "profile", false, "print the time of each op of steps, eval, fgsm and encoders")
	f.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile for go tool pprof to this file")
	o.add(cmd)
	f.BoolVar(&o.child, "child", false, "measure memory in this very process")
	_ = f.MarkHidden("child") // fails for an unknown flag only
	return cmd
}

// completeCases completes groups, and names of the cases of the groups given already.
func completeCases(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var words []cobra.Completion
	var groups []string
	for _, g := range bench.Groups {
		if slices.Contains(args, g) {
			groups = append(groups, g)
		} else {
			words = append(words, g)
		}
	}
	for _, c := range bench.Cases() {
		if (len(groups) == 0 || slices.Contains(groups, c.Group)) && !slices.Contains(words, c.Name) {
			words = append(words, c.Name)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// pickCases returns the cases that the command line selects.
func (o benchOptions) pickCases(words []string) ([]bench.Case, error) {
	all := bench.Cases()
	if o.peer != "" {
		all = bench.WithPeer(all)
	}
	cases, err := bench.Select(all, words)
	var none *bench.NoCaseError
	if errors.As(err, &none) {
		known := slices.Clone(bench.Groups)
		for _, c := range all {
			known = append(known, c.Name)
			known = append(known, strings.Split(c.Name, "-")...)
		}
		if near, ok := similar(none.Word, known); ok {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
	}
	if err != nil && o.peer != "" {
		var names []string
		for _, c := range all {
			if !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
		err = fmt.Errorf("%w (--peer leaves steps, eval, fgsm and encoders of %s)", err, strings.Join(names, ", "))
	}
	if err == nil && o.profile && !slices.ContainsFunc(cases, bench.Case.Graph) {
		err = errors.New("--profile times the ops of steps, eval, fgsm and encoders; name one of these groups")
	}
	return cases, err
}

func (o benchOptions) check() error {
	switch {
	case !(o.seconds > 0):
		return fmt.Errorf("--seconds %g: want more than 0", o.seconds)
	case o.batch < 1:
		return fmt.Errorf("--batch %d: want at least 1", o.batch)
	case o.threads < 0:
		return fmt.Errorf("--threads %d: want 0 or more", o.threads)
	case o.peer != "" && strings.TrimSpace(o.peer) == "":
		return errors.New("--peer: want a command, such as \"python3 torch_bench.py\"")
	}
	return nil
}

// benchReport is what `dla bench --json` prints.
type benchReport struct {
	CPU        string         `json:"cpu"`
	Threads    int            `json:"threads"`
	Kernel     string         `json:"kernel"`
	PeakGFLOPS float64        `json:"peak_gflops"` // measured
	Batch      int            `json:"batch"`
	Peer       string         `json:"peer,omitempty"`
	Results    []bench.Result `json:"results"`
}

func runBench(cmd *cobra.Command, s *Streams, words []string, o benchOptions) (err error) {
	if err := o.check(); err != nil {
		return usageError(err)
	}
	cases, err := o.pickCases(words)
	if err != nil {
		return usageError(err)
	}
	if o.threads > 0 {
		kernel.SetThreads(o.threads)
	}
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	opt := bench.Options{Batch: o.batch, Seconds: o.seconds, Profile: o.profile}
	if o.peer != "" {
		opt.Peer = &bench.Peer{Command: strings.Fields(o.peer), Threads: kernel.Threads()}
	}
	rep := benchReport{CPU: buildinfo.CPU(), Threads: kernel.Threads(), Kernel: kernel.Level(), Batch: o.batch,
		Peer: o.peer, Results: []bench.Result{}}
	if !o.child {
		opt.Peak = kernel.Peak(50 * time.Millisecond)
		rep.PeakGFLOPS = opt.Peak / 1e9
	}
	if o.cpuprofile != "" {
		stopProfile, err2 := startCPUProfile(o.cpuprofile)
		if err2 != nil {
			return fmt.Errorf("--cpuprofile: %w", err2)
		}
		defer func() { err = errors.Join(err, stopProfile()) }()
	}
	timed := newBenchTable(s, cases, o)
	if o.asText() {
		fmt.Fprintf(s.Out, "%s, threads %d, %s kernels; peak %.1f GFLOP/s, measured; batch %d\n", rep.CPU, rep.Threads,
			rep.Kernel, rep.PeakGFLOPS, o.batch)
	}
	for _, c := range cases {
		var r bench.Result
		if c.Group == bench.Memory && !o.child {
			r, err = inChild(ctx, c, o)
		} else {
			r, err = c.Measure(ctx, opt)
		}
		if n := code(); n != 0 {
			return &ExitError{Code: n}
		}
		if err != nil {
			return err
		}
		rep.Results = append(rep.Results, r)
		if o.asText() {
			timed.row(r)
		}
	}
	if o.asJSON() {
		return writeJSON(s.Out, rep)
	}
	if !o.asText() {
		return o.write(s.Out, timed.tables(rep.Results))
	}
	timed.notes(rep.Results)
	return nil
}

// inChild measures a case in a child process of this program.
func inChild(ctx context.Context, c bench.Case, o benchOptions) (bench.Result, error) {
	exe, err := os.Executable()
	if err != nil {
		return bench.Result{}, err
	}
	cmd := exec.CommandContext(ctx, exe, "bench", "--child", "--json", "--batch", strconv.Itoa(o.batch), "--threads",
		strconv.Itoa(o.threads), c.Group, c.Name)
	cmd.Args[0] = os.Args[0] // the name this program was called by
	out, err := cmd.Output()
	var rep benchReport
	if err == nil {
		err = json.Unmarshal(out, &rep)
	}
	if err == nil && len(rep.Results) != 1 {
		err = errors.New("it printed no result")
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return bench.Result{}, fmt.Errorf("%s %s, in a process of its own: %w", c.Group, c.Name, err)
	}
	return rep.Results[0], nil
}

// benchTable prints results as they come, with a header for each group.
type benchTable struct {
	s       *Streams
	width   int // of names
	compare bool
	group   string
}

func newBenchTable(s *Streams, cases []bench.Case, o benchOptions) *benchTable {
	t := &benchTable{s: s, compare: o.peer != ""}
	for _, c := range cases {
		t.width = max(t.width, len(c.Name))
	}
	return t
}

// benchColumn is one column; a value of 0 is left out.
type benchColumn struct {
	title, format string
	of            func(bench.Result) float64
}

func (c benchColumn) cell(r bench.Result) string {
	v := c.of(r)
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(c.format, v)
}

var (
	timeColumns = []benchColumn{
		{"min ms", "%.3f", func(r bench.Result) float64 { return 1e3 * r.Min }},
		{"median ms", "%.3f", func(r bench.Result) float64 { return 1e3 * r.Median }},
		{"n", "%.0f", func(r bench.Result) float64 { return float64(r.N) }},
	}
	rateColumn  = benchColumn{"per s", "%.1f", func(r bench.Result) float64 { return r.PerS }}
	flopColumns = []benchColumn{
		{"GFLOP/s", "%.1f", func(r bench.Result) float64 { return r.GFLOPS }},
		{"of peak", "%.0f %%", func(r bench.Result) float64 { return 100 * r.PeakShare }},
	}
	byteColumn  = benchColumn{"GB/s", "%.1f", func(r bench.Result) float64 { return r.GBs }}
	planColumn  = benchColumn{"plan MB", "%.1f", func(r bench.Result) float64 { return float64(r.PlanBytes) / 1e6 }}
	rssColumn   = benchColumn{"peak MB", "%.1f", func(r bench.Result) float64 { return float64(r.RSSBytes) / 1e6 }}
	peerColumns = []benchColumn{
		rateColumn,
		{"peer fp32", "%.1f", func(r bench.Result) float64 { return r.Peer.FP32.PerS }},
		{"ratio", "%.2f", func(r bench.Result) float64 { return r.Peer.Ratio }},
		{"peer bf16", "%.1f", func(r bench.Result) float64 {
			if r.Peer.BF16 == nil {
				return 0
			}
			return r.Peer.BF16.PerS
		}},
		{"ratio", "%.2f", func(r bench.Result) float64 { return r.Peer.RatioBF16 }},
	}
)

// tables returns a table for each group of results, and one for the ops of each that was profiled.
func (t *benchTable) tables(all []bench.Result) (ts table.Tables) {
	var group *table.Table
	var costs table.Tables
	for i, r := range all {
		columns := t.columns(r.Group)
		if i == 0 || r.Group != all[i-1].Group {
			heads := []string{"case"}
			for _, c := range columns {
				heads = append(heads, c.title)
			}
			group = table.New("l"+strings.Repeat("r", len(columns)), heads...).Titled(r.Group)
			ts.Add(group)
		}
		row := []any{r.Case}
		for _, c := range columns {
			row = append(row, shownAs(c.cell(r), c.of(r)))
		}
		group.Row(row...)
		if r.Costs != nil {
			costs.Add(costTable(r.Costs).Titled(r.Group + " " + r.Case))
		}
	}
	return append(ts, costs...)
}

func (t *benchTable) columns(group string) []benchColumn {
	switch {
	case t.compare:
		return peerColumns
	case group == bench.Kernels:
		return slices.Concat(timeColumns, flopColumns)
	case group == bench.Layers:
		return append(slices.Clone(timeColumns), byteColumn)
	case group == bench.Memory:
		return []benchColumn{planColumn, rssColumn}
	}
	return append(slices.Concat(timeColumns, []benchColumn{rateColumn}, flopColumns), planColumn)
}

// row prints one result, and a header at the beginning of its group.
func (t *benchTable) row(r bench.Result) {
	w, columns := t.s.Out, t.columns(r.Group)
	if r.Group != t.group {
		t.group = r.Group
		fmt.Fprintf(w, "\n%-*s", t.width, strings.ToUpper(r.Group))
		for _, c := range columns {
			fmt.Fprintf(w, "  %9s", c.title)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%-*s", t.width, r.Case)
	for _, c := range columns {
		fmt.Fprintf(w, "  %9s", c.cell(r))
	}
	if r.Peer != nil {
		fmt.Fprintf(w, "  %s", r.Peer.FP32.Case)
		if r.Peer.BF16 != nil {
			fmt.Fprintf(w, ", %s", r.Peer.BF16.Case)
		}
	}
	fmt.Fprintln(w)
	if r.Costs != nil {
		fmt.Fprintf(w, "\n%s\n", costTable(r.Costs))
	}
}

// notes prints below a comparison which cases differ in their work and which ratios are unreliable.
func (t *benchTable) notes(all []bench.Result) {
	var order []string
	about := map[string][]string{}
	note := func(text string, r bench.Result) {
		if about[text] == nil {
			order = append(order, text)
		}
		if !slices.Contains(about[text], r.Case) {
			about[text] = append(about[text], r.Case)
		}
	}
	for _, r := range all {
		if r.Peer == nil {
			continue
		}
		if r.Peer.Note != "" {
			note(r.Peer.Note, r)
		}
		if r.Peer.Noisy {
			note("runs differ by half or more: another process kept the machine busy, and the ratio is unreliable; "+
				"measure again", r)
		}
	}
	for _, text := range order {
		fmt.Fprintf(t.s.Out, "\n%s: %s\n", strings.Join(about[text], ", "), text)
	}
}
