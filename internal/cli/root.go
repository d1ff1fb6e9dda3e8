// Package cli is the command line: one file per command, flags and output only.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"dla/internal/labs"
)

// Streams holds the streams of a command. Results go to Out, messages and progress to Err.
type Streams struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	InTTY  bool // In is a terminal: commands may ask questions
	OutTTY bool // Out is a terminal: runs watch may draw a screen
	ErrTTY bool // Err is a terminal: commands may draw progress bars

	screen io.Writer // unescaped Out for screens, as bars
	bars   io.Writer // unescaped Err for bars, whose control characters the terminal must act on

	planned func(tasks []labs.Task, root string) // receives the runs of a study, of which none is made then; nil: they are
}

// barsOut returns the stream that bars are drawn on.
func (s *Streams) barsOut() io.Writer {
	if s.bars != nil {
		return s.bars
	}
	return s.Err
}

// Terminal returns the streams of the process.
func Terminal() *Streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	dumb := os.Getenv("TERM") == "dumb"
	return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, InTTY: tty(os.Stdin), OutTTY: tty(os.Stdout) && !dumb,
		ErrTTY: tty(os.Stderr) && !dumb}
}

// Exit codes, beside 0 and 128 + signal.
const (
	exitFailure = 1
	exitUsage   = 2
	exitMaxTime = 3
)

// ExitError ends the program with Code. A nil Err means that the error has been printed already.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// usageError marks err as a usage error, with exit code 2.
func usageError(err error) error { return &ExitError{exitUsage, err} }

// Main runs the command line args and returns the exit code.
func Main(args []string, s *Streams) int {
	out, errOut := &shown{w: s.Out}, &shown{w: s.Err}
	code := execute(args, &Streams{In: s.In, Out: out, Err: errOut, InTTY: s.InTTY, OutTTY: s.OutTTY, ErrTTY: s.ErrTTY,
		screen: s.Out, bars: s.Err})
	if err := out.close(); err != nil && code == 0 { // else an error has been printed already
		fmt.Fprintf(errOut, "dla: the output is incomplete: %v; the records are whole, so print it again where "+
			"there is room\n", err)
		code = exitFailure
	}
	_ = errOut.close() // there is nowhere to report it
	return code
}

// execute is Main on streams that escape control characters.
func execute(args []string, s *Streams) int {
	root := newRootCmd(s)
	root.SetArgs(joinRes(args))
	err := checkEnv()
	if err == nil {
		err = root.ExecuteContext(context.Background())
	}
	if err == nil {
		return 0
	}
	code := exitFailure
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.Code
		if exit.Err == nil {
			return code
		}
	}
	fmt.Fprintf(s.Err, "dla: %s\n", inOneLine(err))
	return code
}

// inOneLine returns the text of err in one line, joined errors separated by semicolons.
func inOneLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// checkEnv refuses an unknown kernel level, which would otherwise be ignored without a word.
func checkEnv() error {
	switch k := os.Getenv("DLA_KERNEL"); k {
	case "", "avx512", "avx2", "portable":
		return nil
	default:
		return usageError(fmt.Errorf("DLA_KERNEL is %q, want avx512, avx2 or portable", k))
	}
}

// plainBooleans makes help show every boolean flag under c as --json, not as pflag's --json[=true|false].
func plainBooleans(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
		set.VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				f.Value = boolean{f.Value}
			}
		})
	}
	for _, sub := range c.Commands() {
		plainBooleans(sub)
	}
}

// boolean is a boolean flag without the method IsBoolFlag, by which pflag recognises one in help.
type boolean struct{ pflag.Value }

// joinRes rewrites `--res both` as `--res=both`, since a flag with an optional value takes no separate one.
func joinRes(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--res" && i+1 < len(args) && slices.Contains([]string{"true", "false", "both"}, args[i+1]) {
			out = append(out, "--res="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

func newRootCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dla",
		Short: "The experiments of a deep learning course, on an ordinary computer",
		Long: `dla trains and compares the networks of a Deep Learning Applications course: one program, no
Python, no GPU. Every run leaves a record; every figure is drawn from records; a run that is
stopped, even by kill -9, resumes to the same bits.

Exit codes: 0 done; 1 failed; 2 usage error; 3 stopped by --max-time; 130, 143, 138 stopped by
Ctrl-C, SIGTERM or SIGUSR1. A stopped run can be resumed.

Environment:
  DLA_DATA         folder with data sets (mnist/train-images-idx3-ubyte.gz, …), searched first
  DLA_MODELS       folder with encoders (all-MiniLM-L6-v2/model.safetensors, …), searched first
  DLA_ANY_ENCODER  1: use the encoder found, even if a record names another
  DLA_KERNEL       kernels: avx512, avx2 or portable; default: the best of this processor
  NO_COLOR         no colours in progress bars`,
		Example: `  dla lab1 resnet --depth 5 --res                              # train one network
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3       # the whole comparison, with figures
  dla predict resnet20 photos/                                 # classify images of your own
  dla runs ls                                                  # list the runs
  dla serve                                                    # see them train, in the browser
  dla plot --all --out figures                                 # draw the figures again
  dla report -o report.html                                    # a report of all runs in one file`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetIn(s.In) // first: the completion command keeps the streams it is made with
	cmd.SetOut(s.Out)
	cmd.SetErr(s.Err)
	cmd.AddCommand(newLab1Cmd(s), newLab3Cmd(s), newLab4Cmd(s), newPredictImagesCmd(s), newSweepCmd(s), newRunsCmd(s),
		newPlotCmd(s), newReportCmd(s), newServeCmd(s), newDataCmd(s), newModelsCmd(s), newCacheCmd(s), newBenchCmd(s),
		newVersionCmd(s))
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w; see `%s --help`", suggestFlag(c, err), c.CommandPath()))
	})
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	strictArgs(cmd)
	decimalFlags(cmd)
	plainBooleans(cmd)
	return cmd
}
