package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dla/internal/labs"
	"dla/internal/run"
)

func newRunsExportCmd(s *Streams, root *string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "export --tensorboard DIR [RUN|FOLDER…]",
		Short: "Write runs as event files for TensorBoard, wandb and aim",
		Long: `Write runs as event files, one folder a run under DIR: the metrics of every epoch (the step is the
epoch), the result, the settings as text and as hyperparameters, and the figures of finished runs as
images. Look at them with ` + "`tensorboard --logdir DIR`" + `; ` + "`wandb sync DIR`" + ` and
` + "`aim convert tensorboard --logdir DIR`" + ` read them too.

RUN is an id or the beginning of one. FOLDER is a run's folder or holds runs, at any depth: their names
under DIR are those below FOLDER. Without either, all runs under --out are written. The records stay as
they are. A run that trains writes such files itself with --tensorboard.`,
		Example: `  dla runs export --tensorboard tb
  dla runs export --tensorboard tb 20261124-093015-mlp-d5-res-s0
  dla runs export --tensorboard tb results/lab1`,
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				return usageError(errors.New("say where to: --tensorboard DIR"))
			}
			if len(args) == 0 {
				args = []string{*root}
			}
			runs, err := runsOf(*root, args)
			if err != nil {
				return err
			}
			written := 0
			for _, r := range runs {
				if err := labs.ExportEvents(r.dir, filepath.Join(dir, r.name)); err != nil {
					fmt.Fprintf(s.Err, "left out: %s\n", inOneLine(err))
					continue
				}
				written++
			}
			if written > 0 {
				fmt.Fprintf(s.Out, "%d runs in %s; look at them with: tensorboard --logdir %s\n", written, dir, run.Quote(dir))
			}
			if left := len(runs) - written; left > 0 {
				return fmt.Errorf("%d of %d runs could not be exported", left, len(runs))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "tensorboard", "", "folder for the event files")
	return cmd
}

// namedRun is a run's folder, and its name below the argument that named it.
type namedRun struct{ dir, name string }

// runsOf returns the runs that args name: ids under root, run folders, and folders that hold runs at any depth.
func runsOf(root string, args []string) ([]namedRun, error) {
	var all []namedRun
	seen := map[string]string{} // folder by name
	add := func(dir, name string) error {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		switch before, ok := seen[name]; {
		case ok && before == dir:
			return nil
		case ok:
			return fmt.Errorf("%s and %s would both be called %s; export them into two folders", before, dir, name)
		}
		seen[name] = dir
		all = append(all, namedRun{dir, name})
		return nil
	}
	for _, a := range args {
		st, err := os.Stat(a)
		if err != nil || !st.IsDir() {
			rec, err := run.Examine(root, a)
			if err == nil {
				err = add(rec.Dir, rec.ID)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if a, err = filepath.Abs(a); err == nil {
			a, err = filepath.EvalSymlinks(a)
		}
		if err != nil {
			return nil, err
		}
		n := len(seen)
		err = filepath.WalkDir(a, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() && e.Type()&fs.ModeSymlink == 0 || !run.Is(path) {
				return err
			}
			name := filepath.Base(path)
			if path != a {
				if name, err = filepath.Rel(a, path); err != nil {
					return err
				}
			}
			if err := add(path, name); err != nil {
				return err
			}
			if !e.IsDir() { // a link to a run on another disk
				return nil
			}
			return fs.SkipDir
		})
		if err != nil {
			return nil, err
		}
		if len(seen) == n && !run.Is(a) {
			return nil, fmt.Errorf("there are no runs under %s", a)
		}
	}
	return all, nil
}
