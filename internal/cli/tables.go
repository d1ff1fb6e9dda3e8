package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/table"
)

// tableFlags holds the flags of a command that prints tables: --format, and --json for --format json.
type tableFlags struct {
	format formatName
	json   bool
}

// add adds the flags. A JSON of the command's own takes the place of that of its tables.
func (o *tableFlags) add(cmd *cobra.Command) {
	o.format = table.Text
	f := cmd.Flags()
	f.Var(&o.format, "format", "print tables as "+strings.Join(table.Formats, ", ")+"; csv and json have full precision")
	f.BoolVar(&o.json, "json", false, "print JSON, as --format json")
	completeWords(cmd, "format", table.Formats)
}

// asJSON reports whether the output is JSON.
func (o *tableFlags) asJSON() bool { return o.json || o.format == table.JSON }

// asText reports whether the output is plain text, which may say more than the tables.
func (o *tableFlags) asText() bool { return !o.json && o.format == table.Text }

// write prints ts.
func (o *tableFlags) write(w io.Writer, ts table.Tables) error {
	if o.json {
		return table.Write(w, table.JSON, ts)
	}
	return table.Write(w, string(o.format), ts)
}

// formatName is the value of --format.
type formatName string

// Set refuses an unknown format.
func (f *formatName) Set(name string) error {
	if err := table.CheckFormat(name); err != nil {
		return err
	}
	*f = formatName(name)
	return nil
}

// Type returns the name of the flag's value in help.
func (f *formatName) Type() string { return "format" }

func (f *formatName) String() string { return string(*f) }

// inPercent returns the cell of a share, which readers see in percent and programs as it is.
func inPercent(share *float64) table.Cell {
	if share == nil {
		return table.Cell{Text: "-"}
	}
	c := table.Number("%.2f", *share)
	c.Text = fmt.Sprintf("%.2f %%", 100**share)
	return c
}

// shownAs returns the cell of a number that readers see as text.
func shownAs(text string, v float64) table.Cell {
	c := table.Number("%g", v)
	c.Text = text
	return c
}
