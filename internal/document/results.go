package document

import (
	"dla/internal/report"
)

// mostClasses is the largest number of classes in the table of a single run.
const mostClasses = 20

// results shows the tables of the finished runs and, of a single one, those of its classes.
func results(c *Content) (blocks []Block, err error) {
	if len(c.finished) == 0 {
		return []Block{{Text: "No run is finished."}}, nil
	}
	ts, err := report.Results(c.finished)
	if err != nil {
		return nil, err
	}
	for _, p := range ts {
		switch {
		case p.Table == nil:
			blocks = append(blocks, Block{Text: p.Text})
		case p.Table.Columns[0].Head != "self-check": // which have a section of their own
			blocks = append(blocks, Block{Table: p.Table})
		}
	}
	blocks = append(blocks, Block{Text: "Values with ± are means and sample standard deviations over seeds. A 95 % " +
		"interval is Student's interval of the mean over seeds, or for one seed Wilson's interval over the test set, " +
		"unless the table says otherwise. The best value of a column is bold."})
	if len(c.finished) != 1 {
		return blocks, nil
	}
	t, err := report.ClassTable(c.finished[0], mostClasses)
	if err == nil && t != nil {
		blocks = append(blocks, Block{Table: t.Titled("Classes of the test set")})
	}
	return blocks, err
}
