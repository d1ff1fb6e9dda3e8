package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/run"
)

// selectRuns returns the runs that args name, each once: an id under root, its beginning or a pattern, the folder of a
// run, or a folder of runs, or where it holds none itself, of those some folders down. Without args they are those under root. tags leaves those that have
// all of them. A broken run that is named itself is an error; others are said and left out.
func selectRuns(s *Streams, root string, args, tags []string) ([]run.Record, error) {
	if len(args) == 0 {
		if _, err := os.Stat(root); err != nil {
			return nil, fmt.Errorf("there are no runs under %s; start with `%s`, or name the folder of runs", root,
				run.Command(root, "lab1", "resnet", "--depth", "5", "--res"))
		}
		args = []string{root}
	}
	var recs []run.Record
	add := func(dir string, ids ...string) error {
		for _, id := range ids {
			r, err := run.Examine(dir, id)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(recs, func(o run.Record) bool { return o.Dir == r.Dir }) {
				recs = append(recs, r)
			}
		}
		return nil
	}
	var named []string // folders of runs that are named themselves
	for _, a := range args {
		all, err := run.List(root)
		if err != nil {
			return nil, err
		}
		known := func(s run.Summary) bool { return s.ID == a }
		st, statErr := os.Stat(a)
		switch {
		case slices.ContainsFunc(all, known):
			named = append(named, filepath.Join(root, a))
			err = add(root, a)
		case statErr == nil && st.IsDir():
			dirs, one, findErr := runFolders(a)
			if err = findErr; err != nil {
				break
			}
			if one {
				named = append(named, filepath.Clean(dirs[0]))
			}
			for _, d := range dirs {
				if err = add(filepath.Dir(d), filepath.Base(d)); err != nil {
					break
				}
			}
		case strings.ContainsAny(a, "*?["):
			var ids []string
			for _, s := range all {
				ok, err := path.Match(a, s.ID)
				if err != nil {
					return nil, usageError(fmt.Errorf("pattern %q: %w", a, err))
				}
				if ok {
					ids = append(ids, s.ID)
				}
			}
			if len(ids) == 0 {
				return nil, fmt.Errorf("no run under %s matches %q; `%s` lists them", root, a,
					run.Command(root, "runs", "ls"))
			}
			err = add(root, ids...)
		default:
			var r run.Record
			if r, err = run.Examine(root, a); err == nil {
				named = append(named, filepath.Clean(r.Dir))
				err = add(root, r.ID)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	var whole []run.Record
	for _, r := range recs {
		switch {
		case r.Damage() != nil && slices.Contains(named, filepath.Clean(r.Dir)):
			return nil, r.Damage()
		case r.Damage() != nil:
			fmt.Fprintf(s.Err, "left out: %s is broken: %s\n", r.ID, r.Detail)
		case r.Tagged(tags):
			whole = append(whole, r)
		}
	}
	if len(whole) == 0 && len(tags) > 0 && len(recs) > 0 {
		return nil, fmt.Errorf("none of the %d runs has the tag %s; `%s` shows the tags", len(recs),
			strings.Join(tags, " and "), run.Command(root, "runs", "ls"))
	}
	if len(whole) == 0 {
		return nil, fmt.Errorf("there are no runs in %s", strings.Join(args, ", "))
	}
	return whole, nil
}

// maxDepth is how many folders down runs are looked for: results/lab1/cnn/ID and no further.
const maxDepth = 4

// runFolders returns the folders of runs in dir, which may be one itself: then one is set.
func runFolders(dir string) (all []string, one bool, err error) {
	if isRun(dir) {
		abs, err := filepath.Abs(dir) // "." has a name of its own there
		return []string{abs}, true, err
	}
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		list, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		var here, below []string
		for _, e := range list {
			at := filepath.Join(dir, e.Name())
			st, err := os.Stat(at) // runs may be links to another disk
			if err != nil || !st.IsDir() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			switch {
			case isRun(at):
				here = append(here, at)
			case e.Type()&fs.ModeSymlink == 0 && e.Name() != reproducedName:
				below = append(below, at)
			}
		}
		all = append(all, here...)
		if len(here) > 0 || depth == 1 {
			return nil
		}
		for _, at := range below {
			if err := walk(at, depth-1); err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
		return nil
	}
	err = walk(dir, maxDepth)
	return all, false, err
}

// isRun reports whether dir is the folder of a run.
func isRun(dir string) bool {
	for _, name := range []string{"env.json", "status.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// onlyOnce leaves of runs with equal settings and data the last finished one, or the last if none is: a run made twice
// is no second sample. It says which it leaves out.
func onlyOnce(s *Streams, recs []run.Record) (kept []run.Record) {
	type key struct{ experiment, variant, config, data string }
	best := map[key]run.Record{}
	of := func(r run.Record) key { return key{r.Experiment, r.Variant, r.ConfigHash, r.Fingerprint} }
	for _, r := range recs {
		old, twice := best[of(r)]
		if !twice || old.Status != run.StatusFinished || r.Status == run.StatusFinished && !r.Started.Before(old.Started) {
			best[of(r)] = r
		}
	}
	for _, r := range recs {
		if b := best[of(r)]; b.Dir != r.Dir {
			fmt.Fprintf(s.Err, "left out: %s (%s) has the settings, the seed and the data of %s\n", r.ID, r.Status, b.ID)
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// finished divides recs into finished runs and others.
func finished(recs []run.Record) (done, others []run.Record) {
	for _, r := range recs {
		if r.Status == run.StatusFinished && r.Result != nil {
			done = append(done, r)
		} else {
			others = append(others, r)
		}
	}
	return done, others
}
