//go:build !long

package cli

// kills is how often TestChaos kills each command.
const kills = 2
