package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"dla/internal/buildinfo"
	"dla/internal/kernel"
)

func newVersionCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of dla and the machine",
		Example: "  dla version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Revision string `json:"revision"`
				Dirty    bool   `json:"dirty"`
				Go       string `json:"go"`
				OS       string `json:"os"`
				Arch     string `json:"arch"`
				CPU      string `json:"cpu"`
				Threads  int    `json:"threads"`
				Kernel   string `json:"kernel"`
			}{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: buildinfo.CPU(), Threads: kernel.Threads(), Kernel: kernel.Level()}
			v.Version, v.Revision, v.Dirty = buildinfo.Version()
			if asJSON {
				return writeJSON(s.Out, v)
			}
			changed := ""
			if v.Dirty {
				changed = ", with uncommitted changes"
			}
			fmt.Fprintf(s.Out, "dla %s (revision %.12s%s)\n%s on %s/%s, %s, %d threads, %s kernels\n", v.Version,
				v.Revision, changed, v.Go, v.OS, v.Arch, v.CPU, v.Threads, v.Kernel)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeJSON prints v indented.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
