package rng

import (
	"math"
	"testing"
)

// TestKnownAnswers checks the block function against Random123's kat_vectors (philox4x32, 10 rounds).
func TestKnownAnswers(t *testing.T) {
	for _, tc := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(tc.ctr, tc.key); got != tc.want {
			t.Errorf("Philox(%x, %x) = %x, want %x", tc.ctr, tc.key, got, tc.want)
		}
	}
}

// TestStreamsAreApart: changing any part of the name gives another sequence, and the same name the same.
func TestStreamsAreApart(t *testing.T) {
	first := func(seed uint64, purpose string, epoch, index uint64) uint64 {
		s := New(seed, purpose, epoch, index)
		return s.Uint64()
	}
	base := first(1, "shuffle", 2, 3)
	if base != first(1, "shuffle", 2, 3) {
		t.Error("the same stream gave another number")
	}
	for name, v := range map[string]uint64{"seed": first(2, "shuffle", 2, 3),
		"high half of the seed": first(1+1<<32, "shuffle", 2, 3),
		"purpose":               first(1, "crop", 2, 3), "epoch": first(1, "shuffle", 3, 3), "index": first(1, "shuffle", 2,
			4), "epoch and index swapped": first(1, "shuffle", 3, 2)} {
		if v == base {
			t.Errorf("another %s gave the same number", name)
		}
	}
}

func TestMoments(t *testing.T) {
	const n = 200000
	s := New(7, "moments", 0, 0)
	var sum, sq, cube float64
	for range n {
		x := s.Normal()
		sum, sq, cube = sum+x, sq+x*x, cube+x*x*x
	}
	// five standard errors of each moment
	for name, v := range map[string][3]float64{"mean": {sum / n, 0, 1}, "variance": {sq / n, 1, math.Sqrt2},
		"third moment": {cube / n, 0, math.Sqrt(15)}} {
		if math.Abs(v[0]-v[1]) > 5*v[2]/math.Sqrt(n) {
			t.Errorf("%s of the normal draws is %g, want %g", name, v[0], v[1])
		}
	}
	var f float64
	for range n {
		x := s.Float64()
		if x < 0 || x >= 1 {
			t.Fatalf("Float64 gave %g", x)
		}
		y := s.Float32()
		if y < 0 || y >= 1 {
			t.Fatalf("Float32 gave %g", y)
		}
		f += x
	}
	if math.Abs(f/n-0.5) > 5/math.Sqrt(12*n) {
		t.Errorf("mean of Float64 is %g", f/n)
	}
}

// TestIntN: each of n values is equally likely, by chi-squared.
func TestIntN(t *testing.T) {
	for _, n := range []int{1, 2, 7, 10, 100} {
		s := New(3, "intn", 0, uint64(n))
		count := make([]int, n)
		const draws = 100000
		for range draws {
			count[s.IntN(n)]++
		}
		chi := 0.0
		for _, c := range count {
			e := float64(draws) / float64(n)
			chi += (float64(c) - e) * (float64(c) - e) / e
		}
		if limit := float64(n-1) + 5*math.Sqrt(2*float64(n)); chi > limit {
			t.Errorf("IntN(%d): chi-squared %.1f, want below %.1f", n, chi, limit)
		}
	}
}

func TestPerm(t *testing.T) {
	s := New(1, "perm", 0, 0)
	p := make([]int32, 1000)
	s.Perm(p)
	seen, moved := make([]bool, len(p)), 0
	for i, v := range p {
		if seen[v] {
			t.Fatalf("%d stands twice", v)
		}
		seen[v] = true
		if int(v) != i {
			moved++
		}
	}
	if moved < 950 {
		t.Errorf("only %d of %d moved", moved, len(p))
	}
}

func TestNothingIsAllocated(t *testing.T) {
	p := make([]int32, 64)
	if n := testing.AllocsPerRun(10, func() {
		s := New(1, "alloc", 2, 3)
		s.Perm(p)
		_ = s.Normal()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
