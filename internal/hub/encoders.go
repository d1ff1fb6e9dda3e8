package hub

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dla/internal/model"
	"dla/internal/plainfile"
	"dla/internal/spelling"
	"dla/internal/text"
)

// KnownModel is an encoder that has a short name.
type KnownModel struct {
	Short string // as --encoder takes it
	Repo  string // OWNER/NAME on the hub
	About string
}

// Known lists the encoders of lab 3.
var Known = []KnownModel{
	{"minilm", "sentence-transformers/all-MiniLM-L6-v2", "sentence encoder, 6 layers of width 384, 91 MB"},
	{"mpnet", "sentence-transformers/all-mpnet-base-v2", "sentence encoder, 12 layers of width 768, 438 MB"},
	{"distilbert", "distilbert/distilbert-base-uncased", "language model, 6 layers of width 768, 268 MB"},
}

// names are all that k is called: minilm, all-MiniLM-L6-v2, sentence-transformers/all-MiniLM-L6-v2. By
// the second DistilBERT was known to the hub before that had owners, and is to many a cache.
func (k KnownModel) names() []string { return []string{k.Short, path.Base(k.Repo), k.Repo} }

func known(name string) (KnownModel, bool) {
	i := slices.IndexFunc(Known, func(k KnownModel) bool { return slices.Contains(k.names(), name) })
	if i < 0 {
		return KnownModel{}, false
	}
	return Known[i], true
}

// spellings are all names of what is called name.
func spellings(name string) []string {
	if k, ok := known(name); ok {
		return k.names()
	}
	return []string{name}
}

// shortest is the short name of what is called name, where it has one.
func shortest(name string) string {
	if k, ok := known(name); ok {
		return k.Short
	}
	return name
}

// RepoOf is the repository (OWNER/NAME) of a name that Pull takes.
func RepoOf(name string) (string, error) {
	if k, ok := known(name); ok {
		return k.Repo, nil
	}
	if repoForm.MatchString(name) {
		return name, nil
	}
	return "", fmt.Errorf("unknown model %q%s: known are %s, and OWNER/NAME of the hub", name, didYouMean(name),
		shortNames())
}

func shortNames() string {
	var s []string
	for _, k := range Known {
		s = append(s, k.Short)
	}
	return strings.Join(s, ", ")
}

// didYouMean asks whether a known model was meant, where its name is near.
func didYouMean(name string) string {
	var all []string
	for _, k := range Known {
		all = append(all, k.names()...)
	}
	near := spelling.Nearest(name, all)
	if d := spelling.Distance(name, near); d == 0 || d > len(name)/3 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", near)
}

// Encoder is a Hugging Face folder on this machine: config.json, tokenizer, weights.
type Encoder struct {
	Name      string `json:"name"` // Find finds it by
	ModelType string `json:"model_type,omitempty"`
	Params    int    `json:"params,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"` // of the files that are used
	Source    string `json:"source"`          // folder, DLA_MODELS, imported, hub cache, or absent
	Dir       string `json:"dir,omitempty"`
	Broken    string `json:"broken,omitempty"` // why it cannot be used
}

// Folder reports whether Find was given the path of the folder, not a name.
func (e Encoder) Folder() bool { return e.Source == folder }

// err is what to say of an encoder that cannot be used.
func (e Encoder) err() error {
	switch {
	case e.Broken == "":
		return nil
	case e.Source == hubCache:
		return fmt.Errorf("%s; fetch it again with `dla models pull %s`", e.Broken, e.Name)
	case e.Source == imported:
		return fmt.Errorf("%s; import it anew with `dla models import FOLDER --name %s`", e.Broken, e.Name)
	}
	return errors.New(e.Broken)
}

// The sources of encoders, in the order they are looked in.
const (
	folder    = "folder"
	dlaModels = "DLA_MODELS"
	imported  = "imported"
	hubCache  = "hub cache"
)

// readModel reads what the Hugging Face folder dir has beside its weights, which decides whether they can be used:
// the configuration, and a tokenizer of ids that the model has.
func readModel(dir string) (*model.Encoder, error) {
	m, err := model.ReadEncoder(dir)
	if err != nil {
		return nil, err
	}
	t, err := text.Load(dir, 0)
	if err != nil {
		return nil, err
	}
	if n := t.Vocabulary(); n > m.Vocabulary {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens and the encoder %d; fetch the folder again", dir, n,
			m.Vocabulary)
	}
	return m, nil
}

// filesOf are the files of an encoder, as far as dir has them, the weights last.
func filesOf(dir string) ([]string, error) {
	files, err := model.WeightFiles(dir)
	return append(slices.Clone(wanted[:len(wanted)-1]), files...), err
}

// check says what the Hugging Face folder dir holds: a model and a tokenizer that can be used, and weights that are
// the model's, by their names and shapes.
func check(dir string) Encoder {
	e := Encoder{Name: dir, Source: folder, Dir: dir}
	err := func() error {
		if !isModel(dir) {
			return fmt.Errorf("%s has no config.json; want a Hugging Face folder with config.json, tokenizer.json and model.safetensors or pytorch_model.bin", dir)
		}
		m, err := readModel(dir)
		if err != nil {
			return err
		}
		e.ModelType = m.Family
		if err := m.Check(dir); err != nil {
			return err
		}
		w, err := model.OpenWeights(dir)
		if err != nil {
			return err
		}
		defer w.Close()
		for _, t := range w.Tensors {
			if strings.Contains(t.DType, "F") { // tensors of integers are positions and the like
				e.Params += t.Len()
			}
		}
		files, err := filesOf(dir)
		if err != nil {
			return err
		}
		for _, name := range files {
			if st, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
				e.Bytes += st.Size()
			}
		}
		return nil
	}()
	if err != nil {
		e.Broken = err.Error()
	}
	return e
}

// open opens a file of a model, and refuses one that is none or too large.
func open(path string) (*os.File, int64, error) {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if most := largest(filepath.Base(path)); size > most {
		f.Close() // read only
		return nil, 0, fmt.Errorf("%s has %d bytes, and such a file of more than %d is not read", path, size, most)
	}
	return f, size, nil
}

// readFile reads a file of a model other than its weights.
func readFile(path string) ([]byte, error) {
	return plainfile.Read(path, maxFile)
}

// bareForm is a name that an encoder may be imported by.
var bareForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)

// place is where an encoder may be.
type place struct{ dir, source string }

// localDirs are the folders whose folders are encoders.
func localDirs() []place {
	var dirs []place
	if d := os.Getenv("DLA_MODELS"); d != "" {
		dirs = append(dirs, place{d, dlaModels})
	}
	if own, err := importedDir(); err == nil { // else nothing can have been imported
		dirs = append(dirs, place{own, imported})
	}
	return dirs
}

// places are where the encoder called name may be, but for a folder of that name.
func (h *Hub) places(name string) []place {
	if !bareForm.MatchString(name) && !repoForm.MatchString(name) {
		return nil
	}
	names := spellings(name)
	var all []place
	for _, in := range localDirs() {
		for _, n := range names {
			all = append(all, place{filepath.Join(in.dir, filepath.FromSlash(n)), in.source})
		}
	}
	if dir, ok := h.snapshot(h.folderOf(name)); ok {
		all = append(all, place{dir, hubCache})
	}
	return all
}

// snapshot is the folder of the commit that main is of a repository's folder in the cache.
func (h *Hub) snapshot(folder string) (dir string, ok bool) {
	if h.Cache == "" {
		return "", false
	}
	commit, err := readFile(filepath.Join(h.Cache, folder, "refs", "main"))
	if err != nil || !commitForm.Match(commit) {
		return "", false
	}
	return filepath.Join(h.Cache, folder, "snapshots", string(commit)), true
}

// isModel says whether dir looks like a Hugging Face folder at all.
func isModel(dir string) bool {
	st, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil && st.Mode().IsRegular()
}

// Find finds the encoder called name: the folder name, or the encoder of that name in $DLA_MODELS, among the imported
// ones or in the hub's cache, in that order. The encoder is whole as far as can be told without reading the weights.
// Errors name the command that fetches or repairs it.
func Find(name string) (Encoder, error) {
	if isModel(name) {
		e := check(name)
		return e, e.err()
	}
	h, err := FromEnv()
	if err != nil {
		return Encoder{}, err
	}
	for _, p := range h.places(name) {
		if isModel(p.dir) {
			e := check(p.dir)
			e.Name, e.Source = name, p.source
			return e, e.err()
		}
	}
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return Encoder{}, errors.New(check(name).Broken)
	}
	if _, err := RepoOf(name); err != nil {
		return Encoder{}, fmt.Errorf("%w, and a folder; `dla models ls` lists those on this machine", err)
	}
	return Encoder{}, fmt.Errorf("the encoder %s is not on this machine; get it with `dla models pull %s`, without network with `dla models import FOLDER --name %s`", name, name, path.Base(name))
}

// cached is the model of repo in the hub's cache, where the cache has any of it.
func (h *Hub) cached(repo string) (Encoder, bool) {
	dir, ok := h.snapshot(h.folderOf(repo))
	if !ok || !isModel(dir) {
		return Encoder{}, false
	}
	e := check(dir)
	e.Name, e.Source = shortest(repo), hubCache
	return e, true
}

// List lists the encoders on this machine, in the order in which they are looked for, and then the known ones that
// are not here.
func List() ([]Encoder, error) {
	h, err := FromEnv()
	if err != nil {
		return nil, err
	}
	var all []Encoder
	has := func(name string) bool {
		return slices.ContainsFunc(all, func(e Encoder) bool { return e.Name == name })
	}
	add := func(name string, p place) {
		if _, err := model.ReadEncoder(p.dir); err != nil { // the cache may hold models of any kind
			return
		}
		e := check(p.dir)
		e.Source = p.source
		if name = shortest(name); !has(name) { // else Find finds the other one by it
			e.Name = name
		}
		all = append(all, e)
	}
	for _, in := range localDirs() {
		for _, n := range folders(in.dir) {
			add(n, place{filepath.Join(in.dir, n), in.source})
		}
	}
	for _, n := range folders(h.Cache) {
		repo, ok := strings.CutPrefix(n, "models--")
		if dir, there := h.snapshot(n); ok && there {
			add(strings.Replace(repo, "--", "/", 1), place{dir, hubCache})
		}
	}
	for _, k := range Known {
		if !has(k.Short) {
			all = append(all, Encoder{Name: k.Short, Source: "absent"})
		}
	}
	return all, nil
}

// folders are the names of what dir holds, none where it is not there; those with a leading dot are
// not meant for others.
func folders(dir string) []string {
	list, _ := os.ReadDir(dir)
	var names []string
	for _, d := range list {
		if !strings.HasPrefix(d.Name(), ".") {
			names = append(names, d.Name())
		}
	}
	return names
}
