package web

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/buildinfo"
	"dla/internal/cache"
	"dla/internal/plainfile"
)

// The index spares the reading of records that have not changed since the last time: it holds what the list shows of
// each, with the sizes of its files and the times of their changes. Where these are not the same, the record is read
// again. It is made anew where it is missing, damaged or of another version.

// index is the content of the file.
type index struct {
	Version string
	Runs    []kept
}

// kept is a run in the index.
type kept struct {
	Dir   string // absolute
	Facts facts
}

// maxIndex bounds the index in bytes.
const maxIndex = 256 << 20

// IndexFile returns the file that the rows of dirs are kept in, "" for a user without a cache folder.
func IndexFile(dirs []string) string {
	dir, err := cache.Dir()
	if err != nil {
		return ""
	}
	all := ""
	for _, d := range dirs {
		all += keyOf(d)
	}
	return filepath.Join(dir, "index", keyOf(all)+".json")
}

// indexVersion is that of the program: another may show records otherwise.
func indexVersion() string {
	release, revision, dirty := buildinfo.Version()
	if dirty || revision == "unknown" { // the next build may have the same name; this one's time tells them apart
		if exe, err := os.Executable(); err == nil {
			if st, err := os.Stat(exe); err == nil {
				revision += st.ModTime().Format(time.RFC3339Nano)
			}
		}
	}
	return release + " " + revision
}

// load takes from the file what is known of the runs. A file that is of no use is none.
func (t *tree) load(file string) {
	if file == "" {
		return
	}
	b, err := plainfile.Read(file, maxIndex)
	var in index
	if err != nil || json.Unmarshal(b, &in) != nil || in.Version != indexVersion() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = map[string]facts{}
	for _, k := range in.Runs {
		t.known[k.Dir] = k.Facts
	}
}

// save writes the file. Where that cannot be, the next start takes longer.
func (t *tree) save(file string) {
	if file == "" {
		return
	}
	t.mu.Lock()
	in := index{Version: indexVersion()}
	for dir, it := range t.items {
		if abs, err := filepath.Abs(dir); err == nil && !it.unsure && !it.active() {
			in.Runs = append(in.Runs, kept{abs, it.facts})
		}
	}
	t.mu.Unlock()
	b, err := json.Marshal(in)
	if err != nil {
		return
	}
	if err := atomicfile.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return
	}
	atomicfile.Sweep(filepath.Dir(file))
	_, _, _ = atomicfile.Write(file, func(w io.Writer) error { // see above
		_, err := w.Write(b)
		return err
	})
}
