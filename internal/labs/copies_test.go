package labs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/record"
)

// amid is a folder of n images of noise and, among them, the images of s at index.
func amid(t *testing.T, n int, seed uint64, s *data.Set, index ...int) string {
	t.Helper()
	dir := t.TempDir()
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return writeImages(t, writeImages(t, dir, data.Fake(n, seed, nil), all...), s, index...)
}

// hearing are options that keep what is said.
func hearing(t *testing.T, root string) (opt Options, said *[]string) {
	t.Helper()
	said = new([]string)
	opt = options(t, root)
	opt.Say = func(format string, args ...any) { *said = append(*said, fmt.Sprintf(format, args...)) }
	return opt, said
}

// TestDetectorsLeaveCopiesOut: a set that shares a few pictures with the classifier's data is evaluated without
// them, as CIFAR-100 is against CIFAR-10. They are said and recorded by name, also those that a limit keeps from
// being used. A set of more is refused.
func TestDetectorsLeaveCopiesOut(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	cfg := tinyOOD(t, root)
	cfg.Sets.Names = nil
	ds := set(t, data.SyntheticShapes)
	classOf := func(s *data.Set, i int) string { return s.Classes[s.Labels[i]] }
	dir := amid(t, 38, 5, ds.Test, 199)
	writeImages(t, dir, ds.Train, 9000)
	cfg.Sets.Folders = []string{"near=" + dir}
	opt, said := hearing(t, root)
	d, err := evaluateOOD(context.Background(), t, cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Copy{
		{Image: classOf(ds.Test, 199) + "/199.png", Of: "synthetic-shapes, test set",
			OfImage: fmt.Sprintf("number 199 (%s)", classOf(ds.Test, 199))},
		{Image: classOf(ds.Train, 9000) + "/9000.png", Of: "synthetic-shapes, training set",
			OfImage: fmt.Sprintf("number 9000 (%s)", classOf(ds.Train, 9000))},
	}
	got := slices.Clone(d.Result.Sets[0].LeftOut)
	slices.SortFunc(got, func(a, b record.Copy) int { return strings.Compare(a.Of, b.Of) })
	if d.Result.Sets[0].N != 38 || !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", d.Result.Sets[0], want)
	}
	line := strings.Join(*said, "\n")
	for _, w := range []string{"near: 2 copies are left out: ", want[0].String(), want[1].String(),
		"against: near, a folder of images, 38 images"} {
		if !strings.Contains(line, w) {
			t.Errorf("said\n%s\nwant %q", line, w)
		}
	}
	if again, err := evaluateOOD(context.Background(), t, cfg, opt); err != nil || !again.Reused {
		t.Errorf("asked again: %v", err)
	}

	writeImages(t, dir, ds.Test, 198)
	if _, err := evaluateOOD(context.Background(), t, cfg, opt); err == nil ||
		!strings.Contains(err.Error(), "the set near is not a set of outliers: 3 of its 41 images have the same pixels") ||
		!strings.Contains(err.Error(), "up to 5 % are left out") {
		t.Errorf("more copies: %v", err)
	}
}

// TestRobustLeavesCopiesOut: what is trained on has no picture of the data nor of what is evaluated, and that none
// of the data.
func TestRobustLeavesCopiesOut(t *testing.T) {
	root := t.TempDir()
	cfg := tinyRobust(trained(t, root, tiny(false)).ID)
	cfg.Train.Epochs = 1
	ds := set(t, data.SyntheticShapes)
	evaluated := data.Fake(50, 3, nil) // the set fake
	outliers := amid(t, 38, 5, ds.Test, 150)
	writeImages(t, outliers, evaluated, 49)
	others := amid(t, 30, 6, ds.Train, 7)
	cfg.Outliers.Sources, cfg.Test.Sets.Folders = []string{"a=" + outliers}, []string{"b=" + others}
	tr := robustRun(t, root, cfg)
	res := tr.Result.Robust
	if len(res.Trained) != 1 || len(res.Sets) != 2 {
		t.Fatalf("%+v", res)
	}
	of := func(s record.OODSet) (names []string) {
		for _, c := range s.LeftOut {
			names = append(names, filepath.Base(c.Image)+" of "+c.Of)
		}
		slices.Sort(names)
		return names
	}
	for _, tc := range []struct {
		set  record.OODSet
		n    int
		left []string
	}{
		{res.Trained[0], 38, []string{"150.png of synthetic-shapes, test set", "49.png of fake"}},
		{res.Sets[0].OODSet, 50, nil},
		{res.Sets[1].OODSet, 30, []string{"7.png of synthetic-shapes, training set"}},
	} {
		if tc.set.N != tc.n || !slices.Equal(of(tc.set), tc.left) {
			t.Errorf("%s: %d images without %v, want %d without %v", tc.set.Name, tc.set.N, of(tc.set), tc.n, tc.left)
		}
	}
	for _, c := range res.Checks {
		if !c.OK && !c.NotApplicable {
			t.Errorf("%+v", c)
		}
	}

	// What the robust network was trained on is left out of what it is evaluated on.
	n, err := FindNetwork(root, tr.ID)
	if err != nil {
		t.Fatal(err)
	}
	detect := tinyOODOf(tr.ID)
	detect.Sets.Folders = []string{"c=" + amid(t, 30, 8, data.Fake(38, 5, nil), 34)}
	parts, err := readOOD(context.Background(), n, ds, detect, options(t, root))
	if err != nil || len(parts.out) != 1 || parts.out[0].N != 30 {
		t.Fatalf("%d images, %v", parts.out[0].N, err)
	}
	if left := of(parts.out[0].OODSet); len(left) != 1 || !strings.Contains(left[0], "was trained on (a)") {
		t.Errorf("left out %v", left)
	}
}
