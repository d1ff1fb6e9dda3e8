package cli

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/cache"
	"dla/internal/data"
	"dla/internal/table"
)

func newCacheCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "List and prune the cache: data sets, decoded copies, features, encoders",
		Long: `The user's cache folder keeps files of data sets (data), copies of sets decoded or drawn (decoded), features
computed by networks (features), imported encoders and networks (encoder, network), what dla serve knows of
runs (index) and remains of killed processes (temporary). Decoded copies, features and indexes are made again
when needed. A decoded copy that is the only copy of a set counts as data.`,
		Example: "  dla cache ls\n  dla cache prune --days 30 --dry-run",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCacheLsCmd(s), newCachePruneCmd(s))
	return cmd
}

func newCacheLsCmd(s *Streams) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the cache by kind, least recently used first",
		Long: `List the content of the cache with its size and the time of its last use; for data sets and encoders, the
time of the last write.`,
		Example: "  dla cache ls\n  dla cache ls --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := cache.List()
			if err != nil {
				return err
			}
			if o.asJSON() {
				return writeJSON(s.Out, append([]cache.Item{}, all...))
			}
			dir, err := cache.Dir()
			if err != nil {
				return err
			}
			if len(all) == 0 && o.asText() {
				fmt.Fprintf(s.Out, "nothing is kept in %s\n", dir)
				return nil
			}
			if err := o.write(s.Out, itemTable(all)); err != nil || !o.asText() {
				return err
			}
			fmt.Fprintf(s.Out, "\n%s in %s\n", inMB(bytesOf(all)), dir)
			return nil
		},
	}
	o.add(cmd)
	return cmd
}

// itemTable lists what is kept in the cache.
func itemTable(all []cache.Item) table.Tables {
	t := table.New("", "KIND", "NAME", "SIZE", "LAST USED", "WHERE")
	for _, i := range all {
		t.Row(i.Kind, i.Name, shownAs(inMB(i.Bytes), float64(i.Bytes)), i.Used.Format(time.DateOnly),
			strings.Join(i.Paths, " "))
	}
	return table.Of(t)
}

func inMB(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func bytesOf(all []cache.Item) (sum int64) {
	for _, i := range all {
		sum += i.Bytes
	}
	return sum
}

// removal holds the flags of commands that delete from the cache.
type removal struct{ yes, dry, json bool }

func (r *removal) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&r.dry, "dry-run", false, "print what would be deleted, and delete nothing")
	f.BoolVar(&r.json, "json", false, "print JSON")
}

// remove lists items and deletes them. On a terminal it asks first.
func (r *removal) remove(s *Streams, items []cache.Item) error {
	if !r.dry && len(items) > 0 {
		if !r.yes && s.InTTY {
			if err := table.Write(s.Err, table.Text, itemTable(items)); err != nil {
				return err
			}
		}
		if err := confirmed(s, r.yes, fmt.Sprintf("these, %s", inMB(bytesOf(items)))); err != nil {
			return err
		}
		for _, i := range items {
			if err := i.Remove(); err != nil {
				return err
			}
		}
	}
	if r.json {
		return writeJSON(s.Out, append([]cache.Item{}, items...))
	}
	did := "removed"
	if r.dry {
		did = "would remove"
	}
	if len(items) == 0 {
		fmt.Fprintf(s.Out, "%s nothing\n", did)
		return nil
	}
	for _, i := range items {
		fmt.Fprintf(s.Out, "%s %s %s, %s: %s\n", did, i.Kind, i.Name, inMB(i.Bytes), strings.Join(i.Paths, " "))
	}
	return nil
}

func newCachePruneCmd(s *Streams) *cobra.Command {
	var r removal
	days, most := -1.0, -1.0
	kinds := []string{cache.Decoded, cache.Features, cache.Index}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete from the cache by age and size, and remains of killed processes",
		Long: `Delete what has not been used for --days, then the least recently used until at most --max-mb are
left. Only the kinds decoded, features and index, which are made again when needed, are deleted unless --kind
names others. Remains of killed processes are always deleted. Nothing outside the cache folder is touched. On a
terminal the command asks, elsewhere it needs --yes.`,
		Example: "  dla cache prune --days 30 --dry-run\n" +
			"  dla cache prune --kind decoded,features,data --max-mb 500 --yes",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, k := range kinds {
				if !slices.Contains(cache.Prunable, k) {
					return usageError(fmt.Errorf("--kind %s: want %s", k, strings.Join(cache.Prunable, ", ")))
				}
			}
			for flag, v := range map[string]float64{"days": days, "max-mb": most} {
				if cmd.Flags().Changed(flag) && !(v >= 0 && v <= 1e5) {
					return usageError(fmt.Errorf("--%s %g: want 0 to 100000", flag, v))
				}
			}
			all, err := cache.List()
			if err != nil {
				return err
			}
			var before time.Time
			if days >= 0 {
				before = time.Now().Add(-time.Duration(days * 24 * float64(time.Hour)))
			}
			return r.remove(s, cache.Prune(all, kinds, before, int64(math.Ceil(most*1e6))))
		},
	}
	f := cmd.Flags()
	f.Float64Var(&days, "days", days, "delete what has not been used for this many days; below 0: no limit on age")
	f.Float64Var(&most, "max-mb", most, "keep at most this many MB of these kinds; below 0: no limit on size")
	f.StringSliceVar(&kinds, "kind", kinds, "kinds to delete: "+strings.Join(cache.Prunable, ", "))
	completeWords(cmd, "kind", cache.Prunable)
	r.flags(cmd)
	return cmd
}

func newDataRmCmd(s *Streams) *cobra.Command {
	var r removal
	cmd := &cobra.Command{
		Use:   "rm NAME…|PATH…",
		Short: "Delete data sets from the cache",
		Long: `Delete the files of data sets and their decoded copies from the user's cache folder, and of your own images,
which are named by their path or as data ls does, the decoded copies. Nothing else is deleted, nor anything in
$DLA_DATA. On a terminal the command asks, elsewhere it needs --yes.`,
		Example:           "  dla data rm svhn --dry-run\n  dla data rm svhn textures --yes",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeSet(math.MaxInt),
		RunE: func(_ *cobra.Command, names []string) error {
			all, err := cache.List()
			if err != nil {
				return err
			}
			var items []cache.Item
			own, err := data.OwnCopies(data.Options{})
			if err != nil {
				return err
			}
			for _, n := range names {
				had := len(items)
				path, _ := filepath.Abs(n)
				for _, i := range all {
					of := slices.IndexFunc(own, func(c data.OwnCopy) bool { return i.Kind == cache.Decoded && c.File == i.Paths[0] })
					if i.Kind == cache.Data && i.Name == n || i.Kind == cache.Decoded && i.Name == n ||
						of >= 0 && own[of].Path == path {
						items = append(items, i)
					}
				}
				if _, err := data.Lookup(n); err != nil && len(items) == had && !data.IsOwn(n) {
					return usageError(err)
				}
				if len(items) == had {
					return errors.New(n + " is not in the cache; see where it is with `dla data ls`")
				}
			}
			return r.remove(s, items)
		},
	}
	r.flags(cmd)
	return cmd
}
