package web

import (
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	mostFigures  = 60 // of a run
	largestImage = 32 << 20
)

// kinds are the media types of the pictures that are shown. An SVG may hold a script, and each has a PNG beside it.
var kinds = map[string]string{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

// picture is a picture in a run's folder, or of a study.
type picture struct {
	Run   string `json:"run"`
	Study bool   `json:"study"` // in the folder of figures beside the runs
	Name  string `json:"name"`  // with slashes
	Of    string `json:"of"`    // the folder's name
}

// figures answers /api/figures?run=KEY&run=KEY with the pictures of these runs, and of the studies that they belong to.
func (s *Server) figures(w http.ResponseWriter, r *http.Request) {
	all := []picture{}
	var studies []string
	for _, key := range r.URL.Query()["run"][:min(len(r.URL.Query()["run"]), mostCompared)] {
		it := s.tree.find(key)
		if it == nil {
			continue
		}
		if !slices.Contains(studies, it.in) {
			studies = append(studies, it.in)
			for _, name := range pictures(folderOf(it, true)) {
				all = append(all, picture{key, true, name, text(it.in)})
			}
		}
		for _, name := range pictures(it.dir) {
			all = append(all, picture{key, false, name, text(filepath.Base(it.dir))})
		}
	}
	reply(w, all)
}

// folderOf returns the folder of a run, or that of the figures of its study.
func folderOf(it *item, study bool) string {
	if study {
		return filepath.Join(it.in, "figures")
	}
	return it.dir
}

// pictures returns the names of the pictures in dir, with slashes. It follows no link.
func pictures(dir string) (names []string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil // there are none
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil, e.IsDir() && name != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir // what cannot be read is not shown
		case e.IsDir() && (e.Name() == "checkpoints" || strings.Count(name, "/") > 3):
			return fs.SkipDir
		case len(names) >= mostFigures:
			return fs.SkipAll
		case e.Type().IsRegular() && kinds[strings.ToLower(path.Ext(name))] != "":
			names = append(names, name)
		}
		return nil
	})
	return names
}

// file answers /file?run=KEY&name=NAME with a picture in the run's folder, and with &study=1 with one of its study. No
// name leads out of that folder, nor does a link in it.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	it, name := s.tree.find(q.Get("run")), q.Get("name")
	kind := kinds[strings.ToLower(path.Ext(name))]
	missing := func() { http.Error(w, "there is no such picture", http.StatusNotFound) }
	if it == nil || kind == "" || !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		missing()
		return
	}
	root, err := os.OpenRoot(folderOf(it, q.Get("study") == "1"))
	if err != nil {
		missing()
		return
	}
	defer root.Close()
	st, err := root.Stat(filepath.FromSlash(name))
	if err != nil || !st.Mode().IsRegular() || st.Size() > largestImage { // to open a pipe would take for ever
		missing()
		return
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		missing()
		return
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil || !st.Mode().IsRegular() {
		missing()
		return
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", time.Time{}, f)
}
