package run

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dla/internal/config"
)

// FuzzRecord: whatever the files of a record hold, reading it says what is wrong or gives what can be shown and drawn:
// names that are names. It neither panics nor changes a file.
func FuzzRecord(f *testing.F) {
	root := f.TempDir()
	r, err := Create(root, spec())
	if err != nil {
		f.Fatal(err)
	}
	if err := trainEpoch(r, 1); err != nil {
		f.Fatal(err)
	}
	if err := r.Finish(map[string]any{"test": map[string]any{"accuracy": 0.5},
		"sets": []map[string]string{{"name": "fake"}}}); err != nil {
		f.Fatal(err)
	}
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	files := []string{envName, configName, statusName, metricsName, resultName, manifestName}
	var whole [][]byte
	for _, name := range files {
		b, err := os.ReadFile(r.path(name))
		if err != nil {
			f.Fatal(err)
		}
		whole = append(whole, b)
	}
	const hash = "HASH" // stands for that of the settings, which could not be guessed
	whole[0] = bytes.ReplaceAll(whole[0], []byte(config.Hash(whole[1])), []byte(hash))
	f.Add(whole[0], whole[1], whole[2], whole[3], whole[4], whole[5])
	f.Add([]byte(`{"variant":"../x","config_hash":"HASH","data":{"name":"a"}}`), []byte("a: [*a]"),
		[]byte(`{"status":"running"}`), []byte("{}\n{"), []byte(`{"sets":[{"name":"/"}]}`), []byte(`{"serial":1}`))
	f.Add([]byte(`{"variant":"v","config_hash":"HASH"}`), []byte(nil), []byte(`{"status":"finished"}`),
		[]byte("{\"train\":[]}\n"), []byte(`{"robust":{"sets":[{}]},"test":3}`),
		[]byte(`{"serial":2,"checkpoints":[{"file":"ckpt-000002.safetensors","best":{}}]}`))
	dir := filepath.Join(root, "a")
	if err := os.Mkdir(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, env, cfg, status, metrics, result, manifest []byte) {
		defer time.AfterFunc(time.Minute, func() { panic("it hangs") }).Stop()
		env = bytes.ReplaceAll(env, []byte(hash), []byte(config.Hash(cfg)))
		for i, b := range [][]byte{env, cfg, status, metrics, result, manifest} {
			if err := os.WriteFile(filepath.Join(dir, files[i]), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rec, err := Examine(root, "a")
		if err != nil {
			t.Fatal(err)
		}
		switch rec.Status {
		case StatusBroken:
			if rec.Detail == "" {
				t.Error("it is broken and nothing says why")
			}
		case StatusRunning:
			t.Error("nobody runs it")
		default:
			if err := CheckName("the variant", rec.Variant); err != nil {
				t.Error(err)
			}
			if rec.Status == StatusFinished && (!json.Valid(rec.Result) || checkSets(rec.Result) != nil) {
				t.Errorf("a result of %q", rec.Result)
			}
		}
		if _, err := ReadFolder(dir); err == nil && rec.Status == StatusBroken && len(rec.Metrics) > 0 {
			t.Errorf("as a folder it is whole, and broken as a run: %s", rec.Detail)
		}
		if _, _, err := rec.BestWeights(); err == nil {
			t.Error("there are best weights in no file")
		}
	})
}
