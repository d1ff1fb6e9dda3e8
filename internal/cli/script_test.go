package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

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

// TestScripts runs testdata/script/*.txtar: each is commands as a user types them, and what must
// come of them. Nothing there reaches the network or the user's cache.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// bytes FILE QUOTED writes the bytes of a Go string, which need be no text
			"bytes": func(ts *testscript.TestScript, _ bool, args []string) {
				s, err := strconv.Unquote(`"` + args[1] + `"`)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(s), 0o600))
			},
			// encoder DIR writes the weights of the encoder that DIR/config.json describes, drawn at random
			"encoder": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(drawEncoder(ts.MkAbs(args[0]), 1))
			},
		},
		Setup: func(e *testscript.Env) error {
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
