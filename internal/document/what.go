package document

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/labs"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
)

// recorded is a finished run with its result.
type recorded struct {
	run.Record
	result record.Result
}

// read reads the results of the finished runs.
func (c *Content) read() error {
	for _, r := range c.Runs {
		if r.Status != run.StatusFinished || r.Result == nil {
			continue
		}
		res, err := labs.ResultOf(r)
		if err != nil {
			return err
		}
		c.finished = append(c.finished, r)
		c.results = append(c.results, recorded{r, res})
	}
	return nil
}

func (c *Content) title() string {
	experiments := unique(c.Runs, func(r run.Record) string { return r.Experiment })
	sets := unique(c.Runs, setTitle)
	return strings.Join(experiments, ", ") + " on " + strings.Join(sets, ", ")
}

func (c *Content) about() string {
	words := []string{counted(len(c.finished), "finished run")}
	if n := len(c.Runs) - len(c.finished); n > 0 {
		words = append(words, fmt.Sprintf("%d unfinished", n))
	}
	var seeds []uint64
	for _, r := range c.Runs {
		if !slices.Contains(seeds, r.Seed) {
			seeds = append(seeds, r.Seed)
		}
	}
	words = append(words, counted(len(seeds), "seed"))
	if first, last := c.days(); first == last {
		words = append(words, first)
	} else {
		words = append(words, first+" to "+last)
	}
	return strings.Join(words, " · ")
}

// days returns the first and the last day on which a run began.
func (c *Content) days() (first, last string) {
	for _, r := range c.Runs {
		day := r.Started.UTC().Format(time.DateOnly)
		if first == "" || day < first {
			first = day
		}
		last = max(last, day)
	}
	return first, last
}

func setTitle(r run.Record) string { return data.Title(r.Env.Data.Name) }

// whatWasRun says what was run, by which program, on which data and machine.
func whatWasRun(c *Content) (blocks []Block, err error) {
	for _, w := range c.warnings() {
		blocks = append(blocks, Block{Warning: w})
	}
	var seconds float64
	for _, r := range c.results {
		seconds += r.result.Seconds()
	}
	facts := []Fact{
		{"Runs", c.about()},
		{"Experiments", strings.Join(unique(c.Runs, func(r run.Record) string { return r.Experiment }), ", ")},
	}
	for _, s := range report.Sets(c.Runs) {
		d := s.Runs[0].Env.Data
		facts = append(facts, Fact{"Data", fmt.Sprintf("%s, %s; fingerprint %.16s", s.Title, d.Source, d.Fingerprint)})
	}
	list := func(name string, of func(run.Record) string) {
		facts = append(facts, Fact{name, strings.Join(unique(c.Runs, of), "; ")})
	}
	list("Program", func(r run.Record) string {
		text := fmt.Sprintf("dla %s, revision %.12s, %s", r.Env.Version, r.Env.Revision, r.Env.GoVersion)
		if r.Env.Dirty {
			text += ", with uncommitted changes"
		}
		return text
	})
	list("Machine", func(r run.Record) string {
		return fmt.Sprintf("%s, %s, %s/%s", r.Env.CPU, counted(r.Env.Threads, "thread"), r.Env.OS, r.Env.Arch)
	})
	list("Kernels", func(r run.Record) string { return r.Env.Kernel })
	if seconds > 0 {
		facts = append(facts, Fact{"Time", fmt.Sprintf("%s in all", time.Duration(seconds*float64(time.Second)).
			Round(time.Second))})
	}
	blocks = append(blocks, Block{Facts: facts}, Block{Code: strings.Join(c.commands(), "\n")})
	for _, n := range c.Notes {
		blocks = append(blocks, Block{Text: n})
	}
	return blocks, nil
}

// commands returns the commands that made the runs, each once.
func (c *Content) commands() []string {
	return unique(c.Runs, func(r run.Record) string { return Command(r) })
}

// Command returns the command that began r, with the program's plain name, quoted for a shell.
func Command(r run.Record) string {
	if len(r.Env.Command) == 0 {
		return ""
	}
	return run.Quote(append([]string{"dla"}, r.Env.Command[1:]...)...)
}

// warnings returns what a reader must not miss.
func (c *Content) warnings() (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, name := range unique(c.Runs, func(r run.Record) string {
		if r.Env.Data.Synthetic {
			return r.Env.Data.Name
		}
		return ""
	}) {
		say("The data are synthetic: %s.", report.SyntheticNote(name))
	}
	for _, note := range unique(c.finished, c.remark) {
		say("%s.", strings.TrimSuffix(strings.ToUpper(note[:1])+note[1:], "."))
	}
	for _, limit := range unique(c.Runs, limitOf) {
		say("Runs used only %s.", limit)
	}
	for _, u := range []struct {
		what string
		of   func(run.Record) string
	}{
		{"kernels, which round differently", func(r run.Record) string { return r.Env.Kernel }},
		{"revisions of the program", func(r run.Record) string { return fmt.Sprintf("%.12s", r.Env.Revision) }},
	} {
		if vs := unique(c.Runs, u.of); len(vs) > 1 {
			say("The runs were made with different %s: %s.", u.what, strings.Join(vs, ", "))
		}
	}
	dirty := 0
	for _, r := range c.Runs {
		if r.Env.Dirty {
			dirty++
		}
	}
	if dirty > 0 {
		say("%s by a program whose sources had changes that its revision does not have.",
			map[bool]string{true: "1 run was made", false: fmt.Sprintf("%d runs were made", dirty)}[dirty == 1])
	}
	return all
}

// remark returns the note of r's result, unless it repeats that the data are synthetic.
func (c *Content) remark(r run.Record) string {
	for _, x := range c.results {
		if x.ID == r.ID && x.Dir == r.Dir && !r.Env.Data.Synthetic {
			return x.result.Remark()
		}
	}
	return ""
}

// limitOf says that r used only a part of its data; "" if it used all.
func limitOf(r run.Record) string {
	s, err := labs.Settings(r)
	if err != nil {
		return ""
	}
	for _, key := range []string{"data.limit", "limit"} {
		if v, err := config.Get(s, key); err == nil {
			if n, _ := v.(int); n > 0 {
				return fmt.Sprintf("%d examples of each part of the data (%s)", n, key)
			}
		}
	}
	return ""
}
