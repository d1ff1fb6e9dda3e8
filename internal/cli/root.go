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
	"golang.org/x/term"
)

// Streams are where a command reads and writes. Results go to Out, everything said on the way to Err.
type Streams struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	InTTY  bool // In is a terminal: questions may be asked
	ErrTTY bool // Err is a terminal: progress bars may be drawn

	bars io.Writer // Err itself, where Err is not; what bars are drawn with is not to be shown but acted on
}

// barsOut is where bars are drawn.
func (s *Streams) barsOut() io.Writer {
	if s.bars != nil {
		return s.bars
	}
	return s.Err
}

// Terminal is the process's own streams.
func Terminal() *Streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, InTTY: tty(os.Stdin), ErrTTY: tty(os.Stderr) && os.Getenv("TERM") != "dumb"}
}

// Exit codes, beside 0 and 128 + signal.
const (
	exitFailure = 1
	exitUsage   = 2
	exitMaxTime = 3
)

// ExitError ends the program with Code; a nil Err has been said already.
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

// usageError marks err as a mistake on the command line.
func usageError(err error) error { return &ExitError{exitUsage, err} }

// Main runs the command line args and returns the exit code.
func Main(args []string, s *Streams) int {
	out, errOut := &shown{w: s.Out}, &shown{w: s.Err}
	code := execute(args, &Streams{In: s.In, Out: out, Err: errOut, InTTY: s.InTTY, ErrTTY: s.ErrTTY, bars: s.Err})
	if err := out.close(); err != nil && code == 0 { // else something has been said already
		fmt.Fprintf(errOut, "dla: not all could be printed: %v; what was recorded is whole, print it again where there is room\n", err)
		code = exitFailure
	}
	_ = errOut.close() // nobody could be told
	return code
}

// execute is Main on streams that show control characters.
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

// inOneLine is what err says: of several that are joined, each after a semicolon.
func inOneLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// checkEnv refuses a kernel level there is not: a run meant to be portable would silently not be.
func checkEnv() error {
	switch k := os.Getenv("DLA_KERNEL"); k {
	case "", "avx512", "avx2", "portable":
		return nil
	default:
		return usageError(fmt.Errorf("DLA_KERNEL is %q, want avx512, avx2 or portable", k))
	}
}

// joinRes writes `--res both` as `--res=both`: a flag that may stand alone takes no separate value.
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

Exit codes: 0 done; 1 failed; 2 a mistake on the command line; 3 stopped by --max-time;
130, 143 stopped by Ctrl-C or SIGTERM. What was stopped can be resumed.

Environment:
  DLA_DATA         folder with data sets (mnist/train-images-idx3-ubyte.gz, …), looked in first
  DLA_MODELS       folder with encoders (all-MiniLM-L6-v2/model.safetensors, …), looked in first
  DLA_ANY_ENCODER  1: use the encoder that is found, though a record names another
  DLA_KERNEL       kernels to use: avx512, avx2 or portable; default the best this processor has
  NO_COLOR         no colours in progress bars`,
		Example: `  dla lab1 resnet --depth 5 --res                              # train one network
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3       # the whole comparison, with figures
  dla runs ls                                                  # what was run
  dla plot --all --out figures                                 # draw it again`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetIn(s.In) // first: the completion command keeps what is there when it is made
	cmd.SetOut(s.Out)
	cmd.SetErr(s.Err)
	cmd.AddCommand(newLab1Cmd(s), newLab3Cmd(s), newLab4Cmd(s), newRunsCmd(s), newPlotCmd(s), newDataCmd(s),
		newModelsCmd(s), newCacheCmd(s), newBenchCmd(s), newVersionCmd(s))
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w; see `%s --help`", suggestFlag(c, err), c.CommandPath()))
	})
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	strictArgs(cmd)
	decimalFlags(cmd)
	return cmd
}
