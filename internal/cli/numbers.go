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

// decimalFlags makes every numeric flag under c refuse programmers' notation, as settings in a file do: pflag reads 010
// as 8.
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

// decimals is a flag of one number, or of several separated by commas.
type decimals struct{ pflag.Value }

// Set refuses a number that is not in plain decimal notation.
func (d decimals) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if err := config.CheckNumber(one); err != nil {
			return err
		}
	}
	return d.Value.Set(text)
}

// radius is the radius of an attack as typed: 8 or 8/255.
type radius struct {
	n       float64
	over255 bool
}

// steps returns the radius in units of 1/255, the unit of a plain number.
func (r radius) steps() float64 { return r.n }

// pixels returns the radius in pixel values of [0,1], the unit of a plain number in L2.
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
		return r, fmt.Errorf("%q is not a radius; want a number such as 8 or 8/255", text)
	}
	return r, nil
}

// radii is a flag with one or several radii.
type radii struct {
	all     []radius
	one     bool // takes a single radius
	changed bool
}

// radiiOf returns a flag with defaults in units of 1/255.
func radiiOf(steps ...float64) radii {
	var r radii
	for _, e := range steps {
		r.all = append(r.all, radius{n: e})
	}
	return r
}

// Set takes radii separated by commas. Repeated flags add up.
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
		return fmt.Errorf("want a single radius, such as 8 or 8/255")
	}
	if r.changed && !r.one {
		all = append(r.all, all...)
	}
	r.all, r.changed = all, true
	return nil
}

// Type returns the name of the flag's value in help.
func (r *radii) Type() string { return "eps" }

func (r *radii) String() string {
	var all []string
	for _, e := range r.all {
		all = append(all, e.String())
	}
	return strings.Join(all, ",")
}

// steps returns the radii in units of 1/255.
func (r *radii) steps() []float64 {
	var all []float64
	for _, e := range r.all {
		all = append(all, e.steps())
	}
	return all
}
