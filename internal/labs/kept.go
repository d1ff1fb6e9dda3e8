package labs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/weights"
)

// keptFeatures gives the tensors that compute computes of what key says, from the user's cache folder where they
// are there, and keeps them there. What is damaged or of something else is computed anew, and a folder that
// cannot be written to costs time alone.
func keptFeatures(key any, opt Options, compute func() ([]weights.Tensor, error)) ([]weights.Tensor, error) {
	source, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256(source)
	cache, cacheErr := os.UserCacheDir()
	path := filepath.Join(cache, "dla", "features", hex.EncodeToString(name[:8])+".safetensors")
	if cacheErr == nil {
		f, err := weights.Load(path, "")
		switch {
		case err == nil && f.Meta["of"] == string(source) && f.Meta["sha256"] == weights.Fingerprint(f.Tensors):
			now := time.Now()
			_ = os.Chtimes(path, now, now) // `dla cache prune` deletes first what has not been used for long
			return f.Tensors, nil
		case err == nil:
			err = errors.New("it is damaged, or of something else")
		}
		if !errors.Is(err, fs.ErrNotExist) {
			opt.Say("%s is made anew: %v", path, err)
		}
	}
	ts, err := compute()
	if err != nil {
		return nil, err
	}
	if cacheErr == nil {
		cacheErr = atomicfile.MkdirAll(filepath.Dir(path), 0o777)
	}
	if cacheErr == nil {
		_, cacheErr = weights.Save(path, ts, map[string]string{"of": string(source), "sha256": weights.Fingerprint(ts)})
	}
	if cacheErr != nil {
		opt.Say("features will be computed again the next time, as they cannot be kept: %v", cacheErr)
	}
	return ts, nil
}
