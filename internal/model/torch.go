package model

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dla/internal/nn"
	"dla/internal/weights"
)

// PyTorch's programs call the layers of the same networks by several names, and keep filters as [out, in, k, k]. The
// names here are torchvision's. What they differ in elsewhere:
//
//	linear.weight                   akamaster/pytorch_resnet_cifar10, kuangliu/pytorch-cifar
//	layer2.0.shortcut.0.weight      the same, where there are projections
//	block1.layer.0.convShortcut     xternalz/WideResNet-pytorch
var torchNames = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`^linear\.`), "fc."},
	{regexp.MustCompile(`^block([0-9]+)\.layer\.`), "layer$1."},
	{regexp.MustCompile(`\.convShortcut\.`), ".downsample.0."},
	{regexp.MustCompile(`\.shortcut\.([0-9]+)\.`), ".downsample.$1."},
}

// counter is a tensor that PyTorch's batch normalisations have beside their statistics.
const counter = ".num_batches_tracked"

// torchName is the name here of what PyTorch's programs call name.
func torchName(name string) string {
	for _, n := range torchNames {
		name = n.from.ReplaceAllString(name, n.to)
	}
	return name
}

// FromTorch finds in the tensors of r, which PyTorch's programs named, what the network called s.Name leaves open:
// width and depth, and whether a ResNet with s.Res has projections. r has the names of this package from then on. It
// also says for how many classes the network was trained. Skip connections without parameters, and whether their zeros
// are on one side or both, leave no trace in the weights.
func (s Spec) FromTorch(r *weights.Reader) (spec Spec, classes int, err error) {
	if _, err := Find(s.Name); err != nil {
		return s, 0, err
	}
	if err := r.Rename(torchName); err != nil {
		return s, 0, err
	}
	shapes := map[string][]int{}
	projections := false
	for _, t := range r.Tensors {
		shapes[t.Name] = t.Shape
		projections = projections || strings.Contains(t.Name, ".downsample.")
	}
	first := func(names ...string) int {
		for _, name := range names {
			if dims := shapes[name]; len(dims) > 0 {
				return dims[0]
			}
		}
		return 0
	}
	switch {
	case strings.HasPrefix(s.Name, "resnet"):
		s.Width = first("conv1.weight")
		if projections && s.Res {
			s.Shortcut = ShortcutProjection
		}
	case s.Name == wideNetwork.Name:
		s.Width = first("layer1.0.conv1.weight")
	case s.Name == mlpNetwork.Name:
		s.Width = first("stem.weight")
		for first(fmt.Sprintf("blocks.%d.fc1.weight", s.Depth)) > 0 {
			s.Depth++
		}
	case s.Name == speedrunNetwork.Name:
		s.Width = first("layer1.0.conv1.weight")
	}
	if classes = first("fc.weight", "head.weight"); classes == 0 {
		return s, 0, fmt.Errorf("%s has no last layer: want a tensor fc.weight or linear.weight of %s; its tensors are %s",
			r.Path(), s.Name, someNames(r))
	}
	return s, classes, nil
}

// someNames are the first names of r's tensors.
func someNames(r *weights.Reader) string {
	var names []string
	for i, t := range r.Tensors {
		if i == 5 {
			return strings.Join(names, ", ") + ", …"
		}
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// CheckTorch compares the tensors of r, after FromTorch, with the parameters p, of which the shapes suffice. A tensor
// that is missing, has another shape or belongs nowhere is an error that names it.
func CheckTorch(r *weights.Reader, p *nn.Params) error {
	have := map[string][]int{}
	for _, t := range r.Tensors {
		if !strings.HasSuffix(t.Name, counter) {
			have[t.Name] = t.Shape
		}
	}
	var wrong []string
	for _, q := range p.List() {
		want := q.Shape
		if len(want) == 4 {
			want = []int{want[3], want[2], want[0], want[1]}
		}
		switch dims, ok := have[q.Name]; {
		case !ok:
			wrong = append(wrong, q.Name+" is missing")
		case !slices.Equal(dims, want):
			wrong = append(wrong, fmt.Sprintf("%s has shape %v, want %v", q.Name, dims, want))
		}
		delete(have, q.Name)
	}
	for _, t := range r.Tensors {
		if _, left := have[t.Name]; left {
			wrong = append(wrong, t.Name+" belongs nowhere")
		}
	}
	if len(wrong) > 5 {
		wrong = append(wrong[:5], fmt.Sprintf("and %d more", len(wrong)-5))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// ReadTorch fills the parameters p, weights and statistics, from r after FromTorch. Filters [out, in, k, k] become
// [k, k, in, out].
func ReadTorch(r *weights.Reader, p *nn.Params) error {
	if err := CheckTorch(r, p); err != nil {
		return err
	}
	for _, q := range p.List() {
		if len(q.Shape) != 4 {
			if err := r.Read(q.Name, q.Data); err != nil {
				return err
			}
			continue
		}
		filters := make([]float32, len(q.Data))
		if err := r.Read(q.Name, filters); err != nil {
			return err
		}
		k, in, out := q.Shape[0]*q.Shape[1], q.Shape[2], q.Shape[3]
		for o := range out {
			for i := range in {
				for tap := range k {
					q.Data[(tap*in+i)*out+o] = filters[(o*in+i)*k+tap]
				}
			}
		}
	}
	return nil
}
