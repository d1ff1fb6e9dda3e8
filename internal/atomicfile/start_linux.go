package atomicfile

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// started is when the process pid did, in ticks since the machine did, 0 where that is not known; and whether it
// has ended meanwhile, which its parent has not asked about yet.
func started(pid int) (ticks uint64, ended bool) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name, in brackets, may hold anything; of what follows it, the first is the state and the 20th the start
	// (proc_pid_stat(5)).
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return 0, false
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n, fields[0] == "Z" || fields[0] == "X"
}
