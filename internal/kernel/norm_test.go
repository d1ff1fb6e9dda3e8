package kernel

import (
	"math"
	"testing"
)

// TestNorm compares every pass with its definition in float64, for whole vectors of channels, odd
// ones, one pixel and many, with and without residual and ReLU.
func TestNorm(t *testing.T) {
	levels(t, func(level string) {
		for _, m := range []Norm{{N: 3, Pixels: 5, C: 16}, {N: 2, Pixels: 1, C: 32}, {N: 2, Pixels: 8, C: 48},
			{N: 1, Pixels: 9, C: 7}, {N: 4, Pixels: 6, C: 37}, {N: 1, Pixels: 3, C: 8}} {
			size := m.N * m.Pixels * m.C
			x, res, dy := normals(size, 1), normals(size, 2), normals(size, 3)
			scale, shift, a, b := normals(m.C, 4), normals(m.C, 5), normals(m.C, 6), normals(m.C, 7)
			near := func(what string, i int, got float32, want float64) {
				t.Helper()
				if !(math.Abs(float64(got)-want) <= 1e-5*(1+math.Abs(want))) {
					t.Fatalf("%s, %d x %d x %d: %s[%d] = %g, want %g", level, m.N, m.Pixels, m.C, what, i, got, want)
				}
			}
			sums, mean, variance := make([]float32, m.N*2*m.C), make([]float32, m.C), make([]float32, m.C)
			m.Sums(sums, x)
			m.Moments(mean, variance, sums)
			for c := range m.C {
				s, q := 0.0, 0.0
				for p := range m.N * m.Pixels {
					s += float64(x[p*m.C+c])
				}
				s /= float64(m.N * m.Pixels)
				for p := range m.N * m.Pixels {
					q += math.Pow(float64(x[p*m.C+c])-s, 2)
				}
				near("mean", c, mean[c], s)
				near("variance", c, variance[c], q/float64(m.N*m.Pixels))
			}
			y, g, fixed := make([]float32, size), make([]float32, size), make([]float32, size)
			for _, act := range []Activation{ActNone, ActReLU, ActGELU, ActSiLU} {
				for _, r := range [][]float32{nil, res} {
					what := act.String()
					if r != nil {
						what += " with a residual"
					}
					z := func(i int) float64 {
						v := float64(x[i])*float64(scale[i%m.C]) + float64(shift[i%m.C])
						if r != nil {
							v += float64(r[i])
						}
						return v
					}
					m.Apply(y, x, r, scale, shift, act)
					for i := range y {
						want, _ := activation64(act, z(i))
						near("y "+what, i, y[i], want)
					}
					m.GradSums(g, sums, dy, y, x, r, mean, scale, shift, act)
					for n := range m.N {
						for c := range m.C {
							s, sx := 0.0, 0.0
							for p := range m.Pixels {
								i := (n*m.Pixels+p)*m.C + c
								_, slope := activation64(act, z(i))
								want := float64(dy[i]) * slope
								near("g "+what, i, g[i], want)
								s += want
								sx += want * (float64(x[i]) - float64(mean[c]))
							}
							near("sum "+what, c, sums[n*2*m.C+c], s)
							near("sumX "+what, c, sums[(n*2+1)*m.C+c], sx)
						}
					}
					if !act.Smooth() {
						continue
					}
					for _, scaled := range []bool{false, true} {
						m.GradFixed(fixed, dy, x, r, scale, shift, act, scaled)
						for i := range fixed {
							want := g[i]
							if scaled {
								want *= scale[i%m.C]
							}
							if fixed[i] != want {
								t.Fatalf("%s, %s: fixed gradient %d is %g, want %g", level, what, i, fixed[i], want)
							}
						}
					}
				}
			}
			dx := make([]float32, size)
			m.GradInput(dx, g, x, mean, a, b, shift)
			for i := range dx {
				c := i % m.C
				near("dx", i, dx[i], float64(a[c])*float64(g[i])+float64(b[c])*(float64(x[i])-float64(mean[c]))+float64(shift[c]))
			}
		}
	})
}

// activation64 is an activation and its slope in float64.
func activation64(a Activation, z float64) (value, slope float64) {
	switch a {
	case ActReLU:
		if z > 0 {
			return z, 1
		}
		return 0, 0
	case ActGELU:
		phi := 0.5 * math.Erfc(-z/math.Sqrt2)
		return z * phi, phi + z*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi)
	case ActSiLU:
		s := 1 / (1 + math.Exp(-z))
		return z * s, s * (1 + z*(1-s))
	}
	return z, 1
}

// TestNormKeepsNaN: a network that diverges must show it, whatever the activation.
func TestNormKeepsNaN(t *testing.T) {
	levels(t, func(level string) {
		for _, c := range []int{5, 48} {
			m := Norm{N: 1, Pixels: 3, C: c}
			x, y, scale, shift := normals(3*c, 1), make([]float32, 3*c), normals(c, 2), normals(c, 3)
			x[c+1] = float32(math.NaN())
			for _, act := range []Activation{ActNone, ActReLU, ActGELU, ActSiLU} {
				m.Apply(y, x, nil, scale, shift, act)
				for i, v := range y {
					if (v != v) != (i == c+1) {
						t.Fatalf("%s, %d channels, activation %q: y[%d] = %g", level, c, act, i, v)
					}
				}
			}
		}
	})
}

func TestNormAllocatesNothing(t *testing.T) {
	m := Norm{N: 2, Pixels: 4, C: 21}
	x, sums, v := make([]float32, 2*4*21), make([]float32, 2*2*21), make([]float32, 21)
	if n := testing.AllocsPerRun(10, func() {
		m.Sums(sums, x)
		m.Moments(v, v, sums)
		m.Apply(x, x, nil, v, v, ActReLU)
		m.GradSums(x, sums, x, nil, x, nil, v, nil, nil, ActNone)
		m.Apply(x, x, nil, v, v, ActGELU)
		m.GradSums(x, sums, x, nil, x, nil, v, v, v, ActGELU)
		m.GradFixed(x, x, x, nil, v, v, ActSiLU, true)
		m.GradInput(x, x, x, v, v, v, v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
