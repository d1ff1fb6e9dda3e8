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
// run, or a folder of runs, or where it holds none itself, those some folders down. Without args they are those under
// root. tags leaves those that have all of them. A broken run that is named itself is an error; others are left out,
// and left says so.
func selectRuns(root string, args, tags []string) (recs []run.Record, left []string, err error) {
	if len(args) == 0 {
		if _, err := os.Stat(root); err != nil {
			return nil, nil, fmt.Errorf("there are no runs under %s; start with `%s`, or name the folder of runs", root,
				run.Command(root, "lab1", "resnet", "--depth", "5", "--res"))
		}
		args = []string{root}
	}
	ids, err := run.IDs(root)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	add := func(dirs ...string) {
		for _, dir := range dirs {
			if dir = filepath.Clean(dir); !seen[dir] {
				seen[dir] = true
				recs = append(recs, run.Read(dir))
			}
		}
	}
	named := map[string]bool{} // folders of runs that are named themselves
	for _, a := range args {
		st, statErr := os.Stat(a)
		switch {
		case slices.Contains(ids, a):
			named[filepath.Join(root, a)] = true
			add(filepath.Join(root, a))
		case statErr == nil && st.IsDir():
			dirs, one, err := runFolders(a)
			if err != nil {
				return nil, nil, err
			}
			if one {
				named[dirs[0]] = true
			}
			add(dirs...)
		case strings.ContainsAny(a, "*?["):
			matched := false
			for _, id := range ids {
				ok, err := path.Match(a, id)
				if err != nil {
					return nil, nil, usageError(fmt.Errorf("pattern %q: %w", a, err))
				}
				if ok {
					matched = true
					add(filepath.Join(root, id))
				}
			}
			if !matched {
				return nil, nil, fmt.Errorf("no run under %s matches %q; `%s` lists them", root, a,
					run.Command(root, "runs", "ls"))
			}
		default:
			r, err := run.Examine(root, a)
			if err != nil {
				return nil, nil, err
			}
			named[filepath.Clean(r.Dir)] = true
			add(r.Dir)
		}
	}
	var whole []run.Record
	for _, r := range recs {
		switch {
		case r.Damage() != nil && named[filepath.Clean(r.Dir)]:
			return nil, nil, r.Damage()
		case r.Damage() != nil:
			left = append(left, fmt.Sprintf("%s is broken: %s", r.ID, r.Detail))
		case r.Tagged(tags):
			whole = append(whole, r)
		}
	}
	if len(whole) == 0 && len(tags) > 0 && len(recs) > 0 {
		return nil, nil, fmt.Errorf("none of the %d runs has the tag %s; `%s` shows the tags", len(recs),
			strings.Join(tags, " and "), run.Command(root, "runs", "ls"))
	}
	if len(whole) == 0 {
		return nil, nil, fmt.Errorf("there are no runs in %s", strings.Join(args, ", "))
	}
	return whole, left, nil
}

// maxDepth is how many folders down runs are looked for: results/lab1/cnn/ID and no further.
const maxDepth = 4

// runFolders returns the folders of runs in dir, which may be one itself: then one is set.
func runFolders(dir string) (all []string, one bool, err error) {
	if isRun(dir) {
		dir = filepath.Clean(dir)
		if dir == "." || strings.HasSuffix(dir, "..") { // it has a name of its own as an absolute path
			dir, err = filepath.Abs(dir)
		}
		return []string{dir}, true, err
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
// is no second sample. left says which it leaves out.
func onlyOnce(recs []run.Record) (kept []run.Record, left []string) {
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
			left = append(left, fmt.Sprintf("%s (%s) has the settings, the seed and the data of %s", r.ID, r.Status, b.ID))
			continue
		}
		kept = append(kept, r)
	}
	return kept, left
}

// sayLeft prints what is left out.
func sayLeft(s *Streams, left []string) {
	for _, l := range left {
		fmt.Fprintf(s.Err, "left out: %s\n", l)
	}
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
