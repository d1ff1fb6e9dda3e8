package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"dla/internal/run"
	"dla/internal/web"
)

// defaultPort is free on most machines: TensorBoard has 6006, Jupyter 8888.
const defaultPort = 7070

func newServeCmd(s *Streams) *cobra.Command {
	var o struct {
		port    int
		noToken bool
	}
	cmd := &cobra.Command{
		Use:   "serve [DIR…]",
		Short: "A live page of runs in the browser: curves, comparison, tables, figures",
		Long: `Serve a page of all runs in the folders DIR and below them (default: runs), until Ctrl-C. It shows curves
while a run trains, mean and range over seeds, results with intervals, the settings that differ, figures,
self-checks, and how to resume what was stopped. It only reads, and a training does not notice it. Runs of
other machines show as well if their folder is shared.

The page is for this machine alone: it is served on 127.0.0.1, and its address holds a random token, which
other users do not know. To see it on another machine, type there ssh -L 7070:127.0.0.1:7070 MACHINE, and open
the same address there. It needs no network.

Keys on the page: / filters, arrows move, Space selects, Enter shows a run, ? lists all of them.`,
		Example: `  dla serve                               # the runs under runs/
  dla serve results/lab1 results/lab3     # several folders, and folders in them
  dla serve --port 0                      # any free port`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if o.port < 0 || o.port > 65535 {
				return usageError(fmt.Errorf("--port is %d, want 0 to 65535; 0 takes any free one", o.port))
			}
			for _, dir := range dirs {
				if st, err := os.Stat(dir); err != nil {
					return fmt.Errorf("%w; name folders of runs", err)
				} else if !st.IsDir() {
					return fmt.Errorf("%s is not a folder; name folders of runs", dir)
				}
			}
			if len(dirs) == 0 {
				dirs = []string{run.DefaultRoot} // which the first training may still have to make
			}
			ctx, _, stop := interruptible(cmd.Context())
			defer stop()
			at := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				return fmt.Errorf("port %d is in use, perhaps by another `dla serve`; give another one, or --port 0 for any "+
					"free one", o.port)
			case err != nil:
				return fmt.Errorf("no page can be served on %s: %w; give another --port", at, err)
			}
			opt := web.Options{Index: web.IndexFile(dirs)}
			url := "http://" + l.Addr().String() + "/"
			if !o.noToken {
				opt.Token = web.NewToken()
				url += opt.Token + "/"
			}
			server := web.New(dirs, opt)
			fmt.Fprintf(s.Out, "%s\n", url)
			go func() {
				n := server.Runs(ctx)
				if ctx.Err() != nil {
					return
				}
				runs := fmt.Sprintf("%d runs", n)
				if n == 1 {
					runs = "1 run"
				}
				fmt.Fprintf(s.Err, "%s under %s; Ctrl-C ends the page, and no training\n", runs, strings.Join(dirs, ", "))
			}()
			return server.Serve(ctx, l)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.port, "port", defaultPort, "port on 127.0.0.1; 0: any free one")
	f.BoolVar(&o.noToken, "no-token", false, "ask for no token: all users of this machine may read the page")
	return cmd
}
