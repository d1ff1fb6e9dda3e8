package kernel

import (
	"math"
	"testing"
)

// uniformDivergence64 is KL(uniform ‖ softmax(z)) of one row as it is written.
func uniformDivergence64(z []float64) float64 {
	sum, kl, u := 0.0, 0.0, 1/float64(len(z))
	for _, v := range z {
		sum += math.Exp(v)
	}
	for _, v := range z {
		kl += u * math.Log(u/(math.Exp(v)/sum))
	}
	return kl
}

func TestUniformDivergence(t *testing.T) {
	const rows, classes = 5, 7
	z := normals(rows*classes, 1)
	copy(z[classes:], []float32{95, -95, 0, 1, 2, 3, 90}) // beyond what a float32 exponential can hold
	want := 0.0
	rows64 := make([][]float64, rows)
	for r := range rows {
		for _, v := range z[r*classes : (r+1)*classes] {
			rows64[r] = append(rows64[r], float64(v))
		}
		want += uniformDivergence64(rows64[r]) / rows
	}
	if got := float64(UniformDivergence(z, rows, classes)); math.Abs(got-want) > 1e-6*want {
		t.Errorf("%g, want %g", got, want)
	}
	// The gradient, by central differences in float64.
	const h = 1e-5
	grad := make([]float32, rows*classes)
	UniformDivergenceGrad(grad, z, rows, classes, 3)
	for r, row := range rows64 {
		for i, v := range row {
			row[i] = v + h
			up := uniformDivergence64(row)
			row[i] = v - h
			num := 3 * (up - uniformDivergence64(row)) / (2 * h)
			row[i] = v
			if got := float64(grad[r*classes+i]); math.Abs(got-num) > 1e-6 {
				t.Errorf("gradient %g of row %d, class %d, want %g", got, r, i, num)
			}
		}
	}
}

// TestUniformDivergenceExtremes: nothing is said where all logits are alike, and large ones are safe.
func TestUniformDivergenceExtremes(t *testing.T) {
	if kl := UniformDivergence([]float32{7, 7, 7, 7}, 1, 4); math.Abs(float64(kl)) > 1e-12 {
		t.Errorf("equal logits have a divergence of %g", kl)
	}
	z, grad := []float32{1e4, -1e4, 0}, make([]float32, 3)
	want := (0+2e4+1e4)/3. - math.Log(3)
	if kl := UniformDivergence(z, 1, 3); math.Abs(float64(kl)-want) > 1e-3 {
		t.Errorf("%g, want %g", kl, want)
	}
	UniformDivergenceGrad(grad, z, 1, 3, 1)
	for i, w := range []float64{2. / 3, -1. / 3, -1. / 3} {
		if math.Abs(float64(grad[i])-w) > 1e-6 {
			t.Errorf("gradient %v", grad)
		}
	}
}
