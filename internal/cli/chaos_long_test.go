//go:build long

package cli

// How often TestChaos kills each command, and makes it fail; one that trains a third of that.
const (
	kills      = 40
	injections = 30
	recoveries = 12 // of the disks of a command in TestPowerLoss
	allRows    = true
)
