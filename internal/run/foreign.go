package run

// A record may come from elsewhere. What it says is shown, and made part of the names of files: names are checked
// here once, where a record is read. A run that goes on writes into its directory: what lies there must lie there
// itself, and must not lead elsewhere.

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"dla/internal/plainfile"
)

// maxName is the most bytes that a name may have: of a file on every system.
const maxName = 200

// CheckName says whether name can be the name of a file or folder on every system and can be shown: it leads nowhere
// else, is not long and holds nothing that a terminal acts on. what says in the error what is called so.
func CheckName(what, name string) error {
	switch {
	case name == "", name == ".", name == "..", len(name) > maxName, !utf8.ValidString(name), strings.ContainsAny(name,
		`/\`),
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }), !filepath.IsLocal(name):
		return fmt.Errorf("%s is called %.100q, which is no name (of at most %d bytes, without separators and control characters)", what, name, maxName)
	}
	return nil
}

// checkNames says whether what env.json names can be part of the names of files.
func (h header) checkNames() error {
	if err := CheckName("the variant", h.Variant); err != nil {
		return err
	}
	if h.Data.Name == "" {
		return nil
	}
	return CheckName("the data set", h.Data.Name)
}

// checkSets says whether the sets that a result names can be called so.
func checkSets(result json.RawMessage) error {
	type sets []struct {
		Name string `json:"name"`
	}
	var res struct {
		Sets   sets `json:"sets"`
		Robust struct {
			Sets sets `json:"sets"`
		} `json:"robust"`
	}
	if err := json.Unmarshal(result, &res); err != nil {
		return err
	}
	for _, s := range append(res.Sets, res.Robust.Sets...) {
		if err := CheckName("a set", s.Name); err != nil {
			return err
		}
	}
	return nil
}

// ownFiles says whether the run in dir has no file that is a link, a pipe or a device: going on would write through
// it, or wait for it. Links that lead into the directory are no better: two files would be one.
func ownFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return plainfile.Own(path)
	})
}
