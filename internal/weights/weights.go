// Package weights reads and writes named tensors as safetensors files, and compares and identifies
// sets of them.
package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Tensor is a named float32 tensor, row-major; len(Data) is the product of Shape.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Copy fills dst from the tensors of src with the same names. Missing, extra and misshapen tensors
// are an error that names them, and then nothing is copied.
func Copy(dst, src []Tensor) error {
	have := make(map[string]Tensor, len(src))
	for _, t := range src {
		have[t.Name] = t
	}
	var wrong []string
	for _, d := range dst {
		s, ok := have[d.Name]
		switch {
		case !ok:
			wrong = append(wrong, d.Name+" is missing")
		case !slices.Equal(s.Shape, d.Shape):
			wrong = append(wrong, fmt.Sprintf("%s has shape %v, want %v", d.Name, s.Shape, d.Shape))
		case len(s.Data) != len(d.Data):
			wrong = append(wrong, fmt.Sprintf("%s has %d elements, want %d", d.Name, len(s.Data), len(d.Data)))
		}
	}
	for _, s := range src {
		if !slices.ContainsFunc(dst, func(d Tensor) bool { return d.Name == s.Name }) {
			wrong = append(wrong, s.Name+" is not wanted")
		}
	}
	if len(wrong) > 0 {
		if len(wrong) > 5 {
			wrong = append(wrong[:5], fmt.Sprintf("and %d more", len(wrong)-5))
		}
		return fmt.Errorf("tensors do not match: %s", strings.Join(wrong, "; "))
	}
	for _, d := range dst {
		copy(d.Data, have[d.Name].Data)
	}
	return nil
}

// Fingerprint is the SHA-256 (hex) over the names, shapes and bits of ts, in the order given.
func Fingerprint(ts []Tensor) string {
	h := sha256.New()
	for _, t := range ts {
		fmt.Fprintf(h, "%q %v\n", t.Name, t.Shape)
		h.Write(littleEndian(t.Data))
	}
	return hex.EncodeToString(h.Sum(nil))
}
