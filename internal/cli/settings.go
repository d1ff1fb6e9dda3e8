package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dla/internal/config"
)

// settingFlags holds the flags of a command that set settings. Each is an alias of a key: --epochs is train.epochs.
type settingFlags struct {
	flags *pflag.FlagSet
	def   any               // pointer to the settings that give the flags' defaults
	names map[string]string // flag of each key
	plain []string          // flags that set their key
	axes  []axis
}

// axis is a flag with several values. A study has one run per combination of all axes' values.
type axis struct {
	flag, key string
	values    func() ([]any, error)
}

func newSettingFlags(cmd *cobra.Command, def any) *settingFlags {
	return &settingFlags{flags: cmd.Flags(), def: def, names: map[string]string{}}
}

// bind adds the flag called name for the setting key, with the default of the setting.
func (b *settingFlags) bind(name, key, usage string) {
	b.add(name, key, usage)
	b.plain = append(b.plain, name)
}

// add is bind for a flag whose value the command itself handles, since it does more than set its key.
func (b *settingFlags) add(name, key, usage string) {
	b.names[key] = name
	switch v := b.value(key).(type) {
	case int:
		b.flags.Int(name, v, usage)
	case uint64:
		b.flags.Uint64(name, v, usage)
	case float64:
		b.flags.Float64(name, v, usage)
	case bool:
		b.flags.Bool(name, v, usage)
	case string:
		b.flags.String(name, v, usage)
	case config.Views:
		b.flags.String(name, string(v), usage)
	case []string:
		b.flags.StringSlice(name, v, usage)
	default:
		panic(fmt.Sprintf("--%s: no flag takes a %T", name, v)) // a mistake in this program
	}
}

// value returns the default of the setting key.
func (b *settingFlags) value(key string) any {
	v, err := config.Get(b.def, key)
	if err != nil {
		panic(err) // a mistake in this program
	}
	return v
}

// bindAxis adds a flag that takes one or several values of the setting key, separated by commas.
func (b *settingFlags) bindAxis(name, key, usage string) {
	b.names[key] = name
	values := func() ([]any, error) {
		all, err := b.flags.GetStringSlice(name)
		return anys(all), err
	}
	switch v := b.value(key).(type) {
	case int:
		b.flags.IntSlice(name, []int{v}, usage)
		values = func() ([]any, error) {
			all, err := b.flags.GetIntSlice(name)
			return anys(all), err
		}
	case string:
		b.flags.StringSlice(name, []string{v}, usage)
	default:
		panic(fmt.Sprintf("--%s: no flag takes several %T", name, v)) // a mistake in this program
	}
	b.axes = append(b.axes, axis{name, key, values})
}

func anys[T any](all []T) []any {
	var values []any
	for _, v := range all {
		values = append(values, v)
	}
	return values
}

// apply sets the settings that c points to from the plain flags on the command line.
func (b *settingFlags) apply(c any) error {
	for key, name := range b.names {
		if !b.flags.Changed(name) || !slices.Contains(b.plain, name) {
			continue
		}
		v, err := b.given(name)
		if err == nil {
			err = config.SetValue(c, key, v)
		}
		if err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	return nil
}

// given returns the value of the flag called name.
func (b *settingFlags) given(name string) (any, error) {
	switch b.flags.Lookup(name).Value.Type() {
	case "int":
		return b.flags.GetInt(name)
	case "uint64":
		return b.flags.GetUint64(name)
	case "float64":
		return b.flags.GetFloat64(name)
	case "bool":
		return b.flags.GetBool(name)
	case "stringSlice":
		return b.flags.GetStringSlice(name)
	}
	return b.flags.GetString(name)
}

// assignment gives the setting key a value.
type assignment struct {
	key   string
	value any
}

// combinations returns all combinations of the given axes' values. The first axis changes slowest.
func (b *settingFlags) combinations() ([][]assignment, error) {
	all := [][]assignment{nil}
	for _, a := range b.axes {
		if !b.flags.Changed(a.flag) {
			continue
		}
		values, err := a.values()
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", a.flag, err)
		}
		var more [][]assignment
		for _, c := range all {
			for _, v := range values {
				more = append(more, append(slices.Clip(c), assignment{a.key, v}))
			}
		}
		all = more
	}
	return all, nil
}

// layers holds the sources of a command's settings beside its flags and --config.
type layers[C any] struct {
	plain func() C // the defaults
	// decided returns the defaults that depend on other settings, such as the network; nil: use plain.
	decided func(C) (C, error)
	// special applies flags that do more than set their key; nil: none.
	special func(*C) error
	// small holds the settings of --fast-dev-run.
	small []small
	check func(C) error
}

// resolve returns the settings of every run, each once: all combinations of the axes with every seed. Later sources
// take precedence: defaults, --config, flags, --fast-dev-run, --set.
func resolve[C any](o experimentFlags, b *settingFlags, seeds int, l layers[C]) ([]C, error) {
	if seeds < 1 {
		return nil, fmt.Errorf("--seeds %d: want at least 1", seeds)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.setThreads() // the line that announces a run names them
	combinations, err := b.combinations()
	if err != nil {
		return nil, err
	}
	points, err := o.points(b)
	if err != nil {
		return nil, err
	}
	var file config.File
	if o.config != "" {
		if file, err = config.ReadFile(o.config); err != nil {
			return nil, err
		}
	}
	if seedSet := o.givenBy(b, "seed"); seedSet != "" && seedSet != "--seed" { // by --set: all seeds are the same
		seeds = 1
	}
	var all distinct[C]
	for _, combination := range combinations {
		for _, point := range points {
			c, err := resolveOne(o, b, l, file, combination, point)
			if err != nil {
				return nil, err
			}
			first, err := config.Get(&c, "seed")
			if err != nil {
				return nil, err
			}
			for i := range seeds {
				if err := config.SetValue(&c, "seed", first.(uint64)+uint64(i)); err != nil {
					return nil, err
				}
				all.add(c)
			}
		}
	}
	return all.list, nil
}

// points returns the assignments of each combination of --grid and --random, in `dla sweep`.
func (o experimentFlags) points(b *settingFlags) ([][]string, error) {
	space := spaceOf(b.flags)
	for _, key := range space.Keys() {
		if by := o.givenBy(b, key); by != "" {
			if !strings.HasPrefix(by, "--") {
				by = "--set " + by
			}
			return nil, fmt.Errorf("%s is varied, and given by %s as well", key, by)
		}
	}
	return space.Points()
}

// resolveOne returns the settings of the run from the first seed. file is that of --config.
func resolveOne[C any](o experimentFlags, b *settingFlags, l layers[C], file config.File, combination []assignment,
	point []string) (C, error) {
	apply := func(c *C) error {
		if err := file.Set(c); err != nil {
			return err
		}
		if err := b.apply(c); err != nil {
			return err
		}
		for _, a := range combination {
			if err := config.SetValue(c, a.key, a.value); err != nil {
				return err
			}
		}
		if l.special != nil {
			if err := l.special(c); err != nil {
				return err
			}
		}
		if err := o.makeSmall(b, c, l.small); err != nil {
			return err
		}
		for _, a := range o.sets {
			if err := config.Set(c, a); err != nil {
				return err
			}
		}
		for _, a := range point {
			if err := config.Assign(c, a); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
		}
		return nil
	}
	c := l.plain()
	if l.decided != nil {
		if err := apply(&c); err != nil {
			return c, err
		}
		var err error
		if c, err = l.decided(c); err != nil {
			return c, err
		}
	}
	if err := apply(&c); err != nil {
		return c, err
	}
	return c, l.check(c)
}

// small is a setting that --fast-dev-run reduces.
type small struct {
	key string
	to  int
}

// makeSmall reduces the settings of --fast-dev-run, if given, except those that another flag or --set sets.
func (o experimentFlags) makeSmall(b *settingFlags, c any, all []small) error {
	if !o.fastDevRun {
		return nil
	}
	for _, s := range all {
		if o.givenBy(b, s.key) != "" {
			continue
		}
		if err := config.SetValue(c, s.key, s.to); err != nil {
			return err
		}
	}
	return nil
}

// givenBy returns the flag or --set that sets the setting key on the command line; "" if none does.
func (o experimentFlags) givenBy(b *settingFlags, key string) string {
	if name := b.names[key]; name != "" && b.flags.Changed(name) {
		return "--" + name
	}
	if slices.ContainsFunc(o.sets, func(a string) bool {
		k, _, _ := strings.Cut(a, "=")
		return strings.TrimSpace(k) == key
	}) {
		return key
	}
	return ""
}

// smallLine describes the settings that --fast-dev-run changed.
func (o experimentFlags) smallLine(b *settingFlags, all []small) string {
	var made, given []string
	for _, s := range all {
		if by := o.givenBy(b, s.key); by != "" {
			given = append(given, by)
		} else {
			made = append(made, fmt.Sprintf("%s=%d", s.key, s.to))
		}
	}
	line := "--fast-dev-run: " + strings.Join(made, " ")
	if len(given) > 0 {
		line = strings.TrimSuffix(line, " ") + "; as given: " + strings.Join(given, ", ")
	}
	return line
}

// distinct collects settings, each once, in order of first appearance.
type distinct[C any] struct {
	list []C
	seen map[string]bool // keys in Go syntax, which is lossless and much faster than YAML
}

// add appends c unless it is present.
func (d *distinct[C]) add(c C) {
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	if key := fmt.Sprintf("%#v", c); !d.seen[key] {
		d.seen[key] = true
		d.list = append(d.list, c)
	}
}
