//go:build long

package cli

// How often TestChaos kills each command, and makes it fail; one that trains a third of that.
const (
	kills      = 40
	injections = 30
	mostDisks  = 1 << 20 // of a command in TestPowerLoss
	recoveries = 12      // of which the command is given again on so many
	allRows    = true
)
