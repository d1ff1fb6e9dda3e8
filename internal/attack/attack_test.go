package attack

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
)

const eps = 8. / 255

// attacks are all of them, on the small network.
func attacks() map[string]Attack {
	return map[string]Attack{
		"fgsm":              FGSM{Eps: eps},
		"fgsm targeted":     FGSM{Eps: eps, Targeted: true},
		"pgd linf":          PGD{Norm: Linf, Eps: eps, Step: eps / 2, Steps: 5, Restarts: 3, Seed: 1},
		"pgd linf once":     PGD{Norm: Linf, Eps: eps, Step: eps / 2, Steps: 5, Restarts: 1, Seed: 1},
		"pgd l2":            PGD{Norm: L2, Eps: 0.5, Step: 0.125, Steps: 4, Restarts: 2, Seed: 1},
		"pgd linf targeted": PGD{Norm: Linf, Eps: eps, Step: eps / 2, Steps: 5, Restarts: 2, Seed: 1, Targeted: true},
		"noise":             Noise{Eps: eps, Seed: 1},
		"square":            Square{Eps: eps, Queries: 30, H: side, W: side, C: channels, Seed: 1},
	}
}

func run(t testing.TB, a Attack, target *Target, b Batch) []float32 {
	t.Helper()
	dst := make([]float32, len(b.X))
	if err := a.Run(context.Background(), target, b, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestStaysInTheBall: no change is larger than the radius, not by its last bit, and no value
// leaves [0,1], even where an image touches both ends; the images themselves are not written to.
func TestStaysInTheBall(t *testing.T) {
	target, _ := smallTarget(t, 8)
	b := someImages(8)
	for i, v := range b.X {
		b.X[i] = min(1, max(0, 1.3*v-0.15))
	}
	before := slices.Clone(b.X)
	for name, a := range attacks() {
		norm, radius := Linf, eps
		if strings.Contains(name, "l2") {
			norm, radius = L2, 0.5
		}
		dst := run(t, a, target, b)
		moved := false
		for i := range b.Y {
			d := norm.Distance(b.X[i*target.px:(i+1)*target.px], dst[i*target.px:(i+1)*target.px])
			if d > radius {
				t.Errorf("%s: image %d moved by %.9g, more than %.9g", name, i, d, radius)
			}
			moved = moved || d > 0.9*radius
		}
		if !moved {
			t.Errorf("%s: no image went far", name)
		}
		if slices.Min(dst) < 0 || slices.Max(dst) > 1 {
			t.Errorf("%s: values from %g to %g", name, slices.Min(dst), slices.Max(dst))
		}
	}
	if !slices.Equal(before, b.X) {
		t.Error("the images themselves were changed")
	}
}

// TestRadiusZeroChangesNothing, whatever the attack.
func TestRadiusZeroChangesNothing(t *testing.T) {
	target, _ := smallTarget(t, 4)
	b := someImages(4)
	for name, a := range map[string]Attack{
		"fgsm": FGSM{}, "pgd linf": PGD{Norm: Linf, Steps: 3, Restarts: 2}, "pgd l2": PGD{Norm: L2, Step: 0.1, Steps: 3,
			Restarts: 2},
		"noise": Noise{}, "square": Square{Queries: 5, H: side, W: side, C: channels},
	} {
		if !slices.Equal(run(t, a, target, b), b.X) {
			t.Errorf("%s changed something", name)
		}
	}
}

// TestImagesAloneAsInABatch: what becomes of an image is the same bits alone, in another order, in smaller
// batches, and on another number of threads.
func TestImagesAloneAsInABatch(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	target, _ := smallTarget(t, 7)
	b := someImages(7)
	for name, a := range attacks() {
		kernel.SetThreads(1)
		want := run(t, a, target, b)
		kernel.SetThreads(3)
		if !slices.Equal(run(t, a, target, b), want) {
			t.Errorf("%s: other bits on three threads", name)
		}
		for i := 6; i >= 0; i-- {
			lo, hi := i*target.px, (i+1)*target.px
			alone := run(t, a, target, Batch{b.X[lo:hi], b.Y[i : i+1], b.Index[i : i+1]})
			if !slices.Equal(alone, want[lo:hi]) {
				t.Errorf("%s: image %d alone is attacked another way", name, i)
			}
		}
	}
}

// TestResNetImagesAlone is the same for a network whose convolutions take several images a chunk.
func TestResNetImagesAlone(t *testing.T) {
	target, err := NewTarget(model.ResNet{Blocks: 1, Width: 16, Res: true, Pixels: model.CIFAR10}, nn.NewParams(1),
		[]int{32, 32, 3}, 10, 5)
	if err != nil {
		t.Fatal(err)
	}
	b := Batch{X: wave(5*3072, 7, 0.5, 0.5), Y: []int32{1, 2, 3, 4, 5}, Index: make([]int32, 5)}
	a := PGD{Norm: L2, Eps: 0.5, Step: 0.2, Steps: 2, Restarts: 2}
	want := run(t, a, target, b)
	for i := range 5 {
		lo, hi := i*3072, (i+1)*3072
		if !slices.Equal(run(t, a, target, Batch{b.X[lo:hi], b.Y[i : i+1], b.Index[i : i+1]}), want[lo:hi]) {
			t.Errorf("image %d alone is attacked another way", i)
		}
	}
}

// TestLeavesTheNetworkAsItIs: no attack touches a weight or a running statistic; and a network that has
// changed since is attacked as it is now.
func TestLeavesTheNetworkAsItIs(t *testing.T) {
	target, p := smallTarget(t, 4)
	b := someImages(4)
	var before [][]float32
	for _, q := range p.List() {
		before = append(before, slices.Clone(q.Data))
	}
	logits, err := target.Logits(b.X)
	if err != nil {
		t.Fatal(err)
	}
	logits = slices.Clone(logits)
	for _, a := range attacks() {
		run(t, a, target, b)
	}
	for i, q := range p.List() {
		if !slices.Equal(q.Data, before[i]) {
			t.Errorf("%s has changed", q.Name)
		}
	}
	if again, err := target.Logits(b.X); err != nil || !slices.Equal(again, logits) {
		t.Errorf("the logits are others after the attacks (%v)", err)
	}
	was := run(t, FGSM{Eps: eps}, target, b)
	for _, q := range p.List() {
		if q.Name == "fc.weight" {
			for i := range q.Data {
				q.Data[i] = -q.Data[i]
			}
		}
	}
	if slices.Equal(run(t, FGSM{Eps: eps}, target, b), was) {
		t.Error("weights that have changed since are not seen")
	}
}

// TestRestartsKeepTheWorst of each image: no single start is worse for the network than what is kept.
func TestRestartsKeepTheWorst(t *testing.T) {
	target, _ := smallTarget(t, 8)
	b := someImages(8)
	for _, targeted := range []bool{false, true} {
		judged := func(x []float32) (all []kept) {
			logits, err := target.Logits(x)
			if err != nil {
				t.Fatal(err)
			}
			for i, y := range b.Y {
				all = append(all, judge(logits[i*smallClasses:(i+1)*smallClasses], y, targeted))
			}
			return all
		}
		one := PGD{Norm: Linf, Eps: eps, Step: eps, Steps: 1, Restarts: 1, Targeted: targeted}
		three := one
		three.Restarts = 3
		all, chosen := judged(run(t, three, target, b)), 0
		for i, k := range judged(run(t, one, target, b)) { // the first of the three
			if all[i].better(k) {
				t.Errorf("image %d, targeted %v: kept %+v, the first start gave %+v", i, targeted, all[i], k)
			}
			if k.better(all[i]) {
				chosen++
			}
		}
		if chosen == 0 {
			t.Errorf("targeted %v: the first start was the worst for all images", targeted)
		}
	}
}

// TestStrength: noise is weaker than FGSM, that is weaker than PGD; targeted attacks lower the loss of the
// class wished for.
func TestStrength(t *testing.T) {
	target, _ := smallTarget(t, 20)
	b := someImages(20)
	loss := func(x []float32) (sum float64) {
		logits, err := target.Logits(x)
		if err != nil {
			t.Fatal(err)
		}
		for i, y := range b.Y {
			sum += crossEntropy(logits[i*smallClasses:(i+1)*smallClasses], y)
		}
		return sum
	}
	clean, all := loss(b.X), map[string]float64{}
	for name, a := range attacks() {
		all[name] = loss(run(t, a, target, b))
	}
	if !(math.Abs(all["noise"]-clean) < 0.2*(all["fgsm"]-clean) && all["fgsm"] < all["pgd linf"] &&
		clean < all["square"] && all["pgd l2"] > clean) {
		t.Errorf("loss %g, attacked %v", clean, all)
	}
	if !(all["fgsm targeted"] < clean && all["pgd linf targeted"] < all["fgsm targeted"]) {
		t.Errorf("loss %g, attacked towards %v", clean, all)
	}
}

// TestAttacksInTrainingAllocateNothing.
func TestAttacksInTrainingAllocateNothing(t *testing.T) {
	target, _ := smallTarget(t, 4)
	b := someImages(4)
	dst := make([]float32, len(b.X))
	for _, name := range []string{"fgsm", "pgd linf", "pgd linf once", "pgd l2", "pgd linf targeted"} {
		a := attacks()[name]
		if n := testing.AllocsPerRun(5, func() {
			if err := a.Run(context.Background(), target, b, dst); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s allocates %g times", name, n)
		}
	}
}

// TestSquareSizes: the squares shrink as the paper says.
func TestSquareSizes(t *testing.T) {
	a := Square{Queries: 10000}
	for q, want := range map[int]float64{0: 0.05, 10: 0.05, 11: 0.025, 51: 0.0125, 501: 0.05 / 16, 9999: 0.05 / 512} {
		if got := a.share(q); got != want {
			t.Errorf("query %d: a share of %g, want %g", q, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	target, p := smallTarget(t, 4)
	b := someImages(4)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, a := range attacks() {
		for what, bad := range map[string]Batch{"no image": {}, "too many": someImages(5),
			"too few values": {b.X[1:], b.Y, b.Index}, "no numbers": {b.X, b.Y, nil}} {
			if err := a.Run(context.Background(), target, bad, make([]float32, len(b.X))); err == nil {
				t.Errorf("%s of %s is no error", name, what)
			}
		}
		if err := a.Run(context.Background(), target, b, make([]float32, 1)); err == nil {
			t.Errorf("%s without room is no error", name)
		}
		if strings.Contains(name, "pgd") || name == "square" {
			if err := a.Run(cancelled, target, b, make([]float32, len(b.X))); !errors.Is(err, context.Canceled) {
				t.Errorf("%s did not stop: %v", name, err)
			}
		}
	}
	wrong := someImages(4)
	wrong.Y[2] = smallClasses
	if _, err := target.Gradient(wrong); err == nil || !strings.Contains(err.Error(), "class 5 of image 2") {
		t.Errorf("an unknown class: %v", err)
	}
	for _, q := range p.List() {
		if q.Name == "fc.bias" {
			q.Data[3] = float32(math.NaN())
		}
	}
	for _, f := range []func() error{
		func() error { _, err := target.Logits(b.X); return err },
		func() error { _, err := target.Gradient(b); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "logit of class 3 for image 0 of the batch is NaN") {
			t.Errorf("weights that are no numbers: %v", err)
		}
	}
}

// TestMethods: every attack is found by its name, says where it is from, and changes images as it says it can.
func TestMethods(t *testing.T) {
	for _, m := range Methods {
		if got, err := Find(m.Name); err != nil || got.Name != m.Name {
			t.Errorf("%s is not found: %v", m.Name, err)
		}
		if m.Label == "" || m.Source == "" {
			t.Errorf("%s says neither what it is called nor where it is from: %+v", m.Name, m)
		}
		if m.Blind && InTraining(m) {
			t.Errorf("%s sees no gradients and is for training", m.Name)
		}
	}
	if _, err := Find("deepfool"); err == nil || !strings.Contains(err.Error(), "known are fgsm, pgd") {
		t.Errorf("an unknown attack: %v", err)
	}
}
