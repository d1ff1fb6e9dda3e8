// Command dla runs the experiments of a deep learning course; see dla --help.
package main

import (
	"os"

	"dla/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.Terminal())) }
