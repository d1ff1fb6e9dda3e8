package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/download"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/weights"
)

const repo = "sentence-transformers/all-MiniLM-L6-v2"

const config = `{"model_type": "bert", "vocab_size": 12000, "max_position_embeddings": 8, "type_vocab_size": 2,
	"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "hidden_act": "gelu",
	"pad_token_id": 0, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12}`

// params is how many weights that encoder has.
const params = 48_220

// repository is the content of a small encoder's repository.
func repository(t *testing.T, fill float32) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"config.json":           []byte(config),
		"vocab.txt":             []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n"),
		"modules.json":          []byte(`[]`),
		"1_Pooling/config.json": []byte(`{"pooling_mode_mean_tokens": true}`),
		"README.md":             []byte("not wanted"),
		"model.safetensors":     weightsOf(t, config, fill),
	}
}

// weightsOf is a file of the weights of the encoder that config describes.
func weightsOf(t *testing.T, config string, fill float32) []byte {
	t.Helper()
	dir := put(t, t.TempDir(), "m", map[string][]byte{"config.json": []byte(config)})
	e, err := model.ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := nn.NewParams(1)
	g := nn.NewGraph(p)
	if e.Hidden(g, g.Packed(2, 1)); g.Err() != nil {
		t.Fatal(g.Err())
	}
	var all []weights.Tensor
	for _, q := range p.List() {
		data := make([]float32, len(q.Data))
		for i := range data {
			data[i] = fill * float32(i)
		}
		all = append(all, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: data})
	}
	path := filepath.Join(dir, "w")
	if _, err := weights.Save(path, all, nil); err != nil {
		t.Fatal(err)
	}
	w, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// server is a hub of one repository and the storage host it sends those to who want the weights.
type server struct {
	t      *testing.T
	hub    *httptest.Server
	store  *httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	repo   string
	commit string
	asked  []string // what storage was asked for: its Range headers
	leaks  []string // where a token was seen that should not have been

	// These answer in place of the servers, where they return true.
	onHub, onStore func(w http.ResponseWriter, r *http.Request) bool
}

const token = "hf_secret"

// serve starts a server and sets the environment to it and to an empty cache.
func serve(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, files: repository(t, 1), repo: repo, commit: strings.Repeat("a1", 20)}
	s.hub = httptest.NewServer(http.HandlerFunc(s.answer))
	s.store = httptest.NewServer(http.HandlerFunc(s.give))
	t.Cleanup(s.hub.Close)
	t.Cleanup(s.store.Close)
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData", "HF_HOME"} {
		t.Setenv(name, home)
	}
	for _, name := range []string{"HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "DLA_MODELS"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_TOKEN", token)
	t.Setenv("HF_ENDPOINT", s.hub.URL+"/")
	return s
}

// answer is what the hub says, as huggingface.co does.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := r.Header.Get("Authorization"); got != "Bearer "+token && os.Getenv("HF_TOKEN") != "" {
		s.leaks = append(s.leaks, fmt.Sprintf("the hub got the token %q", got))
	}
	if s.onHub != nil && s.onHub(w, r) {
		return
	}
	if r.URL.Path == "/api/models/"+s.repo+"/revision/main" {
		type sibling struct {
			Name string `json:"rfilename"`
		}
		list := []sibling{{"../../evil"}, {"/etc/evil"}}
		for name := range s.files {
			list = append(list, sibling{name})
		}
		json.NewEncoder(w).Encode(map[string]any{"sha": s.commit, "siblings": list})
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/"+s.repo+"/resolve/"+s.commit+"/")
	content := s.files[name]
	if !ok || content == nil {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if name != "model.safetensors" {
		w.Header().Set("ETag", `"`+gitHash(content)+`"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content)
		return
	}
	w.Header().Set("ETag", `"of-the-redirect"`)
	w.Header().Set("X-Linked-Etag", `"`+sha(content)+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	http.Redirect(w, r, s.store.URL+"/"+sha(content), http.StatusFound)
}

// give is what the storage host says.
func (s *server) give(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Get("Range"))
	if r.Header.Get("Authorization") != "" {
		s.leaks = append(s.leaks, "storage got the token")
	}
	content, on := s.files["model.safetensors"], s.onStore
	s.mu.Unlock()
	if on == nil || !on(w, r) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func sha(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func gitHash(b []byte) string {
	h := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(h[:])
}

func init() { download.Pause = time.Millisecond }

// fromEnv is FromEnv, which must not fail.
func fromEnv(t *testing.T) *Hub {
	t.Helper()
	h, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// pull pulls MiniLM as a new process would.
func (s *server) pull() (Encoder, string, error) {
	s.t.Helper()
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	e, how, err := fromEnv(s.t).Pull(context.Background(), "minilm", nil)
	if len(s.leaks) > 0 {
		s.t.Errorf("%v", s.leaks)
	}
	return e, how, err
}

// mustPull pulls and compares what came with what the server has.
func (s *server) mustPull() Encoder {
	s.t.Helper()
	e, how, err := s.pull()
	if err != nil {
		s.t.Fatal(err)
	}
	if want := "from " + strings.TrimPrefix(s.hub.URL, "http://"); how != want {
		s.t.Errorf("said %q, want %q", how, want)
	}
	for name, want := range s.files {
		got, err := os.ReadFile(filepath.Join(e.Dir, name))
		if name == "README.md" {
			if !errors.Is(err, os.ErrNotExist) {
				s.t.Errorf("README.md was fetched (%v)", err)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			s.t.Errorf("%s is not what the hub has (%v)", name, err)
		}
	}
	return e
}

// folder is the repository's folder in the cache.
func (s *server) folder(elem ...string) string {
	return filepath.Join(append([]string{os.Getenv("HF_HOME"), "hub", "models--sentence-transformers--all-MiniLM-L6-v2"},
		elem...)...)
}

// part is where the part of the weights that has come is.
func (s *server) part() string {
	return s.folder("blobs", sha(s.files["model.safetensors"])+".incomplete")
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// TestPullLayout: the cache is laid out as Hugging Face's tools expect.
func TestPullLayout(t *testing.T) {
	s := serve(t)
	e := s.mustPull()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the name", e.Name, "minilm"},
		{"the type", e.ModelType, "bert"},
		{"the number of parameters", e.Params, params},
		{"the source", e.Source, hubCache},
		{"the folder", e.Dir, s.folder("snapshots", s.commit)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if b, err := os.ReadFile(s.folder("refs", "main")); string(b) != s.commit {
		t.Errorf("refs/main is %q (%v)", b, err)
	}
	for name, want := range map[string]string{
		"config.json":           "../../blobs/" + gitHash(s.files["config.json"]),
		"1_Pooling/config.json": "../../../blobs/" + gitHash(s.files["1_Pooling/config.json"]),
		"model.safetensors":     "../../blobs/" + sha(s.files["model.safetensors"]),
	} {
		if to, err := os.Readlink(filepath.Join(e.Dir, name)); err != nil || to != want {
			t.Errorf("%s links to %q (%v), want %q", name, to, err, want)
		}
	}
	if _, how, err := s.pull(); err != nil || how != "already" || len(s.asked) != 0 {
		t.Errorf("the second pull said %q (%v) and fetched %q", how, err, s.asked)
	}
	for _, name := range []string{"minilm", "all-MiniLM-L6-v2", repo} {
		if found, err := Find(name); err != nil || found.Dir != e.Dir {
			t.Errorf("Find(%s) is %+v, %v", name, found, err)
		}
	}
}

// TestPullMendsDamage: a blob that has gone bad is fetched anew.
func TestPullMendsDamage(t *testing.T) {
	s := serve(t)
	e := s.mustPull()
	if err := os.Truncate(filepath.Join(e.Dir, "model.safetensors"), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("minilm"); err == nil || !strings.Contains(err.Error(),
		"fetch it again with `dla models pull minilm`") {
		t.Errorf("Find gave %v, want the remedy", err)
	}
	s.mustPull()
}

// TestPullWithoutLinks: where links cannot be made, the files themselves are in the snapshot.
func TestPullWithoutLinks(t *testing.T) {
	s := serve(t)
	atomicfile.Fault = func(op, _ string) error {
		if op == "symlink" {
			return errors.ErrUnsupported
		}
		return nil
	}
	defer func() { atomicfile.Fault = nil }()
	e := s.mustPull()
	if st, err := os.Lstat(filepath.Join(e.Dir, "model.safetensors")); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the weights are %v (%v), want a file", st, err)
	}
	if _, how, err := s.pull(); err != nil || how != "already" {
		t.Errorf("the second pull said %q (%v)", how, err)
	}
}

// TestTokenFile: the token is taken from where Hugging Face's login leaves it, and none is sent without.
func TestTokenFile(t *testing.T) {
	s := serve(t)
	t.Setenv("HF_TOKEN", "")
	seen := ""
	s.onHub = func(_ http.ResponseWriter, r *http.Request) bool {
		seen = r.Header.Get("Authorization")
		return false
	}
	if _, _, err := s.pull(); err != nil || seen != "" {
		t.Errorf("without a token the hub got %q (%v)", seen, err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("HF_HOME"), "token"), []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.pull(); err != nil || seen != "Bearer hf_file" {
		t.Errorf("with a token file the hub got %q (%v)", seen, err)
	}
}

// cut makes storage close the connection after n bytes of what was asked for.
func cut(s *server, n int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		http.ServeContent(&cutting{ResponseWriter: w, left: n}, r, "", time.Time{},
			bytes.NewReader(s.files["model.safetensors"]))
		return true
	}
}

type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(b []byte) (int, error) {
	if len(b) <= c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestCutConnections: a transfer that breaks off goes on where it did, within a pull and between two.
func TestCutConnections(t *testing.T) {
	s := serve(t)
	s.onStore = cut(s, 30_000)
	_, _, err := s.pull()
	if err == nil || !strings.Contains(err.Error(), "model.safetensors: the transfer broke off") ||
		!strings.Contains(err.Error(), "given up after 5 tries") {
		t.Fatalf("error %v", err)
	}
	if want := []string{"", "bytes=30000-", "bytes=60000-", "bytes=90000-",
		"bytes=120000-"}; fmt.Sprint(s.asked) != fmt.Sprint(want) {
		t.Errorf("storage was asked for %q, want %q", s.asked, want)
	}
	if n := size(t, s.part()); n != 150_000 {
		t.Errorf("%d bytes were kept, want 150000", n)
	}
	if _, err := os.Stat(s.folder("refs", "main")); err == nil {
		t.Error("refs/main names a snapshot that is not whole")
	}
	s.onStore = nil
	s.mustPull()
	if fmt.Sprint(s.asked) != "[bytes=150000-]" {
		t.Errorf("storage was asked for %q", s.asked)
	}
	if _, err := os.Stat(s.part()); err == nil {
		t.Error("the part is still there")
	}
}

// TestWrongBytes: bytes of another hash are fetched once more and never kept.
func TestWrongBytes(t *testing.T) {
	s := serve(t)
	wrong, times := bytes.Clone(s.files["model.safetensors"]), 1
	wrong[100_000] ^= 1
	s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
		if times == 0 {
			return false
		}
		times--
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(wrong))
		return true
	}
	s.mustPull()

	s = serve(t)
	times = 1000
	s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(wrong))
		return true
	}
	if _, _, err := s.pull(); err == nil || !strings.Contains(err.Error(),
		"model.safetensors: the file that came does not have the hash that the hub gives") {
		t.Errorf("error %v", err)
	}
	if len(s.asked) != 2 {
		t.Errorf("tried %d times, want 2", len(s.asked))
	}
	for _, name := range []string{"blobs/" + sha(wrong), "blobs/" + sha(s.files["model.safetensors"]),
		"blobs/" + sha(s.files["model.safetensors"]) + ".incomplete", "refs/main"} {
		if _, err := os.Lstat(s.folder(filepath.FromSlash(name))); err == nil {
			t.Errorf("%s was kept", name)
		}
	}
}

// TestSmallFileOfWrongBytes: Git's hash is checked as well.
func TestSmallFileOfWrongBytes(t *testing.T) {
	s := serve(t)
	s.onHub = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/vocab.txt") {
			return false
		}
		w.Header().Set("ETag", `W/"`+gitHash(s.files["vocab.txt"])+`"`)
		w.Write([]byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nevil\n"))
		return true
	}
	if _, _, err := s.pull(); err == nil || !strings.Contains(err.Error(),
		"vocab.txt: the file that came does not have the hash") || len(s.asked) != 0 {
		t.Errorf("error %v, and storage was asked %q", err, s.asked)
	}
}

// TestOddAnswers: what storage answers to a Range, a part of the file is never mistaken for another.
func TestOddAnswers(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, content []byte, from int){
		"another part": func(w http.ResponseWriter, content []byte, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from+7, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[from+7:])
		},
		"a part of another file": func(w http.ResponseWriter, content []byte, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content), len(content)+1))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[from:])
		},
		"no Content-Range": func(w http.ResponseWriter, content []byte, from int) {
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[from:])
		},
		"all of it": func(w http.ResponseWriter, content []byte, _ int) { w.Write(content) },
		"416": func(w http.ResponseWriter, _ []byte, _ int) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
		"an expired address": func(w http.ResponseWriter, _ []byte, _ int) { w.WriteHeader(http.StatusForbidden) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			content := s.files["model.safetensors"]
			s.onStore = cut(s, 70_000)
			ctx, cancel := context.WithCancel(context.Background())
			_, _, err := fromEnv(t).Pull(ctx, "minilm", func(p download.Progress) {
				if p.File == "model.safetensors" && p.Done >= 70_000 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want that it was stopped", err)
			}
			if n := size(t, s.part()); n != 70_000 {
				t.Fatalf("a stopped pull leaves %d bytes, want 70000", n)
			}
			once := true
			s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Range") != "bytes=70000-" || !once {
					return false
				}
				once = false
				answer(w, content, 70_000)
				return true
			}
			var most int64 // of the bytes that were taken to be of the file before it was begun anew
			anew := false
			_, _, err = fromEnv(t).Pull(context.Background(), "minilm", func(p download.Progress) {
				if anew = anew || p.File == "model.safetensors" && p.Done == 0; !anew && p.File == "model.safetensors" {
					most = max(most, p.Done)
				}
			})
			if err != nil || once {
				t.Fatalf("error %v; storage was asked for %q", err, s.asked)
			}
			if anew && most > 70_000 {
				t.Errorf("%d bytes were taken to be of the file", most)
			}
			if _, how, err := s.pull(); how != "already" {
				t.Errorf("after that a pull said %q (%v)", how, err)
			}
		})
	}
}

// TestBadPart: a part that is not of the file, or longer than it, does not spoil it.
func TestBadPart(t *testing.T) {
	for name, part := range map[string][]byte{"other bytes": make([]byte, 70_000), "too long": make([]byte, 300_000)} {
		s := serve(t)
		if err := os.MkdirAll(s.folder("blobs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.part(), part, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(*testing.T) { s.mustPull() })
	}
}

// TestChangedFile: a file that changes while it is fetched, and a main that moves, give the new file whole.
func TestChangedFile(t *testing.T) {
	s := serve(t)
	other := repository(t, 2)
	tries := 0
	s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
		if tries++; tries == 2 { // after a cut, and after the hub has told the old hash again
			s.mu.Lock()
			s.files = other
			s.mu.Unlock()
		}
		return tries <= 2 && cut(s, 70_000)(w, r)
	}
	s.mustPull()

	old := s.commit
	s.files, s.commit = repository(t, 3), strings.Repeat("b2", 20)
	if e := s.mustPull(); e.Dir != s.folder("snapshots", s.commit) {
		t.Errorf("pulled %s", e.Dir)
	}
	if _, err := os.Stat(s.folder("snapshots", old, "model.safetensors")); err != nil {
		t.Errorf("the old snapshot: %v", err)
	}
}

// TestBusyHub: 429 and 5xx are tried again, as far as the hub's patience is not asked for too long.
func TestBusyHub(t *testing.T) {
	s := serve(t)
	codes := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusOK, http.StatusBadGateway}
	s.onHub = func(w http.ResponseWriter, _ *http.Request) bool {
		if len(codes) == 0 {
			return false
		}
		code := codes[0]
		codes = codes[1:]
		if code == http.StatusOK {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(code)
		return true
	}
	s.mustPull()

	s = serve(t)
	s.onHub = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	if _, _, err := s.pull(); err == nil || !strings.Contains(err.Error(),
		`429 Too Many Requests"; the server asks to wait 1h0m0s: run it again then`) {
		t.Errorf("error %v", err)
	}
}

// TestStall: a transfer that brings nothing is broken off and taken up again.
func TestStall(t *testing.T) {
	s := serve(t)
	defer func(d time.Duration) { download.StallLimit = d }(download.StallLimit)
	download.StallLimit = 100 * time.Millisecond
	done := make(chan struct{})
	s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(s.files["model.safetensors"])))
		w.Write(s.files["model.safetensors"][:5000])
		w.(http.Flusher).Flush()
		<-done
		return true
	}
	defer close(done)
	s.mustPull()
	if fmt.Sprint(s.asked) != "[ bytes=5000-]" {
		t.Errorf("storage was asked for %q", s.asked)
	}
}

// TestOffline: with HF_HUB_OFFLINE, and without a network, what is in the cache is used and no more.
func TestOffline(t *testing.T) {
	s := serve(t)
	t.Setenv("HF_HUB_OFFLINE", "true")
	s.onHub = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("asked for %s", r.URL)
		return false
	}
	if _, _, err := s.pull(); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE is set: unset it to fetch") {
		t.Errorf("error %v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "0")
	s.onHub = nil
	e := s.mustPull()
	t.Setenv("HF_HUB_OFFLINE", "1")
	if got, how, err := s.pull(); err != nil || how != "already" || got != e {
		t.Errorf("pulled %+v, %q, %v", got, how, err)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	s.hub.Close()
	if got, how, err := s.pull(); err != nil || !strings.HasPrefix(how,
		"already; whether it is the newest is not known (127.0.0.1:") || got != e {
		t.Errorf("pulled %+v, %q, %v", got, how, err)
	}
	if _, _, err := fromEnv(t).Pull(context.Background(), "mpnet", nil); err == nil ||
		!strings.Contains(err.Error(), "with its files at hand: `dla models import FOLDER --name mpnet`") {
		t.Errorf("error %v", err)
	}
}

// TestConcurrentPulls: of several at once one fetches the weights, and all have them.
func TestConcurrentPulls(t *testing.T) {
	s := serve(t)
	var wg sync.WaitGroup
	for range 4 {
		h := fromEnv(t)
		wg.Go(func() {
			if e, _, err := h.Pull(context.Background(), "minilm", nil); err != nil || e.Broken != "" {
				t.Errorf("pulled %+v, %v", e, err)
			}
		})
	}
	wg.Wait()
	if len(s.asked) != 1 {
		t.Errorf("storage was asked %d times, want once", len(s.asked))
	}
}

// TestHostileAnswers: nothing that a hub says leads out of the cache or fills it.
func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		hub  func(s *server, w http.ResponseWriter, r *http.Request) bool
	}{
		"a commit that is a path": {"does not answer as a hub does",
			func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				fmt.Fprint(w, `{"sha": "../../../../evil", "siblings": [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]}`)
				return true
			}},
		"a hash that is a path": {"gives no hash to check config.json by",
			func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("X-Linked-Etag", `"../../../../evil"`)
				return r.Method == http.MethodHead
			}},
		"no hash": {"gives no hash to check config.json by", func(_ *server, w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodHead
		}},
		"endless redirects": {"gives no hash to check config.json by",
			func(_ *server, w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodHead {
					http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				}
				return r.Method == http.MethodHead
			}},
		"a web page": {"does not answer as a hub does", func(_ *server, w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<html>")
			return true
		}},
		"an endless listing": {"does not answer as a hub does", func(_ *server, w http.ResponseWriter, _ *http.Request) bool {
			w.Write(bytes.Repeat([]byte(" "), maxListing+10))
			return true
		}},
		"a huge configuration": {"config.json of " + repo + " has 100000000000 bytes",
			func(s *server, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("X-Linked-Etag", gitHash(s.files["config.json"]))
				w.Header().Set("X-Linked-Size", "100000000000")
				return r.Method == http.MethodHead
			}},
		"more than it said": {fmt.Sprintf("config.json: it has %d bytes, want %d", len(config)+1, len(config)),
			func(s *server, w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/config.json") {
					w.Write(make([]byte, len(config)+1))
					return true
				}
				return false
			}},
		"another kind of model": {`config.json: model_type is "gpt2"; the encoders here are bert, distilbert and mpnet`,
			func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
				s.files["config.json"] = []byte(`{"model_type": "gpt2"}`)
				return false
			}},
		"no tokenizer": {"holds neither tokenizer.json nor vocab.txt",
			func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
				delete(s.files, "vocab.txt")
				return false
			}},
		"another tokenizer": {"the tokenizer has 6 tokens and the encoder 5",
			func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
				s.files["config.json"] = []byte(strings.Replace(config, "12000", "5", 1))
				return false
			}},
		"weights of PyTorch": {repo + " has its weights in pytorch_model.bin, and only model.safetensors is fetched: download its files into a folder", func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
			s.files["pytorch_model.bin"] = s.files["model.safetensors"]
			delete(s.files, "model.safetensors")
			return false
		}},
		"no safetensors": {"has no file model.safetensors", func(s *server, _ http.ResponseWriter, _ *http.Request) bool {
			delete(s.files, "model.safetensors")
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.onHub = func(w http.ResponseWriter, r *http.Request) bool { return c.hub(s, w, r) }
			_, _, err := s.pull()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			filepath.WalkDir(filepath.Dir(os.Getenv("HF_HOME")), func(path string, _ os.DirEntry, _ error) error {
				if strings.Contains(path, "evil") {
					t.Errorf("%s was written", path)
				}
				return nil
			})
			if len(s.asked) != 0 {
				t.Errorf("the weights were asked for")
			}
		})
	}
}

// TestWeightsOfAnotherModel: weights whose names or shapes are not the encoder's are refused by their header, before
// the rest has come, whether they come anew or a part of them is there; nothing of them is kept.
func TestWeightsOfAnotherModel(t *testing.T) {
	for name, edit := range map[string][2]string{
		"other names":  {`"num_hidden_layers": 1`, `"num_hidden_layers": 2`},
		"other shapes": {`"intermediate_size": 8`, `"intermediate_size": 16`},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.files["config.json"] = []byte(strings.Replace(config, edit[0], edit[1], 1))
			var most int64
			s.onStore = func(w http.ResponseWriter, r *http.Request) bool {
				http.ServeContent(slowly{w}, r, "", time.Time{}, bytes.NewReader(s.files["model.safetensors"]))
				return true
			}
			pull := func() {
				t.Helper()
				most = 0
				_, _, err := fromEnv(t).Pull(context.Background(), "minilm", func(p download.Progress) {
					if p.File == "model.safetensors" {
						most = max(most, p.Done)
					}
				})
				want := "model.safetensors does not have the weights that config.json describes: "
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), repo+" cannot be used") ||
					strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, want)
				}
				if len(s.asked) != 1 {
					t.Errorf("storage was asked for %q, want once", s.asked)
				}
				if _, err := os.Stat(s.part()); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a part was kept (%v)", err)
				}
				s.asked = nil
			}
			pull()
			if whole := int64(len(s.files["model.safetensors"])); most == 0 || most > whole/2 {
				t.Errorf("%d bytes of %d came", most, whole)
			}
			if err := os.WriteFile(s.part(), s.files["model.safetensors"][:70_000], 0o600); err != nil {
				t.Fatal(err)
			}
			pull()
			if most < 70_000 || most > 120_000 {
				t.Errorf("the part of 70000 bytes became one of %d", most)
			}
		})
	}
}

// slowly sends what is written a little at a time.
type slowly struct{ http.ResponseWriter }

func (s slowly) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		m := 0
		m, err = s.ResponseWriter.Write(b[n:min(n+4096, len(b))])
		s.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(time.Millisecond)
		n += m
	}
	return n, err
}

// TestPullOfOldNames: the published BERT, whose layer normalisations have gamma and beta and whose tokenizer.json
// does not say of which type it is, can be pulled.
func TestPullOfOldNames(t *testing.T) {
	s := serve(t)
	w := s.files["model.safetensors"]
	w = bytes.ReplaceAll(w, []byte("LayerNorm.weight\""), []byte("LayerNorm.gamma\" "))
	s.files["model.safetensors"] = bytes.ReplaceAll(w, []byte("LayerNorm.bias\""), []byte("LayerNorm.beta\""))
	delete(s.files, "vocab.txt")
	s.files["tokenizer.json"] = []byte(`{"added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "lowercase": true},
		"pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
		"model": {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}}}`)
	if e := s.mustPull(); e.Broken != "" {
		t.Errorf("pulled %+v", e)
	}
}

// TestLinkOutOfTheCache: a link in the cache that leads elsewhere is not written through.
func TestLinkOutOfTheCache(t *testing.T) {
	s := serve(t)
	outside := t.TempDir()
	if err := os.MkdirAll(s.folder(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, s.folder("blobs")); err != nil {
		t.Skip(err)
	}
	if _, _, err := s.pull(); err == nil || !strings.Contains(err.Error(), "cannot be stored") {
		t.Errorf("error %v", err)
	}
	if list, _ := os.ReadDir(outside); len(list) != 0 {
		t.Errorf("%v was written", list)
	}
}

// TestRefusals: what the hub refuses, and what to do, on one line.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, code string
		status     int
		token      string
		want       string
	}{
		{repo, "GatedRepo", 403, token, repo + " is gated: accept its terms at http://127.0.0.1:"},
		{"sentence-transformers/all-MiniLM-L6", "RepoNotFound", 401, "",
			"that may be read without a token (did you mean " + repo + "?); if it is private, set HF_TOKEN"},
		{"nobody/nothing", "RepoNotFound", 404, token, "has no model nobody/nothing that may be read with this token; if"},
		{repo, "", 401, token, repo + " may not be read with this token: see http://127.0.0.1:"},
		{repo, "", 403, "", repo + " may not be read without a token: see http://127.0.0.1:"},
		{repo, "", 418, "", "418 I'm a teapot"},
	} {
		s := serve(t)
		t.Setenv("HF_TOKEN", c.token)
		asked := 0
		s.onHub = func(w http.ResponseWriter, _ *http.Request) bool {
			asked++
			w.Header().Set("X-Error-Code", c.code)
			w.WriteHeader(c.status)
			return true
		}
		_, _, err := fromEnv(t).Pull(context.Background(), c.name, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || asked != 1 {
			t.Errorf("%s, %s: after %d requests the error %v, want one line with %q", c.name, c.code, asked, err, c.want)
		}
	}
	for name, want := range map[string]string{
		"minlm":       `unknown model "minlm" (did you mean minilm?): known are minilm, mpnet, distilbert, and OWNER/NAME`,
		"../evil":     `unknown model "../evil"`,
		"a/b/c":       `unknown model "a/b/c"`,
		"a/../b":      `unknown model "a/../b"`,
		"owner/..":    `unknown model "owner/.."`,
		"transformer": `unknown model "transformer": known`,
	} {
		if _, _, err := serve(t).hubPull(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

func (s *server) hubPull(name string) (Encoder, string, error) {
	return fromEnv(s.t).Pull(context.Background(), name, nil)
}

// TestFullDisk: what came is kept, and the remedy named.
func TestFullDisk(t *testing.T) {
	s := serve(t)
	written := 0
	atomicfile.Fault = func(op, path string) error {
		if op == "write" && path == "model.safetensors" {
			if written++; written > 2 {
				return syscall.ENOSPC
			}
		}
		return nil
	}
	defer func() { atomicfile.Fault = nil }()
	_, _, err := s.pull()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "set HF_HOME to a folder with room") ||
		len(s.asked) != 1 {
		t.Errorf("after %d tries the error %v", len(s.asked), err)
	}
	atomicfile.Fault = nil
	n := size(t, s.part())
	s.mustPull()
	if n == 0 || fmt.Sprint(s.asked) != fmt.Sprintf("[bytes=%d-]", n) {
		t.Errorf("%d bytes were there, and storage was asked for %q", n, s.asked)
	}
}

// TestWithoutHome: a machine that names no folder of the user's finds what is named, lists what there is, and fails
// only where something is to be kept.
func TestWithoutHome(t *testing.T) {
	serve(t)
	for _, name := range []string{"HOME", "USERPROFILE", "XDG_CACHE_HOME", "LocalAppData", "HF_HOME", "HF_HUB_CACHE",
		"HF_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("token", []byte("of something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := put(t, t.TempDir(), "all-MiniLM-L6-v2", repository(t, 1))
	if e, err := Find(dir); err != nil || e.Dir != dir {
		t.Errorf("Find of a folder is %+v, %v", e, err)
	}
	if _, err := Find("minilm"); err == nil || !strings.Contains(err.Error(), "is not on this machine; get it with") {
		t.Errorf("error %v", err)
	}
	t.Setenv("DLA_MODELS", filepath.Dir(dir))
	if e, err := Find("minilm"); err != nil || e.Dir != dir {
		t.Errorf("Find of one in DLA_MODELS is %+v, %v", e, err)
	}
	if list, err := List(); err != nil || len(list) != len(Known) || list[0].Dir != dir {
		t.Errorf("List is %+v, %v", list, err)
	}
	h := fromEnv(t)
	if h.client.Transport.(authorized).token != "" {
		t.Error("a file of the working directory was taken for the token")
	}
	if _, _, err := h.Pull(context.Background(), "minilm", nil); err == nil ||
		!strings.Contains(err.Error(), "set HF_HOME to one") {
		t.Errorf("error %v", err)
	}
	if _, err := Import(context.Background(), dir, "", nil); err == nil ||
		!strings.Contains(err.Error(), "set DLA_MODELS to one") {
		t.Errorf("error %v", err)
	}
}

// TestEnvironment: the variables mean what they mean to Hugging Face's tools.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE",
		"XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for _, c := range []struct{ name, value, cache string }{
		{"HF_TOKEN", "", filepath.Join(home, ".cache", "huggingface", "hub")},
		{"XDG_CACHE_HOME", home, filepath.Join(home, "huggingface", "hub")},
		{"HF_HOME", filepath.Join(home, "hf"), filepath.Join(home, "hf", "hub")},
		{"HF_HUB_CACHE", filepath.Join(home, "h"), filepath.Join(home, "h")},
	} {
		t.Setenv(c.name, c.value)
		h, err := FromEnv()
		if err != nil || h.Cache != c.cache || h.Endpoint.String() != "https://huggingface.co" {
			t.Errorf("with %s the hub is %+v, %v", c.name, h, err)
		}
	}
	for _, bad := range []string{"huggingface.co", "ftp://huggingface.co", "https://", "://"} {
		t.Setenv("HF_ENDPOINT", bad)
		if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}

// TestSecrets: a password in HF_ENDPOINT is in no error, and a token that could not be one is refused before it is
// sent, wherever it stands.
func TestSecrets(t *testing.T) {
	s := serve(t)
	for _, bad := range []string{"ftp://me:pass%20word@host", "http://me:pass word@host\x7f", "https://me:password@",
		"me:password@host", "http://me:pa@ssword@host:x"} {
		t.Setenv("HF_ENDPOINT", bad)
		if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT is") ||
			strings.Contains(err.Error(), "pa") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	for _, code := range []int{401, 403, 404, 429, 500} {
		s.onHub = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(code)
			return true
		}
		t.Setenv("HF_ENDPOINT", strings.Replace(s.hub.URL, "http://", "http://me:password@", 1))
		if _, _, err := s.pull(); err == nil || strings.Contains(err.Error(), "password") {
			t.Errorf("%d: error %v", code, err)
		}
	}
	s.hub.Close()
	if _, _, err := s.pull(); err == nil || strings.Contains(err.Error(), "password") {
		t.Errorf("no hub: error %v", err)
	}

	file := filepath.Join(t.TempDir(), "token")
	t.Setenv("HF_TOKEN_PATH", file)
	for _, bad := range []string{"hf_\x1b[2J", "hf_a\nhf_b", "hf_a\x00", "hf_ä", "hf a", strings.Repeat("h", maxToken+1)} {
		if !strings.Contains(bad, "\x00") && len(bad) < maxToken {
			t.Setenv("HF_TOKEN", bad)
			if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "set HF_TOKEN to the token alone") ||
				strings.Contains(err.Error(), "hf_") {
				t.Errorf("%q: error %v", bad, err)
			}
		}
		t.Setenv("HF_TOKEN", "")
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "token") {
			t.Errorf("%.20q in a file: error %v", bad, err)
		}
	}
	if err := os.WriteFile(file, []byte("hf_secret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := FromEnv(); err != nil || h.client.Transport.(authorized).token != token {
		t.Errorf("a token with the end of its line: %v", err)
	}
	t.Setenv("HF_TOKEN_PATH", "/dev/zero")
	if _, err := FromEnv(); err == nil || runtime.GOOS == "linux" &&
		!strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("an endless token: error %v", err)
	}
}
