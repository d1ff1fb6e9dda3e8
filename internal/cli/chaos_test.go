package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"dla/internal/atomicfile"
	"dla/internal/data"
	"dla/internal/run"
)

// TestChaos disturbs every command that writes, as a user gives it, and looks at what is there then.
//
// It kills the command as kill -9 does, in three ways in turn: at a random instant of its life; at a random operation on
// a file, all of which are slowed, so that the kill lands in what writes; and, where there is strace, at the n-th system
// call that writes. And it makes the n-th call of some kind fail (ENOSPC, EIO, EACCES and others) of those that read,
// write or name files of the command's own: with strace, else by atomicfile.Fault.
//
// Whatever happened: what was finished before is as it was, or as it is to be; no record is broken; the same command
// given again (of experiments with --resume) goes well and ends, file by file, with the weights, metrics, predictions,
// tables and figures of one that was never disturbed; no temporary file is left. A command that met a failure has also
// said so in one line and ended with another exit code than 0, unless all is there that it was to make.
//
// Left out are system calls that are of no file of the command's: those on pipes and the runtime's own (eventfd, /proc,
// /sys), of which the runtime lets the process die, and on the program itself. So are clocks, memory (mmap) and
// threads, and the network, whose failures internal/hub and internal/download test.
//
// The long form (make chaos) disturbs all, and often.
func TestChaos(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there a killed process has the exit code of an error")
	}
	c := newChaos(t)
	var table []string
	for _, v := range c.commands() {
		if !v.quick && !allRows {
			continue
		}
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			c.T = t
			table = append(table, c.torment(v))
		})
	}
	c.T = t
	t.Logf("\n| command | killed | failures | calls failed | failures |\n|---|---|---|---|---|\n%s",
		strings.Join(table, "\n"))
}

// writer is a command that writes.
type writer struct {
	name  string
	wants []func() // what makes, in the folder that it works in, what it wants
	args  []string
	// again gives the commands that bring what was disturbed to its end; nil: the same, of experiments with --resume.
	again func() [][]string
	whole []string // folders that it makes or replaces in one step
	quick bool     // it is of the short form
	slow  bool     // it trains
}

// chaos is the folder that commands work in, and what there is to know of it.
type chaos struct {
	*testing.T
	exe, strace string // strace is empty where there is none
	in          string // the folder; always the same one, since records have paths in them
	out         string // a folder beside it
	set         smallSet
	archive     []byte // of set
	records     map[string][]byte
	hub         *httptest.Server
	script      *txtar.Archive
	before      state // what is there before the command
	want        state // and what it and those after it leave, undisturbed
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{T: t, in: filepath.Join(t.TempDir(), "in"), out: t.TempDir()}
	var err error
	if c.in, err = filepath.EvalSymlinks(filepath.Dir(c.in)); err == nil {
		c.in = filepath.Join(c.in, "in")
		c.exe, err = os.Executable()
	}
	c.must(err)
	if path, err := exec.LookPath("strace"); err == nil && exec.Command(path, "-f", "-o", os.DevNull,
		"true").Run() == nil {
		c.strace = path
	}
	c.script, err = txtar.ParseFile("testdata/script/finetune.txtar")
	c.must(err)
	c.makeSet()
	c.hub = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.hub.Close)
	c.set.Mirror = c.hub.URL + "/"
	return c
}

func (c *chaos) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// makeSet draws the images of the small set.
func (c *chaos) makeSet() {
	r := rand.New(rand.NewPCG(1, 2))
	c.records = map[string][]byte{}
	classes := []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
	for b := range 6 {
		var records []byte
		for i := range 40 {
			records = append(records, byte(i%10))
			for range 3 * 32 * 32 {
				records = append(records, byte(20*(i%10)+r.IntN(64)))
			}
		}
		name := fmt.Sprintf("data_batch_%d.bin", b+1)
		if b == 5 {
			name = "test_batch.bin"
		}
		c.records[name] = records
	}
	c.records["batches.meta.txt"] = []byte(strings.Join(classes, "\n") + "\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(c.records)) {
		c.must(w.WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/" + name, Mode: 0o644,
			Size: int64(len(c.records[name]))}))
		_, err := w.Write(c.records[name])
		c.must(err)
	}
	c.must(errors.Join(w.Close(), z.Close()))
	c.archive = packed.Bytes()
	sum := sha256.Sum256(c.archive)
	c.set.Archive = data.File{Name: "cifar-10-binary.tar.gz", Size: int64(len(c.archive)),
		SHA256: hex.EncodeToString(sum[:])}

	was := slices.Clone(data.Catalogue)
	defer func() { data.Catalogue = was }()
	c.set.publish()
	dir := c.TempDir()
	c.must(os.Mkdir(filepath.Join(dir, "cifar10"), 0o777))
	c.must(os.WriteFile(filepath.Join(dir, "cifar10", c.set.Archive.Name), c.archive, 0o666))
	ds, err := data.Load(context.Background(), "cifar10", data.Options{Dir: dir, Cache: c.TempDir(), Offline: true})
	c.must(err)
	c.set.Fingerprint = ds.Fingerprint
}

// serve answers as the mirror of the small set, and as the Hugging Face Hub that has one encoder.
func (c *chaos) serve(w http.ResponseWriter, r *http.Request) {
	if path.Base(r.URL.Path) == c.set.Archive.Name {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(c.archive))
		return
	}
	commit := strings.Repeat("a1", 20)
	if strings.HasSuffix(r.URL.Path, "/revision/main") {
		type sibling struct {
			Name string `json:"rfilename"`
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit,
			"siblings": []sibling{{"config.json"}, {"vocab.txt"}, {"model.safetensors"}}})
		return
	}
	content, err := os.ReadFile(filepath.Join(c.out, "encoder", path.Base(r.URL.Path)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(content)
	w.Header().Set("X-Linked-Etag", strconv.Quote(hex.EncodeToString(sum[:])))
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	w.Header().Set("ETag", strconv.Quote(hex.EncodeToString(sum[:])))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// command is a child that meets d. wrapped is what runs it, where anything does.
func (c *chaos) command(d disturbance, wrapped []string, args ...string) *exec.Cmd {
	d.Set = c.set
	met, err := json.Marshal(d)
	c.must(err)
	path, err := exec.LookPath(filepath.Join(c.out, "dla"))
	if err != nil { // testscript tells commands by the name that it was called by
		path = filepath.Join(c.out, "dla")
		c.must(os.Symlink(c.exe, path))
	}
	all := append(slices.Clone(wrapped), append([]string{path}, args...)...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Dir = c.in
	cmd.Env = append(os.Environ(), chaosEnv+"="+string(met), "PWD="+c.in, "HOME="+c.in, "HF_ENDPOINT="+c.hub.URL,
		"HF_TOKEN=",
		"HF_HUB_OFFLINE=", "HF_HUB_CACHE=", "DLA_MODELS=", "NO_COLOR=1")
	for v, folder := range map[string]string{"XDG_CACHE_HOME": "cache", "HF_HOME": "hub", "TMPDIR": "tmp",
		"DLA_DATA": "data"} {
		cmd.Env = append(cmd.Env, v+"="+filepath.Join(c.in, folder))
	}
	return cmd
}

// do runs a command to its end, which must be a good one.
func (c *chaos) do(args ...string) {
	c.Helper()
	if out, err := c.command(disturbance{}, nil, args...).CombinedOutput(); err != nil {
		c.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// end runs the commands of v that come after the first one.
func (c *chaos) end(v writer) error {
	all := [][]string{v.args}
	if strings.HasPrefix(v.args[0], "lab") {
		all = [][]string{append(slices.Clone(v.args), "--resume")}
	}
	if v.again != nil {
		all = v.again()
	}
	for _, args := range all {
		if out, err := c.command(disturbance{}, nil, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	return nil
}

// prepare makes an empty folder, and in it what v wants, and keeps a copy.
func (c *chaos) prepare(v writer) {
	c.must(os.RemoveAll(c.in))
	for _, dir := range []string{"tmp", "data/cifar10"} {
		c.must(os.MkdirAll(filepath.Join(c.in, dir), 0o777))
	}
	for _, make := range v.wants {
		make()
	}
	c.must(os.RemoveAll(filepath.Join(c.out, "copy")))
	c.must(os.CopyFS(filepath.Join(c.out, "copy"), os.DirFS(c.in)))
}

// reset makes the folder what prepare left it as.
func (c *chaos) reset() {
	c.must(os.RemoveAll(c.in))
	c.must(os.CopyFS(c.in, os.DirFS(filepath.Join(c.out, "copy"))))
}

// torment disturbs v and says, as a line of a table, how often, and how often that was not as it is to be.
func (c *chaos) torment(v writer) string {
	c.prepare(v)
	var err error
	c.before, err = c.look()
	c.must(err)

	// Undisturbed: how long it takes, and what it makes.
	count := filepath.Join(c.out, "operations")
	began := time.Now()
	if out, err := c.command(disturbance{Count: count}, nil, v.args...).CombinedOutput(); err != nil {
		c.Fatalf("%v: %v\n%s", v.args, err, out)
	}
	took := time.Since(began)
	b, err := os.ReadFile(count)
	c.must(err)
	operations, err := strconv.Atoi(string(b))
	c.must(err)
	if operations == 0 {
		c.Fatalf("%v writes nothing", v.args)
	}
	c.must(c.end(v))
	c.want, err = c.look()
	c.must(err)
	if len(c.want.left)+len(c.want.unfinished) > 0 || len(c.want.files) == 0 {
		c.Fatalf("%v leaves %v, %v unfinished", v.args, c.want.left, c.want.unfinished)
	}
	calls := c.record(v)

	kills, injections := kills, injections
	if v.slow {
		kills, injections = (kills+2)/3, (injections+2)/3
	}
	killed, wrong := 0, 0
	for try := 0; killed < kills && try < 4*kills; try++ {
		c.reset()
		how, died := c.kill(v, try, took, operations, calls)
		if !died {
			continue
		}
		killed++
		if err := c.after(v, false); err != nil {
			wrong++
			c.Errorf("%v, killed %s: %v", v.args, how, err)
		}
	}
	failed, bad := 0, 0
	for try := 0; failed < injections && try < 4*injections; try++ {
		c.reset()
		how, met, err := c.fail(v, operations, calls)
		if !met {
			continue
		}
		failed++
		if err != nil {
			bad++
			c.Errorf("%v, with %s: %v", v.args, how, err)
		}
	}
	if killed == 0 || failed == 0 {
		c.Errorf("%v was killed %d times and met %d failures", v.args, killed, failed)
	}
	c.Logf("%s: %d operations, %d kinds of calls, %v", v.name, operations, len(calls), took.Round(time.Millisecond))
	return fmt.Sprintf("| `%s` | %d | %d | %d | %d |", v.name, killed, wrong, failed, bad)
}

// kill kills v and says when, and whether it died of it.
func (c *chaos) kill(v writer, try int, took time.Duration, operations int, calls map[string][]int) (how string,
	died bool) {
	switch {
	case try%3 == 2 && c.strace != "":
		var most []int
		for _, name := range writing {
			most = append(most, calls[name]...)
		}
		at := 1 + rand.IntN(slices.Max(append(most, 1)))
		log := filepath.Join(c.out, "strace")
		cmd := c.command(disturbance{}, []string{c.strace, "-f", "-qq", "--seccomp-bpf", "-o", log,
			"-e", "trace=" + strings.Join(writing, ","),
			"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", strings.Join(writing, ","), at)}, v.args...)
		out, err := cmd.CombinedOutput()
		b, _ := os.ReadFile(log)
		if !bytes.Contains(b, []byte("killed by SIGKILL")) && err != nil {
			c.Fatalf("%v: %v\n%s", v.args, err, out)
		}
		return fmt.Sprintf("at call %d", at), err != nil
	case try%3 == 1:
		at := 1 + rand.IntN(operations)
		cmd := c.command(disturbance{KillAt: at}, nil, v.args...)
		err := cmd.Run()
		return fmt.Sprintf("at operation %d", at), err != nil && cmd.ProcessState.ExitCode() < 0
	}
	cmd := c.command(disturbance{}, nil, v.args...)
	c.must(cmd.Start())
	at := time.Duration(rand.Int64N(int64(took)))
	time.Sleep(at)
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	return fmt.Sprintf("after %v", at), err != nil && cmd.ProcessState.ExitCode() < 0
}

// writing are the system calls that change what is on a disk.
var writing = []string{"write", "pwrite64", "fsync", "renameat", "renameat2", "openat", "mkdirat", "unlinkat",
	"ftruncate",
	"symlinkat", "fchmod", "fchmodat"}

// errorsOf are what system calls fail with.
var errorsOf = map[string][]string{
	"write": {"ENOSPC", "EIO"}, "pwrite64": {"ENOSPC", "EIO"}, "fsync": {"EIO", "ENOSPC"}, "ftruncate": {"EIO"},
	"renameat": {"EIO", "ENOSPC", "EACCES"}, "renameat2": {"EIO", "ENOSPC", "EACCES"}, "mkdirat": {"ENOSPC", "EACCES"},
	"unlinkat": {"EACCES", "EIO"}, "openat": {"EACCES", "EMFILE", "EIO"}, "symlinkat": {"ENOSPC"}, "fchmod": {"EPERM"},
	"fchmodat": {"EPERM"}, "read": {"EIO"}, "pread64": {"EIO"}, "getdents64": {"EIO"}, "flock": {"ENOLCK"},
}

// record runs v under strace and says of each system call which ones, counted in each thread, were of its files.
func (c *chaos) record(v writer) map[string][]int {
	if c.strace == "" {
		return nil
	}
	c.reset()
	log := filepath.Join(c.out, "strace")
	names := strings.Join(slices.Sorted(maps.Keys(errorsOf)), ",")
	cmd := c.command(disturbance{}, []string{c.strace, "-f", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-o", log,
		"-e", "trace=" + names, "-e", "signal=none"}, v.args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("%v: %v\n%s", v.args, err, out)
	}
	b, err := os.ReadFile(log)
	c.must(err)
	calls, n := map[string][]int{}, map[string]int{}
	for line := range strings.Lines(string(b)) {
		m := callForm.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n[m[1]+m[2]]++
		if at := n[m[1]+m[2]]; c.ofFiles(line) && !slices.Contains(calls[m[2]], at) {
			calls[m[2]] = append(calls[m[2]], at)
		}
	}
	return calls
}

var (
	callForm = regexp.MustCompile(`^([0-9]+) +([a-z0-9]+)\(`)
	namedIn  = regexp.MustCompile(`\((?:AT_FDCWD|[0-9]+)<([^>]*)>(?:, "([^"]*)")?`)
)

// ofFiles says whether the system call in a line of strace is of a file in the folder.
func (c *chaos) ofFiles(line string) bool {
	m := namedIn.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	name := m[1]
	if m[2] != "" {
		if name = m[2]; !filepath.IsAbs(name) {
			name = filepath.Join(m[1], name)
		}
	}
	return strings.HasPrefix(name, c.in+"/")
}

// fail makes one of v's calls fail. It says which, whether that came to pass, and what was wrong then.
func (c *chaos) fail(v writer, operations int, calls map[string][]int) (how string, met bool, err error) {
	var out bytes.Buffer
	var cmd *exec.Cmd
	log := filepath.Join(c.out, "strace")
	if len(calls) > 0 {
		names := slices.Sorted(maps.Keys(calls))
		name := names[rand.IntN(len(names))]
		at := calls[name][rand.IntN(len(calls[name]))]
		with := errorsOf[name][rand.IntN(len(errorsOf[name]))]
		cmd = c.command(disturbance{}, []string{c.strace, "-f", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-o", log,
			"-e", "trace=" + name, "-e", "signal=none", "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", name, with,
				at)}, v.args...)
	} else {
		at := 1 + rand.IntN(operations)
		how, met = fmt.Sprintf("operation %d failing", at), true
		cmd = c.command(disturbance{FailAt: at}, nil, v.args...)
	}
	cmd.Stdout, cmd.Stderr = nil, &out
	runErr := cmd.Run()
	if len(calls) > 0 {
		b, err := os.ReadFile(log)
		c.must(err)
		for line := range strings.Lines(string(b)) {
			if strings.HasSuffix(line, "(INJECTED)\n") && c.ofFiles(line) {
				how, met = strings.TrimSpace(line), true
			} else if strings.HasSuffix(line, "(INJECTED)\n") { // what is left out
				return "", false, nil
			}
		}
	}
	if !met {
		return "", false, nil
	}
	if runErr == nil {
		st, err := c.look()
		if err == nil {
			err = c.differs(v, st)
		}
		if err != nil && c.end(v) == nil { // the commands after the first had their part in it
			if st, err = c.look(); err == nil {
				err = c.differs(v, st)
			}
		}
		if err != nil {
			err = fmt.Errorf("exit code 0, and %w\n%s", err, out.String())
		}
		return how, true, err
	}
	last := strings.TrimSuffix(out.String(), "\n")
	last = last[strings.LastIndexByte(last, '\n')+1:]
	if !strings.HasPrefix(last, "dla: ") || strings.Contains(out.String(), "goroutine ") {
		return how, true, fmt.Errorf("it ends with %w and says\n%s", runErr, out.String())
	}
	if err := c.after(v, true); err != nil {
		return how, true, fmt.Errorf("%w\nit had said %s", err, last)
	}
	return how, true, nil
}

// after is what is wrong with what is there after v was disturbed, or after it was brought to its end then.
// After a failure runs may be left that failed before anything was saved of them.
func (c *chaos) after(v writer, failed bool) error {
	st, err := c.look()
	if err == nil {
		err = c.intact(v, st)
	}
	if err != nil {
		return err
	}
	if err := c.end(v); err != nil {
		return err
	}
	if st, err = c.look(); err != nil {
		return fmt.Errorf("then %w", err)
	}
	for dir, status := range st.unfinished {
		if !failed || status != string(run.StatusFailed) {
			err = errors.Join(err, fmt.Errorf("%s is left, %s", dir, status))
		}
	}
	if len(st.damaged) > 0 && !failed { // what cannot be read once counts as damaged, and the one before is taken
		err = errors.Join(err, fmt.Errorf("a checkpoint was damaged: %s", st.damaged))
	}
	if len(st.left) > 0 {
		err = errors.Join(err, fmt.Errorf("%v are left", st.left))
	}
	if err = errors.Join(err, c.differs(v, st)); err != nil {
		return fmt.Errorf("again, and %w", err)
	}
	return nil
}

// state is what the folder holds.
type state struct {
	files      map[string]string // hashes of what must not depend on how it came about, by path, without times
	runs       []string          // folders of finished ones
	unfinished map[string]string // statuses of runs that are not
	left       []string          // temporary files and folders
	damaged    []string          // logs of runs that speak of a checkpoint that was
}

var (
	times  = regexp.MustCompile(`[0-9]{8}-[0-9]{6}-`)
	twins  = regexp.MustCompile(`(-s[0-9]+)-[0-9]+(/|$)`) // in the name of a run that another of its second is beside
	serial = regexp.MustCompile(`(best|ckpt)-[0-9]{6}`)
	timed  = regexp.MustCompile(`second|^result_sha256$`) // keys in JSON
)

// look reads the folder.
func (c *chaos) look() (state, error) {
	st := state{files: map[string]string{}, unfinished: map[string]string{}}
	roots, best := map[string]bool{}, map[string]string{}
	err := filepath.WalkDir(c.in, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below := strings.TrimPrefix(name, c.in)
		if atomicfile.IsPart(e.Name()) && filepath.Ext(e.Name()) == ".lock" {
			return nil // an empty file, for `dla cache prune`
		}
		if atomicfile.IsTemporary(e.Name()) {
			st.left = append(st.left, below)
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		key := serial.ReplaceAllString(twins.ReplaceAllString(times.ReplaceAllString(below, ""), "$1$2"), "$1")
		if e.IsDir() {
			if !times.MatchString(e.Name()) {
				return nil
			}
			roots[filepath.Dir(name)] = true
			rec, err := run.Examine(filepath.Dir(name), e.Name())
			if err != nil {
				return err
			}
			if rec.Status != run.StatusFinished {
				st.unfinished[key] = string(rec.Status)
				return fs.SkipDir
			}
			log, err := os.ReadFile(filepath.Join(name, "log.jsonl"))
			if err != nil {
				return err
			}
			if bytes.Contains(log, []byte("damaged")) {
				st.damaged = append(st.damaged, string(log))
			}
			st.runs = append(st.runs, key)
			if best[name], err = selected(name); err != nil {
				return err
			}
			return nil
		}
		if of, ok := best[filepath.Dir(filepath.Dir(name))]; ok && filepath.Base(filepath.Dir(name)) == "checkpoints" &&
			e.Name() != of {
			return nil // it went on from that; a kill just after the end leaves it, as --keep-checkpoints does
		}
		switch e.Name() {
		case "env.json", "resumed.json", "status.json", "manifest.json", "log.jsonl", "lock": // of what happened
			return nil
		}
		if filepath.Ext(name) == ".lock" {
			return nil
		}
		if _, twice := st.files[key]; twice {
			return fmt.Errorf("%s is there twice", key)
		}
		st.files[key], err = c.hash(name)
		return err
	})
	if err != nil {
		return st, err
	}
	for root := range roots {
		all, err := run.List(root)
		if err != nil {
			return st, err
		}
		for _, r := range all {
			if r.Status == run.StatusBroken {
				return st, fmt.Errorf("%s is broken: %s", r.ID, r.Detail)
			}
		}
	}
	return st, nil
}

// selected is the name of the file with the weights that validation selected, of the run in dir; empty without any.
func selected(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var m struct {
		Checkpoints []struct {
			Best struct{ File string }
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || len(m.Checkpoints) == 0 {
		return "", fmt.Errorf("%s: the manifest says %s, %w", dir, b, err)
	}
	return m.Checkpoints[0].Best.File, nil
}

// hash is that of a file without what must be other in it.
func (c *chaos) hash(name string) (string, error) {
	if to, err := os.Readlink(name); err == nil {
		return "link to " + to, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if filepath.Ext(name) == ".json" {
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if b, err = json.Marshal(timeless(v)); err != nil {
			return "", err
		}
	}
	if slices.Contains([]string{".svg", ".md", ".yaml"}, filepath.Ext(name)) {
		b = times.ReplaceAll(b, nil)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// timeless is v without the values that are times.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, of := range v {
			if timed.MatchString(key) {
				delete(v, key)
				continue
			}
			v[key] = timeless(of)
		}
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	case string:
		return twins.ReplaceAllString(times.ReplaceAllString(v, ""), "$1$2")
	}
	return v
}

// differs says what of st is not as v leaves it undisturbed. An experiment need not keep in the cache what it can make
// again.
func (c *chaos) differs(v writer, st state) error {
	var wrong []string
	for key, h := range c.want.files {
		if got, ok := st.files[key]; !ok && v.slow && strings.HasPrefix(key, "/cache/") {
			continue
		} else if !ok {
			wrong = append(wrong, key+" is missing")
		} else if got != h {
			wrong = append(wrong, key+" is another")
		}
	}
	for key := range st.files {
		if _, ok := c.want.files[key]; !ok {
			wrong = append(wrong, key+" is too much")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return errors.New(strings.Join(wrong[:min(4, len(wrong))], ", "))
}

// under are the files of st in one of its folders.
func (st state) under(folder string) map[string]string {
	in := map[string]string{}
	for key, h := range st.files {
		if strings.HasPrefix(key, folder+"/") {
			in[key] = h
		}
	}
	return in
}

// intact is what of st, after a disturbance, is neither as it was before nor as it is to be.
func (c *chaos) intact(v writer, st state) error {
	for key, h := range st.files {
		coming := filepath.Ext(key) == ".incomplete" // what a download goes on from
		if h != c.before.files[key] && h != c.want.files[key] && !coming {
			return fmt.Errorf("%s is neither what it was nor what it is to be", key)
		}
	}
	for key := range c.before.files {
		_, there := st.files[key]
		if _, stays := c.want.files[key]; stays && !there {
			return fmt.Errorf("%s is gone", key)
		}
	}
	for _, dir := range st.runs { // finished is finished; figures come after that, all at once
		for key := range c.want.under(dir) {
			if _, there := st.files[key]; !there && !strings.HasPrefix(key, dir+"/figures/") {
				return fmt.Errorf("%s is finished without %s", dir, key)
			}
		}
		got, was := st.under(dir+"/figures"), c.before.under(dir+"/figures")
		if len(got) > 0 && !maps.Equal(got, was) && !maps.Equal(got, c.want.under(dir+"/figures")) {
			return fmt.Errorf("the figures of %s are there in part", dir)
		}
	}
	for _, dir := range v.whole {
		if got := st.under(dir); !maps.Equal(got, c.before.under(dir)) && !maps.Equal(got, c.want.under(dir)) {
			return fmt.Errorf("%s is there in part: %v", dir, slices.Sorted(maps.Keys(got)))
		}
	}
	return nil
}

// writers are the commands.
func (c *chaos) commands() []writer {
	at := func(name ...string) string { return filepath.Join(append([]string{c.in}, name...)...) }
	// What they want.
	write := func(name, content string) func() {
		return func() {
			c.must(os.MkdirAll(filepath.Dir(at(name)), 0o777))
			c.must(os.WriteFile(at(name), []byte(content), 0o666))
		}
	}
	set := write("data/cifar10/cifar-10-binary.tar.gz", string(c.archive))
	encoder := func(dir string, seed uint64) func() {
		return func() {
			c.must(os.MkdirAll(dir, 0o777))
			for _, f := range c.script.Files {
				if in, base := filepath.Split(f.Name); in == "tiny/" {
					c.must(os.WriteFile(filepath.Join(dir, base), f.Data, 0o666))
				}
			}
			c.must(drawEncoder(dir, seed))
		}
	}
	do := func(args ...string) func() { return func() { c.do(args...) } }
	only := func(root string) string { // the run under root
		list, err := run.List(at(root))
		c.must(err)
		if len(list) != 1 {
			c.Fatalf("%d runs under %s", len(list), root)
		}
		return list[0].ID
	}
	small := []string{"--data", "cifar10", "--set", "data.val=40", "--set", "train.batch_size=32", "--threads", "2"}
	mlp := func(more ...string) []string {
		return slices.Concat([]string{"lab1", "resnet", "--model", "mlp", "--depth", "1", "--set", "model.width=8"}, small,
			[]string{"--epochs", "1"}, more)
	}
	resnet := func(seed string) func() {
		return func() {
			root := "classifier" + seed
			c.do(slices.Concat([]string{"lab1", "resnet", "--model", "resnet20", "--res", "--set", "model.width=4"}, small,
				[]string{"--epochs", "1", "--seed", seed, "--out", root})...)
			c.do("models", "export", only(root), "checkpoints/resnet20-"+seed, "--out", root)
			c.must(os.RemoveAll(at(root)))
		}
	}
	decoder := slices.Concat([]string{"lab4", "autoencoder", "--encoder", "resnet20-0"}, small, []string{"--epochs", "1"})
	decoded := func() {
		c.do(append(slices.Clone(decoder), "--out", "decoder")...)
		c.do("models", "export", only("decoder"), "checkpoints/autoencoder", "--out", "decoder")
		c.must(os.RemoveAll(at("decoder")))
	}
	finetune := []string{"lab3", "finetune", "--encoder", "tiny", "--data", "synthetic-sentences", "--fast-dev-run",
		"--epochs", "1", "--threads", "2"}
	save := func(as string) []string {
		return []string{"lab4", "fgsm", "--checkpoint", "resnet20-0", "--save", "sets/fgsm", "--save-as", as, "--attack",
			"fgsm",
			"--eps", "8", "--limit", "10", "--threads", "2"}
	}
	// unless gives args while path is not there: who makes it refuses one.
	unless := func(path string, args []string) func() [][]string {
		return func() [][]string {
			if _, err := os.Lstat(at(path)); err == nil {
				return nil
			}
			return [][]string{args}
		}
	}
	const (
		twoRuns, oneRun, cut = "results", "study", "parts"
		detectors            = "limit: 40\ntuning: 10\nresamples: 10\nsets:\n  names: [fake]\n  fake: 20\n"
		fineTuned            = "data:\n  name: cifar10\n  val: 40\ntrain:\n  epochs: 1\n  batch_size: 32\noutliers:\n  noise: 20\n" +
			"test:\n  sets:\n    names: [fake]\n    fake: 20\n  eps: [2, 8]\n  pgd: 8\n  steps: 2\n  resamples: 10\n"
	)
	train := func(root, seed string) func() { return do(mlp("--out", root, "--seed", seed)...) }

	// called gives the newest run the name of one from long ago.
	called := func(name string) func() {
		return func() {
			list, err := run.List(at(oneRun))
			c.must(err)
			c.must(os.Rename(at(oneRun, list[len(list)-1].ID), at(oneRun, "20200101-000000-"+name)))
		}
	}

	return []writer{{
		name:  "lab1 resnet",
		quick: true,
		slow:  true,
		wants: []func(){set},
		args:  mlp("--epochs", "2", "--grad-norms"),
	}, {
		name:  "lab1 distill",
		slow:  true,
		wants: []func(){set},
		args: slices.Concat([]string{"lab1", "distill", "--teacher", "mlp", "--student", "mlp", "--set",
			"teacher.model.depth=1",
			"--set", "teacher.model.width=8", "--set", "teacher.train.epochs=1", "--set", "model.depth=0", "--set",
			"model.width=8"}, small, []string{"--epochs", "1"}),
	}, {
		name:  "lab3 baseline",
		slow:  true,
		wants: []func(){encoder(at("tiny"), 0)},
		args: []string{"lab3", "baseline", "--encoder", "tiny", "--data", "synthetic-sentences", "--fast-dev-run", "--epochs",
			"2",
			"--threads", "2"},
	}, {
		name:  "lab3 finetune",
		slow:  true,
		wants: []func(){encoder(at("tiny"), 0)},
		args:  finetune,
	}, {
		name:  "lab4 fgsm",
		slow:  true,
		wants: []func(){set, resnet("0")},
		args: []string{"lab4", "fgsm", "--checkpoint", "resnet20-0", "--limit", "8", "--eps", "0,8", "--set", "pgd.steps=2",
			"--set", "pgd.eps_targeted=[]", "--set", "pgd.eps_l2=[]", "--set", "square.images=0", "--set", "examples.images=1",
			"--threads", "2"},
	}, {
		name:  "lab4 autoencoder",
		slow:  true,
		wants: []func(){set, resnet("0")},
		args:  decoder,
	}, {
		name:  "lab4 ood",
		slow:  true,
		wants: []func(){set, resnet("0"), decoded, write("ood.yaml", detectors)},
		args:  []string{"lab4", "ood", "--checkpoint", "resnet20-0", "--config", "ood.yaml", "--threads", "2"},
	}, {
		name:  "lab4 robust",
		slow:  true,
		wants: []func(){set, resnet("0"), write("robust.yaml", fineTuned)},
		args:  []string{"lab4", "robust", "--original", "resnet20-0", "--config", "robust.yaml", "--threads", "2"},
	}, {
		name: "runs resume",
		wants: []func(){set, func() {
			cmd := c.command(disturbance{}, nil, mlp("--epochs", "2", "--out", cut, "--max-time", "1ns")...)
			if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 3 {
				c.Fatalf("%v: %s", err, out)
			}
		}},
		args: []string{"runs", "resume", "2", "--out", cut},
		again: func() [][]string {
			r, err := run.Examine(at(cut), "2")
			c.must(err)
			if r.Status == run.StatusFinished { // and its figures may be missing
				return [][]string{mlp("--epochs", "2", "--out", cut, "--resume")}
			}
			return [][]string{{"runs", "resume", "2", "--out", cut}}
		},
	}, {
		name: "models export",
		wants: []func(){set, train(oneRun, "0"), train(twoRuns, "1"),
			do("models", "export", "2", "checkpoints/net", "--out", oneRun)},
		args:  []string{"models", "export", "2", "checkpoints/net", "--out", twoRuns},
		whole: []string{"/checkpoints/net"},
		quick: true,
	}, {
		name:  "models import",
		wants: []func(){encoder(at("tiny"), 0), encoder(at("tiny2"), 1), do("models", "import", "tiny", "--name", "mine")},
		args:  []string{"models", "import", "tiny2", "--name", "mine"},
		whole: []string{"/cache/dla/models/mine"},
		quick: true,
	}, {
		name:  "models pull",
		wants: []func(){encoder(filepath.Join(c.out, "encoder"), 2)},
		args:  []string{"models", "pull", "minilm"},
		quick: true,
	}, {
		name:  "lab3 finetune --merge",
		wants: []func(){encoder(at("tiny"), 0), do(finetune...)},
		args:  append(slices.Clone(finetune), "--resume", "--merge", "merged"),
		again: unless("merged", append(slices.Clone(finetune), "--resume", "--merge", "merged")),
		whole: []string{"/merged"},
	}, {
		name:  "lab4 fgsm --save, safetensors",
		wants: []func(){set, resnet("0")},
		args:  save("safetensors"),
		again: unless("sets/fgsm", save("safetensors")),
		whole: []string{"/sets/fgsm"},
	}, {
		name:  "lab4 fgsm --save, images",
		wants: []func(){set, resnet("0")},
		args:  save("images"),
		again: unless("sets/fgsm", save("images")),
		whole: []string{"/sets/fgsm"},
	}, {
		name:  "plot",
		wants: []func(){set, train(oneRun, "0"), do("plot", "--all", "--runs", oneRun, "--out", "drawn"), train(oneRun, "1")},
		args:  []string{"plot", "--all", "--runs", oneRun, "--out", "drawn"},
	}, {
		name: "plot --readme",
		wants: []func(){set, train(twoRuns+"/a", "0"),
			write("results/figures.yaml", "- name: a\n  runs: results/a\n  figures: imgs/a\n  table: study\n"),
			write("README.md", "before\n<!-- table: a -->\n<!-- end -->\nafter\n"), do("plot", "--readme"), train(twoRuns+"/a",
				"1")},
		args: []string{"plot", "--readme"},
	}, {
		name:  "runs rm",
		wants: []func(){set, train(oneRun, "0"), called("a"), train(oneRun, "1"), called("b")},
		args:  []string{"runs", "rm", "20200101-000000-a", "--yes", "--out", oneRun},
		again: func() [][]string { // the next that writes to the folder deletes what is left
			all := [][]string{{"runs", "rm", "20200101-000000-a", "--yes", "--out", oneRun}}
			if _, err := os.Lstat(at(oneRun, "20200101-000000-a")); err != nil {
				all = nil
			}
			return append(all, []string{"runs", "rm", "20200101-000000-b", "--yes", "--out", oneRun})
		},
		whole: []string{"/" + oneRun + "/a"},
		quick: true,
	}, {
		name: "data import, archive",
		wants: []func(){write("cifar-10-binary.tar.gz", string(c.archive)),
			write("cache/dla/data/cifar10/cifar-10-binary.tar.gz", "what is damaged")},
		args:  []string{"data", "import", "cifar10", "cifar-10-binary.tar.gz"},
		quick: true,
	}, {
		name: "data import, folder",
		wants: []func(){func() {
			for name, content := range c.records {
				write("unpacked/"+name, string(content))()
			}
		}},
		args:  []string{"data", "import", "cifar10", "unpacked"},
		quick: true,
	}, {
		name:  "data pull",
		args:  []string{"data", "pull", "cifar10"},
		quick: true,
	}, {
		name: "data rm",
		wants: []func(){write("cifar-10-binary.tar.gz", string(c.archive)),
			do("data", "import", "cifar10", "cifar-10-binary.tar.gz"),
			do("data", "index", "cifar10")},
		args: []string{"data", "rm", "cifar10", "--yes"},
		again: func() [][]string {
			all := [][]string{{"data", "rm", "cifar10", "--yes"}, {"cache", "prune", "--yes"}}
			if list, _ := filepath.Glob(at("cache/dla/data/cifar10/[^.]*")); len(list) == 0 {
				all = all[1:]
			}
			return all
		},
		quick: true,
	}, {
		name: "cache prune",
		wants: []func(){set, do("data", "index", "cifar10"), encoder(at("tiny"), 0),
			do("lab3", "baseline", "--encoder", "tiny", "--data",
				"synthetic-sentences", "--fast-dev-run", "--epochs", "1"), do("models", "import", "tiny")},
		args:  []string{"cache", "prune", "--max-mb", "0", "--yes"},
		quick: true,
	}}
}
