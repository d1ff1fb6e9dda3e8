//go:build !long

package cli

// How often TestChaos kills each command, and makes it fail; of those alone that take no time.
const (
	kills      = 1
	injections = 1
	allRows    = false
)
