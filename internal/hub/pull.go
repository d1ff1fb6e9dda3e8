package hub

// The cache is laid out as Hugging Face's tools do, so that they and this program find each other's
// files (https://huggingface.co/docs/huggingface_hub/guides/manage-cache):
//
//	models--OWNER--NAME/blobs/HASH                    a file's content, called by its hash
//	models--OWNER--NAME/blobs/HASH.incomplete         the part of it that has come
//	models--OWNER--NAME/snapshots/COMMIT/config.json  a link to its blob
//	models--OWNER--NAME/refs/main                     the commit that main was when last asked for
//	.locks/models--OWNER--NAME/HASH.lock              held by the process that fetches HASH
//
// Names in it are a hash, a commit or one of wanted: what a hub says is never used as a path.

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/download"
	"dla/internal/lockfile"
	"dla/internal/model"
	"dla/internal/weights"
)

// wanted are the files of an encoder, as far as a repository has them, in the order they are fetched:
// whether a model is one that can be used is known before its weights come.
var wanted = []string{
	"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "added_tokens.json",
	"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json", weightsName,
}

const weightsName = "model.safetensors"

// The largest files that are fetched, imported or read.
const (
	maxWeights = 4 << 30
	maxFile    = 64 << 20 // of all others
)

func largest(name string) int64 {
	if name == weightsName || filepath.Ext(name) == ".bin" || filepath.Ext(name) == ".safetensors" {
		return maxWeights
	}
	return maxFile
}

// Pull fetches the model name, one of Known or OWNER/NAME, into the cache. how says where it came from, or that it
// was there. Files that are whole are kept, damaged ones replaced. If ctx ends, the part of a file that has come is
// kept, and the next call resumes from it.
func (h *Hub) Pull(ctx context.Context, name string, progress func(download.Progress)) (e Encoder, how string,
	err error) {
	repo, err := RepoOf(name)
	if err != nil {
		return e, "", err
	}
	if h.Cache == "" {
		return e, "", h.noCache
	}
	if h.offline {
		if e, ok := h.cached(repo); ok && e.Broken == "" {
			return e, "already", nil
		}
		return e, "", fmt.Errorf("%s is incomplete in %s, and HF_HUB_OFFLINE is set: unset it to fetch", repo, h.Cache)
	}
	commit, files, err := h.resolve(ctx, repo)
	var away unreachable
	if errors.As(err, &away) {
		if e, ok := h.cached(repo); ok && e.Broken == "" {
			return e, fmt.Sprintf("already; whether it is the newest is not known (%v)", err), nil
		}
		return e, "", fmt.Errorf("%w; with its files at hand: `dla models import FOLDER --name %s`", err, path.Base(name))
	}
	if err != nil {
		return e, "", err
	}
	for _, need := range []string{"config.json", weightsName} {
		if slices.Contains(files, need) {
			continue
		}
		for _, form := range model.WeightForms[1:] {
			if need == weightsName && slices.Contains(files, form) {
				return e, "", fmt.Errorf("%s has its weights in %s, and only %s is fetched: download its files into a folder, "+
					"then `dla models import FOLDER`", repo, form, need)
			}
		}
		for _, form := range model.UnreadForms {
			if slices.Contains(files, form) {
				return e, "", fmt.Errorf("%s has no file %s: %w, then `dla models import FOLDER`", repo, need,
					model.UnreadWeights(form))
			}
		}
		return e, "", fmt.Errorf("%s has no file %s: it is in a form that is not read here; take another model", repo, need)
	}
	folder := filepath.Join(h.Cache, h.folderOf(repo))
	if err := atomicfile.MkdirAll(folder, 0o777); err != nil {
		return e, "", h.unwritable(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return e, "", h.unwritable(err)
	}
	defer root.Close()
	p := &pull{Hub: h, root: root, repo: repo, commit: commit, progress: progress}
	snapshot := filepath.Join(folder, "snapshots", commit)
	for _, file := range wanted {
		if !slices.Contains(files, file) {
			continue
		}
		if file == weightsName {
			if p.encoder, err = readModel(snapshot); err != nil {
				return e, "", fmt.Errorf("%s cannot be used: %w", repo, err)
			}
		}
		if err := p.file(ctx, file); err != nil {
			return e, "", fmt.Errorf("%s: %w", file, err)
		}
		if file == "config.json" {
			if _, err := model.ReadEncoder(snapshot); err != nil {
				return e, "", err
			}
		}
	}
	if e = check(snapshot); e.Broken != "" {
		return e, "", fmt.Errorf("%s cannot be used: %s", repo, e.Broken)
	}
	if err := root.MkdirAll("refs", 0o777); err != nil {
		return e, "", h.unwritable(err)
	}
	for _, dir := range []string{"snapshots", "."} { // what is named in them must last before refs speaks of it
		if err := atomicfile.SyncDir(filepath.Join(folder, dir)); err != nil {
			return e, "", h.unwritable(err)
		}
	}
	if err := atomicfile.WriteBytes(filepath.Join(folder, "refs", "main"), []byte(commit)); err != nil {
		return e, "", h.unwritable(err)
	}
	e, _ = h.cached(repo)
	if !p.fetched {
		return e, "already", nil
	}
	return e, "from " + h.Endpoint.Host, nil
}

func (h *Hub) unwritable(err error) error {
	return fmt.Errorf("the model cannot be stored: %w; fix that, or set HF_HOME to a folder with room", err)
}

// folderOf is the name of repo's folder in the cache.
func folderOf(repo string) string { return "models--" + strings.ReplaceAll(repo, "/", "--") }

// folderOf is the name of the folder in the cache that has repo, under whichever of its names.
func (h *Hub) folderOf(repo string) string {
	for _, n := range spellings(repo) {
		if _, ok := h.snapshot(folderOf(n)); ok {
			return folderOf(n)
		}
	}
	return folderOf(repo)
}

// pull is the fetching of one commit of a repository into its folder of the cache.
type pull struct {
	*Hub
	root         *os.Root
	repo, commit string
	progress     func(download.Progress)
	fetched      bool           // whether anything had to be
	encoder      *model.Encoder // which the weights are to be of
}

// file puts a file where the snapshot has it. Each try asks anew what the file is.
func (p *pull) file(ctx context.Context, name string) error {
	return download.Retry(ctx, func() (int64, error) {
		b, err := p.head(ctx, p.repo, p.commit, name, largest(name))
		if err != nil {
			return 0, err
		}
		if matches(p.root, path.Join("snapshots", p.commit, name), b.hash) {
			return 0, nil
		}
		unlock, err := p.lock(ctx, b, name)
		if err != nil {
			return 0, err
		}
		defer unlock()
		if !matches(p.root, "blobs/"+b.hash, b.hash) {
			if have, err := p.fetch(ctx, b, name); err != nil {
				return have, err
			}
		}
		if err := p.link(name, b.hash); err != nil {
			return 0, p.unwritable(err)
		}
		return 0, nil
	})
}

// lock waits until no other process, of this program or of Hugging Face's, fetches the same file.
func (p *pull) lock(ctx context.Context, b blob, name string) (unlock func(), err error) {
	dir := filepath.Join(p.Cache, ".locks", filepath.Base(p.root.Name()))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, p.unwritable(err)
	}
	waiting := func() { p.report("waiting for", name, 0, b.size) }
	if unlock, err = lockfile.Lock(ctx, filepath.Join(dir, b.hash+".lock"), waiting); err != nil {
		return nil, p.unwritable(err)
	}
	return unlock, nil
}

func (p *pull) report(verb, name string, n, total int64) {
	if p.progress != nil {
		p.progress(download.Progress{Verb: verb, File: name, Done: n, Total: max(total, 0)})
	}
}

// fetch makes b's file a blob, going on from the part of it that is there. It returns how many
// bytes of the file there are.
func (p *pull) fetch(ctx context.Context, b blob, name string) (int64, error) {
	p.fetched = true
	if err := p.root.MkdirAll("blobs", 0o777); err != nil {
		return 0, p.unwritable(err)
	}
	f := download.Fetch{Root: p.root, Part: "blobs/" + b.hash + ".incomplete", To: "blobs/" + b.hash, Perm: 0o666,
		Name: name, Size: b.size, Most: largest(name),
		Get: func(ctx context.Context, from int64) (*http.Response, error) {
			return p.send(ctx, http.MethodGet, p.repo, from, p.repo, "resolve", p.commit, name)
		},
		Check: func(part string) error {
			if !matches(p.root, part, b.hash) {
				return errors.New("the file that came does not have the hash that the hub gives")
			}
			return nil
		},
		Progress: func(have int64) { p.report("fetching", name, have, b.size) },
	}
	if name == weightsName && b.size >= 0 {
		f.Fits = func(part io.ReaderAt, n int64) (bool, error) { return p.fits(part, n, b) }
	}
	have, err := f.Try(ctx)
	var disk *download.DiskError
	if errors.As(err, &disk) {
		return have, p.unwritable(disk.Err)
	}
	return have, err
}

// fits looks at the header of the weights b as soon as f, which has n bytes of them, has all of it, and says so.
// Weights that are not the encoder's are an error: they need not come. A header that cannot be read is none, since the
// hash is to tell whether the bytes are damaged.
func (p *pull) fits(f io.ReaderAt, n int64, b blob) (seen bool, err error) {
	var length [8]byte
	if n < int64(len(length)) {
		return false, nil
	}
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return false, err
	}
	header := make([]byte, weights.Header(length[:]))
	if n < int64(len(header)) {
		return false, nil
	}
	if _, err := f.ReadAt(header, 0); err != nil {
		return false, err
	}
	r, err := weights.ReadHeader(weightsName, header, b.size)
	if err != nil {
		return true, nil //nolint:nilerr // see above
	}
	if err := p.encoder.CheckTensors(r, weightsName); err != nil {
		return true, fmt.Errorf("%s cannot be used: %w", p.repo, err)
	}
	return true, nil
}

// matches says whether the file called name is there and has the hash.
func matches(root *os.Root, name, want string) bool {
	if st, err := root.Stat(name); err != nil || !st.Mode().IsRegular() { // opening a pipe would block
		return false
	}
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false
	}
	var h hash.Hash
	if h = sha256.New(); len(want) == hex.EncodedLen(sha1.Size) { // as Git does
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", st.Size())
	}
	_, err = io.Copy(h, f)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == want
}

// link makes the snapshot's file a link to the blob; where links cannot be, the blob itself goes there.
func (p *pull) link(name, hash string) error {
	at := path.Join("snapshots", p.commit, name)
	if err := p.root.MkdirAll(path.Dir(at), 0o777); err != nil {
		return err
	}
	link := at + ".incomplete"
	if err := p.root.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	blob, from := "blobs/"+hash, link
	up := strings.Repeat("../", strings.Count(at, "/"))
	err := atomicfile.Check("symlink", link)
	if err == nil {
		err = p.root.Symlink(filepath.FromSlash(up+blob), link)
	}
	if err != nil {
		from = blob
	}
	if err := p.root.Rename(from, at); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Join(p.root.Name(), filepath.FromSlash(path.Dir(at))))
}
