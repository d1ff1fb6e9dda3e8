package kernel

import (
	"math"
	"sync/atomic"
	"unsafe"
)

// portable is every inner loop in plain Go: the fallback, and what the vector code is tested against.
var portable = kernels{
	name: "portable", floats: 8, rows: [3]int{0, portableRows, portableRows},
	brgemm:           portableBrgemm(),
	transpose:        portableTranspose,
	colours:          portableColours,
	winoInput:        portableWinoInput,
	winoOutput:       fromPoints(4, winoOutput1, false),
	winoOutputAdd:    fromPoints(4, winoOutput1, true),
	winoDY:           toPoints(4, winoDY1),
	winoWeight:       toPoints(3, winoWeight1),
	winoDWeight:      fromPoints(3, winoDWeight1, false),
	sums:             sumsTable{1: portableSums(8), 2: portableSums(16)},
	normApply:        normApplyTable{1: portableApply(8), 2: portableApply(16)},
	normGradSums:     normGradSumsTable{1: portableGradSums(8), 2: portableGradSums(16)},
	normGradInput:    normGradInputTable{1: portableGradInput(8), 2: portableGradInput(16)},
	normActivate:     normActivateTable{1: portableActivate(8), 2: portableActivate(16)},
	normActivateGrad: normActivateGradTable{1: portableActivateGrad(8), 2: portableActivateGrad(16)},
	maxPool:          portableMaxPool,
	maxPoolGrad:      portableMaxPoolGrad,
	softmax:          portableSoftmax,
	softmaxGrad:      portableSoftmaxGrad,
	layerNorm:        portableLayerNorm,
	layerNormGrad:    portableLayerNormGrad,
	layerNormSums:    layerNormSumsTable{1: portableLayerNormSums(8), 2: portableLayerNormSums(16)},
	dropout:          portableDropout,
	gelu:             portableGELU,
	geluGrad:         portableGELUGrad,
	silu:             portableSiLU,
	siluGrad:         portableSiLUGrad,
	add:              portableAdd,
	reluGrad:         portableReLUGrad,
	affine:           portableAffine,
	bytesToFloats:    portableBytesToFloats,
	sgd:              portableSGD,
	adamw:            portableAdamW,
	probe:            portableProbe,
}

// floatsAt is n floats from p on.
func floatsAt(p *float32, n int) []float32 { return unsafe.Slice(p, n) }

// strided is count pixels of width floats, stride bytes apart, from p on.
func strided(p *float32, count int, stride uintptr, width int) []float32 {
	return floatsAt(p, (count-1)*int(stride/4)+width)
}

func portableTranspose(dst, src *float32, ldd, lds uintptr) {
	d, s := strided(dst, 8, ldd, 8), strided(src, 8, lds, 8)
	for i := range 8 {
		for j := range 8 {
			d[j*int(ldd/4)+i] = s[i*int(lds/4)+j]
		}
	}
}

// The one-dimensional transforms, as asm/winograd.go has them.

func winoInput1(d [6]float32) [6]float32 {
	const a, b = winoA, winoB
	p, q := d[4]-b*b*d[2], d[3]-b*b*d[1]
	r, s := d[4]-a*a*d[2], d[3]-a*a*d[1]
	return [6]float32{a*a*b*b*d[0] - (a*a+b*b)*d[2] + d[4], p + a*q, p - a*q, r + b*s, r - b*s,
		a*a*b*b*d[1] - (a*a+b*b)*d[3] + d[5]}
}

func winoOutput1(m [6]float32) [6]float32 {
	const a, b = winoA, winoB
	sa, ta, sb, tb := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [6]float32{m[0] + sa + sb, a*ta + b*tb, a*a*sa + b*b*sb, a*a*a*ta + b*b*b*tb + m[5]}
}

func winoDY1(y [6]float32) [6]float32 {
	const a, b = winoA, winoB
	e, f := y[0]+a*a*y[2], a*y[1]+a*a*a*y[3]
	g, h := y[0]+b*b*y[2], b*y[1]+b*b*b*y[3]
	return [6]float32{y[0], e + f, e - f, g + h, g - h, y[3]}
}

func winoWeight1(g [6]float32) [6]float32 {
	const a, b = winoA, winoB
	const na, nb = 2 * a * a * (a*a - b*b), 2 * b * b * (b*b - a*a)
	e, o := (g[0]+a*a*g[2])/na, a/na*g[1]
	f, p := (g[0]+b*b*g[2])/nb, b/nb*g[1]
	return [6]float32{g[0] / (a * a * b * b), e + o, e - o, f + p, f - p, g[2]}
}

func winoDWeight1(m [6]float32) [6]float32 {
	const a, b = winoA, winoB
	const na, nb = 2 * a * a * (a*a - b*b), 2 * b * b * (b*b - a*a)
	sa, ta, sb, tb := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [6]float32{m[0]/(a*a*b*b) + sa/na + sb/nb, a/na*ta + b/nb*tb, a*a/na*sa + b*b/nb*sb + m[5]}
}

// twice applies one to the columns of in, given as rows, and then to the rows of that: rows x cols.
func twice(in *[6][6]float32, count int, one func([6]float32) [6]float32) (out [6][6]float32) {
	var mid [6][6]float32
	for j := range count {
		var col [6]float32
		for i := range count {
			col[i] = in[i][j]
		}
		t := one(col)
		for i := range t {
			mid[i][j] = t[i]
		}
	}
	for i := range out {
		out[i] = one(mid[i])
	}
	return out
}

func portableWinoInput(top, mid, third, fourth, bottom *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int,
	_, _ *float32, _ uintptr, edges int) {
	channels, p := 8*n, int(ps/4)
	// The pointers are to the second pixel of each row: what they point to is in the image.
	second := (*float32)(unsafe.Add(unsafe.Pointer(mid), rs))
	rows := [6]*float32{top, mid, second, third, fourth, bottom}
	missing := [6]bool{edges&noPixel0 != 0, false, false, edges&noPixel3 != 0, edges&noPixel4 != 0, edges&noPixel5 != 0}
	points := strided(pts, 36, ptst, channels)
	for c := range channels {
		var d [6][6]float32
		for j := range 6 {
			if missing[j] {
				continue
			}
			for i, row := range rows {
				d[i][j] = *(*float32)(unsafe.Add(unsafe.Pointer(row), 4*((j-1)*p+c)))
			}
		}
		out := twice(&d, 6, winoInput1)
		for i := range 36 {
			points[i*int(ptst/4)+c] = out[i/6][i%6]
		}
	}
}

func fromPoints(size int, one func([6]float32) [6]float32, add bool) winoFunc {
	return func(img *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int, _, _ *float32, _ uintptr, edges int) {
		row, px := int(rs/4), int(ps/4)
		high, wide := size-edges&noLastRow, size-edges&noLastPixel/noLastPixel
		pixels, points := floatsAt(img, (high-1)*row+(wide-1)*px+8*n), strided(pts, 36, ptst, 8*n)
		for c := range 8 * n {
			var m [6][6]float32
			for i := range 36 {
				m[i/6][i%6] = points[i*int(ptst/4)+c]
			}
			out := twice(&m, 6, one)
			for i := range high {
				for j := range wide {
					if add {
						out[i][j] += pixels[i*row+j*px+c]
					}
					pixels[i*row+j*px+c] = out[i][j]
				}
			}
		}
	}
}

func toPoints(size int, one func([6]float32) [6]float32) winoFunc {
	return func(img *float32, rs, ps uintptr, pts *float32, ptst uintptr, n int, _, _ *float32, _ uintptr, edges int) {
		row, px := int(rs/4), int(ps/4)
		high, wide := size-edges&noLastRow, size-edges&noLastPixel/noLastPixel
		pixels, points := floatsAt(img, (high-1)*row+(wide-1)*px+8*n), strided(pts, 36, ptst, 8*n)
		for c := range 8 * n {
			var d [6][6]float32
			for i := range high {
				for j := range wide {
					d[i][j] = pixels[i*row+j*px+c]
				}
			}
			out := twice(&d, size, one)
			for i := range 36 {
				points[i*int(ptst/4)+c] = out[i/6][i%6]
			}
		}
	}
}

func portableSums(width int) sumsFunc {
	return func(x *float32, px int, stride uintptr, sum, squares *float32) {
		xs, s, q := strided(x, px, stride, width), floatsAt(sum, width), floatsAt(squares, width)
		for p := range px {
			for c, v := range xs[p*int(stride/4):][:width] {
				s[c] += v
				q[c] += v * v
			}
		}
	}
}

func portableApply(width int) normApplyFunc {
	return func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32) {
		ys, xs := strided(y, px, stride, width), strided(x, px, stride, width)
		sc, sh := floatsAt(scale, width), floatsAt(shift, width)
		var rs []float32
		if res != nil {
			rs = strided(res, px, stride, width)
		}
		for p := range px {
			at := p * int(stride/4)
			for c, v := range xs[at:][:width] {
				v = v*sc[c] + sh[c]
				if rs != nil {
					v += rs[at+c]
				}
				if v < *low {
					v = *low
				}
				ys[at+c] = v
			}
		}
	}
}

func portableGradSums(width int) normGradSumsFunc {
	return func(g, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32) {
		gs, dys, xs := strided(g, px, stride, width), strided(dy, px, stride, width), strided(x, px, stride, width)
		m, s, sx := floatsAt(mean, width), floatsAt(sum, width), floatsAt(sumX, width)
		var ys []float32
		if y != nil {
			ys = strided(y, px, stride, width)
		}
		for p := range px {
			at := p * int(stride/4)
			for c := range width {
				v := dys[at+c]
				if ys != nil && !(ys[at+c] > 0) {
					v = 0
				}
				s[c] += v
				sx[c] += v * (xs[at+c] - m[c])
				gs[at+c] = v
			}
		}
	}
}

func portableGradInput(width int) normGradInputFunc {
	return func(dx, g, x *float32, px int, stride uintptr, mean, a, b, c *float32) {
		dxs, gs, xs := strided(dx, px, stride, width), strided(g, px, stride, width), strided(x, px, stride, width)
		m, as, bs, cs := floatsAt(mean, width), floatsAt(a, width), floatsAt(b, width), floatsAt(c, width)
		for p := range px {
			at := p * int(stride/4)
			for q := range width {
				dxs[at+q] = as[q]*gs[at+q] + bs[q]*(xs[at+q]-m[q]) + cs[q]
			}
		}
	}
}

// smoothOf is GELU, or SiLU where silu is not 0.
func smoothOf(silu int) Activation {
	if silu != 0 {
		return ActSiLU
	}
	return ActGELU
}

func portableActivate(width int) normActivateFunc {
	return func(y, x, res *float32, px int, stride uintptr, scale, shift, _ *float32, silu int) {
		ys, xs := strided(y, px, stride, width), strided(x, px, stride, width)
		sc, sh := floatsAt(scale, width), floatsAt(shift, width)
		var rs []float32
		if res != nil {
			rs = strided(res, px, stride, width)
		}
		act := smoothOf(silu)
		for p := range px {
			at := p * int(stride/4)
			for c, v := range xs[at:][:width] {
				v = v*sc[c] + sh[c]
				if rs != nil {
					v += rs[at+c]
				}
				ys[at+c] = act.value(v)
			}
		}
	}
}

func portableActivateGrad(width int) normActivateGradFunc {
	return func(g, dy, x, res *float32, px int, stride uintptr, scale, shift, mean, sum, sumX, _ *float32, silu int) {
		gs, dys, xs := strided(g, px, stride, width), strided(dy, px, stride, width), strided(x, px, stride, width)
		sc, sh, m := floatsAt(scale, width), floatsAt(shift, width), floatsAt(mean, width)
		s, sx := floatsAt(sum, width), floatsAt(sumX, width)
		var rs []float32
		if res != nil {
			rs = strided(res, px, stride, width)
		}
		act := smoothOf(silu)
		for p := range px {
			at := p * int(stride/4)
			for c, v := range xs[at:][:width] {
				z := v*sc[c] + sh[c]
				if rs != nil {
					z += rs[at+c]
				}
				d := dys[at+c] * act.slope(z)
				s[c] += d
				sx[c] += d * (v - m[c])
				gs[at+c] = d
			}
		}
	}
}

func portableAffine(y, x, scale, shift *float32, n, period int) {
	ys, xs := floatsAt(y, 8*n*period), floatsAt(x, 8*n*period)
	sc, sh := floatsAt(scale, 8*period), floatsAt(shift, 8*period)
	for i, v := range xs {
		ys[i] = float32(v*sc[i%len(sc)]) + sh[i%len(sh)]
	}
}

func portableMaxPool(y *float32, index *byte, x *float32, px, n, window int, row, pixel uintptr) {
	row, pixel = row/4, pixel/4
	width := 8 * n
	ys, places := floatsAt(y, (px-1)*int(pixel)+width), unsafe.Slice(index, (px-1)*int(pixel)+width)
	xs := floatsAt(x, (window-1)*int(row)+(px*window-1)*int(pixel)+width)
	for q := range px {
		at := q * int(pixel)
		for c := range width {
			ys[at+c], places[at+c] = largest(xs[window*at+c:], window, int(row), int(pixel))
		}
	}
}

func portableMaxPoolGrad(dx, dy *float32, index *byte, px, n, window int, row, pixel uintptr) {
	row, pixel = row/4, pixel/4
	width := 8 * n
	dys, places := floatsAt(dy, (px-1)*int(pixel)+width), unsafe.Slice(index, (px-1)*int(pixel)+width)
	dxs := floatsAt(dx, (window-1)*int(row)+(px*window-1)*int(pixel)+width)
	for q := range px {
		at := q * int(pixel)
		for c := range width {
			toLargest(dxs[window*at+c:], dys[at+c], places[at+c], window, int(row), int(pixel))
		}
	}
}

func portableAdd(dst, a, b *float32, n int) {
	d, x, y := floatsAt(dst, 8*n), floatsAt(a, 8*n), floatsAt(b, 8*n)
	for i := range d {
		d[i] = x[i] + y[i]
	}
}

func portableReLUGrad(dst, a, b *float32, n int) {
	d, x, y := floatsAt(dst, 8*n), floatsAt(a, 8*n), floatsAt(b, 8*n)
	for i := range d {
		if y[i] > 0 {
			d[i] = x[i]
		} else {
			d[i] = 0
		}
	}
}

func portableBytesToFloats(dst *float32, src *byte, n int, divisor *float32) {
	d := floatsAt(dst, 8*n)
	for i, v := range unsafe.Slice(src, 8*n) {
		d[i] = float32(v) / *divisor
	}
}

func portableSGD(w, g, v *float32, n int, consts *float32, nesterov int) {
	ws, gs, vs, c := floatsAt(w, 8*n), floatsAt(g, 8*n), floatsAt(v, 8*n), floatsAt(consts, 5)
	for i := range ws {
		sgdOne(&ws[i], gs[i], &vs[i], c[0], c[1], c[2], c[3], c[4], nesterov != 0)
	}
}

func portableAdamW(w, g, m, v *float32, n int, consts *float32) {
	ws, gs, ms, vs := floatsAt(w, 8*n), floatsAt(g, 8*n), floatsAt(m, 8*n), floatsAt(v, 8*n)
	c := (*[8]float32)(unsafe.Pointer(consts))
	for i := range ws {
		adamwOne(&ws[i], gs[i], &ms[i], &vs[i], c)
	}
}

// probed keeps the compiler from leaving the probe out.
var probed atomic.Uint32

func portableProbe(n int) {
	var acc [12]float32
	x, y := float32(math.Pi), math.Float32frombits(probed.Load())
	for range 8 * n {
		for i := range acc {
			acc[i] += x * y
		}
	}
	for _, v := range acc {
		probed.Store(math.Float32bits(max(v, 0) * 0))
	}
}
