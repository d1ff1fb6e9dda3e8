package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dla/internal/config"
)

// decimalFlags makes every flag under c that takes numbers refuse one that Go reads as no reader would, as
// settings in a file do: pflag has 010 be 8.
func decimalFlags(c *cobra.Command) {
	for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
		set.VisitAll(func(f *pflag.Flag) {
			if slices.Contains([]string{"int", "uint64", "float64", "intSlice"}, f.Value.Type()) {
				f.Value = decimals{f.Value}
			}
		})
	}
	for _, sub := range c.Commands() {
		decimalFlags(sub)
	}
}

// decimals is a flag of one number, or of several with commas between them.
type decimals struct{ pflag.Value }

// Set refuses a number that is not plain.
func (d decimals) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if err := config.CheckNumber(one); err != nil {
			return err
		}
	}
	return d.Value.Set(text)
}

// radius is the radius of an attack as it was typed: 8, or 8/255.
type radius struct {
	n       float64
	over255 bool
}

// steps is the radius in steps of 1/255, which a plain number is in.
func (r radius) steps() float64 { return r.n }

// pixels is the radius in pixel values of [0,1], where a plain number is in these, as in L2.
func (r radius) pixels() float64 {
	if r.over255 {
		return r.n / 255
	}
	return r.n
}

func (r radius) String() string {
	text := strconv.FormatFloat(r.n, 'g', -1, 64)
	if r.over255 {
		text += "/255"
	}
	return text
}

func parseRadius(text string) (r radius, err error) {
	number, over255 := strings.CutSuffix(strings.TrimSpace(text), "/255")
	r.over255 = over255
	if err := config.CheckNumber(number); err != nil {
		return r, err
	}
	if r.n, err = strconv.ParseFloat(number, 64); err != nil {
		return r, fmt.Errorf("%q is no radius; want one as 8 or 8/255", text)
	}
	return r, nil
}

// radii is a flag of one or several radii.
type radii struct {
	all     []radius
	one     bool // not several
	changed bool
}

// radiiOf is a flag with a default, in steps of 1/255.
func radiiOf(steps ...float64) radii {
	var r radii
	for _, e := range steps {
		r.all = append(r.all, radius{n: e})
	}
	return r
}

// Set takes radii with commas between them; a second time it adds to them.
func (r *radii) Set(text string) error {
	var all []radius
	for one := range strings.SplitSeq(text, ",") {
		e, err := parseRadius(one)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	if r.one && len(all) != 1 {
		return fmt.Errorf("want one radius, as 8 or 8/255")
	}
	if r.changed && !r.one {
		all = append(r.all, all...)
	}
	r.all, r.changed = all, true
	return nil
}

// Type names the flag's value in help.
func (r *radii) Type() string { return "eps" }

func (r *radii) String() string {
	var all []string
	for _, e := range r.all {
		all = append(all, e.String())
	}
	return strings.Join(all, ",")
}

// steps are the radii in steps of 1/255.
func (r *radii) steps() []float64 {
	var all []float64
	for _, e := range r.all {
		all = append(all, e.steps())
	}
	return all
}
