package document

import (
	"fmt"
	"path/filepath"
	"strings"

	"dla/internal/run"
)

// howToReproduce says which program, data and commands make the runs again.
func howToReproduce(c *Content) (blocks []Block, err error) {
	var lines []string
	add := func(comment string, commands ...string) {
		if len(commands) == 0 {
			return
		}
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(append(lines, "# "+comment), commands...)
	}
	revisions := unique(c.Runs, func(r run.Record) string {
		if r.Env.Revision == "unknown" {
			return ""
		}
		return fmt.Sprintf("%.12s", r.Env.Revision)
	})
	if len(revisions) > 0 {
		checkout := []string{run.Quote("git", "checkout", revisions[len(revisions)-1]), "make build"}
		comment := "the program"
		if len(revisions) > 1 {
			comment = fmt.Sprintf("the program; the runs were made by %d revisions, this is that of the last",
				len(revisions))
		}
		add(comment, checkout...)
	}
	var data []string
	for _, name := range unique(c.Runs, func(r run.Record) string {
		if r.Env.Data.Synthetic || r.Env.Data.Own != nil {
			return ""
		}
		return r.Env.Data.Name
	}) {
		data = append(data, "dla data pull "+run.Quote(name))
	}
	add("the data, which are checked by their SHA-256", data...)
	add("the runs", c.commands()...)
	var again []string
	for _, r := range c.finished {
		again = append(again, run.Command(filepath.Dir(r.Dir), "runs", "reproduce", r.ID))
	}
	blocks = append(blocks, Block{Code: strings.Join(lines, "\n")})
	if len(again) > 0 {
		blocks = append(blocks, Block{Text: "Each of these commands makes a run again from its record, in another folder, " +
			"and says bit for bit whether it is the same. Bits depend on the kernels, not on the number of threads."})
		code := Block{Code: strings.Join(again, "\n")}
		if len(again) > 5 {
			code = Block{Details: &Details{Summary: counted(len(again), "command"), Blocks: []Block{code}}}
		}
		blocks = append(blocks, code)
	}
	if c.Again != "" {
		blocks = append(blocks, Block{Text: "This report:"}, Block{Code: c.Again})
	}
	return blocks, nil
}
