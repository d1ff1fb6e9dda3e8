//go:build !race

package optim

// raceDetector says that the race detector is on.
const raceDetector = false
