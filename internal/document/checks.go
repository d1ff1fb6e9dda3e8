package document

import (
	"fmt"

	"dla/internal/table"
)

// selfChecks lists the self-checks of the runs, those that fail first.
func selfChecks(c *Content) ([]Block, error) {
	failing := table.New("lrlll", "run", "seed", "self-check", "result", "found").Titled("Failed")
	others := table.New("lrlll", "run", "seed", "self-check", "result", "found")
	count := map[string]int{}
	for _, r := range c.results {
		for _, k := range r.result.SelfChecks() {
			count[k.Word()]++
			t := others
			if k.Failed() {
				t = failing
			}
			t.Row(r.Variant, r.Seed, k.What, k.Word(), k.Found)
		}
	}
	total := len(failing.Rows) + len(others.Rows)
	if total == 0 {
		return nil, nil
	}
	text := fmt.Sprintf("%s: %d hold, %d do not apply, %d fail.", counted(total, "self-check"), count["holds"],
		count["does not apply"], len(failing.Rows))
	blocks := []Block{{Text: text}}
	if len(failing.Rows) > 0 {
		blocks = []Block{{Warning: text}, {Table: failing}}
	}
	if len(others.Rows) > 0 {
		blocks = append(blocks, Block{Details: &Details{Summary: counted(len(others.Rows), "self-check") +
			" that did not fail", Blocks: []Block{{Table: others}}}})
	}
	return blocks, nil
}
