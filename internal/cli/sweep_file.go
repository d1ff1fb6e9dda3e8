package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"dla/internal/plainfile"
)

// maxSweepFile bounds a file that describes a sweep, in bytes.
const maxSweepFile = 1 << 20

// sweepArgs returns the command line, without `dla`, of the sweep that the YAML file path describes: the experiment's
// command, and its flags as keys.
func sweepArgs(path string) ([]string, error) {
	b, err := plainfile.Read(path, maxSweepFile)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: want keys and values, such as experiment: lab1 resnet", path)
	}
	experiment, seen := "", map[string]bool{}
	var flags []string
	top := doc.Content[0].Content
	for i := 0; i < len(top); i += 2 {
		key, v := top[i], top[i+1]
		if seen[key.Value] {
			return nil, fmt.Errorf("%s:%d: %s is set twice", path, key.Line, key.Value)
		}
		seen[key.Value] = true
		if key.Value == "experiment" && v.Kind == yaml.ScalarNode {
			experiment = v.Value
			continue
		}
		more, err := flagOf(key.Value, v)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, v.Line, key.Value, err)
		}
		flags = append(flags, more...)
	}
	words := strings.Fields(experiment)
	if len(words) != 2 || strings.HasPrefix(experiment, "-") {
		return nil, fmt.Errorf("%s: experiment is %q, want a command such as lab1 resnet", path, experiment)
	}
	return append(append([]string{"sweep"}, words...), flags...), nil
}

// flagOf returns the flag called name with the value v. A list gives several values; keys and values make a flag each.
func flagOf(name string, v *yaml.Node) (flags []string, err error) {
	switch {
	case v.Kind == yaml.MappingNode && (name == "grid" || name == "random" || name == "set"):
		for i := 0; i < len(v.Content); i += 2 {
			text, err := valueText(v.Content[i+1], name == "set")
			if err != nil {
				return nil, err
			}
			flags = append(flags, "--"+name+"="+v.Content[i].Value+"="+text)
		}
		return flags, nil
	case v.Kind == yaml.MappingNode:
		return nil, errors.New("want a value, or a list of values")
	case v.Kind == yaml.SequenceNode && name == "sbatch-arg": // whose values may hold commas
		for _, e := range v.Content {
			flags = append(flags, "--"+name+"="+e.Value)
		}
		return flags, nil
	case name == "set":
		return nil, errors.New("want keys and values, such as train.lr: 0.05")
	}
	text, err := valueText(v, false)
	return []string{"--" + name + "=" + text}, err
}

// valueText returns v as a flag takes it: a list as a,b,c, and a list in it, or in brackets, as [a, b].
func valueText(v *yaml.Node, brackets bool) (string, error) {
	switch v.Kind {
	case yaml.ScalarNode:
		if v.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && strings.ContainsAny(v.Value, ",[]{}\"'#: ") {
			return strconv.Quote(v.Value), nil // stays one word
		}
		return v.Value, nil
	case yaml.SequenceNode:
		var all []string
		for _, e := range v.Content {
			text, err := valueText(e, true)
			if err != nil {
				return "", err
			}
			all = append(all, text)
		}
		if brackets {
			return "[" + strings.Join(all, ", ") + "]", nil
		}
		return strings.Join(all, ","), nil
	}
	return "", errors.New("want a value, or a list of values")
}

// addSweepFile makes cmd, `dla sweep`, take a sweep from a file.
func addSweepFile(cmd *cobra.Command) {
	var file, out string
	var jobs, threads int
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "YAML file that describes a sweep by experiment and flags (see configs/sweep)")
	f.StringVar(&out, "out", "", "folder of the sweep")
	f.IntVar(&jobs, "jobs", 1, "processes to make trials with here; the threads are divided among them")
	f.IntVar(&threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	var cluster slurmFlags
	cluster.add(cmd)
	f.Bool("extend", false, "add the trials of the file to a plan that has others")
	f.Bool("dry-run", false, "print the trials and what they will cost, and stop")
	f.Bool("json", false, "with --dry-run: print JSON")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml") // fails for an unknown flag only
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			if cmd.Flags().NFlag() > 0 {
				return usageError(errors.New("name an experiment, such as `dla sweep lab1 resnet`, or a --file; see " +
					"`dla sweep --help`"))
			}
			return cmd.Help()
		}
		args, err := sweepArgs(file)
		if err != nil {
			return usageError(err)
		}
		for _, name := range []string{"out", "jobs", "threads", "extend", "dry-run", "json"} {
			if given := f.Lookup(name); given.Changed {
				args = append(args, "--"+name+"="+given.Value.String())
			}
		}
		args = append(args, cluster.given(f)...)
		root := cmd.Root()
		root.SetArgs(args)
		if err := root.ExecuteContext(cmd.Context()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	}
}
