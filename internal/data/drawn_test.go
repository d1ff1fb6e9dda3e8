package data

import (
	"context"
	"os"
	"reflect"
	"testing"
)

// TestDrawnSets: what is drawn has the fingerprint that is known of it, the copy that it leaves is the same set, and a
// damaged copy is drawn again.
func TestDrawnSets(t *testing.T) {
	for _, d := range drawnSets {
		opt := Options{Cache: t.TempDir(), Offline: true}
		first, err := Load(context.Background(), d.name, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := fingerprint(first.Train, first.Test); got != d.fingerprint {
			t.Errorf("%s: the drawing has the fingerprint %s, not %s", d.name, got, d.fingerprint)
		}
		path := d.copyIn(opt.Cache)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copies, err := DrawnCopies(opt)
		if err != nil || copies[d.name] != path || len(copies) != 1 {
			t.Errorf("%s: the copies are %v, %v; want %s alone", d.name, copies, err, path)
		}
		again := func(what string) {
			t.Helper()
			got, err := Load(context.Background(), d.name, opt)
			if err != nil || !reflect.DeepEqual(got, first) {
				t.Errorf("%s, %s: another set, %v", d.name, what, err)
			}
		}
		again("from its copy")
		whole[len(whole)/2] ^= 1
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		again("from a damaged copy")
		again("from the copy that was made anew")
		opt.Cache = path // a file, in which no folder can be made
		said := 0
		opt.Say = func(string, ...any) { said++ }
		again("without a cache")
		if said != 1 {
			t.Errorf("%s: %d lines say that no copy can be stored", d.name, said)
		}
	}
}
