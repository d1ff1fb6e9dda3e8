package cli

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPowerLoss cuts the power of a simulated disk after each operation of every command that writes.
//
// The disk is made of what strace sees a child do: it creates, writes, cuts, renames and deletes files, and syncs files
// and folders. What was synced before the cut is there. Of the rest POSIX promises nothing, so that each cut leaves many
// disks: without all of it; with all names but no content, or half of the content and zeros; with all content but no
// names; with the names up to one of them, or that one alone; with everything. On each of them what was finished before
// is as it was or as it is to be, whole, and no record is broken. On some, chosen at random, the command is given again
// and ends like one that was never disturbed. And when a command has ended well, all that it made is there even if
// nothing is that was not synced.
func TestPowerLoss(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no strace")
	}
	c := newChaos(t)
	if c.strace == "" {
		t.Skip("there is no strace here, which tells what is synced")
	}
	var table []string
	for _, v := range c.commands() {
		if !v.quick && !allRows {
			continue
		}
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			c.T = t
			table = append(table, c.cutPower(v))
		})
	}
	c.T = t
	t.Logf("\n| command | operations | disks | given again | failures |\n|---|---|---|---|---|\n%s",
		strings.Join(table, "\n"))
}

// cutPower says, as a line of a table, what became of v.
func (c *chaos) cutPower(v writer) string {
	c.prepare(v)
	var err error
	c.before, err = c.look()
	c.must(err)
	d := c.recordDisk(v)
	after, err := c.look()
	c.must(err)
	c.must(c.end(v))
	c.want, err = c.look()
	c.must(err)

	var disks []*tree
	seen := map[string]bool{}
	for cut := range len(d.ops) + 1 {
		for _, t := range d.after(cut) {
			if !seen[t.key()] {
				seen[t.key()] = true
				disks = append(disks, t)
			}
		}
	}
	rand.Shuffle(len(disks), func(i, j int) { disks[i], disks[j] = disks[j], disks[i] })
	disks = disks[:min(mostDisks, len(disks))]
	wrong := 0
	failed := func(t *tree, err error) {
		wrong++
		if wrong < 4 {
			var last []string
			for _, o := range d.ops[max(0, t.cut-6):t.cut] {
				last = append(last, o.String())
			}
			c.Errorf("%v, power cut after operation %d of %d (%s; %s): %v", v.args, t.cut, len(d.ops), t.what,
				strings.Join(last, "; "), err)
		}
	}
	for i, t := range disks {
		c.must(t.write(c.in))
		st, err := c.look()
		if err == nil {
			err = c.intact(v, st)
		}
		if err == nil && i < recoveries {
			err = c.after(v, false)
		}
		if err != nil {
			failed(t, err)
		}
	}
	// What it has promised by ending well.
	last := d.after(len(d.ops))[0]
	c.must(last.write(c.in))
	st, err := c.look()
	for key, h := range after.files {
		if got := st.files[key]; err == nil && got != h {
			err = fmt.Errorf("%s is not there", key)
		}
	}
	if err != nil {
		failed(last, err)
	}
	return fmt.Sprintf("| `%s` | %d | %d | %d | %d |", v.name, len(d.ops), len(disks), min(recoveries, len(disks)), wrong)
}

// disk is what there was, and what became of it.
type disk struct {
	nodes []node // 0 is none, 1 the folder that commands work in
	ops   []diskOp
}

// node is a file or folder, under whatever names.
type node struct {
	dir     bool
	link    string
	content []byte         // before the first operation
	names   map[string]int // of a folder, before the first operation
	now     map[string]int // and at present, while the disk is recorded
}

// diskOp is one operation, by nodes.
type diskOp struct {
	names  []naming // set: names change
	node   int      // whose content changes, or which is synced
	off    int64
	data   []byte // written; nil: the file is cut at off
	sync   bool
	synced int    // the operation by which it is safe; len(ops) or more: none
	text   string // for errors
}

func (o diskOp) String() string { return o.text }

// naming gives the entry name of the folder dir to a node, or with 0 to none.
type naming struct {
	dir  int
	name string
	node int
}

// objects are what has to be synced for o to be safe.
func (o diskOp) objects() []int {
	if o.names == nil {
		return []int{o.node}
	}
	var dirs []int
	for _, n := range o.names {
		if !slices.Contains(dirs, n.dir) {
			dirs = append(dirs, n.dir)
		}
	}
	return dirs
}

// recordDisk runs v, and gives the disk that it worked on.
func (c *chaos) recordDisk(v writer) *disk {
	d := &disk{nodes: make([]node, 1)}
	d.read(c, c.in)
	log := filepath.Join(c.out, "strace")
	cmd := c.command(disturbance{}, []string{c.strace, "-f", "-qq", "-y", "-xx", "-s", strconv.Itoa(1 << 26),
		"--seccomp-bpf", "-o", log,
		"-e", "signal=none", "-e", "trace=openat,write,pwrite64,lseek,ftruncate,fsync,fdatasync,renameat,renameat2,mkdirat,unlinkat," +
			"symlinkat,linkat,copy_file_range,sendfile,splice,fallocate,writev,pwritev"}, v.args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("%v: %v\n%s", v.args, err, out)
	}
	b, err := os.ReadFile(log)
	c.must(err)
	r := recorder{d: d, root: c.in, open: map[string]*openFile{}}
	begun := map[string]string{}
	for line := range bytes.Lines(b) {
		pid, call, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		call = strings.TrimSpace(call)
		if head, found := strings.CutSuffix(call, " <unfinished ...>"); found {
			begun[pid] = head
			continue
		}
		if _, rest, found := strings.Cut(call, " resumed>"); found && strings.HasPrefix(call, "<... ") {
			call = begun[pid] + rest
		}
		if !ok {
			continue
		}
		if err := r.add(call); err != nil {
			c.Fatalf("%.200s: %v", call, err)
		}
	}
	d.settle()
	return d
}

// read makes nodes of the folder at path and what is in it, and returns that of the folder.
func (d *disk) read(c *chaos, path string) int {
	list, err := os.ReadDir(path)
	c.must(err)
	at := len(d.nodes)
	d.nodes = append(d.nodes, node{dir: true, names: map[string]int{}})
	for _, e := range list {
		child := filepath.Join(path, e.Name())
		n := len(d.nodes)
		switch {
		case e.IsDir():
			n = d.read(c, child)
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(child)
			c.must(err)
			d.nodes = append(d.nodes, node{link: to})
		default:
			b, err := os.ReadFile(child)
			c.must(err)
			d.nodes = append(d.nodes, node{content: b})
		}
		d.nodes[at].names[e.Name()] = n
	}
	d.nodes[at].now = maps.Clone(d.nodes[at].names)
	return at
}

// settle finds out by which sync each operation is safe.
func (d *disk) settle() {
	for i := range d.ops {
		o := &d.ops[i]
		for _, object := range o.objects() {
			at := i + 1
			for at < len(d.ops) && (!d.ops[at].sync || d.ops[at].node != object) {
				at++
			}
			o.synced = max(o.synced, at)
		}
	}
}

// openFile is an open file of the process.
type openFile struct {
	node   int
	off    int64
	append bool
}

// recorder makes operations of system calls.
type recorder struct {
	d    *disk
	root string
	open map[string]*openFile // by number
}

// find is the folder and name of a path, and what it is the name of, 0 where that is nothing. ok is false outside the
// folder that is recorded.
func (r *recorder) find(path string) (dir int, name string, at int, ok bool) {
	rel, err := filepath.Rel(r.root, path)
	if err != nil || !filepath.IsLocal(rel) {
		return 0, "", 0, false
	}
	at = 1
	if rel == "." {
		return 0, "", at, true
	}
	for _, name = range strings.Split(rel, "/") {
		dir, at = at, r.d.nodes[at].now[name]
	}
	return dir, name, at, true
}

// text is what a string, or the path of an open file, of strace says.
func text(s string) string {
	if i := strings.IndexByte(s, '<'); i >= 0 {
		s = s[i+1 : strings.LastIndexByte(s, '>')]
	}
	b, _ := hex.DecodeString(strings.ReplaceAll(strings.Trim(s, `"`), `\x`, "")) // else it is no path
	return string(b)
}

// number is the number of an open file.
func number(s string) string { n, _, _ := strings.Cut(s, "<"); return n }

// path is that of the arguments folder and name.
func path2(dir, name string) string {
	if p := text(name); filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(text(dir), text(name))
}

// rename is an operation on names, which have it at once.
func (r *recorder) rename(what string, names ...naming) {
	for _, n := range names {
		if n.node == 0 {
			delete(r.d.nodes[n.dir].now, n.name)
		}
	}
	for _, n := range names {
		if n.node != 0 {
			r.d.nodes[n.dir].now[n.name] = n.node
		}
	}
	r.d.ops = append(r.d.ops, diskOp{names: names, text: what})
}

// make makes a new node.
func (r *recorder) make(n node) int {
	if n.dir {
		n.names, n.now = map[string]int{}, map[string]int{}
	}
	r.d.nodes = append(r.d.nodes, n)
	return len(r.d.nodes) - 1
}

// add records a system call as strace writes it.
func (r *recorder) add(call string) error {
	name, rest, ok := strings.Cut(call, "(")
	end := strings.LastIndex(rest, " = ")
	if !ok || end < 0 {
		return nil // an exit, or a call that it cut short
	}
	args := strings.Split(strings.TrimSuffix(strings.TrimRight(rest[:end], " "), ")"), ", ")
	result := rest[end+len(" = "):]
	if strings.HasPrefix(result, "-") || strings.HasPrefix(result, "?") {
		return nil
	}
	file := r.open[number(args[0])]
	switch name {
	case "openat":
		delete(r.open, number(result))
		dir, base, at, inside := r.find(text(result))
		if !inside {
			return nil
		}
		if at == 0 {
			if !strings.Contains(args[2], "O_CREAT") || dir == 0 {
				return fmt.Errorf("%s was opened, which is not there", text(result))
			}
			at = r.make(node{})
			r.rename("create "+base, naming{dir, base, at})
		} else if strings.Contains(args[2], "O_TRUNC") {
			r.d.ops = append(r.d.ops, diskOp{node: at, text: "empty " + base})
		}
		r.open[number(result)] = &openFile{node: at, append: strings.Contains(args[2], "O_APPEND")}
	case "lseek":
		if file != nil {
			n, err := strconv.ParseInt(result, 10, 64)
			file.off = n
			return err
		}
	case "write", "pwrite64":
		if file == nil {
			return nil
		}
		b := []byte(text(args[1]))
		off := file.off
		n, err := strconv.Atoi(result)
		if err != nil || n != len(b) {
			return fmt.Errorf("%d bytes of %s, %w", len(b), result, err)
		}
		if name == "pwrite64" {
			if off, err = strconv.ParseInt(args[3], 10, 64); err != nil {
				return err
			}
		} else if file.append {
			off = 1 << 40
		} else {
			file.off += int64(n)
		}
		r.d.ops = append(r.d.ops, diskOp{node: file.node, off: off, data: b, text: "write " + filepath.Base(text(args[0]))})
	case "ftruncate":
		if file != nil {
			off, err := strconv.ParseInt(args[1], 10, 64)
			r.d.ops = append(r.d.ops, diskOp{node: file.node, off: off, text: "cut " + filepath.Base(text(args[0]))})
			return err
		}
	case "fsync", "fdatasync":
		if file != nil {
			r.d.ops = append(r.d.ops, diskOp{node: file.node, sync: true, text: "sync " + filepath.Base(text(args[0]))})
		}
	case "mkdirat":
		if dir, base, _, inside := r.find(path2(args[0], args[1])); inside {
			r.rename("mkdir "+base, naming{dir, base, r.make(node{dir: true})})
		}
	case "symlinkat":
		if dir, base, _, inside := r.find(path2(args[1], args[2])); inside {
			r.rename("link "+base, naming{dir, base, r.make(node{link: text(args[0])})})
		}
	case "unlinkat":
		if dir, base, _, inside := r.find(path2(args[0], args[1])); inside {
			r.rename("remove "+base, naming{dir, base, 0})
		}
	case "renameat", "renameat2":
		dir, base, at, inside := r.find(path2(args[0], args[1]))
		dir2, base2, at2, inside2 := r.find(path2(args[2], args[3]))
		switch {
		case !inside && !inside2:
		case at == 0 || !inside2:
			return fmt.Errorf("%s was renamed, which is not there", base)
		case name == "renameat2" && strings.Contains(args[4], "RENAME_EXCHANGE"):
			r.rename("exchange "+base+" "+base2, naming{dir, base, at2}, naming{dir2, base2, at})
		default:
			r.rename("rename "+base+" "+base2, naming{dir, base, 0}, naming{dir2, base2, at})
		}
	default:
		if file != nil {
			return fmt.Errorf("a call that is not simulated")
		}
	}
	return nil
}

// tree is what of a disk there is after a power cut.
type tree struct {
	cut   int
	what  string
	d     *disk
	names map[int]map[string]int // of folders
	done  map[int][]int          // the operations on each file that arrived, those in part below 0
}

// after are the disks that a power cut before the operation cut may leave, the first without all that was not synced.
func (d *disk) after(cut int) []*tree {
	const none, part, all = 0, 1, 2
	var pending []int // operations on names that are not safe
	for i, o := range d.ops[:cut] {
		if o.names != nil && o.synced >= cut {
			pending = append(pending, i)
		}
	}
	build := func(what string, content int, names func(i int) bool) *tree {
		t := &tree{cut: cut, what: what, d: d, names: map[int]map[string]int{}, done: map[int][]int{}}
		for i, o := range d.ops[:cut] {
			safe := o.synced < cut
			switch {
			case o.sync:
			case o.names != nil && (safe || names(i)):
				t.rename(o.names)
			case o.names == nil && (safe || content == all):
				t.done[o.node] = append(t.done[o.node], i)
			case o.names == nil && content == part:
				t.done[o.node] = append(t.done[o.node], -1-i)
			}
		}
		return t
	}
	yes, no := func(int) bool { return true }, func(int) bool { return false }
	trees := []*tree{build("what was synced", none, no), build("names without content", none, yes),
		build("names with half of the content", part, yes), build("content without names", all, no), build("everything", all,
			yes)}
	for _, j := range pending[max(0, len(pending)-8):] {
		trees = append(trees, build("names up to "+d.ops[j].text, none, func(i int) bool { return i <= j }),
			build(d.ops[j].text+" alone", all, func(i int) bool { return i == j }))
	}
	return trees
}

// rename makes the names of t what they became.
func (t *tree) rename(names []naming) {
	for _, n := range names {
		if t.names[n.dir] == nil {
			t.names[n.dir] = maps.Clone(t.d.nodes[n.dir].names)
		}
	}
	for _, n := range names {
		if n.node == 0 {
			delete(t.names[n.dir], n.name)
		}
	}
	for _, n := range names {
		if n.node != 0 {
			t.names[n.dir][n.name] = n.node
		}
	}
}

// entries are those of a folder.
func (t *tree) entries(dir int) map[string]int {
	if n, ok := t.names[dir]; ok {
		return n
	}
	return t.d.nodes[dir].names
}

// key is other for other trees.
func (t *tree) key() string {
	var b strings.Builder
	var walk func(path string, at int)
	walk = func(path string, at int) {
		fmt.Fprintln(&b, path, at, t.done[at])
		for _, name := range slices.Sorted(maps.Keys(t.entries(at))) {
			walk(path+"/"+name, t.entries(at)[name])
		}
	}
	walk("", 1)
	return b.String()
}

// content is that of a file.
func (t *tree) content(at int) []byte {
	b := slices.Clone(t.d.nodes[at].content)
	for _, i := range t.done[at] {
		in := i < 0
		if in {
			i = -1 - i
		}
		o := t.d.ops[i]
		off := o.off
		if off == 1<<40 {
			off = int64(len(b))
		}
		if o.data == nil {
			b = append(b, make([]byte, max(0, off-int64(len(b))))...)[:off]
			continue
		}
		data := slices.Clone(o.data)
		if in {
			clear(data[len(data)/2:])
		}
		b = append(b, make([]byte, max(0, off+int64(len(data))-int64(len(b))))...)
		copy(b[off:], data)
	}
	return b
}

// write makes dir what t is.
func (t *tree) write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	var make func(path string, at int) error
	make = func(path string, at int) error {
		n := t.d.nodes[at]
		if n.link != "" {
			return os.Symlink(n.link, path)
		}
		if !n.dir {
			return os.WriteFile(path, t.content(at), 0o666)
		}
		if err := os.Mkdir(path, 0o777); err != nil {
			return err
		}
		for name, child := range t.entries(at) {
			if err := make(filepath.Join(path, name), child); err != nil {
				return err
			}
		}
		return nil
	}
	return make(dir, 1)
}
