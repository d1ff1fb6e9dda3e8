package data

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// plainly is what change.apply is to do, step by step: a black or mirrored border, the crop, the flip, the cut.
func (c change) plainly(src []uint8, h, w, ch, pad int) []float32 {
	inside := func(i, n int) int { // the pixel of the image that is seen at i; less than 0: none
		for c.reflect && (i < 0 || i >= n) {
			if i < 0 {
				i = -i
			} else {
				i = 2*(n-1) - i
			}
			if n == 1 {
				i = 0
			}
		}
		if i >= n {
			return -1
		}
		return i
	}
	at := func(y, x, k int) float32 { // of the image with its border
		if y, x = inside(y-pad, h), inside(x-pad, w); y < 0 || x < 0 {
			return 0
		}
		return float32(src[(y*w+x)*ch+k]) / 255
	}
	out := make([]float32, h*w*ch)
	for y := range h {
		for x := range w {
			from := x
			if c.flip {
				from = w - 1 - x
			}
			for k := range ch {
				if y < c.y0 || y >= c.y1 || x < c.x0 || x >= c.x1 {
					out[(y*w+x)*ch+k] = at(y+pad+c.dy, from+pad+c.dx, k)
				}
			}
		}
	}
	return out
}

// TestAugmentIsCropFlipCut: bit for bit, for images of any proportions, also where the crop misses the image.
func TestAugmentIsCropFlipCut(t *testing.T) {
	for _, dim := range [][3]int{{32, 32, 3}, {28, 28, 1}, {3, 7, 2}, {5, 2, 3}, {1, 1, 1}} {
		h, w, ch := dim[0], dim[1], dim[2]
		src := make([]uint8, h*w*ch)
		for i := range src {
			src[i] = uint8(1 + i*7%255)
		}
		for _, a := range []Augment{{}, {Flip: true}, {Crop: 4}, {Flip: true, Crop: 4}, {Flip: true, Crop: 4, Cutout: 5},
			{Cutout: 2}, {Crop: 40, Cutout: 100}, {Flip: true, Crop: -1, Cutout: -1}, {Flip: true, Crop: 2, Reflect: true},
			{Flip: true, Crop: 70, Cutout: 3, Reflect: true}} {
			for i := range 50 {
				c := a.draw(1, 2, i, h, w)
				got := make([]float32, len(src))
				for j := range got {
					got[j] = -1 // what was there before must not show
				}
				c.apply(got, src, h, w, ch)
				if want := c.plainly(src, h, w, ch, max(0, a.Crop)); !slices.Equal(got, want) {
					t.Fatalf("%v, %+v, %+v: %v\nwant %v", dim, a, c, got, want)
				}
			}
		}
	}
}

// TestAugmentIsFixed: runs are repeated and resumed with these numbers.
func TestAugmentIsFixed(t *testing.T) {
	a := Augment{Flip: true, Crop: 4, Cutout: 8}
	got := ""
	for _, k := range [][3]int{{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {7, 29, 49999}} {
		got += fmt.Sprintf("%v\n", a.draw(uint64(k[0]), k[1], k[2], 32, 32))
	}
	const want = `{true 0 -3 20 28 27 32 false}
{true 2 4 0 4 23 31 false}
{false -1 2 8 16 19 27 false}
{true 2 -4 0 8 23 31 false}
{true -4 0 27 32 20 28 false}
`
	if got != want {
		t.Errorf("drew\n%swant\n%s", got, want)
	}
}

// TestPartsOfAugmentAreApart: switching one off leaves the others as they were.
func TestPartsOfAugmentAreApart(t *testing.T) {
	for i := range 100 {
		all := Augment{Flip: true, Crop: 4, Cutout: 8}.draw(1, 0, i, 32, 32)
		flip, crop, cut := Augment{Flip: true}.draw(1, 0, i, 32, 32), Augment{Crop: 4}.draw(1, 0, i, 32,
			32), Augment{Cutout: 8}.draw(1, 0, i, 32, 32)
		cut.flip, cut.dy, cut.dx = flip.flip, crop.dy, crop.dx
		if cut != all {
			t.Fatalf("image %d: the parts are %+v, together they are %+v", i, cut, all)
		}
	}
}

// TestBorderIsReflected: as torch.nn.functional.pad(mode='reflect') and numpy.pad(mode='reflect') do, which give the
// values in testdata/reflect.json (made by testdata/reflect.py).
func TestBorderIsReflected(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "reflect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		H, W, C, Pad int
		Image        []int
		Padded       []int // [h + 2 pad, w + 2 pad, c]
	}
	if err := json.Unmarshal(b, &cases); err != nil || len(cases) < 4 {
		t.Fatal(len(cases), err)
	}
	for _, k := range cases {
		src := make([]uint8, len(k.Image))
		for i, v := range k.Image {
			src[i] = uint8(v)
		}
		row := (k.W + 2*k.Pad) * k.C
		for dy := -k.Pad; dy <= k.Pad; dy++ {
			for dx := -k.Pad; dx <= k.Pad; dx++ {
				got := make([]float32, len(src))
				change{dy: dy, dx: dx, reflect: true}.apply(got, src, k.H, k.W, k.C)
				for i, v := range got {
					y, x := i/(k.W*k.C), i%(k.W*k.C)
					if want := unit[k.Padded[(y+k.Pad+dy)*row+(k.Pad+dx)*k.C+x]]; v != want {
						t.Fatalf("%d x %d x %d, crop at %d, %d: value %d is %g, want %g", k.H, k.W, k.C, dy, dx, i, v, want)
					}
				}
			}
		}
	}
}

// TestViewLoader: every image in order, shifted with a reflected border, then mirrored; the images as they are for the
// view that changes nothing.
func TestViewLoader(t *testing.T) {
	set := numbered(3)
	h, w, c := set.H, set.W, set.C
	px := h * w * c
	for _, v := range []View{{}, {Mirror: true}, {Down: 1, Right: 1}, {Down: -1, Right: -1, Mirror: true}, {Down: 1}} {
		l := NewViewLoader(All(set), 2, v)
		for step := range l.Steps() {
			b := Batch{X: make([]float32, 2*px), Y: make([]int32, 2), Index: make([]int32, 2)}
			l.Batch(0, step, &b)
			for row := range b.Rows {
				image := set.Pixels[(2*step+row)*px:]
				for i, got := range b.X[row*px : (row+1)*px] {
					y, x, k := i/(w*c), i/c%w, i%c
					if v.Mirror {
						x = w - 1 - x
					}
					if want := unit[image[(mirrored(y-v.Down, h)*w+mirrored(x-v.Right, w))*c+k]]; got != want {
						t.Fatalf("%+v, image %d, value %d: %g, want %g", v, b.Index[row], i, got, want)
					}
				}
			}
		}
	}
}

// TestAlternatingFlip: at random in the first epoch, then mirrored every other epoch, and nothing else is drawn anew.
func TestAlternatingFlip(t *testing.T) {
	plain, flips := Augment{Flip: true, Crop: 4, Cutout: 8}, 0
	alternating := plain
	alternating.Alternate = true
	const n = 10000
	for i := range n {
		first := plain.draw(3, 0, i, 32, 32)
		if first.flip {
			flips++
		}
		for epoch := range 5 {
			got, want := alternating.draw(3, epoch, i, 32, 32), plain.draw(3, epoch, i, 32, 32)
			want.flip = first.flip != (epoch%2 == 1)
			if got != want {
				t.Fatalf("image %d, epoch %d: %+v, want %+v", i, epoch, got, want)
			}
		}
	}
	if math.Abs(float64(flips)-n/2) > 5*math.Sqrt(n/4) {
		t.Errorf("%d of %d images are mirrored in the first epoch", flips, n)
	}
	never := Augment{Crop: 4, Alternate: true}.draw(3, 1, 0, 32, 32)
	if never.flip {
		t.Error("without flip an image is mirrored")
	}
	copies := Augment{Flip: true, Alternate: true, Copies: 2}
	for i := range 20 {
		if a, b := copies.draw(3, 4, i, 32, 32), copies.draw(3, 5, i, 32, 32); a.flip == b.flip {
			t.Errorf("image %d is mirrored alike in two epochs in a row", i)
		}
	}
}

// TestAugmentIsUniform: by chi-squared over the offsets and over the middles of what is cut out, and half
// of the images are flipped; also along the epochs of one image.
func TestAugmentIsUniform(t *testing.T) {
	const n = 40500
	for name, key := range map[string]func(i int) (epoch, index int){
		"images": func(i int) (int, int) { return 3, i },
		"epochs": func(i int) (int, int) { return i, 5 },
	} {
		offset, middle, flips := make([]int, 81), make([]int, 1024), 0
		for i := range n {
			epoch, index := key(i)
			c := Augment{Flip: true, Crop: 4, Cutout: 1}.draw(9, epoch, index, 32, 32)
			offset[(c.dy+4)*9+c.dx+4]++
			middle[c.y0*32+c.x0]++
			if c.flip {
				flips++
			}
		}
		for what, count := range map[string][]int{"offsets": offset, "middles": middle} {
			chi, expect := 0.0, float64(n)/float64(len(count))
			for _, k := range count {
				chi += (float64(k) - expect) * (float64(k) - expect) / expect
			}
			if free := float64(len(count) - 1); math.Abs(chi-free) > 5*math.Sqrt(2*free) {
				t.Errorf("%s: chi-squared of the %s is %.0f, want about %.0f", name, what, chi, free)
			}
		}
		if math.Abs(float64(flips)-n/2) > 5*math.Sqrt(n/4) {
			t.Errorf("%s: %d of %d are flipped", name, flips, n)
		}
	}
}

// TestCutoutArea: whole inside, less at the edges, never outside.
func TestCutoutArea(t *testing.T) {
	src := slices.Repeat([]uint8{255}, 32*32*3)
	seen := map[int]bool{}
	for i := range 500 {
		c := Augment{Cutout: 8}.draw(1, 0, i, 32, 32)
		dst := make([]float32, len(src))
		c.apply(dst, src, 32, 32, 3)
		black := 0
		for _, v := range dst {
			if v == 0 {
				black++
			}
		}
		area := (c.y1 - c.y0) * (c.x1 - c.x0)
		if black != 3*area {
			t.Fatalf("image %d: %d values are black, %d are cut out", i, black, 3*area)
		}
		if c.y0 < 0 || c.y1 > 32 || c.x0 < 0 || c.x1 > 32 {
			t.Fatalf("image %d: the square %+v that is cut out leads out of it", i, c)
		}
		if area < 16 || area > 64 {
			t.Fatalf("image %d: %d pixels are cut out, want 16 to 64", i, area)
		}
		seen[area] = true
	}
	if !seen[64] || len(seen) < 10 {
		t.Errorf("areas %v: want all of 8x8, and parts of it", seen)
	}
}

// numbered is a set of n images whose labels are their numbers.
func numbered(n int) *Set {
	s := drawShapes("train", n)
	for i := range s.Labels {
		s.Labels[i] = int32(i)
	}
	return s
}

// shown gives each image as l shows it in an epoch.
func shown(l interface {
	Steps() int
	Batch(epoch, step int, b *Batch)
}, epoch, batch int) map[int32][]float32 {
	b := Batch{X: make([]float32, batch*3072), Y: make([]int32, batch)}
	images := map[int32][]float32{}
	for step := range l.Steps() {
		l.Batch(epoch, step, &b)
		for r := range b.Rows {
			images[b.Y[r]] = slices.Clone(b.X[r*3072 : (r+1)*3072])
		}
	}
	return images
}

// TestAugmentDependsOnTheImageAlone: not on the batch it is in, nor on what else is trained on.
func TestAugmentDependsOnTheImageAlone(t *testing.T) {
	s := numbered(60)
	a := Augment{Flip: true, Crop: 4, Cutout: 8}
	want := shown(NewAugmentedLoader(All(s), 16, 5, a), 2, 16)
	odd := Subset{Set: s}
	for i := int32(1); i < 60; i += 2 {
		odd.Index = append(odd.Index, i)
	}
	for name, got := range map[string]map[int32][]float32{
		"other batch size": shown(NewAugmentedLoader(All(s), 7, 5, a), 2, 7),
		"part of the set":  shown(NewAugmentedLoader(odd, 16, 5, a), 2, 16),
	} {
		for i, x := range got {
			if !slices.Equal(x, want[i]) {
				t.Fatalf("%s: image %d is another", name, i)
			}
		}
	}
	same := 0
	for i, x := range shown(NewAugmentedLoader(All(s), 16, 5, a), 3, 16) {
		if slices.Equal(x, want[i]) {
			same++
		}
	}
	if same > 2 {
		t.Errorf("%d of 60 images are the same in the next epoch", same)
	}
	plain := shown(NewLoader(All(s), 16, false, 0), 0, 16)
	for i, x := range shown(NewAugmentedLoader(All(s), 16, 5, Augment{}), 0, 16) {
		if !slices.Equal(x, plain[i]) {
			t.Fatalf("image %d is changed by no augmentation", i)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	s := All(drawShapes("train", 2000))
	for name, a := range map[string]Augment{"plain": {}, "crop+flip": {Flip: true, Crop: 4},
		"crop+flip+cutout": {Flip: true, Crop: 4, Cutout: 8},
		"reflect":          {Flip: true, Crop: 2, Reflect: true, Alternate: true}} {
		b.Run(name, func(b *testing.B) {
			l := NewAugmentedLoader(s, 128, 1, a)
			batch := Batch{X: make([]float32, 128*3072), Y: make([]int32, 128)}
			b.ReportAllocs()
			for i := range b.N {
				l.Batch(i/l.Steps(), i%l.Steps(), &batch)
			}
		})
	}
}
