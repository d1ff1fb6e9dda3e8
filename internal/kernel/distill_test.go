package kernel

import (
	"math"
	"testing"
)

// definition is one row's loss as it is written, in float64, without the care that large logits need.
func (d Distillation) definition(z, t []float32, label int32) float64 {
	softmax := func(x []float32, T float64) []float64 {
		p, sum := make([]float64, len(x)), 0.0
		for i, v := range x {
			p[i] = math.Exp(float64(v) / T)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	hard, soft, teacher := softmax(z, 1), softmax(z, d.Temperature), softmax(t, d.Temperature)
	kl := 0.0
	for i, p := range teacher {
		kl += p * (math.Log(p) - math.Log(soft[i]))
	}
	return -(1-d.Weight)*math.Log(hard[label]) + d.Weight*d.Temperature*d.Temperature*kl
}

var distillations = []Distillation{{0, 1}, {1, 1}, {0.5, 2}, {0.9, 4}, {1, 8}, {0.3, 0.5}}

func TestDistillationIsItsDefinition(t *testing.T) {
	const rows, classes = 5, 7
	z, teacher := normals(rows*classes, 1), normals(rows*classes, 2)
	for i := range z {
		z[i], teacher[i] = 4*z[i], 6*teacher[i]
	}
	copy(z[:classes], []float32{95, -95, 0, 1, 2, 3, 90}) // beyond what a float32 exponential can hold
	labels := []int32{0, 6, 3, 3, 1}
	for _, d := range distillations {
		want := 0.0
		for r := range rows {
			want += d.definition(z[r*classes:(r+1)*classes], teacher[r*classes:(r+1)*classes], labels[r])
		}
		want /= rows
		if got := float64(d.Loss(z, teacher, labels, rows, classes)); !(math.Abs(got-want) <= 1e-6*max(1, math.Abs(want))) {
			t.Errorf("%+v: loss %g, want %g", d, got, want)
		}
	}
}

// TestDistillationGradient compares with the central difference of the loss, row by row in float64.
func TestDistillationGradient(t *testing.T) {
	const classes = 6
	for seed := range uint64(4) {
		z, teacher := normals(classes, 2*seed), normals(classes, 2*seed+1)
		for i := range teacher {
			teacher[i] *= 3
		}
		grad := make([]float32, classes)
		for _, d := range distillations {
			d.row(z, teacher, 2, grad)
			for i, got := range grad {
				const h = 1.0 / 1024
				at := func(dz float32) float64 {
					x := append([]float32(nil), z...)
					x[i] += dz
					return d.row(x, teacher, 2, nil) / float64(x[i]-z[i])
				}
				if want := (at(h) + at(-h)) / 2; math.Abs(float64(got)-want) > 2e-4*max(0.1, math.Abs(want)) {
					t.Errorf("%+v: gradient[%d] %g, want %g", d, i, got, want)
				}
			}
		}
	}
}

// TestDistillationOfEquals: a student that is its teacher has no divergence, to the bit, and no gradient.
func TestDistillationOfEquals(t *testing.T) {
	const rows, classes = 3, 10
	z := normals(rows*classes, 3)
	grad := make([]float32, len(z))
	for _, T := range []float64{0.5, 1, 4, 100} {
		d := Distillation{Weight: 1, Temperature: T}
		if got := d.Loss(z, z, []int32{1, 2, 3}, rows, classes); got != 0 {
			t.Errorf("T %g: loss %g, want 0", T, got)
		}
		d.Grad(grad, z, z, []int32{1, 2, 3}, rows, classes, 1)
		for i, g := range grad {
			if g != 0 {
				t.Errorf("T %g: gradient[%d] %g, want 0", T, i, g)
			}
		}
	}
}

// TestDistillationWithoutTeacher: with weight 0 it is the cross-entropy, whatever the teacher says.
func TestDistillationWithoutTeacher(t *testing.T) {
	const rows, classes = 4, 5
	z, teacher, labels := normals(rows*classes, 4), normals(rows*classes, 5), []int32{0, 4, 2, 2}
	d := Distillation{Weight: 0, Temperature: 3}
	got, want := d.Loss(z, teacher, labels, rows, classes), SoftmaxCrossEntropy(z, labels, rows, classes, 0)
	if math.Abs(float64(got-want)) > 1e-6 {
		t.Errorf("loss %g, want %g", got, want)
	}
	a, b := make([]float32, len(z)), make([]float32, len(z))
	d.Grad(a, z, teacher, labels, rows, classes, 0.25)
	SoftmaxCrossEntropyGrad(b, z, labels, rows, classes, 0, 0.25)
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-7 {
			t.Errorf("gradient[%d] %g, want %g", i, a[i], b[i])
		}
	}
}

// TestTemperatureKeepsTheGradientsSize: T² makes up for what the softer distributions take from it (Hinton
// et al. 2015, section 2.1, for logits that are small beside T).
func TestTemperatureKeepsTheGradientsSize(t *testing.T) {
	const rows, classes = 32, 10
	z, teacher := normals(rows*classes, 6), normals(rows*classes, 7)
	for i := range z {
		z[i], teacher[i] = 0.1*z[i], 0.1*teacher[i]
	}
	size := func(T float64) float64 {
		g := make([]float32, len(z))
		Distillation{Weight: 1, Temperature: T}.Grad(g, z, teacher, make([]int32, rows), rows, classes, 1)
		return math.Sqrt(SumSquares(g))
	}
	for _, T := range []float64{2, 4, 8} {
		if r := size(T) / size(1); math.Abs(r-1) > 0.03 {
			t.Errorf("at T = %g the gradient is %g times that at 1", T, r)
		}
	}
}
