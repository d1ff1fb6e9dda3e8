package kernel

// The gradient of images of three channels at stride 1, the end of the path of every attack. As a product with pixels
// for rows it would fill three columns of a vector's eight or sixteen. Here the pixels of a row are the columns: dy is
// turned round first, row by row, to [OC][pixels], and every value that is read goes to three sums. Each sum has the
// terms of the general algorithm in the same order, and so the same bits.

// colourPixels is how many pixels of a row are computed at once.
const colourPixels = 32

// colours says whether the gradient of the input is computed here.
func (c *Conv) colours() bool { return c.IC == 3 && c.Stride == 1 }

// packColours packs the weights turned round as [K][K][OC][3].
func (c *Conv) packColours(_ *lane, tap int) {
	size := c.OC * c.IC
	transposeInto(c.packed[tap*size:][:size], c.IC, c.w[(c.K*c.K-1-tap)*size:], c.OC, c.IC, c.OC)
}

// backwardColours computes the gradient of one input image.
func (c *Conv) backwardColours(l *lane, n int) {
	oh, ow := c.OutH(), c.OutW()
	dx, dy := c.x[n*c.H*c.W*3:][:c.H*c.W*3], c.gradients(l, n, n+1)
	// Around the outputs lie zeros, for those that the input's outermost pixels would reach if there were any.
	before, rows, width := c.K-1-c.pad(), c.H+c.K-1, tiles(c.W, colourPixels)*colourPixels+c.K-1
	row := c.OC * width
	scratch := l.floats(rows*row + 3*colourPixels)
	turned, sums := scratch[:rows*row], scratch[rows*row:]
	clear(turned)
	for r := range oh {
		transposeInto(turned[(before+r)*row+before:], width, dy[r*ow*c.OC:], c.OC, ow, c.OC)
	}
	for r := range c.H {
		for q := 0; q < c.W; q += colourPixels {
			simd.colours(&sums[0], &c.packed[0], &turned[r*row+q], c.OC, c.K, c.K, uintptr(4*width), uintptr(4*row))
			pixels := min(colourPixels, c.W-q)
			to := dx[(r*c.W+q)*3:][:3*pixels]
			red, green, blue := sums[:pixels], sums[colourPixels:][:pixels], sums[2*colourPixels:][:pixels]
			if c.add {
				for i := range red {
					to[3*i] += red[i]
					to[3*i+1] += green[i]
					to[3*i+2] += blue[i]
				}
				continue
			}
			for i := range red {
				to[3*i], to[3*i+1], to[3*i+2] = red[i], green[i], blue[i]
			}
		}
	}
	c.After.over(l, dx, n)
}

// portableColours is kernels.colours in plain Go.
func portableColours(dst, w, dy *float32, k, cols, rows int, ldd, row uintptr) {
	sums, ws := floatsAt(dst, 3*colourPixels), floatsAt(w, 3*k*cols*rows)
	dys := floatsAt(dy, (rows-1)*int(row/4)+(k-1)*int(ldd/4)+cols-1+colourPixels)
	clear(sums)
	for r := range rows {
		for q := range cols {
			for i := range k {
				for px, v := range dys[r*int(row/4)+i*int(ldd/4)+q:][:colourPixels] {
					sums[px] += v * ws[0]
					sums[colourPixels+px] += v * ws[1]
					sums[2*colourPixels+px] += v * ws[2]
				}
				ws = ws[3:]
			}
		}
	}
}
