//go:build race

package optim

// raceDetector says that the race detector is on: it makes allocations of its own.
const raceDetector = true
