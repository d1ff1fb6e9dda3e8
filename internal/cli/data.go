package cli

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dla/internal/data"
)

func newDataCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Data sets: what there is, fetch, import, verify",
		Long: `Data sets are looked for in $DLA_DATA, then in the user's cache folder, then on the network;
what the network gives is kept in the cache. Every file is checked by SHA-256 before it is used.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDataLsCmd(s), newDataPullCmd(s), newDataImportCmd(s), newDataVerifyCmd(s))
	return cmd
}

// location is a set and where it stands.
type location struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Bytes  int64  `json:"bytes"`
	Status string `json:"status"` // ready, absent or damaged
	Dir    string `json:"dir,omitempty"`
	Detail string `json:"detail,omitempty"`
	remedy string
}

func locations(names []string) ([]location, error) {
	if len(names) == 0 {
		for _, e := range data.Catalogue {
			names = append(names, e.Name)
		}
	}
	var all []location
	for _, n := range names {
		e, err := data.Lookup(n)
		if err != nil {
			return nil, usageError(err)
		}
		l := location{Name: e.Name, About: e.About, Status: "absent"}
		for _, f := range e.Files {
			l.Bytes += f.Size
		}
		dir, err := e.Dir(data.Options{})
		if err != nil {
			return nil, err
		}
		if dir != "" {
			l.Status, l.Dir = "ready", dir
			for _, p := range e.Verify(dir) {
				if p.Err != nil && l.Status == "ready" {
					l.Status, l.Detail, l.remedy = "damaged", p.Err.Error(), e.Remedy(dir, data.Options{})
				}
			}
		}
		all = append(all, l)
	}
	return all, nil
}

func newDataLsCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the data sets and where they are",
		Example: "  dla data ls\n  dla data ls --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := locations(nil)
			if err != nil {
				return err
			}
			all = append(all, location{Name: data.SyntheticDigits, About: "digits drawn from fonts, 28x28 grey, 20,000 train + 4,000 test", Status: "built in"})
			if asJSON {
				return writeJSON(s.Out, all)
			}
			w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSTATUS\tSIZE\tWHERE\tWHAT")
			for _, l := range all {
				fmt.Fprintf(w, "%s\t%s\t%.1f MB\t%s\t%s\n", l.Name, l.Status, float64(l.Bytes)/1e6, dash(l.Dir), l.About)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newDataPullCmd(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "pull NAME…",
		Short:   "Fetch data sets into the cache, replacing damaged files",
		Example: "  dla data pull mnist",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			ctx, code, stop := interruptible(cmd.Context())
			defer stop()
			for _, n := range names {
				e, err := data.Lookup(n)
				if err != nil {
					return usageError(err)
				}
				cache, err := data.CacheDir()
				if err != nil {
					return err
				}
				progress := newProgress(s)
				dir := filepath.Join(cache, e.Folder)
				source, err := e.Pull(ctx, dir, progress.Download)
				progress.Close()
				if c := code(); c != 0 {
					return &ExitError{Code: c}
				}
				if data.Nowhere(err) {
					return fmt.Errorf("%w; on a machine without network: `dla data import %s FOLDER`", err, n)
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(s.Out, "%s is in %s, from %s\n", n, dir, source)
			}
			return nil
		},
	}
}

func newDataImportCmd(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FOLDER",
		Short: "Copy a data set from a folder into the cache, after checking it",
		Long: `Copies the published files of a data set (for mnist the four .gz files) from a folder into the cache.
All are checked by SHA-256 first; where one is missing or another file, nothing is copied.`,
		Example: "  dla data import mnist ~/Downloads/mnist",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := data.Lookup(args[0])
			if err != nil {
				return usageError(err)
			}
			cache, err := data.CacheDir()
			if err != nil {
				return err
			}
			dir := filepath.Join(cache, e.Folder)
			if err := e.Import(args[1], dir, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s is in %s\n", e.Name, dir)
			return nil
		},
	}
}

func newDataVerifyCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "verify [NAME…]",
		Short:   "Check the files of data sets by SHA-256; exit code 1 where one is damaged",
		Example: "  dla data verify\n  dla data verify mnist --json",
		RunE: func(_ *cobra.Command, names []string) error {
			all, err := locations(names)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(s.Out, all); err != nil {
					return err
				}
			}
			for _, l := range all {
				if !asJSON {
					fmt.Fprintf(s.Out, "%s: %s %s\n", l.Name, l.Status, l.Dir)
				}
				if l.Status == "damaged" && err == nil {
					err = fmt.Errorf("%s: %s; %s", l.Name, l.Detail, l.remedy)
				}
				if l.Status == "absent" && len(names) > 0 && err == nil {
					err = fmt.Errorf("%s is not on this machine; get it with `dla data pull %s`", l.Name, l.Name)
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
