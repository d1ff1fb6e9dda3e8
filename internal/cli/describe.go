package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/table"
)

func newDataDescribeCmd(s *Streams) *cobra.Command {
	var o tableFlags
	var as reading
	var by data.TextOptions
	cmd := &cobra.Command{
		Use:   "describe NAME|PATH",
		Short: "Describe a set, or your own images or texts: sizes, columns, classes, splits, repeats",
		Long: `Read a set as a training would, and show what it is. Of images: their size and channels, mean and standard
deviation, the classes and the images of each, the fingerprint, and what was converted, passed over or drawn.
Of labelled texts: the files with their encodings and columns, the texts of each class in each split, the
longest text, and how many texts repeat another, which in another split makes a test too easy. What cannot be
read is an error with the file, and the line of a table.` + ownData + labelledTexts,
		Example: `  dla data describe cifar10
  dla data describe photos/ --set data.size=64 --json
  dla data describe reviews.csv
  dla data describe ag_news --text Description --label 'Class Index' --json
  dla data describe photos/ --format csv                 # images of each class`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return slices.Concat(data.Names(), data.SentenceNames()), cobra.ShellCompDirectiveDefault // and files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(data.SentenceNames(), args[0]) || data.HoldsTexts(args[0]) {
				return describeTexts(cmd, s, args[0], by, &o)
			}
			how, err := as.resolve()
			if err != nil {
				return err
			}
			return describeImages(cmd, s, args[0], how, &o)
		},
	}
	as.flag(cmd)
	f := cmd.Flags()
	f.StringVar(&by.Text, "text", "", "column of the texts, by name or number; default: by its usual names")
	f.StringVar(&by.Label, "label", "", "column of the labels")
	f.StringVar(&by.Split, "split", "", "column of the splits")
	f.Float64Var(&by.Val, "val", 0,
		"size of a validation split of texts to draw: below 1 a share, else a number; 0: a tenth")
	f.Float64Var(&by.Test, "test", 0, "size of a test split of texts to draw")
	o.add(cmd)
	return cmd
}

// textsFound describes a set of labelled texts.
type textsFound struct {
	Name        string          `json:"name"`
	Source      string          `json:"source"`
	Fingerprint string          `json:"fingerprint"`
	Classes     []classFound    `json:"classes"`
	Splits      map[string]int  `json:"splits"`
	Longest     int             `json:"longest"` // characters
	Repeats     data.Repeats    `json:"repeats"`
	Files       []data.TextFile `json:"files,omitempty"`
}

type classFound struct {
	Name  string `json:"name"`
	Train int    `json:"train"`
	Val   int    `json:"validation"`
	Test  int    `json:"test"`
}

// describeTexts prints what a set of labelled texts holds.
func describeTexts(cmd *cobra.Command, s *Streams, name string, by data.TextOptions, o *tableFlags) error {
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	opt := data.Options{Say: func(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }}
	var set *data.Sentences
	var err error
	if data.IsTextPath(name) {
		set, err = data.ReadTexts(ctx, name, by, opt)
	} else {
		set, err = data.LoadSentences(ctx, name, opt)
	}
	if c := code(); c != 0 {
		return &ExitError{Code: c}
	}
	if err != nil {
		return err
	}
	d := textsFound{Name: set.Name, Source: set.Source, Fingerprint: set.Fingerprint, Repeats: set.Repeats(),
		Files:   set.Files,
		Classes: make([]classFound, len(set.Classes)),
		Splits:  map[string]int{"train": len(set.Train), "validation": len(set.Val), "test": len(set.Test)}}
	for i, c := range set.Classes {
		d.Classes[i].Name = c
	}
	for p, index := range [][]int32{set.Train, set.Val, set.Test} {
		for _, i := range index {
			c := &d.Classes[set.Labels[i]]
			*[]*int{&c.Train, &c.Val, &c.Test}[p]++
		}
	}
	for _, t := range set.Text {
		d.Longest = max(d.Longest, utf8.RuneCountInString(t))
	}
	switch {
	case o.asJSON():
		return writeJSON(s.Out, d)
	case !o.asText():
		return o.write(s.Out, table.Of(d.table()))
	}
	return d.write(s.Out)
}

// table returns the texts of each class in each split.
func (d textsFound) table() *table.Table {
	t := table.New("lrrr", "class", "train", "validation", "test")
	rows := slices.Concat(d.Classes, []classFound{{"all", d.Splits["train"], d.Splits["validation"], d.Splits["test"]}})
	for _, c := range rows {
		t.Row(oneLineOf(c.Name), c.Train, c.Val, c.Test)
	}
	return t
}

func (d textsFound) write(out io.Writer) error {
	fmt.Fprintf(out, "%s: %s\n", d.Name, d.Source)
	for i, f := range d.Files {
		const most = 12 // files of a folder of texts are many
		if i == most && len(d.Files) > most+1 {
			fmt.Fprintf(out, "  and %d more files\n", len(d.Files)-most)
			break
		}
		notes := []string{fmt.Sprintf("%d rows", f.Rows)}
		for _, n := range []struct{ what, is string }{{"text", f.Text}, {"label", f.Label}, {"split", f.Split}} {
			if n.is != "" {
				notes = append(notes, fmt.Sprintf("%s in column %s", n.what, n.is))
			}
		}
		if f.Encoding != "" {
			notes = append(notes, f.Encoding)
		}
		if f.Empty > 0 {
			notes = append(notes, fmt.Sprintf("%d without a text", f.Empty))
		}
		fmt.Fprintf(out, "  %s: %s\n", f.Path, strings.Join(notes, ", "))
	}
	fmt.Fprint(out, d.table().String())
	fmt.Fprintf(out, "longest text: %d characters\n", d.Longest)
	_, err := fmt.Fprintf(out,
		"apart from spacing and punctuation %d texts repeat one of another split and %d one of their own split, "+
			"%d of them with another label\n", d.Repeats.Across, d.Repeats.Within, d.Repeats.OtherLabel)
	return err
}
