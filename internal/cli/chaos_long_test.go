//go:build long

package cli

// How often TestChaos kills each command, and makes it fail.
const (
	kills      = 30
	injections = 22
	allRows    = true
)
