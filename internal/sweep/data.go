package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
)

// dataName is the file with the data of a sweep's trials, by the trials' settings of data.
const dataName = "data.json"

// trainedOn identifies data.
type trainedOn struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

// errOtherData is wrapped by the error of a machine that has other data than the trials before were trained on.
var errOtherData = errors.New("these are other data")

// sameData returns a function that returns an error unless data are those that the trials before, with t's settings of
// data, were trained on. The first trial decides.
func (f *Folder) sameData(t Trial) func(name, fingerprint string) error {
	var parts []string
	for _, k := range sortedKeys(t.Set) {
		if strings.HasPrefix(k, "data.") {
			parts = append(parts, k+"="+string(t.Set[k]))
		}
	}
	key := strings.Join(parts, " ")
	return func(name, fingerprint string) error {
		path := filepath.Join(f.Dir, dataName)
		all := map[string]trainedOn{}
		b, err := plainfile.Read(path, maxClaim)
		if err == nil {
			err = json.Unmarshal(b, &all)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w; remove it, and the next trial writes it again", path, err)
		}
		first, ok := all[key]
		switch {
		case !ok:
			all[key] = trainedOn{name, fingerprint}
			if b, err = json.MarshalIndent(all, "", "  "); err != nil {
				return err
			}
			return atomicfile.WriteBytes(path, append(b, '\n'))
		case first.Fingerprint != fingerprint:
			return fmt.Errorf("the trials of %s are trained on %s with fingerprint %.12s…, and this machine has %s with "+
				"%.12s…: %w; make the same data available here (dla data verify)", f.Dir, first.Name, first.Fingerprint, name,
				fingerprint, errOtherData)
		}
		return nil
	}
}
