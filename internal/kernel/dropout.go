package kernel

import (
	"unsafe"

	"dla/internal/rng"
)

// Dropout keeps each element with probability 1-p, times 1/(1-p), and makes the others 0 (Srivastava et al.
// 2014). What is kept is a function of a stream of internal/rng and the element's index alone: the
// gradient, a resumed run and any number of threads see the same.
//
// Elements go in groups of 64, which take the words of 16 blocks of the stream: element 16w + i of a group
// word w of its block i. So a vector of words is one instruction's result, whatever a vector's width is.
type Dropout struct {
	dst, src []float32
	args     dropoutArgs
}

// dropoutGroup is the elements of a group, which has a quarter as many blocks.
const dropoutGroup = 64

// dropoutArgs is what the generated code reads; it knows the offsets: keep the order.
type dropoutArgs struct {
	keys   [20]uint32 // of the ten rounds
	block  uint32     // 80: the first group's first
	ctr    [3]uint32  // 84: the rest of the counter
	under  uint32     // 96: the largest word that drops its element
	scale  float32    // 100: 1/(1-p)
	_      [2]uint32
	lanes  [16]uint32 // 112: 0 … 15
	factor [2]uint32  // 176: Philox's multipliers
}

// init prepares the arguments for draws from s; p is in (0, 1).
func (a *dropoutArgs) init(s rng.Stream, p float64) {
	key, ctr := s.Counter()
	for i := range 10 {
		a.keys[2*i], a.keys[2*i+1] = key[0]+uint32(i)*0x9E3779B9, key[1]+uint32(i)*0xBB67AE85
	}
	a.ctr = [3]uint32(ctr[1:])
	a.under = uint32(max(1, p*0x1p32)) - 1
	a.scale = float32(1 / (1 - p))
	for i := range a.lanes {
		a.lanes[i] = uint32(i)
	}
	a.factor = [2]uint32{0xD2511F53, 0xCD9E8D57}
}

// Run computes dst = dropout(src) with the random words of s, for p in (0, 1). dst may be src. It allocates nothing.
func (d *Dropout) Run(dst, src []float32, s rng.Stream, p float64) {
	if len(dst) == 0 {
		return
	}
	d.dst, d.src = dst, src[:len(dst)]
	d.args.init(s, p)
	run(d, tiles(len(dst), elements))
	d.dst, d.src = nil, nil
}

func (d *Dropout) chunk(l *lane, i int) {
	lo, hi := i*elements, min(len(d.dst), (i+1)*elements)
	l.dropout = d.args
	l.dropout.run(d.dst[lo:hi], d.src[lo:hi], lo)
}

// run drops elements first … of the stream, first a multiple of 64.
func (a *dropoutArgs) run(dst, src []float32, first int) {
	a.block = uint32(first / 4)
	groups := len(dst) / dropoutGroup
	if groups > 0 {
		simd.dropout(&dst[0], &src[0], groups, (*byte)(unsafe.Pointer(a)))
	}
	rest := groups * dropoutGroup
	if rest < len(dst) { // a group that is cut off, with memory of its own
		var edge [dropoutGroup]float32
		copy(edge[:], src[rest:])
		a.block += uint32(rest / 4)
		dropoutPlain(edge[:], a)
		copy(dst[rest:], edge[:])
	}
}

// dropoutPlain drops elements of one group.
func dropoutPlain(x []float32, a *dropoutArgs) {
	for i := range 16 {
		words := rng.Philox([4]uint32{a.block + uint32(i), a.ctr[0], a.ctr[1], a.ctr[2]}, [2]uint32(a.keys[:2]))
		for w, v := range words {
			if v > a.under {
				x[16*w+i] *= a.scale
			} else {
				x[16*w+i] = 0
			}
		}
	}
}

func portableDropout(dst, src *float32, groups int, a *byte) {
	d, s := floatsAt(dst, groups*dropoutGroup), floatsAt(src, groups*dropoutGroup)
	args := *(*dropoutArgs)(unsafe.Pointer(a))
	for g := range groups {
		group := d[g*dropoutGroup:][:dropoutGroup]
		copy(group, s[g*dropoutGroup:])
		dropoutPlain(group, &args)
		args.block += 16
	}
}
