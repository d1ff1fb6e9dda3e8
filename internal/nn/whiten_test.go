package nn

import (
	"math"
	"slices"
	"strings"
	"testing"

	"dla/internal/rng"
)

// TestWhiteningFilters: on the patches that they were made from, the first half of the filters have second moments of
// about the identity, and the second half are their negatives.
func TestWhiteningFilters(t *testing.T) {
	const n, h, w, c, k, size = 40, 9, 8, 3, 2, 12
	images := make([]float32, n*h*w*c)
	s := rng.New(1, "test", 0, 0)
	for at := 0; at < len(images); at += w * c { // neighbours in a row and channels of a pixel are correlated
		last := 0.0
		for i := range w * c {
			last = 0.8*last + s.Normal()
			images[at+i] = float32(last + 0.3)
		}
	}
	filters, err := WhiteningFilters(images, n, h, w, c, k, size, 0)
	if err != nil {
		t.Fatal(err)
	}
	var moments [size][size]float64
	patches := 0
	for at := range n {
		for y := range h - k + 1 {
			for x := range w - k + 1 {
				var out [2 * size]float64
				for tap := range size {
					v := float64(images[((at*h+y+tap/(k*c))*w+x)*c+tap%(k*c)])
					for f := range out {
						out[f] += v * float64(filters[tap*2*size+f])
					}
				}
				for i := range size {
					if out[i] != -out[size+i] {
						t.Fatalf("filter %d gives %g, its negative %g", i, out[i], out[size+i])
					}
					for j := range size {
						moments[i][j] += out[i] * out[j]
					}
				}
				patches++
			}
		}
	}
	for i := range size {
		for j := range size {
			want := 0.0
			if i == j {
				want = 1
			}
			if got := moments[i][j] / float64(patches); math.Abs(got-want) > 1e-4 {
				t.Errorf("the moment of outputs %d and %d is %g, want %g", i, j, got, want)
			}
		}
	}
	images[5] = float32(math.NaN())
	if _, err := WhiteningFilters(images, n, h, w, c, k, size, 0); err == nil {
		t.Error("NaN gave filters")
	}
}

// TestDirac: the first filters pass a channel each, the rest are as drawn.
func TestDirac(t *testing.T) {
	const k, in, out = 3, 2, 5
	draw := func(init Init) []float32 {
		w, s := make([]float32, k*k*in*out), rng.New(3, "test", 0, 0)
		init(w, &s)
		return w
	}
	rest, got := draw(FanIn(k*k*in)), draw(Dirac(k, in, out, FanIn(k*k*in)))
	for i, v := range got {
		tap, c, f := i/(in*out), i/out%in, i%out
		want := rest[i]
		switch {
		case f < in && tap == 4 && c == f:
			want = 1
		case f < in:
			want = 0
		}
		if v != want {
			t.Errorf("tap %d, input %d, filter %d: %g, want %g", tap, c, f, v, want)
		}
	}
}

// TestWhiten: the first convolution's filters are the leading ones, in pairs; the rest of the network stays.
func TestWhiten(t *testing.T) {
	const n, h, w, c, k = 5, 6, 6, 3, 2
	images := make([]float32, n*h*w*c)
	s := rng.New(1, "test", 0, 0)
	for i := range images {
		images[i] = float32(s.Normal())
	}
	for _, out := range []int{6, 7, 30} {
		p := NewParams(1)
		g := NewGraph(p)
		y := Conv2DValid(g, "first", g.Input("x", 1, h, w, c), out, k)
		Conv2D(g, "second", y, 4, 3, 1)
		before := slices.Clone(p.list[0].Data)
		second := slices.Clone(p.byName["second.weight"].Data)
		if err := p.Whiten(images, n, h, w, c); err != nil {
			t.Fatal(err)
		}
		half := min(out/2, k*k*c)
		want, err := WhiteningFilters(images, n, h, w, c, k, half, whiteningEps)
		if err != nil {
			t.Fatal(err)
		}
		for tap := range k * k * c {
			got := p.list[0].Data[tap*out : (tap+1)*out]
			if !slices.Equal(got[:2*half], want[tap*2*half:(tap+1)*2*half]) ||
				!slices.Equal(got[2*half:], before[tap*out+2*half:(tap+1)*out]) {
				t.Errorf("%d filters: tap %d is %v", out, tap, got)
			}
		}
		if !slices.Equal(p.byName["second.weight"].Data, second) {
			t.Errorf("%d filters: the second convolution is another", out)
		}
		if err := p.Whiten(images, n, h, w, 1); err == nil {
			t.Error("images of one channel whiten a convolution of three")
		}
	}
}

// TestWhitenSmallImages: images without a patch are refused, not averaged over none.
func TestWhitenSmallImages(t *testing.T) {
	p := NewParams(1)
	g := NewGraph(p)
	Conv2D(g, "first", g.Input("x", 1, 2, 8, 1), 4, 3, 1)
	if err := p.Whiten(make([]float32, 16), 1, 2, 8, 1); err == nil ||
		!strings.Contains(err.Error(), "images of 8x2 pixels have no patches of 3x3 to whiten") {
		t.Errorf("error %v", err)
	}
}
