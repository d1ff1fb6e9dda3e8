// Package buildinfo says which dla this is and what it runs on.
package buildinfo

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// These are set by the Makefile's -ldflags; a plain `go build` in a checkout fills them from what
// the toolchain records.
var (
	version  = "dev"
	revision = ""
	dirty    = ""
)

// Version is the release, the git revision and whether the tree had uncommitted changes; the
// revision is "unknown" where the binary was built outside a checkout.
func Version() (release, rev string, modified bool) {
	release, rev, modified = version, revision, dirty == "true"
	if rev == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					rev = s.Value
				case "vcs.modified":
					modified = s.Value == "true"
				}
			}
		}
	}
	if rev == "" {
		rev = "unknown"
	}
	return release, rev, modified
}

// CPU is the processor's name, its architecture where the system does not tell.
func CPU() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				return strings.TrimSpace(v)
			}
		}
	}
	return runtime.GOARCH
}
