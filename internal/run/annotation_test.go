package run

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestAnnotate: what is said of a finished run is listed, and the record stays what it is.
func TestAnnotate(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, 1)
	if err := r.Finish(map[string]any{"test": map[string]any{"accuracy": 0.5}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Annotation){
		func(a *Annotation) { a.Tags = append(a.Tags, "b", "a", "b") },
		func(a *Annotation) { a.Note = "as expected" },
	} {
		if id, _, err := Annotate(root, r.ID()[:12], change); err != nil || id != r.ID() {
			t.Fatalf("%s: %v", id, err)
		}
	}
	after, err := Find(root, r.ID())
	want := Annotation{"as expected", []string{"a", "b"}}
	if err != nil || !reflect.DeepEqual(after.Annotation, want) {
		t.Fatalf("%+v, error %v", after.Annotation, err)
	}
	after.Annotation = Annotation{}
	before.Metrics, after.Metrics = nil, nil // NaN is not equal to itself
	if !reflect.DeepEqual(after, before) {
		t.Errorf("the record is another:\n%+v\n%+v", after, before)
	}
	if list, err := List(root); err != nil || !list[0].Tagged([]string{"a", "b"}) || list[0].Tagged([]string{"a", "c"}) {
		t.Errorf("%+v, error %v", list, err)
	}
	for _, bad := range []func(*Annotation){
		func(a *Annotation) { a.Tags = append(a.Tags, "two words") },
		func(a *Annotation) { a.Tags = append(a.Tags, "a,b") },
		func(a *Annotation) { a.Tags = append(a.Tags, "\x1b[31m") },
		func(a *Annotation) { a.Note = strings.Repeat("x", maxNote+1) },
		func(a *Annotation) { a.Note = "\xff" },
	} {
		if _, _, err := Annotate(root, r.ID(), bad); err == nil {
			t.Error("a bad annotation was written")
		}
	}

	// A damaged annotation damages no run, and is not replaced.
	put(t, filepath.Join(root, r.ID(), annotationName), "{")
	after, err = Find(root, r.ID())
	if err != nil || after.Status != StatusFinished || !strings.Contains(after.Note, annotationName) {
		t.Errorf("status %s, note %q, error %v", after.Status, after.Note, err)
	}
	if _, _, err := Annotate(root, r.ID(), func(a *Annotation) { a.Note = "x" }); err == nil ||
		!strings.Contains(err.Error(), "correct or delete it") {
		t.Errorf("a damaged annotation: %v", err)
	}
}

// TestAnnotateTogether: of tags that are given at once none is lost, and no lock file is left.
func TestAnnotateTogether(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "a")
	var group sync.WaitGroup
	var want []string
	for i := range 8 {
		tag := fmt.Sprintf("tag%02d", i)
		want = append(want, tag)
		group.Go(func() {
			if _, _, err := Annotate(root, "a", func(a *Annotation) { a.Tags = append(a.Tags, tag) }); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if r, err := Find(root, "a"); err != nil || !slices.Equal(r.Tags, want) {
		t.Errorf("tags %v, error %v", r.Tags, err)
	}
	if _, err := os.Stat(filepath.Join(root, "a", annotationName+".lock")); err == nil && runtime.GOOS != "windows" {
		t.Error("the lock file is left")
	}
}

// TestAnnotateThroughNoLink: neither the run nor its annotation may be a link.
func TestAnnotateThroughNoLink(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	closed(t, elsewhere, "a")
	closed(t, root, "b")
	secret := filepath.Join(elsewhere, "secret")
	put(t, secret, `{"note":"secret"}`)
	if os.Symlink(filepath.Join(elsewhere, "a"), filepath.Join(root, "a")) != nil ||
		os.Symlink(secret, filepath.Join(root, "b", annotationName)) != nil {
		t.Skip("this system has no links")
	}
	for _, id := range []string{"a", "b"} {
		if _, _, err := Annotate(root, id, func(a *Annotation) { a.Note = "x" }); err == nil {
			t.Errorf("%s was annotated through a link", id)
		}
	}
	if list, err := List(root); err != nil || strings.Contains(list[1].Note, "secret\"") {
		t.Errorf("%+v, error %v", list, err)
	}
}
