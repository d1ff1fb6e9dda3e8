package labs

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/run"
)

// photos makes a folder of images of two classes, n of each, with h x w pixels: dark cats and light dogs.
func photos(t *testing.T, n, h, w int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "photos")
	for c, class := range []string{"cat", "dog"} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			img := image.NewNRGBA(image.Rect(0, 0, w, h))
			for j := range img.Pix {
				img.Pix[j] = uint8(100*c + (i*j+i)%97)
				if j%4 == 3 {
					img.Pix[j] = 255
				}
			}
			f, err := os.Create(filepath.Join(dir, class, fmt.Sprintf("%d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, img); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	return dir
}

// tinyOwn is a training of moments on the images at path.
func tinyOwn(path string) config.Resnet {
	c := tiny(false)
	c.Data.Name, c.Data.Val, c.Data.Limit, c.Train.Epochs, c.Train.BatchSize = path, config.Tenth, 0, 1, 16
	return c
}

// TestTrainingOnOwnImages: size, channels and classes come from the data, the record tells them, and the network and
// its data are found again by the record, or where they were moved to.
func TestTrainingOnOwnImages(t *testing.T) {
	dir, root := photos(t, 30, 12, 10), t.TempDir()
	cache := t.TempDir()
	opts := func() Options {
		opt := options(t, root)
		opt.Data.Cache = cache
		return opt
	}
	task := []Task{{Settings: tinyOwn(dir)}}
	all, err := Study(context.Background(), task, opts(), func(int, Outcome) {})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	own := rec.Env.Data.Own
	if own == nil || own.Path != dir || own.Height != 12 || own.Width != 10 || own.Channels != 3 || own.Train != 50 ||
		own.Test != 10 || !slices.Equal(own.Classes, []string{"cat", "dog"}) || rec.Env.Data.Name != "photos" {
		t.Errorf("the record has %+v, %+v", rec.Env.Data, own)
	}
	c := must(settingsOf[config.Resnet](rec))(t)
	if c.Data.Val != 5 || c.Data.Name != dir {
		t.Errorf("its settings have %+v", c.Data)
	}
	again, err := Study(context.Background(), task, opts(), func(int, Outcome) {})
	if err != nil || again[0].ID != rec.ID {
		t.Errorf("trained again: %+v, %v", again, err)
	}

	// From the record.
	n, err := LoadRun(root, rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n.Images != (data.Description{H: 12, W: 10, C: 3, Classes: 2, Train: 50, Test: 10}) {
		t.Errorf("images %+v", n.Images)
	}
	read := func(opt Options) (*data.Dataset, error) { return dataOfNetwork(context.Background(), n, opt) }
	if ds, err := read(opts()); err != nil || ds.Fingerprint != n.Data.Fingerprint {
		t.Errorf("its data: %v", err)
	}
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := read(opts()); err == nil || !strings.Contains(err.Error(), "say where they are with --data") {
		t.Errorf("moved: %v", err)
	}
	at := opts()
	at.DataAt = moved
	if _, err := read(at); err != nil {
		t.Errorf("at its new place: %v", err)
	}
	if err := os.Remove(filepath.Join(moved, "cat", "0.png")); err != nil {
		t.Fatal(err)
	}
	at = opts()
	at.DataAt = moved
	if _, err := read(at); err == nil || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("an image less: %v", err)
	}
}

// TestDescribedTrainingDataAreBounded: a record cannot make a reader take memory.
func TestDescribedTrainingDataAreBounded(t *testing.T) {
	good := run.OwnData{Path: "/x", Height: 8, Width: 8, Channels: 1, Classes: []string{"a", "b"}, Train: 9, Test: 3}
	if _, err := describeTraining(run.DataInfo{Name: "x", Own: &good}); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(o *run.OwnData){
		func(o *run.OwnData) { o.Height = 1 << 40 }, func(o *run.OwnData) { o.Width = 0 },
		func(o *run.OwnData) { o.Channels = 2 }, func(o *run.OwnData) { o.Classes = nil },
		func(o *run.OwnData) { o.Test = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := describeTraining(run.DataInfo{Name: "x", Own: &bad}); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
