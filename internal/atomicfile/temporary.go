package atomicfile

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is being written has a temporary name, of files and folders alike:
//
//	.dla-tmp-HOST-PID-START-RANDOM         new, or no longer wanted
//	.dla-tmp-HOST-PID-START-RANDOM~NAME    what was called NAME until its successor is (see ReplaceFolder)
//
// It says who writes: the host (a hash of its name and, on Linux, of the space of process numbers, which containers
// have of their own), the process, and when that started, since numbers are used again. So the next writer of the
// folder can tell what a process that is gone has left, and deletes it.
var temporaryForm = regexp.MustCompile(`^\.dla-tmp-([0-9a-f]{8})-([0-9]+)-([0-9]+)-[0-9a-z]+(?:~(.+))?$`)

// partForm is the name of what has come of a file that is being downloaded, or of its lock file. It is called by the
// hash of the whole and outlives its process, so that the next can go on from there; it is deleted as what another host
// has left is, once it has been untouched for foreignAge.
var partForm = regexp.MustCompile(`^\.dla-part-[0-9a-f]{16}(?:\.lock)?$`)

// Part is the name of what has come of the file whose SHA-256 (hex) is sha.
func Part(sha string) string { return ".dla-part-" + sha[:16] }

// IsPart says whether name is one that Part gives, or that of its lock file.
func IsPart(name string) bool { return partForm.MatchString(name) }

// earlierForm is how earlier versions called what they were writing, without an owner.
var earlierForm = regexp.MustCompile(`^\.(.+\.tmp|dla-adversarial)-[0-9]+$`)

// foreignAge is how long what another host has left must have been untouched to be deleted: whether its
// process lives cannot be told from here.
const foreignAge = 7 * 24 * time.Hour

// IsTemporary says whether name is that of a file or folder that is being written, or was when its process died.
// Whoever lists a folder passes over such names.
func IsTemporary(name string) bool {
	return temporaryForm.MatchString(name) || earlierForm.MatchString(name) || IsPart(name)
}

// self is what the names that this process makes begin with.
var self = sync.OnceValue(func() string {
	start, _ := started(os.Getpid())
	return fmt.Sprintf(".dla-tmp-%s-%d-%d-", host(), os.Getpid(), start)
})

// host is this machine, or this container, in names.
var host = sync.OnceValue(func() string {
	name, _ := os.Hostname()              // one without a name is one of many
	space, _ := os.Readlink(processSpace) // where there is none, the name must do
	sum := sha256.Sum256([]byte(name + "\x00" + space))
	return hex.EncodeToString(sum[:4])
})

// processSpace is a link that tells the spaces of process numbers apart, on Linux.
const processSpace = "/proc/self/ns/pid"

// Temporary is a new temporary path in dir, for what is to be renamed when it is whole.
func Temporary(dir string) string {
	return filepath.Join(dir, self()+strings.ToLower(rand.Text()[:13]))
}

// Sweep deletes from dir what processes that are gone were writing. What cannot be looked at or deleted
// costs space alone, and the next writer tries again.
func Sweep(dir string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if at := filepath.Join(dir, e.Name()); IsPart(e.Name()) && untouched(at) {
			_ = os.Remove(at)
			continue
		}
		m := temporaryForm.FindStringSubmatch(e.Name())
		if m == nil || !abandoned(filepath.Join(dir, e.Name()), m[1], m[2], m[3]) {
			continue
		}
		at := filepath.Join(dir, e.Name())
		if to := filepath.Join(dir, filepath.Base(m[4])); m[4] != "" && !exists(to) {
			_ = os.Rename(at, to) // its successor never came
			continue
		}
		_ = os.RemoveAll(at)
	}
}

// Abandoned says whether the file or folder at path has a temporary name and its writer is gone.
func Abandoned(path string) bool {
	if m := temporaryForm.FindStringSubmatch(filepath.Base(path)); m != nil {
		return abandoned(path, m[1], m[2], m[3])
	}
	return (earlierForm.MatchString(filepath.Base(path)) || IsPart(filepath.Base(path))) && untouched(path)
}

// abandoned is Abandoned of what says its owner.
func abandoned(path, owner, process, start string) bool {
	if owner != host() {
		return untouched(path)
	}
	return ended(process, start)
}

// ended says whether the process of this host that began at start is gone.
func ended(process, start string) bool {
	pid, err := strconv.Atoi(process)
	if err != nil || pid < 1 {
		return false
	}
	if !alive(pid) {
		return true
	}
	ticks, ended := started(pid)
	return ended || ticks != 0 && start != "0" && start != strconv.FormatUint(ticks, 10)
}

// Owner is this process: HOST-PID-START, as in the names of temporary files, and -BOOT, the start of the machine, which
// tells two of one name apart.
func Owner() string { return strings.TrimPrefix(self(), ".dla-tmp-") + boot() }

// Gone says whether the process that Owner called so is gone. known is false for one of another machine or container,
// or of this one before it was started anew, of which that cannot be told from here.
func Gone(owner string) (gone, known bool) {
	parts := strings.Split(owner, "-")
	if len(parts) != 4 || parts[0] != host() || parts[3] != boot() {
		return false, false
	}
	return ended(parts[1], parts[2]), true
}

// boot is this start of this machine, on Linux; 0 where it is not known.
var boot = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "0"
	}
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:4])
})

// untouched says whether nothing at path or in it has changed for foreignAge.
func untouched(path string) bool {
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err == nil && time.Since(st.ModTime()) < foreignAge {
			err = fs.ErrExist
		}
		return err
	})
	return err == nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
