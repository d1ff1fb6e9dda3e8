package cli

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/weights"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dla": func() {
		done := disturb()
		code := Main(os.Args[1:], Terminal())
		done()
		os.Exit(code)
	}})
}

// drawEncoder writes the weights of the encoder that dir/config.json describes, drawn at random.
func drawEncoder(dir string, seed uint64) error {
	e, err := model.ReadEncoder(dir)
	if err != nil {
		return err
	}
	p := nn.NewParams(seed)
	g := nn.NewGraph(p)
	if e.Hidden(g, g.Packed(2, 1)); g.Err() != nil {
		return g.Err()
	}
	var all []weights.Tensor
	for _, q := range p.List() {
		all = append(all, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data})
	}
	_, err = weights.Save(filepath.Join(dir, "model.safetensors"), all, nil)
	return err
}

// drawPhotos writes n images into dir, which all differ and have the colour of its name.
func drawPhotos(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	img := image.NewNRGBA(image.Rect(0, 0, 12, 10))
	for i := range n {
		for j := range img.Pix {
			img.Pix[j] = uint8(10*len(dir) + int(dir[len(dir)-1]) + (i*j+i)%50)
			if j%4 == 3 {
				img.Pix[j] = 255
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.png", i)), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// trainedRuns are the folders of runs that trainedOnce has made, by seed.
var trainedRuns struct {
	sync.Mutex
	roots map[string]string
	dir   string
}

// trainedOnce trains a small ResNet on synthetic shapes from a seed, once for all scripts that only read it.
func trainedOnce(seed string) (root string, err error) {
	trainedRuns.Lock()
	defer trainedRuns.Unlock()
	if root, ok := trainedRuns.roots[seed]; ok {
		return root, nil
	}
	root = filepath.Join(trainedRuns.dir, seed)
	var out bytes.Buffer
	args := []string{"lab1", "resnet", "--model", "resnet20", "--res", "--set", "model.width=4", "--data",
		"synthetic-shapes",
		"--fast-dev-run", "--set", "train.epochs=1", "--set", "data.limit=256", "--seed", seed, "--out", root}
	if code := Main(args, &Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != 0 {
		return "", fmt.Errorf("dla %s: exit %d\n%s", strings.Join(args, " "), code, out.String())
	}
	trainedRuns.roots[seed] = root
	return root, nil
}

// TestScripts runs testdata/script/*.txtar: each is commands as a user types them, and what must
// come of them. Nothing there reaches the network or the user's cache.
func TestScripts(t *testing.T) {
	trainedRuns.dir, trainedRuns.roots = t.TempDir(), map[string]string{}
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, trainedRuns.dir)
	}
	for _, name := range []string{data.SyntheticDigits, data.SyntheticShapes} { // drawn once for all scripts
		if _, err := data.Load(t.Context(), name, data.Options{Offline: true}); err != nil {
			t.Fatal(err)
		}
	}
	copies, err := data.DrawnCopies(data.Options{})
	if err != nil || len(copies) != 2 {
		t.Fatalf("copies of the drawn sets: %v, %v", copies, err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// bytes FILE QUOTED writes the bytes of a Go string, which need be no text
			"bytes": func(ts *testscript.TestScript, _ bool, args []string) {
				s, err := strconv.Unquote(`"` + args[1] + `"`)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(s), 0o600))
			},
			// photos DIR N writes N images of 12 x 10 pixels
			"photos": func(ts *testscript.TestScript, _ bool, args []string) {
				n, err := strconv.Atoi(args[1])
				ts.Check(err)
				ts.Check(drawPhotos(ts.MkAbs(args[0]), n))
			},
			// trained DIR SEED copies a run of a small ResNet on synthetic shapes into the folder of runs DIR
			"trained": func(ts *testscript.TestScript, _ bool, args []string) {
				root, err := trainedOnce(args[1])
				ts.Check(err)
				ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(root)))
			},
			// encoder DIR writes the weights of the encoder that DIR/config.json describes, drawn at random
			"encoder": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(drawEncoder(ts.MkAbs(args[0]), 1))
			},
		},
		Setup: func(e *testscript.Env) error {
			for name, path := range copies {
				dir := filepath.Join(e.WorkDir, "cache", "dla", "data", name)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				if err := os.Link(path, filepath.Join(dir, filepath.Base(path))); err != nil {
					return err
				}
			}
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("LocalAppData", e.WorkDir+"/cache")
			e.Setenv("DLA_DATA", "")
			e.Setenv("DLA_MODELS", "")
			e.Setenv("HF_HOME", e.WorkDir+"/hub")
			return nil
		},
	})
}
