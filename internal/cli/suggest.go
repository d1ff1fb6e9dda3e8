package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dla/internal/spelling"
)

// strictArgs makes every wrong argument under c a usage error. For a group of commands the error names the nearest
// command; cobra suggests one at the root only.
func strictArgs(c *cobra.Command) {
	check := c.Args
	switch {
	case c.HasSubCommands():
		check = knownCommand
	case check == nil:
		check = cobra.ArbitraryArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		return usageError(fmt.Errorf("%w; see `%s --help`", err, c.CommandPath()))
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

// knownCommand checks the arguments of a group: a remaining argument is an unknown command.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near, ok := similar(args[0], names); ok {
		err = fmt.Errorf("%w; did you mean `%s %s`?", err, c.CommandPath(), near)
	}
	return err
}

// noArgs checks the arguments of a command that takes flags only.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("`%s` takes flags only, not %q", c.CommandPath(), args[0])
}

// suggestFlag adds the nearest known flag to pflag's error about an unknown one.
func suggestFlag(c *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near, ok := similar(name, names); ok {
		err = fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}

// similar returns the nearest of known, or "" if more than half of word would have to change.
func similar(word string, known []string) (string, bool) {
	if len(known) == 0 {
		return "", false
	}
	near := spelling.Nearest(word, known)
	return near, spelling.Distance(word, near) <= (len(word)+1)/2
}
