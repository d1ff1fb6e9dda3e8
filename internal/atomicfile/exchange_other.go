//go:build !linux && !darwin

package atomicfile

import "errors"

// swap is a step that this system does not have.
func swap(_, _ string) error { return errors.ErrUnsupported }
