package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFastDevRun: what is asked for by a flag or by --set stands, whatever its place; the rest is made small.
func TestFastDevRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for args, want := range map[string]map[string]float64{
		"lab1 resnet --depth 1 --fast-dev-run":                                                                                    {"train.epochs": 2, "data.limit": 512},
		"lab1 resnet --depth 1 --epochs 3 --fast-dev-run":                                                                         {"train.epochs": 3, "data.limit": 512},
		"lab1 resnet --depth 1 --fast-dev-run --epochs 3 --set data.limit=7":                                                      {"train.epochs": 3, "data.limit": 7},
		"lab1 distill --teacher mlp --student mlp --data synthetic-digits --fast-dev-run --epochs 4 --set teacher.train.epochs=5": {"train.epochs": 4, "teacher.train.epochs": 5, "data.limit": 512},
		"lab1 distill --teacher mlp --student mlp --data synthetic-digits --fast-dev-run":                                         {"train.epochs": 2, "teacher.train.epochs": 2, "data.limit": 512},
		"lab1 resnet --depth 1 --epochs 3 --fast-dev-run --set train.epochs=4":                                                    {"train.epochs": 4, "data.limit": 512},
	} {
		out, errs, code := dla("", false, append(strings.Fields(args), "--dry-run", "--json")...)
		var plans []struct{ Config map[string]any }
		if err := json.Unmarshal([]byte(out), &plans); err != nil || code != 0 || len(plans) == 0 {
			t.Errorf("%s: exit code %d, %q, %v", args, code, errs, err)
			continue
		}
		flat := map[string]any{}
		flatten(flat, "", plans[0].Config)
		for key, v := range want {
			if flat[key] != v {
				t.Errorf("%s: %s is %v, want %g", args, key, flat[key], v)
			}
		}
	}
}
