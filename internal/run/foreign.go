package run

// A record may come from another machine. Its names are shown and become parts of file names, so they are checked here,
// where a record is read. A resumed run writes into its directory, so no file there may be a link.

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

// maxName is the largest length of a file name, in bytes, on every system.
const maxName = 200

// CheckName returns an error unless name is a valid file name on every system and safe to show: no separators, no
// control characters, at most maxName bytes. what says in the error what bears the name.
func CheckName(what, name string) error {
	switch {
	case name == "", name == ".", name == "..", len(name) > maxName, !utf8.ValidString(name), strings.ContainsAny(name,
		`/\`),
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }), !filepath.IsLocal(name):
		return fmt.Errorf("%s is called %.100q; want a name of at most %d bytes without separators and control "+
			"characters", what, name, maxName)
	}
	return nil
}

// checkNames checks the names in env.json that become parts of file names.
func (h header) checkNames() error {
	if err := CheckName("the variant", h.Variant); err != nil {
		return err
	}
	if h.Data.Name == "" {
		return nil
	}
	return CheckName("the data set", h.Data.Name)
}

// checkSets checks the names of the sets in a result.
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

// ownFiles returns an error if a file of the run in dir is a link, a pipe or a device: a resumed run would write
// through it or wait for it. Links into the directory are refused too: two names would be one file.
func ownFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return plainfile.Own(path)
	})
}
