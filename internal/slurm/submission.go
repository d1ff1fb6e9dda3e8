package slurm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
)

// Names in a study's folder.
const (
	folder     = "slurm" // holds the submissions
	logs       = "logs"
	reportName = "report"
	scriptExt  = ".sh"
	tasksExt   = ".tasks"
	jobExt     = ".job"
	mark       = "cancelled"
	anyTrial   = "any" // in place of a task's trials
)

func arrayName(i int) string { return fmt.Sprintf("array-%d", i) }

// most bounds the bytes of a file that is read here.
const most = 64 << 20

// Study is what trials are submitted of. All paths are absolute.
type Study struct {
	Dir     string   // the study's folder, which all nodes see
	Program string   // dla
	Cwd     string   // the folder that relative paths in the study's settings start from
	Args    []string // further arguments of `dla sweep run`
	Any     bool     // a task makes whatever trial is next, one after the other, and not certain ones
	Report  []string // arguments of the command that draws tables and figures
}

// Submission is what one command submitted: job arrays of trials, and a job that waits for them.
type Submission struct {
	Key       string // of its folder: 001-3fa2b1c0
	Arrays    []Job
	Report    Job
	Cancelled bool

	dir     string // of the study
	options Options
	scripts map[string]string // by the name of the file; of one that is not written yet
}

// Job is a job of Slurm.
type Job struct {
	Name    string  // in Slurm; its end is unique, by which it is found
	ID      string  // empty: not submitted, or the process that submitted it died at that instant
	Cluster string  // of several; usually empty
	Tasks   [][]int // the trials of each task of an array; nil: whatever is next

	file string // in the submission's folder, without extension
	end  string // of its name
}

// Plan divides trials over the tasks of as few job arrays as limits allow. It writes nothing.
func (st Study) Plan(trials []int, o Options, limits Limits) (Submission, error) {
	for _, p := range []string{st.Dir, st.Program, st.Cwd} {
		if strings.ContainsFunc(p, unicode.IsControl) {
			return Submission{}, fmt.Errorf("the path %q holds a control character, which a line of a script cannot; rename it",
				p)
		}
	}
	if strings.Contains(st.Dir, `\`) {
		return Submission{}, fmt.Errorf("the path %s holds a backslash, and Slurm writes no logs of an array there; "+
			"rename it", st.Dir)
	}
	if limits.ArrayTasks < 1 {
		return Submission{}, errors.New("this cluster allows no job arrays (MaxArraySize is 0); ask those who run it, or " +
			"run the trials yourself: dla sweep run")
	}
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Submission{}, err
	}
	before, err := Submissions(st.Dir)
	if err != nil {
		return Submission{}, err
	}
	sub := Submission{Key: fmt.Sprintf("%03d-%s", len(before)+1, hex.EncodeToString(random[:])), dir: st.Dir, options: o,
		scripts: map[string]string{}}
	job := func(file, what string) Job {
		end := "-" + sub.Key + "-" + what
		return Job{Name: filepath.Base(st.Dir) + end, file: file, end: end}
	}
	tasks := slices.Collect(slices.Chunk(trials, o.PerTask))
	for chunk := range slices.Chunk(tasks, limits.ArrayTasks) {
		i := len(sub.Arrays) + 1
		j := job(arrayName(i), strconv.Itoa(i))
		j.Tasks = chunk
		if st.Any {
			j.Tasks = make([][]int, len(chunk))
		}
		sub.scripts[j.file] = st.arrayScript(sub.Key, i, j, o)
		sub.Arrays = append(sub.Arrays, j)
	}
	sub.Report = job(reportName, reportName)
	sub.scripts[reportName] = st.reportScript(sub.Key, sub.Report, o)
	return sub, nil
}

// Each calls do for every script of a planned submission, with the command that submits it.
func (s Submission) Each(do func(command []string, script string)) {
	var ids []string
	for i, j := range s.Arrays {
		do(append([]string{"sbatch"}, s.arguments(j, ids)...), s.scripts[j.file])
		ids = append(ids, fmt.Sprintf("ID%d", i+1))
	}
	do(append([]string{"sbatch"}, s.arguments(s.Report, ids)...), s.scripts[reportName])
}

// arguments returns those of sbatch for j. ids are the jobs submitted before it. Arrays with a bound on the tasks that
// run at the same time follow one another, since the bound of Slurm is one of each array.
func (s Submission) arguments(j Job, ids []string) []string {
	args := []string{"--parsable"}
	switch {
	case j.file == reportName:
		args = append(args, "--dependency=afterany:"+strings.Join(ids, ":"))
	case s.options.Parallelism > 0 && len(ids) > 0:
		args = append(args, "--dependency=afterany:"+ids[len(ids)-1])
	}
	return append(args, filepath.Join(s.dir, folder, s.Key, j.file+scriptExt))
}

// Submit writes the folder of the planned submission s and submits its jobs; each is called for every one that Slurm
// has taken. After an error those before it stay submitted, and the folder says which.
func (s Submission) Submit(ctx context.Context, each func(Job)) error {
	dir := filepath.Join(s.dir, folder, s.Key)
	err := atomicfile.NewFolder(dir, 0o777, func(tmp string) error {
		if err := os.Mkdir(filepath.Join(tmp, logs), 0o777); err != nil { // without it a job dies without a word
			return err
		}
		for name, script := range s.scripts {
			if err := os.WriteFile(filepath.Join(tmp, name+scriptExt), []byte(script), 0o777); err != nil {
				return err
			}
		}
		for _, j := range s.Arrays {
			if err := os.WriteFile(filepath.Join(tmp, j.file+tasksExt), writeTasks(j.Tasks), 0o666); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var ids []string
	for i, j := range append(s.Arrays[:len(s.Arrays):len(s.Arrays)], s.Report) {
		out, err := call(ctx, variables(s.options), "sbatch", s.arguments(j, ids)...)
		if err == nil {
			err = j.taken(out)
		}
		if err == nil {
			err = j.write(dir)
		}
		if err != nil {
			what := fmt.Sprintf("%d of %d job arrays are submitted", i, len(s.Arrays))
			if i == len(s.Arrays) {
				what = "the trials are submitted, but not the job that draws tables and figures"
			}
			return fmt.Errorf("%w; %s; mend it and repeat the command, which submits what is missing", err, what)
		}
		ids = append(ids, j.ID)
		each(j)
	}
	return nil
}

var idForm = regexp.MustCompile(`^[0-9]+$`)

// taken reads what sbatch --parsable prints: the id, and of several clusters a semicolon and the cluster. A site may
// have sbatch print further lines before.
func (j *Job) taken(out string) error {
	lines := strings.Fields(out)
	if len(lines) > 0 {
		id, cluster, _ := strings.Cut(lines[len(lines)-1], ";")
		if idForm.MatchString(id) {
			j.ID, j.Cluster = id, cluster
			return nil
		}
	}
	return fmt.Errorf("sbatch printed %q, which is no id of a job; see `squeue --name %s`", out, j.Name)
}

// noted is the content of a .job file.
type noted struct {
	ID        string    `json:"id"`
	Cluster   string    `json:"cluster,omitempty"`
	Submitted time.Time `json:"submitted"`
}

func (j Job) write(dir string) error {
	b, err := json.Marshal(noted{j.ID, j.Cluster, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, j.file+jobExt), append(b, '\n'))
}

func writeTasks(tasks [][]int) []byte {
	var b []byte
	for _, trials := range tasks {
		if trials == nil {
			b = append(b, anyTrial...)
		}
		for i, n := range trials {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = append(b, '\n')
	}
	return b
}

func readTasks(path string) ([][]int, error) {
	b, err := plainfile.Read(path, most)
	if err != nil {
		return nil, err
	}
	var tasks [][]int
	for line := range strings.Lines(string(b)) {
		if line == anyTrial+"\n" {
			tasks = append(tasks, nil)
			continue
		}
		var trials []int
		for n := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), ",") {
			trial, err := strconv.Atoi(n)
			if err != nil || trial < 0 {
				return nil, fmt.Errorf("%s, line %d: %q is no number of a trial; this file is written by dla and never edited",
					path, len(tasks)+1, n)
			}
			trials = append(trials, trial)
		}
		tasks = append(tasks, trials)
	}
	return tasks, nil
}

var keyForm = regexp.MustCompile(`^[0-9]{3,}-[0-9a-f]{8}$`)

// Submissions returns what was submitted of the study in dir, oldest first; none if nothing was.
func Submissions(dir string) ([]Submission, error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Submission
	for _, e := range entries { // sorted by name, which begins with a number
		if !e.IsDir() || !keyForm.MatchString(e.Name()) {
			continue
		}
		s, err := read(dir, e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Submission) int { return len(a.Key) - len(b.Key) }) // 1000-… after 999-…
	return all, nil
}

// read reads the submission key of the study in dir.
func read(dir, key string) (Submission, error) {
	s := Submission{Key: key, dir: dir}
	at := filepath.Join(dir, folder, key)
	_, err := os.Lstat(filepath.Join(at, mark))
	s.Cancelled = err == nil
	for i := 1; ; i++ {
		j := Job{file: arrayName(i)}
		j.Tasks, err = readTasks(filepath.Join(at, j.file+tasksExt))
		if errors.Is(err, fs.ErrNotExist) && i > 1 {
			break
		}
		if err != nil {
			return s, err
		}
		if err := j.read(at, key, strconv.Itoa(i)); err != nil {
			return s, err
		}
		s.Arrays = append(s.Arrays, j)
	}
	s.Report = Job{file: reportName}
	return s, s.Report.read(at, key, reportName)
}

// read fills in the id of j, whose submission key lies at at.
func (j *Job) read(at, key, what string) error {
	j.end = "-" + key + "-" + what
	j.Name = filepath.Base(filepath.Dir(filepath.Dir(at))) + j.end
	b, err := plainfile.Read(filepath.Join(at, j.file+jobExt), most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var n noted
	if err := json.Unmarshal(b, &n); err != nil || !idForm.MatchString(n.ID) {
		return fmt.Errorf("%s is damaged: it holds no id of a job; delete it: the job is found by its name",
			filepath.Join(at, j.file+jobExt))
	}
	j.ID, j.Cluster = n.ID, n.Cluster
	return nil
}
