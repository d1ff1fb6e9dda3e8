package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memoryCases are trainings of ResNet-20, of speedrun and of all weights of each encoder. A process's peak is of all it
// ever did, so whoever measures it does so in a process of its own.
func memoryCases() []Case {
	var all []Case
	for _, n := range networks() {
		if name := n.Name(); name == "resnet20" || name == "speedrun" {
			all = append(all, Case{Group: Memory, Name: name, large: n.large,
				prepare: func(batch int) (*work, error) { return stepWork(n, batch) }})
		}
	}
	for _, e := range encoders() {
		all = append(all, Case{Group: Memory, Name: e.name + "-full",
			prepare: func(int) (*work, error) { return fullWork(e) }})
	}
	return all
}

// peakRSS is the most resident memory, in bytes, that this process has had after a few runs of f.
func peakRSS(f func() error) (int64, error) {
	for range minRuns {
		if err := f(); err != nil {
			return 0, err
		}
	}
	const file = "/proc/self/status"
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("peak resident memory: %w", err)
	}
	return parsePeak(string(b))
}

// parsePeak finds the line "VmHWM:   123456 kB".
func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("peak resident memory: %w", err)
		}
		return kB << 10, nil
	}
	return 0, fmt.Errorf("peak resident memory: this system does not tell VmHWM")
}
