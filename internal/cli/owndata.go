package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/table"
)

// reading holds the settings of `dla data` commands that read data of the user's own, as a training has them.
type reading struct{ sets []string }

func (r *reading) flag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.sets, "set", nil, "how to read your own images, such as data.size=64 or "+
		"data.skip_damaged=true; repeatable")
}

// resolve returns how to read, or a usage error.
func (r *reading) resolve() (data.Reading, error) {
	c := config.DefaultResnet()
	for _, s := range r.sets {
		if err := config.Set(&c, s); err != nil {
			return data.Reading{}, usageError(err)
		}
	}
	if err := c.Validate(); err != nil {
		return data.Reading{}, usageError(err)
	}
	d := c.Data
	return data.Reading{Size: d.Size, Channels: d.Channels, Test: d.Test, Part: d.Part, SkipDamaged: d.SkipDamaged}, nil
}

// described is what a set of images is.
type described struct {
	Name        string         `json:"name"`
	About       string         `json:"about,omitempty"`
	Licence     string         `json:"licence,omitempty"`
	Source      string         `json:"source"`
	Fingerprint string         `json:"fingerprint"`
	Height      int            `json:"height"`
	Width       int            `json:"width"`
	Channels    int            `json:"channels"`
	Mean        []float64      `json:"mean"`
	Std         []float64      `json:"std"`
	Images      map[string]int `json:"images"` // by part
	Classes     []classImages  `json:"classes"`
	Notes       []string       `json:"notes,omitempty"`
}

type classImages struct {
	Name  string `json:"name"`
	Train int    `json:"train"`
	Val   int    `json:"val"`
	Test  int    `json:"test"`
}

// describeImages prints what a set of images is.
func describeImages(cmd *cobra.Command, s *Streams, name string, how data.Reading, o *tableFlags) error {
	var d described
	err := withProgress(cmd, s, func(ctx context.Context, progress func(data.Progress)) error {
		ds, err := data.Read(ctx, name, how, data.Options{Progress: progress})
		if err == nil {
			d = describeSet(name, ds)
		}
		return err
	})
	if err != nil {
		return err
	}
	if o.asJSON() {
		return writeJSON(s.Out, d)
	}
	if !o.asText() {
		return o.write(s.Out, table.Of(d.table()))
	}
	return d.print(s.Out)
}

// ownData describes what data of the user's own may be.
const ownData = `

Your own images are named by their path, wherever a set's name is taken: a folder, zip, tar or tar.gz of
train/CLASS/FILE, val/CLASS/FILE and test/CLASS/FILE, or of CLASS/FILE alone. FILE is a png, jpg, jpeg, webp,
bmp or gif image. Without test/ a sixth of the training images is held out (data.test), class by class. They
are read as by Pillow: turned as EXIF data say, alpha dropped, of 16 bits the higher 8 used. They keep their
size if all have one of at most 64x64 pixels, otherwise they are scaled and cropped to 32x32 in colour, as by
torchvision's Resize and CenterCrop (2 % of the values differ from its by one level of 255); data.size and
data.channels choose. A damaged file is an error; data.skip_damaged=true leaves such files out.`

// completeSetOrPath completes the first argument from the sets' names and from files.
func completeSetOrPath(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return data.Names(), cobra.ShellCompDirectiveDefault
}

// withProgress calls do with a progress display. An interrupt is an ExitError.
func withProgress(cmd *cobra.Command, s *Streams,
	do func(ctx context.Context, progress func(data.Progress)) error) error {
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	progress := newProgress(s)
	err := do(ctx, progress.Download)
	progress.Close()
	if c := code(); c != 0 {
		return &ExitError{Code: c}
	}
	return err
}

// describeSet describes ds, which was named name.
func describeSet(name string, ds *data.Dataset) described {
	t := ds.Train
	d := described{Name: ds.Name, Source: ds.Source, Fingerprint: ds.Fingerprint, Height: t.H, Width: t.W, Channels: t.C,
		Images: map[string]int{}}
	d.Mean, d.Std, _ = ds.Moments()
	if e, err := data.Lookup(name); err == nil {
		d.About, d.Licence = e.About, e.Licence
	}
	for _, c := range t.Classes {
		d.Classes = append(d.Classes, classImages{Name: c})
	}
	count := func(part string, s *data.Set, of func(*classImages) *int) {
		if s == nil {
			return
		}
		d.Images[part] = s.N
		for _, l := range s.Labels {
			*of(&d.Classes[l])++
		}
	}
	count("train", t, func(c *classImages) *int { return &c.Train })
	count("val", ds.Val, func(c *classImages) *int { return &c.Val })
	count("test", ds.Test, func(c *classImages) *int { return &c.Test })
	if ds.Own != nil {
		d.Notes = ds.Own.Notes
	}
	return d
}

// print writes d for people.
func (d described) print(out io.Writer) error {
	facts := table.New("", "", "")
	facts.NoHead = true
	facts.Row("name", d.Name)
	for _, f := range []struct{ key, v string }{{"what", d.About}, {"licence", d.Licence}, {"from", d.Source},
		{"fingerprint", d.Fingerprint}} {
		if f.v != "" {
			facts.Row(f.key, f.v)
		}
	}
	facts.Row("images", fmt.Sprintf("%dx%d pixels in %d channels, mean %.4f, standard deviation %.4f", d.Width,
		d.Height, d.Channels, d.Mean, d.Std))
	for _, n := range d.Notes {
		facts.Row("note", n)
	}
	return table.Write(out, table.Text, table.Of(facts, d.table()))
}

// table returns the images of each class in each part.
func (d described) table() *table.Table {
	t := table.New("", "CLASS", "TRAIN", "VAL", "TEST")
	all := classImages{"all", d.Images["train"], d.Images["val"], d.Images["test"]}
	for _, c := range append(slices.Clip(d.Classes), all) {
		t.Row(c.Name, c.Train, c.Val, c.Test)
	}
	return t
}

// verifyOwn reads the user's own data at path whole, as how says, and lists their damaged files, which are an error.
func verifyOwn(cmd *cobra.Command, s *Streams, path string, how data.Reading, asJSON bool) error {
	var ds *data.Dataset
	how.SkipDamaged = true // to find all of them
	err := withProgress(cmd, s, func(ctx context.Context, progress func(data.Progress)) (err error) {
		ds, err = data.VerifyOwn(ctx, path, how, data.Options{Progress: progress})
		return err
	})
	if err != nil {
		return err
	}
	damaged := ds.Own.Damaged
	if asJSON {
		status := "ready"
		if len(damaged) > 0 {
			status = "damaged"
		}
		if err := writeJSON(s.Out, []location{{Name: ds.Name, Status: status, Dir: ds.Own.Path,
			Detail: strings.Join(damaged, "\n")}}); err != nil {
			return err
		}
	} else {
		val := 0
		if ds.Val != nil {
			val = ds.Val.N
		}
		fmt.Fprintf(s.Out, "%s: %d + %d + %d images for training, validation and test, of %d classes\n", ds.Name,
			ds.Train.N, val, ds.Test.N, len(ds.Train.Classes))
		for _, f := range damaged {
			fmt.Fprintf(s.Out, "  damaged: %s\n", f)
		}
	}
	if len(damaged) > 0 {
		return fmt.Errorf("%s has damaged files (%d), such as %s; put good copies in their place, or leave them out with "+
			"--set data.skip_damaged=true in a training", path, len(damaged), damaged[0])
	}
	return nil
}

// ownCopies lists the decoded copies of the user's own data in the cache.
func ownCopies() ([]location, error) {
	copies, err := data.OwnCopies(data.Options{})
	var all []location
	for _, c := range copies {
		all = append(all, location{Name: c.Name, About: "your own images, decoded", Bytes: c.Bytes, Status: "decoded",
			Form: "decoded", Dir: c.Path})
	}
	return all, err
}
