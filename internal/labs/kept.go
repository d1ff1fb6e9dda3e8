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

// keptFeatures returns the tensors of compute from the user's cache folder, or computes and caches them. key identifies
// them. Damaged tensors, and those of another key, are computed again. A cache that cannot be written costs only time.
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
			_ = os.Chtimes(path, now, now) // `dla cache prune` deletes the least recently used first
			return f.Tensors, nil
		case err == nil:
			err = errors.New("it is damaged, or of something else")
		}
		if !errors.Is(err, fs.ErrNotExist) {
			opt.Say("%s is computed again: %v", path, err)
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
		opt.Say("the features cannot be cached, so the next run computes them again: %v", cacheErr)
	}
	return ts, nil
}
