package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"dla/internal/run"
)

const (
	// fullLook is how often records that should not change any more, such as finished ones, are looked at as well.
	fullLook = 30 * time.Second
	// racy is how long after the change of a file another one may leave its time as it is.
	racy = 2 * time.Second
	// deepest is how many folders deep runs are looked for, and mostFolders in how many folders.
	deepest     = 6
	mostFolders = 10000
	// silence is how long a training says nothing before it is called stale: at least that long, and several epochs.
	silence       = 10 * time.Minute
	silentEpochs  = 5
	silenceBefore = time.Hour // the first epoch
)

// tree is what is known of the folders and of the runs in them.
type tree struct {
	mu      sync.Mutex
	dirs    []string
	folders map[string]*folder
	items   map[string]*item // by path
	byKey   map[string]*item
	rows    encoded // of runs
	groups  encoded // of runs that differ by seed alone
	lines   lines
	cut     bool              // there are more folders than are looked into
	same    map[string]string // key of a group by what it is made of
	known   map[string]facts  // from the index, by absolute path, until the first look
}

// folder is a folder that is no run.
type folder struct {
	changed time.Time // when it was listed; zero: it must be listed again
	isRun   bool
	below   []string // folders in it, which may be runs
}

// item is a run.
type item struct {
	facts
	dir, in string // its path, and that of the folder that it lies in
	key     string
	curve   *curve
	free    bool      // no process owned it at the last look
	afar    time.Time // when it last grew although no process of this machine owned it
	unsure  bool      // it changed so lately that another change may not show
	touched bool      // its row may have changed
}

// newTree returns a tree of dirs, without those that lie in another of them.
func newTree(dirs []string) *tree {
	paths := make([]string, len(dirs))
	for i, d := range dirs {
		paths[i] = d
		if abs, err := filepath.Abs(d); err == nil {
			paths[i] = abs
		}
	}
	var tops []string
	for i, d := range dirs {
		within := false
		for j := range dirs {
			rel, err := filepath.Rel(paths[j], paths[i])
			within = within || err == nil && filepath.IsLocal(rel) && (rel != "." || j < i)
		}
		if !within {
			tops = append(tops, d)
		}
	}
	return &tree{dirs: tops, folders: map[string]*folder{}, items: map[string]*item{}, byKey: map[string]*item{},
		rows: encoded{}, groups: encoded{}, same: map[string]string{}}
}

func (t *tree) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.items)
}

// find returns the run of the key that a page has, nil where there is none any more.
func (t *tree) find(key string) *item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[key]
}

// keyOf names the run in dir in addresses. It is no path, so that no address leads elsewhere.
func keyOf(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:6])
}

// look finds new, changed and removed runs, and tells what a page's list must change. Runs that are not trained any
// more are looked at if all is set.
func (t *tree) look(all bool, tell func(event string, data []byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	found := map[string]string{} // run to the folder that it lies in
	for _, d := range t.dirs {
		t.list(filepath.Clean(d), 0, all, now, func(dir string) { found[dir] = filepath.Dir(dir) })
	}
	for dir, in := range found {
		if t.items[dir] == nil {
			it := &item{dir: dir, in: in, key: keyOf(dir), unsure: true}
			if abs, err := filepath.Abs(dir); err == nil && t.known != nil {
				it.facts = t.known[abs]
				it.unsure, it.touched = it.Experiment == "", true
			}
			t.items[dir], t.byKey[it.key] = it, it
		}
	}
	for dir, it := range t.items {
		if _, ok := found[dir]; !ok {
			delete(t.items, dir)
			delete(t.byKey, it.key)
		}
	}
	t.read(all, now)
	t.known = nil
	if b := t.change(now); b != nil {
		tell("list", b)
	}
}

// list calls found with each run in dir. A folder whose time of change is the same holds the same.
func (t *tree) list(dir string, depth int, all bool, now time.Time, found func(dir string)) {
	f := t.folders[dir]
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() || depth > deepest {
		delete(t.folders, dir)
		return
	}
	if f == nil && len(t.folders) >= mostFolders+len(t.items) {
		t.cut = true
		return
	}
	if f == nil || all && !f.isRun || !f.changed.Equal(st.ModTime()) && !f.isRun {
		f = &folder{isRun: run.Is(dir)}
		t.folders[dir] = f
		if now.Sub(st.ModTime()) > racy {
			f.changed = st.ModTime()
		}
		if !f.isRun {
			entries, _ := os.ReadDir(dir) // what cannot be read is not shown
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				linked := e.Type()&os.ModeSymlink != 0 // to a run on another disk, or around in a circle
				if !strings.HasPrefix(e.Name(), ".") && (e.IsDir() || linked && run.Is(path)) {
					f.below = append(f.below, path)
				}
			}
		}
	}
	if f.isRun {
		found(dir)
		return
	}
	for _, path := range f.below {
		t.list(path, depth+1, all, now, found)
	}
}

// read reads the records that have changed.
func (t *tree) read(all bool, now time.Time) {
	var changed []*item
	for _, it := range t.items {
		if all || it.unsure || it.active() {
			if it.look(now) {
				changed = append(changed, it)
			}
		}
	}
	next := make(chan *item)
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(changed)) {
		wait.Go(func() {
			for it := range next {
				it.facts = factsOf(it.dir, it.Stamp)
				it.free = it.died()
			}
		})
	}
	for _, it := range changed {
		next <- it
	}
	close(next)
	wait.Wait()
	for _, it := range changed {
		it.Group, it.touched = t.group(it), true
		if it.curve != nil {
			it.curve.advance()
		}
	}
}

// look compares the files of the run with what was read of them, and returns whether they must be read again. Of a
// training that has only gone on it reads the new epochs itself.
func (it *item) look(now time.Time) (again bool) {
	stamp := run.StampOf(it.dir)
	was := it.Stamp
	it.Stamp = stamp
	unsure := it.unsure && it.Experiment != "" // else it is new
	it.unsure = now.UnixNano()-stamp.Newest() < int64(racy)
	switch {
	case it.Experiment != "" && it.active() && was.Grown(stamp):
		it.grown(now)
		return false
	case it.Experiment != "" && it.active() && was == stamp:
		it.free = it.begun() && !run.Owned(it.dir)
		return false
	}
	return was != stamp || unsure
}

// grown reads the new epochs.
func (it *item) grown(now time.Time) {
	if it.curve == nil {
		it.curve = newCurve(it.key, it.dir)
	}
	it.curve.advance()
	if last, n := it.curve.last(); n > 0 {
		it.Last, it.Epochs = &last, n
	}
	it.PerEpoch = perEpoch(it.dir)
	free := !run.Owned(it.dir)
	if free && it.free {
		it.afar = now
	}
	it.free = free
}

// active reports whether the run may go on.
func (it *item) active() bool {
	return it.Status != string(run.StatusFinished) && it.Status != string(run.StatusBroken) || it.Experiment == ""
}

// begun reports whether the run says that it is being trained, which only its lock can confirm.
func (it *item) begun() bool { return it.Status == string(run.StatusRunning) || it.died() }

// died reports whether nobody owned the run when it was read, although it says that it is being trained.
func (it *item) died() bool {
	return it.Status == string(run.StatusInterrupted) && it.Detail == run.Died
}

// state returns the status to show, and what there is to say of it.
func (it *item) state(now time.Time) (status, detail string) {
	if !it.begun() {
		return it.Status, it.Detail
	}
	limit := silenceBefore
	if it.Epochs > 0 {
		limit = max(silence, silentEpochs*time.Duration(float64(it.Stamp.Newest()-it.Started.UnixNano())/float64(it.Epochs)))
	}
	quiet := now.Sub(time.Unix(0, it.Stamp.Newest()))
	switch {
	case it.free && it.afar.IsZero():
		return string(run.StatusInterrupted), run.Died
	case quiet > limit:
		return "stale", "it has written nothing for " + quiet.Round(time.Minute).String()
	case it.free:
		return string(run.StatusRunning), "on another machine: no process of this one owns it"
	}
	return string(run.StatusRunning), ""
}

// encoded are rows as JSON, by key.
type encoded map[string]json.RawMessage

// put makes row the one of key, and reports whether it was another or none.
func (e encoded) put(key string, row any) bool {
	b, err := json.Marshal(row)
	if err != nil || string(b) == string(e[key]) {
		return false
	}
	e[key] = b
	return true
}

// drop deletes the rows that keep does not want, and returns their keys.
func (e encoded) drop(keep func(key string) bool) (gone []string) {
	for key := range e {
		if !keep(key) {
			delete(e, key)
			gone = append(gone, key)
		}
	}
	return gone
}

// list is what a page is told of the list of runs: all of it first, then what has changed.
type list struct {
	Whole      bool              `json:"whole,omitempty"`
	Runs       []json.RawMessage `json:"runs"`
	Groups     []json.RawMessage `json:"groups"`
	Gone       []string          `json:"gone,omitempty"`
	GoneGroups []string          `json:"gone_groups,omitempty"`
	Dirs       []string          `json:"dirs,omitempty"`
	Palette    []string          `json:"palette,omitempty"`
	Cut        int               `json:"cut"` // folders that were looked into, where there are more
}

// change returns the list of what has changed as JSON, nil where nothing has.
func (t *tree) change(now time.Time) []byte {
	var l list
	for _, it := range t.items {
		if (it.touched || it.begun()) && t.rows.put(it.key, it.row(now)) {
			l.Runs = append(l.Runs, t.rows[it.key])
		}
		it.touched = false
	}
	l.Gone = t.rows.drop(func(key string) bool { return t.byKey[key] != nil })
	if l.Runs == nil && l.Gone == nil {
		return nil
	}
	members := map[string][]*item{}
	for _, it := range t.items {
		members[it.Group] = append(members[it.Group], it)
	}
	shown := t.lines.of(members)
	for key, its := range members {
		if t.groups.put(key, groupRow(key, shown[key], its)) {
			l.Groups = append(l.Groups, t.groups[key])
		}
	}
	l.GoneGroups = t.groups.drop(func(key string) bool { return members[key] != nil })
	b, err := json.Marshal(l)
	if err != nil {
		return nil // unreachable: it holds JSON and text
	}
	return b
}

// whole returns the whole list as JSON, and calls join before it can change.
func (t *tree) whole(join func()) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := list{Whole: true, Runs: slices.AppendSeq([]json.RawMessage{}, maps.Values(t.rows)),
		Groups: slices.AppendSeq([]json.RawMessage{}, maps.Values(t.groups)), Palette: palette()}
	for _, d := range t.dirs {
		l.Dirs = append(l.Dirs, text(d))
	}
	if t.cut {
		l.Cut = mostFolders
	}
	join()
	b, err := json.Marshal(l)
	if err != nil {
		return []byte("{}") // unreachable: it holds JSON and text
	}
	return b
}
