package kernel

import "unsafe"

//go:generate go run -C asm . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -tables ../tables_amd64.go -pkg kernel

// brgemm is one call of a batch-reduce microkernel, the one inner loop of every matrix product and
// convolution (Georganas et al. 2020, https://arxiv.org/abs/1906.06440): a tile of some rows by one
// or two vectors of columns,
//
//	C[r][j] = sum over segments s and k of A_s(r, k) · B_s[k][j] (+ C[r][j]) (+ bias[j]), then ReLU
//
// A_s(r, k) stands at a + s·segA + r·lda + 4·k, or, transposed, at a + s·segA + 4·r + k·lda; B_s[k] at
// b + s·segB + k·ldb; row r of C at c + r·ldc. All strides are in bytes; k and segs are at least 1. A
// matrix product has one segment, a 3x3 convolution three, one for each row of the window. The call goes on to the
// tiles of the rows below, as many as tiles says, 0 being 1.
//
// The generated code knows the offsets: keep the order.
type brgemm struct {
	a          unsafe.Pointer // 0
	lda        uintptr        // 8
	b          unsafe.Pointer // 16
	ldb        uintptr        // 24
	c          unsafe.Pointer // 32
	ldc        uintptr        // 40
	k          int            // 48
	segs       int            // 56
	segA, segB uintptr        // 64, 72
	bias       unsafe.Pointer // 80
	flags      uintptr        // 88
	tiles      int            // 96
}

const (
	accumulate uintptr = 1 << iota // start from what C holds
	relu                           // max(0, ·) at the end; NaN stays NaN
)

func at(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }

// run computes n rows by vectors, in tiles of sizes that differ by one at most, the larger first. It leaves a and c
// where the rows after the larger tiles begin.
func (p *brgemm) run(transposed bool, vectors, n int) {
	count := tiles(n, simd.rows[vectors])
	rows, larger := n/count, n%count
	t, step := 0, p.lda
	if transposed {
		t, step = 1, 4
	}
	if larger > 0 {
		p.tiles = larger
		simd.brgemm[t][vectors][rows+1]((*byte)(unsafe.Pointer(p)))
		done := uintptr(larger * (rows + 1))
		p.a, p.c = unsafe.Add(p.a, done*step), unsafe.Add(p.c, done*p.ldc)
	}
	p.tiles = count - larger
	simd.brgemm[t][vectors][rows]((*byte)(unsafe.Pointer(p)))
}

// vectorsFor is how many vectors of columns, one or two, the next block of left columns has.
func vectorsFor(left int) int {
	if left > simd.floats {
		return 2
	}
	return 1
}

// tiles is how many tiles of at most rows rows n rows are cut into; tile t of them has the rows from
// cut(n, t, tiles) to cut(n, t+1, tiles), sizes differing by one at most.
func tiles(n, rows int) int { return (n + rows - 1) / rows }

func cut(n, t, tiles int) int { return n * t / tiles }

// portableRows is the largest tile of the portable microkernels, of one and of two vectors of eight.
const portableRows = 8

// portableBrgemm are the microkernels in plain Go: squares of 4x4 with their sums in registers.
func portableBrgemm() (all brgemmTable) {
	for vectors := 1; vectors <= 2; vectors++ {
		for rows := 1; rows <= portableRows; rows++ {
			all[0][vectors][rows] = func(p *byte) { (*brgemm)(unsafe.Pointer(p)).portable(false, 8*vectors, rows) }
			all[1][vectors][rows] = func(p *byte) { (*brgemm)(unsafe.Pointer(p)).portable(true, 8*vectors, rows) }
		}
	}
	return all
}

func (p *brgemm) portable(transposed bool, cols, rows int) {
	rowStep, kStep := int(p.lda/4), 1
	if transposed {
		rowStep, kStep = 1, int(p.lda/4)
	}
	rows *= max(1, p.tiles)
	lastA := (p.segs-1)*int(p.segA/4) + (rows-1)*rowStep + (p.k-1)*kStep
	lastB := (p.segs-1)*int(p.segB/4) + (p.k-1)*int(p.ldb/4) + cols - 1
	a, b := unsafe.Slice((*float32)(p.a), lastA+1), unsafe.Slice((*float32)(p.b), lastB+1)
	ldc := int(p.ldc / 4)
	c := unsafe.Slice((*float32)(p.c), (rows-1)*ldc+cols)
	var bias []float32
	if p.bias != nil {
		bias = unsafe.Slice((*float32)(p.bias), cols)
	}
	var acc [16]float32
	for r := 0; r < rows; r += 4 {
		n := min(4, rows-r)
		for j := 0; j < cols; j += 4 {
			clear(acc[:])
			for s := range p.segs {
				p.square(&acc, a[s*int(p.segA/4)+r*rowStep:], b[s*int(p.segB/4)+j:], n, rowStep, kStep)
			}
			for i := range n {
				row := c[(r+i)*ldc+j:][:4]
				for q := range row {
					v := acc[4*i+q]
					if p.flags&accumulate != 0 {
						v += row[q]
					}
					if bias != nil {
						v += bias[j+q]
					}
					if p.flags&relu != 0 && v < 0 {
						v = 0
					}
					row[q] = v
				}
			}
		}
	}
}

// square adds one segment's product of n rows, at most 4, by 4 columns to acc.
func (p *brgemm) square(acc *[16]float32, a, b []float32, n, rowStep, kStep int) {
	ldb := int(p.ldb / 4)
	if n < 4 {
		for i := range n {
			for k := range p.k {
				v := a[i*rowStep+k*kStep]
				for j, w := range b[k*ldb:][:4] {
					acc[4*i+j] += v * w
				}
			}
		}
		return
	}
	c00, c01, c02, c03, c10, c11, c12, c13 := acc[0], acc[1], acc[2], acc[3], acc[4], acc[5], acc[6], acc[7]
	c20, c21, c22, c23, c30, c31, c32, c33 := acc[8], acc[9], acc[10], acc[11], acc[12], acc[13], acc[14], acc[15]
	for k := range p.k {
		row := b[k*ldb:][:4]
		b0, b1, b2, b3 := row[0], row[1], row[2], row[3]
		at := k * kStep
		a0, a1 := a[at], a[at+rowStep]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		a2, a3 := a[at+2*rowStep], a[at+3*rowStep]
		c20 += a2 * b0
		c21 += a2 * b1
		c22 += a2 * b2
		c23 += a2 * b3
		c30 += a3 * b0
		c31 += a3 * b1
		c32 += a3 * b2
		c33 += a3 * b3
	}
	*acc = [16]float32{c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33}
}
