package sweep

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"dla/internal/rng"
)

// Space is what a sweep varies beside the seed: every combination of the grids' values with every draw.
type Space struct {
	Axes   []Axis // grids, then what is drawn, each in the order given
	Trials int    // draws
	Seed   uint64 // of the draws
}

// Axis is one setting and the values it takes.
type Axis struct {
	Key    string
	Kind   string   // "grid"; drawn: "log", "lin", "int" or "choice"
	Values []string // grid and choice
	Lo, Hi float64  // log, lin and int
}

const grid = "grid"

// Grid parses KEY=a,b,c.
func Grid(text string) (Axis, error) {
	key, values, err := cutAxis(text)
	if err != nil {
		return Axis{}, err
	}
	a := Axis{Key: key, Kind: grid}
	a.Values, err = list(values)
	return a, err
}

// Random parses KEY=log:1e-4..1e-1, KEY=lin:a..b, KEY=int:a..b or KEY=a,b,c.
func Random(text string) (a Axis, err error) {
	key, values, err := cutAxis(text)
	if err != nil {
		return a, err
	}
	a = Axis{Key: key, Kind: "choice"}
	kind, bounds, ok := strings.Cut(values, ":")
	if !ok || !slices.Contains([]string{"log", "lin", "int"}, kind) {
		if a.Values, err = list(values); err == nil && len(a.Values) == 1 && strings.Contains(values, "..") {
			err = errors.New("a range begins with its kind, such as log:1e-4..1e-1; kinds are log, lin and int")
		}
		return a, err
	}
	a.Kind = kind
	lo, hi, ok := strings.Cut(bounds, "..")
	if ok {
		a.Lo, err = strconv.ParseFloat(strings.TrimSpace(lo), 64)
	}
	if ok && err == nil {
		a.Hi, err = strconv.ParseFloat(strings.TrimSpace(hi), 64)
	}
	whole := a.Lo == math.Trunc(a.Lo) && a.Hi == math.Trunc(a.Hi) && math.Abs(a.Lo) < 1<<53 && a.Hi-a.Lo < 1<<32-1
	switch {
	case !ok || err != nil || !(a.Lo < a.Hi) || math.IsInf(a.Hi-a.Lo, 0):
		return a, fmt.Errorf("want %s:LOW..HIGH, two numbers, the smaller one first", kind)
	case kind == "log" && a.Lo <= 0:
		return a, errors.New("a logarithmic range lies above 0")
	case kind == "int" && !whole:
		return a, errors.New("want whole numbers")
	}
	return a, nil
}

func cutAxis(text string) (key, values string, err error) {
	key, values, ok := strings.Cut(text, "=")
	key, values = strings.TrimSpace(key), strings.TrimSpace(values)
	switch {
	case !ok || key == "" || values == "":
		return key, values, errors.New("want KEY=VALUES, such as train.lr=0.05,0.1")
	case key == "seed":
		return key, values, errors.New("seeds are grouped, not compared: use --seeds")
	}
	return key, values, nil
}

// list splits values at the commas outside brackets and quotes: [1, 2],[3] has two.
func list(text string) ([]string, error) {
	var all []string
	depth, from, quote := 0, 0, rune(0)
	for i, r := range text + "," {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '[' || r == '{':
			depth++
		case r == ']' || r == '}':
			depth--
		case r == ',' && depth == 0:
			v := strings.TrimSpace(text[from:i])
			if v == "" {
				return nil, errors.New("a value is missing")
			}
			if slices.Contains(all, v) {
				return nil, fmt.Errorf("%s is given twice", v)
			}
			all, from = append(all, v), i+1
		}
	}
	if depth != 0 || quote != 0 {
		return nil, errors.New("a bracket or a quote is not closed")
	}
	return all, nil
}

// Empty reports whether nothing is varied.
func (s Space) Empty() bool { return len(s.Axes) == 0 }

// Keys returns the keys of the varied settings.
func (s Space) Keys() []string {
	var keys []string
	for _, a := range s.Axes {
		keys = append(keys, a.Key)
	}
	return keys
}

// check returns an error for axes that do not go together.
func (s Space) check() error {
	random := 0
	for i, a := range s.Axes {
		if a.Kind != grid {
			random++
		}
		for _, b := range s.Axes[:i] {
			if a.Key == b.Key || strings.HasPrefix(a.Key, b.Key+".") || strings.HasPrefix(b.Key, a.Key+".") {
				return fmt.Errorf("%s is varied twice", a.Key)
			}
		}
	}
	switch {
	case random > 0 && s.Trials < 1:
		return fmt.Errorf("--trials %d: want the number of draws of --random, at least 1", s.Trials)
	case random == 0 && s.Trials != 0:
		return errors.New("--trials is the number of draws of --random, and nothing is drawn")
	}
	return nil
}

// maxPoints bounds the settings of a plan.
const maxPoints = 1_000_000

// Points returns the assignments key=value of every combination. The first grid changes slowest; draws come last.
func (s Space) Points() ([][]string, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	all := [][]string{nil}
	var drawn []Axis
	for _, a := range s.Axes {
		if a.Kind != grid {
			drawn = append(drawn, a)
			continue
		}
		var more [][]string
		for _, p := range all {
			for _, v := range a.Values {
				more = append(more, append(slices.Clip(p), a.Key+"="+v))
			}
		}
		if all = more; len(all)*max(1, s.Trials) > maxPoints {
			return nil, fmt.Errorf("more than %d combinations", maxPoints)
		}
	}
	if len(drawn) == 0 {
		return all, nil
	}
	var more [][]string
	for _, p := range all {
		for i := range s.Trials {
			q := slices.Clone(p)
			for _, a := range drawn {
				q = append(q, a.Key+"="+a.draw(s.Seed, i))
			}
			more = append(more, q)
		}
	}
	return more, nil
}

// draw returns draw i, from 0. It depends on the seed, the key and i alone, so that more draws, or draws of another
// setting, change none. Numbers have six significant digits, which every machine computes alike.
func (a Axis) draw(seed uint64, i int) string {
	r := rng.New(seed, "sweep "+a.Key, 0, uint64(i))
	switch a.Kind {
	case "choice":
		return a.Values[r.IntN(len(a.Values))]
	case "int":
		return strconv.FormatFloat(a.Lo+float64(r.IntN(int(a.Hi-a.Lo)+1)), 'f', -1, 64)
	case "log":
		lo, hi := math.Log(a.Lo), math.Log(a.Hi)
		return rounded(min(a.Hi, max(a.Lo, math.Exp(lo+(hi-lo)*r.Float64()))))
	}
	return rounded(a.Lo + (a.Hi-a.Lo)*r.Float64())
}

// rounded returns x with six significant digits.
func rounded(x float64) string {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64) // what is formatted parses
	return strconv.FormatFloat(v, 'g', -1, 64)
}
