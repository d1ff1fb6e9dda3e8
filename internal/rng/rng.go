// Package rng is the one source of randomness: a counter-based generator, so that every draw is a
// pure function of (seed, purpose, epoch, index) and there is no state to save or to lose. Batch 17
// of epoch 3 is shuffled, cropped and dropped out the same way in a resumed run, on any number of
// threads, in any order of work.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011): ten rounds of a keyed bijection of a 128-bit counter. The key is the seed, the
// counter (block, index, epoch, purpose).
package rng

import (
	"math"
	"math/bits"
)

// Stream is the sequence of draws for one (seed, purpose, epoch, index). It is a value: copying it
// forks the sequence. It allocates nothing.
type Stream struct {
	key  [2]uint32
	ctr  [4]uint32
	buf  [4]uint32
	used int // of buf; 4: empty
}

// New starts the stream of purpose (a short word such as "shuffle"), epoch and index; of the last
// two the low 32 bits count. A stream gives 2^34 words before it repeats.
func New(seed uint64, purpose string, epoch, index uint64) Stream {
	h := uint32(2166136261) // FNV-1a
	for i := range len(purpose) {
		h = (h ^ uint32(purpose[i])) * 16777619
	}
	return Stream{key: [2]uint32{uint32(seed), uint32(seed >> 32)}, ctr: [4]uint32{0, uint32(index), uint32(epoch), h},
		used: 4}
}

// Counter is the key and the counter of the stream's first block, for code that computes blocks itself:
// block i, words 4i to 4i+3 of the stream, is Philox of the counter with i in its first word.
func (s Stream) Counter() (key [2]uint32, ctr [4]uint32) { return s.key, s.ctr }

// Philox is one block: ten rounds over counter c with key k.
func Philox(c [4]uint32, k [2]uint32) [4]uint32 {
	const m0, m1, w0, w1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
	c0, c1, c2, c3, k0, k1 := c[0], c[1], c[2], c[3], k[0], k[1] // in registers, which arrays are not
	for range 10 {
		hi0, lo0 := bits.Mul32(m0, c0)
		hi1, lo1 := bits.Mul32(m1, c2)
		c0, c1, c2, c3 = hi1^c1^k0, lo1, hi0^c3^k1, lo0
		k0 += w0
		k1 += w1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Uint32 draws 32 uniform bits.
func (s *Stream) Uint32() uint32 {
	if s.used == 4 {
		s.buf = Philox(s.ctr, s.key)
		s.ctr[0]++
		s.used = 0
	}
	v := s.buf[s.used]
	s.used++
	return v
}

// Uint64 draws 64 uniform bits.
func (s *Stream) Uint64() uint64 {
	if s.used <= 2 { // both words are there
		v := uint64(s.buf[s.used])<<32 | uint64(s.buf[s.used+1])
		s.used += 2
		return v
	}
	return uint64(s.Uint32())<<32 | uint64(s.Uint32())
}

// Float32 draws uniformly from the multiples of 2^-24 in [0, 1).
func (s *Stream) Float32() float32 { return float32(s.Uint32()>>8) * 0x1p-24 }

// Float64 draws uniformly from the multiples of 2^-53 in [0, 1).
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// Normal draws from the standard normal distribution (Box and Muller 1958).
func (s *Stream) Normal() float64 {
	u := 1 - s.Float64() // in (0, 1]
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*s.Float64())
}

// IntN draws uniformly from 0 … n-1, for n from 1 to 2^32, without bias (Lemire 2019,
// https://arxiv.org/abs/1805.10941).
func (s *Stream) IntN(n int) int {
	m := uint32(n)
	hi, lo := bits.Mul32(s.Uint32(), m)
	if lo < m {
		for limit := -m % m; lo < limit; {
			hi, lo = bits.Mul32(s.Uint32(), m)
		}
	}
	return int(hi)
}

// Perm fills dst with a uniform permutation of 0 … len(dst)-1 (Fisher and Yates).
func (s *Stream) Perm(dst []int32) {
	for i := range dst {
		j := s.IntN(i + 1)
		dst[i] = dst[j]
		dst[j] = int32(i)
	}
}
