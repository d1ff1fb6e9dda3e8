package document

import (
	"fmt"
	"slices"
	"strings"

	"dla/internal/table"
)

// theRuns lists every run, and the settings of one of each variant.
func theRuns(c *Content) ([]Block, error) {
	t := table.New("lllrlrrll", "run", "experiment", "variant", "seed", "status", "epochs", "test accuracy %", "tags",
		"note")
	for _, r := range c.Runs {
		accuracy := table.Cell{}
		if r.TestAccuracy != nil {
			accuracy = table.Number("%.2f", 100**r.TestAccuracy)
		}
		t.Row(r.ID, r.Experiment, r.Variant, r.Seed, string(r.Status), r.Epochs, accuracy, strings.Join(r.Tags, ", "),
			r.Note)
	}
	blocks := []Block{{Table: t.DropEmpty("tags", "note", "test accuracy %")}}
	var seen []string
	for _, r := range c.Runs {
		key := r.Experiment + "\x00" + r.Variant
		if slices.Contains(seen, key) {
			continue
		}
		seen = append(seen, key)
		blocks = append(blocks, Block{Details: &Details{
			Summary: fmt.Sprintf("Settings of %s, seed %d", r.Variant, r.Seed),
			Blocks:  []Block{{Code: string(r.Config)}}}})
	}
	return blocks, nil
}
