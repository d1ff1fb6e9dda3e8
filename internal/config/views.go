package config

import "fmt"

// Test holds the settings of the evaluation on the test set. Records leave them out where they have their defaults.
type Test struct {
	Views Views `yaml:"views" json:"views"`
}

// IsZero reports whether t is the default, which records leave out.
func (t Test) IsZero() bool { return t.Views.IsZero() }

// Views names the views of each test image that test-time augmentation shows to a classifier. The accuracy of the mean
// of their logits is recorded beside that of the images alone, never instead of it.
type Views string

// The views of an image.
const (
	NoViews     Views = "none"   // the image alone
	MirrorViews Views = "mirror" // the image and its mirror image
	ShiftViews  Views = "shift"  // these two, and both shifted by a pixel up and left, and down and right
)

// AllViews lists the names of views.
var AllViews = []string{string(NoViews), string(MirrorViews), string(ShiftViews)}

// IsZero reports whether v is the default, which records leave out.
func (v Views) IsZero() bool { return v == NoViews || v == "" }

// validate returns an error for an unknown name; key is the setting's.
func (v Views) validate(key string) error {
	switch v {
	case NoViews, MirrorViews, ShiftViews:
		return nil
	}
	return fmt.Errorf("%s is %q, want one of none, mirror, shift", key, v)
}
