//go:build !long

package cli

// How often TestChaos kills each command, and makes it fail; of those alone that take no time.
const (
	kills      = 1
	injections = 1
	recoveries = 1 // of the disks of a command in TestPowerLoss
	allRows    = false
)
