package cli

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/labs"
	"dla/internal/record"
)

// importNetwork imports the weights of a network that another program trained, and says what was found.
func importNetwork(cmd *cobra.Command, s *Streams, i labs.Import, asJSON bool) error {
	if i.As == "" {
		return usageError(fmt.Errorf("%s is a file: name the network of its weights with --as, such as --as resnet20 "+
			"(`dla models ls` lists them); an encoder is a folder", i.File))
	}
	file := filepath.Base(i.File)
	i.Name = cmp.Or(i.Name, strings.TrimSuffix(file, filepath.Ext(file)))
	progress := newProgress(s)
	defer progress.Close()
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	c, res, err := labs.ImportNetwork(ctx, i, labOptions(s, "", progress))
	if c := code(); c != 0 {
		return &ExitError{Code: c}
	}
	if err != nil {
		return err
	}
	progress.Close()
	if asJSON {
		return writeJSON(s.Out, struct {
			labs.Checkpoint
			Test     record.Test      `json:"test"`
			Imported *record.Imported `json:"imported"`
		}{c, res.Test, res.Imported})
	}
	fmt.Fprintf(s.Out, "%s is %s, %s parameters, of %s\n", file, c.Network, thousands(c.Params), c.Data)
	writeImported(s, res)
	fmt.Fprintf(s.Out, "it is in %s; use it by name: --checkpoint %s, --teacher %s, --original %s\n", c.Name, i.Name,
		i.Name,
		i.Name)
	return nil
}

// writeImported says how an imported network is computed, how that was found, and what accuracy it has.
func writeImported(s *Streams, res record.Classifier) {
	i := res.Imported
	if len(i.Tried) == 0 { // a record of another hand
		return
	}
	best := i.Tried[0]
	fmt.Fprintf(s.Out, "  normalization  %s%s\n", best.Normalization, against(i.Tried, func(t record.Tried) bool {
		return t.Shortcut == best.Shortcut
	}))
	if best.Shortcut != "" {
		fmt.Fprintf(s.Out, "  shortcuts      %s%s\n", best.Shortcut, against(i.Tried, func(t record.Tried) bool {
			return t.Normalization == best.Normalization
		}))
	}
	fmt.Fprintf(s.Out, "  accuracy       %.2f %% of the %s test images (%s of them)", 100*res.Test.Accuracy,
		thousands(res.Test.N), thousands(res.Test.Correct))
	name, stated, ok := i.StatedAccuracy()
	switch off := 100 * (res.Test.Accuracy - stated); {
	case !ok:
		fmt.Fprintln(s.Out, "; the file states none")
	case math.Abs(off) < 0.005:
		fmt.Fprintf(s.Out, "; the file states the same (%s)\n", name)
	default:
		fmt.Fprintf(s.Out, "; the file states %.2f %% (%s), %+.2f points from it\n", 100*stated, name, off)
	}
}

// against says how the best of the ways that only lists did on images of the training set, and the next.
func against(tried []record.Tried, only func(record.Tried) bool) string {
	var some []record.Tried
	for _, t := range tried {
		if only(t) {
			some = append(some, t)
		}
	}
	if len(some) < 2 {
		return ""
	}
	other := some[1].Normalization
	if other == some[0].Normalization {
		other = some[1].Shortcut
	}
	by := ""
	if some[0].Accuracy == some[1].Accuracy && some[0].N == some[1].N {
		by = ", chosen by the smaller loss"
	}
	return fmt.Sprintf(" (%.2f %% of %s training images; %s: %.2f %% of %s%s)", 100*some[0].Accuracy, thousands(some[0].N),
		other, 100*some[1].Accuracy, thousands(some[1].N), by)
}

// isFile reports whether path is there and no folder.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// onlyForFiles is an error where a flag of networks was given for a folder.
func onlyForFiles(cmd *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if cmd.Flags().Changed(f) {
			return usageError(errors.New("--" + f + " is for the file of a network; an encoder's folder says what it is"))
		}
	}
	return nil
}
