package kernel

import (
	"math"
	"unsafe"
)

// The elementary functions the encoders need, in float32 and a vector at a time; asm/functions.go has the
// same steps in vector code.
//
// exp for x <= 0: x = n·ln 2 + r, and exp(r) by the polynomial of Cephes' expf; relative error below 1e-7,
// results below 1.2e-38 are 1.2e-38.
//
// The tail of the normal distribution, Φ(-u) for u >= 0, is exp(-u²/2)·t·P(t)/2 with t = 1/(1 + u·b), in the
// manner of Abramowitz and Stegun 7.1.26 but with eight coefficients fitted anew: its relative error is
// below 1e-7 before rounding, so that Φ is right to float32 at both ends.

// functionConstants is the table the functions read, each constant repeated over 16 floats, in the order
// that asm/functions.go names.
var functionConstants = func() []float32 {
	values := []float32{
		math.Log2E, 3 << 22, 0.693359375, -2.12194440e-4, -87.33, 1, // exp: log2 e; 1.5·2²³, which rounds; ln 2 in two parts; lowest x
		1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
		math.Float32frombits(math.MaxInt32), -0.5, 0.33 / math.Sqrt2, // tail: |x|; -1/2; b
		-0.13592896857324707 / 2, 0.462688859555803 / 2, -0.3554398162188128 / 2, 0.4125421292856781 / 2,
		0.04501058909364125 / 2, 0.20192374079082998 / 2, 0.18283727938362543 / 2, 0.18636610501401948 / 2,
		1 / 2.50662827463100050242, // density of the normal distribution at 0
		float32(math.Inf(-1)),
		float32(math.Copysign(0, -1)), // the sign
	}
	table := Alloc(16 * len(values))
	for i, v := range values {
		for j := range 16 {
			table[16*i+j] = v
		}
	}
	return table
}()

// konst is constant i of functionConstants.
func konst(i int) float32 { return functionConstants[16*i] }

// expOne is exp(x) for x <= 0.
func expOne(x float32) float32 {
	if x < konst(4) {
		x = konst(4)
	}
	t := x*konst(0) + konst(1)
	n := t - konst(1)
	r := x - n*konst(2)
	r -= n * konst(3)
	q := konst(6)
	for i := 7; i < 12; i++ {
		q = q*r + konst(i)
	}
	q = q*(r*r) + r + 1
	return math.Float32frombits(math.Float32bits(q) + math.Float32bits(t)<<23)
}

// tailOne is Φ(-|x|) and exp(-x²/2).
func tailOne(x float32) (tail, e float32) {
	e = expOne(x * x * konst(13))
	u := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
	t := 1 / (1 + u*konst(14))
	q := konst(15)
	for i := 16; i < 23; i++ {
		q = q*t + konst(i)
	}
	return q * t * e, e
}

// geluOne is x·Φ(x).
func geluOne(x float32) float32 {
	tail, _ := tailOne(x)
	y := x
	if x < 0 {
		y = 0
	}
	return y - float32(math.Abs(float64(x)))*tail
}

// geluSlope is d/dx x·Φ(x) = Φ(x) + x·φ(x), φ the density.
func geluSlope(x float32) float32 {
	tail, e := tailOne(x)
	if !math.Signbit(float64(x)) {
		tail = 1 - tail
	}
	return tail + x*konst(23)*e
}

// sigmoidOne is 1/(1 + exp(-x)), of which no step overflows.
func sigmoidOne(x float32) float32 {
	e := expOne(math.Float32frombits(math.Float32bits(x) | 1<<31))
	n := float32(1)
	if math.Signbit(float64(x)) {
		n = e
	}
	return n / (1 + e)
}

// siluOne is x·sigmoid(x).
func siluOne(x float32) float32 { return x * sigmoidOne(x) }

// siluSlope is d/dx x·sigmoid(x).
func siluSlope(x float32) float32 {
	s := sigmoidOne(x)
	return s * (1 + x*(1-s))
}

func portableSiLU(y, x *float32, n int, _ *float32) {
	ys, xs := floatsAt(y, 8*n), floatsAt(x, 8*n)
	for i, v := range xs {
		ys[i] = siluOne(v)
	}
}

func portableSiLUGrad(dx, dy, x *float32, n int, _ *float32) {
	dxs, dys, xs := floatsAt(dx, 8*n), floatsAt(dy, 8*n), floatsAt(x, 8*n)
	for i, v := range xs {
		dxs[i] = dys[i] * siluSlope(v)
	}
}

func portableGELU(y, x *float32, n int, _ *float32) {
	ys, xs := floatsAt(y, 8*n), floatsAt(x, 8*n)
	for i, v := range xs {
		ys[i] = geluOne(v)
	}
}

func portableGELUGrad(dx, dy, x *float32, n int, _ *float32) {
	dxs, dys, xs := floatsAt(dx, 8*n), floatsAt(dy, 8*n), floatsAt(x, 8*n)
	for i, v := range xs {
		dxs[i] = dys[i] * geluSlope(v)
	}
}

// portableSoftmax is kernels.softmax in plain Go.
func portableSoftmax(s *float32, rows, n int, stride uintptr, scale, end, bias, _ *float32) {
	all, last := strided(s, rows, stride, 8*n), floatsAt(end, 8)
	for r := range rows {
		row := all[r*int(stride/4):][:8*n]
		var shift []float32
		if bias != nil {
			shift = floatsAt((*float32)(unsafe.Add(unsafe.Pointer(bias), -4*r)), 8*n)
		}
		high := float32(math.Inf(-1))
		for j := range row {
			v := row[j] * *scale
			if shift != nil {
				v += shift[j]
			}
			if j >= 8*(n-1) {
				v += last[j-8*(n-1)]
			}
			row[j] = v
			high = max(high, v)
		}
		sum := float32(0)
		for j, v := range row {
			row[j] = expOne(v - high)
			sum += row[j]
		}
		for j := range row {
			row[j] *= 1 / sum
		}
	}
}

// portableSoftmaxGrad is kernels.softmaxGrad in plain Go.
func portableSoftmaxGrad(d, p *float32, rows, n int, stride uintptr, scale *float32) {
	ds, ps := strided(d, rows, stride, 8*n), strided(p, rows, stride, 8*n)
	for r := range rows {
		dr, pr := ds[r*int(stride/4):][:8*n], ps[r*int(stride/4):][:8*n]
		dot := float32(0)
		for j, v := range pr {
			dot += v * dr[j]
		}
		for j, v := range pr {
			dr[j] = v * (dr[j] - dot) * *scale
		}
	}
}
