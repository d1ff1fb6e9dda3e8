package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNoNumberIsLeftOut: in records and in what --json prints a measured 0 is a 0. omitempty leaves it out of
// the JSON, so a field of a plain number may have it only where 0 is what cannot be measured: the parameters and
// bytes of what could not be read, what a benchmark did not measure, and settings whose 0 is a default.
func TestNoNumberIsLeftOut(t *testing.T) {
	allowed := []string{"params", "bytes", "min_s", "median_s", "n", "images", "images_per_s", "gflops", "peak_share",
		"gb_per_s", "plan_bytes", "peak_rss_bytes", "ratio_bf16",
		"size", "channels", "test", "val", "epsilon"}
	number := regexp.MustCompile(`^(u?int|float)[0-9]*$`)
	key := regexp.MustCompile(`json:"([^",]+),(omitempty|omitzero)"`)
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || f.Tag == nil {
				return true
			}
			m := key.FindStringSubmatch(f.Tag.Value)
			if m == nil {
				return true
			}
			seen++
			if of, ok := f.Type.(*ast.Ident); ok && number.MatchString(of.Name) && !slices.Contains(allowed, m[1]) {
				t.Errorf("%s: %q is left out where it is 0", path, m[1])
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 20 {
		t.Errorf("%d fields that may be left out, error %v", seen, err)
	}
}
