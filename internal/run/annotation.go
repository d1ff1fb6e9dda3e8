package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"dla/internal/lockfile"
	"dla/internal/plainfile"
)

// Annotation is what its owner says about a run. It lies beside the record in annotation.json, which no checksum covers
// and no training reads, so it may change at any time, also that of a finished run.
type Annotation struct {
	Note string   `json:"note,omitempty"`
	Tags []string `json:"tags,omitempty"` // sorted
}

const annotationName = "annotation.json"

// Bounds of an annotation, in bytes.
const (
	maxNote = 16 << 10
	maxTag  = 64
	maxTags = 100
)

// readAnnotation reads the annotation of the run in dir, which may have none.
func readAnnotation(dir string) (a Annotation, err error) {
	path := filepath.Join(dir, annotationName)
	if err := plainfile.Own(path); err != nil {
		return a, err
	}
	b, err := plainfile.Read(path, 4*maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return Annotation{}, fmt.Errorf("%s: %w; correct or delete it", path, err)
	}
	if err := a.check(); err != nil {
		return Annotation{}, fmt.Errorf("%s: %w; correct or delete it", path, err)
	}
	return a, nil
}

// annotationOf is readAnnotation for readers of the record, which is whole whatever the annotation is: what is wrong
// with that stands in place of the note.
func annotationOf(dir string) Annotation {
	a, err := readAnnotation(dir)
	if err != nil {
		return Annotation{Note: "cannot be read: " + err.Error()}
	}
	return a
}

func (a Annotation) check() error {
	if len(a.Note) > maxNote || !utf8.ValidString(a.Note) {
		return fmt.Errorf("a note is text of at most %d bytes", maxNote)
	}
	if len(a.Tags) > maxTags {
		return fmt.Errorf("%d tags are too many; a run has at most %d", len(a.Tags), maxTags)
	}
	for _, t := range a.Tags {
		if err := CheckTag(t); err != nil {
			return err
		}
	}
	return nil
}

// CheckTag returns an error unless tag is a word: printable, without spaces and commas.
func CheckTag(tag string) error {
	odd := func(r rune) bool { return r == ',' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if tag == "" || len(tag) > maxTag || !utf8.ValidString(tag) || strings.ContainsFunc(tag, odd) {
		return fmt.Errorf("%.80q is no tag; want a word of at most %d bytes without spaces and commas", tag, maxTag)
	}
	return nil
}

// Tagged reports whether a has all of tags.
func (a Annotation) Tagged(tags []string) bool {
	for _, t := range tags {
		if !slices.Contains(a.Tags, t) {
			return false
		}
	}
	return true
}

// Annotate changes the annotation of the run whose id is, or uniquely begins with, id, and returns its full id and what
// is written now. Of a run that is a link it is an error. The run itself stays as it is, and may be training. Of
// several processes that annotate a run at a time each sees what the one before has written.
func Annotate(root, id string, change func(*Annotation)) (string, Annotation, error) {
	rec, err := Find(root, id)
	if err != nil {
		return "", Annotation{}, err
	}
	if err := notLinked(root, rec.ID, "show"); err != nil {
		return "", Annotation{}, err
	}
	path := filepath.Join(rec.Dir, annotationName)
	unlock, err := lockAnnotation(path + ".lock")
	if err != nil {
		return "", Annotation{}, fmt.Errorf("run %s: %w; check the permissions of %s", rec.ID, err, rec.Dir)
	}
	defer unlock()
	a, err := readAnnotation(rec.Dir)
	if err != nil {
		return "", a, fmt.Errorf("run %s: %w", rec.ID, err)
	}
	change(&a)
	slices.Sort(a.Tags)
	a.Tags = slices.Compact(a.Tags)
	if err := a.check(); err != nil {
		return "", a, err
	}
	if err := writeJSON(path, a); err != nil {
		return "", a, fmt.Errorf("run %s: %w; check the permissions of %s", rec.ID, err, rec.Dir)
	}
	return rec.ID, a, nil
}

// lockAnnotation locks the lock file at path, which unlock deletes where the system deletes open files.
func lockAnnotation(path string) (unlock func(), err error) {
	if err := plainfile.Own(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	release, err := lockfile.Lock(ctx, path, nil)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be locked: %w", path, err)
	}
	return func() {
		_ = os.Remove(path) // before another has it
		release()
	}, nil
}
