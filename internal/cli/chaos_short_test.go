//go:build !long

package cli

// How often TestChaos kills each command, and makes it fail; of some alone.
const (
	kills      = 1
	injections = 1
	mostDisks  = 15 // of a command in TestPowerLoss, chosen at random
	recoveries = 1  // of which the command is given again on so many
	allRows    = false
)
