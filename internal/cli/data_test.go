package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownCache gives the test a user cache folder of its own and no $DLA_DATA.
func ownCache(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
	t.Setenv("DLA_DATA", "")
}

// TestDataMistakes: what is wrong, what to do, and the right exit code, on one line.
func TestDataMistakes(t *testing.T) {
	ownCache(t)
	empty := t.TempDir()
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"data pull", exitUsage, "requires at least 1 arg"},
		{"data pull minst", exitUsage, `unknown data set "minst": known are mnist`},
		{"data pull synthetic-digits", exitUsage, "is built in"},
		{"data import mnist", exitUsage, "accepts 2 arg"},
		{"data import mnist " + empty, exitFailure, "train-images-idx3-ubyte.gz"},
		{"data verify minst", exitUsage, `unknown data set "minst"`},
		{"data verify mnist", exitFailure, "get it with `dla data pull mnist`"},
		{"data verify cifar10", exitFailure,
			"get it with `dla data pull cifar10`, on a machine without network with `dla data import cifar10 FOLDER_OR_ARCHIVE`"},
		{"data verify cifar10-jpeg", exitFailure,
			"put cifar10-images.tar.gz into a folder DIR/cifar10 and set DLA_DATA=DIR, or use `dla data import cifar10-jpeg FOLDER_OR_ARCHIVE`"},
		{"data pull synthetic-shapes", exitUsage, "is built in"},
		{"data pull cifar10-jpeg", exitFailure,
			"cifar10-jpeg has no address that it could be fetched from; if you have its files: `dla data import cifar10-jpeg"},
		{"data import cifar10 " + empty, exitFailure, empty + ": holds no images in train/CLASS/"},
		{"data import rotten_tomatoes " + empty, exitFailure, empty + ": holds no rt-polarity.neg"},
		{"data verify rotten_tomatoes", exitFailure, "get it with `dla data pull rotten_tomatoes`"},
		{"data index", exitUsage, "accepts 1 arg"},
		{"data index minst", exitUsage, `unknown data set "minst"`},
		{"data index synthetic-shapes", exitUsage, "is built in"},
		{"data index cifar10 --split validation", exitUsage, "--split validation: want train or test"},
		{"data import cifar10-jpeg " + empty, exitFailure, "cifar10-images.tar.gz"},
	} {
		_, errs, code := dla("", false, strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(errs, tc.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("dla %s: exit code %d, want %d; said %q, want one line with %q", tc.args, code, tc.code, errs, tc.want)
		}
	}
}

// TestDataWithoutCache: where there is no folder to keep sets in, $DLA_DATA is enough to list and to use what it has,
// and nobody is told to set it who has.
func TestDataWithoutCache(t *testing.T) {
	ownCache(t)
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, "")
	}
	t.Setenv("DLA_DATA", dir)
	out, errs, code := dla("", false, "data", "ls")
	if code != 0 || errs != "" || !strings.Contains(out, "mnist ") || !strings.Contains(out, "absent") {
		t.Errorf("data ls: exit code %d, %q, %q", code, out, errs)
	}
	for _, args := range []string{"data pull mnist", "data verify cifar10-jpeg", "data pull cifar10-jpeg"} {
		if _, errs, code := dla("", false, strings.Fields(args)...); code != exitFailure ||
			strings.Contains(errs, "set DLA_DATA") {
			t.Errorf("%s: exit code %d, %q", args, code, errs)
		}
	}
	if _, errs, _ := dla("", false, "data", "verify", "cifar10-jpeg"); !strings.Contains(errs,
		"put cifar10-images.tar.gz into $DLA_DATA/cifar10 ("+filepath.Join(dir, "cifar10")+")") {
		t.Errorf("%q", errs)
	}
}

// TestDataImportVerify follows real files from a folder into the cache, and sees one go bad.
func TestDataImportVerify(t *testing.T) {
	src := os.Getenv("DLA_DATA")
	if src == "" {
		t.Skip("DLA_DATA is not set: no real MNIST to import")
	}
	ownCache(t)
	if _, errs, code := dla("", false, "data", "import", "mnist", filepath.Join(src, "mnist")); code != 0 {
		t.Fatalf("import: exit code %d: %s", code, errs)
	}
	if out, errs, code := dla("", false, "data", "verify", "mnist"); code != 0 || !strings.Contains(out, "mnist: ready") {
		t.Errorf("verify: exit code %d: %s%s", code, out, errs)
	}
	list := listed(t)
	if list["mnist"].Status != "ready" || list["mnist"].Form != "idx" || list["cifar10"].Status != "absent" ||
		list["synthetic-shapes"].Status != "built in" {
		t.Fatalf("ls --json: %+v", list)
	}
	bad := filepath.Join(list["mnist"].Dir, "t10k-labels-idx1-ubyte.gz")
	if err := os.Truncate(bad, 100); err != nil {
		t.Fatal(err)
	}
	out, errs, code := dla("", false, "data", "verify")
	if code != exitFailure || !strings.Contains(out, "mnist: damaged") ||
		!strings.Contains(errs, bad+" is damaged: 100 bytes, want 4542; fetch it again with `dla data pull mnist`") {
		t.Errorf("verify of a damaged file: exit code %d: %s%s", code, out, errs)
	}
}

// listed is what `dla data ls --json` says, by name.
func listed(t *testing.T) map[string]location {
	t.Helper()
	out, errs, code := dla("", false, "data", "ls", "--json")
	var list []location
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Fatalf("ls --json: exit code %d, %v: %s%s", code, err, out, errs)
	}
	byName := map[string]location{}
	for _, l := range list {
		byName[l.Name] = l
	}
	return byName
}

// TestDataCIFAR10 imports the real archives, whose names are told apart.
func TestDataCIFAR10(t *testing.T) {
	src := filepath.Join(os.Getenv("DLA_DATA"), "cifar10")
	if _, err := os.Stat(filepath.Join(src, "cifar10-png.tar.gz")); os.Getenv("DLA_DATA") == "" || err != nil {
		t.Skip("DLA_DATA is not set or has no cifar10-png.tar.gz")
	}
	ownCache(t)
	jpegs := filepath.Join(src, "cifar10-images.tar.gz")
	if _, errs, code := dla("", false, "data", "import", "cifar10", jpegs); code != exitFailure ||
		!strings.Contains(errs, jpegs+" holds 50000 + 10000 images that are not the published ones of cifar10") {
		t.Errorf("import of the JPEG copies: exit code %d: %s", code, errs)
	}
	out, errs, code := dla("", false, "data", "import", "cifar10-jpeg", jpegs, "--json")
	if code != 0 || !strings.Contains(out, `"form": "jpeg"`) {
		t.Errorf("import: exit code %d: %s%s", code, out, errs)
	}
	if list := listed(t); list["cifar10"].Status != "absent" || list["cifar10-jpeg"].Status != "ready" {
		t.Errorf("ls: %+v", list)
	}
	if out, errs, code := dla("", false, "data", "import", "cifar10", src); code != 0 ||
		!strings.HasPrefix(out, "cifar10 is in ") {
		t.Errorf("import: exit code %d: %s%s", code, out, errs)
	}
	if l := listed(t)["cifar10"]; l.Status != "ready" || l.Form != "png" || l.Bytes != 134619981 {
		t.Errorf("ls: %+v", l)
	}
	if out, errs, code := dla("", false, "data", "pull", "cifar10"); code != 0 || !strings.HasSuffix(out, " already\n") {
		t.Errorf("pull of what is there: exit code %d: %s%s", code, out, errs)
	}
	// test_batch lists domestic_cat_s_000907.png first, and data_batch_1 this frog.
	for split, want := range map[string]string{"test": ",3,test/cat/domestic_cat_s_000907.png\n",
		"train": ",6,train/frog/leptodactylus_pentadactylus_s_000004.png\n"} {
		out, errs, code := dla("", false, "data", "index", "cifar10", "--split", split)
		if lines := map[string]int{"test": 10001, "train": 50001}[split]; code != 0 || strings.Count(out, "\n") != lines ||
			!strings.HasPrefix(out, "index,label,file\n0,") || !strings.Contains(out, want) {
			t.Errorf("index of %s: exit code %d, %d lines: %s", split, code, strings.Count(out, "\n"), errs)
		}
	}
}

// TestDataPeople imports the outliers, as the archive and as a folder, and verifies them.
func TestDataPeople(t *testing.T) {
	src := filepath.Join(os.Getenv("DLA_DATA"), "cifar100_people")
	if _, err := os.Stat(filepath.Join(src, "cifar100-people-png.tar.gz")); os.Getenv("DLA_DATA") == "" || err != nil {
		t.Skip("DLA_DATA is not set or has no cifar100_people")
	}
	ownCache(t)
	if _, errs, code := dla("", false, "data", "verify", "cifar100-people"); code != exitFailure ||
		!strings.Contains(errs, "put cifar100-people-png.tar.gz into a folder DIR/cifar100_people") {
		t.Errorf("verify of nothing: exit code %d: %s", code, errs)
	}
	if out, errs, code := dla("", false, "data", "import", "cifar100-people", src); code != 0 {
		t.Errorf("import: exit code %d: %s%s", code, out, errs)
	}
	if out, errs, code := dla("", false, "data", "verify", "cifar100-people"); code != 0 ||
		!strings.HasPrefix(out, "cifar100-people: ready ") {
		t.Errorf("verify: exit code %d: %s%s", code, out, errs)
	}
	// Under another name it is the content that counts.
	other := filepath.Join(t.TempDir(), "people.tgz")
	if err := os.Symlink(filepath.Join(src, "cifar100-people-png.tar.gz"), other); err != nil {
		t.Skip(err)
	}
	ownCache(t)
	if out, errs, code := dla("", false, "data", "import", "cifar100-people", other); code != 0 {
		t.Errorf("import: exit code %d: %s%s", code, out, errs)
	}
	if l := listed(t)["cifar100-people"]; l.Status != "ready" {
		t.Errorf("ls: %+v", l)
	}
}

// TestDataSentences imports the real sentences; verify says what they are.
func TestDataSentences(t *testing.T) {
	src := filepath.Join(os.Getenv("DLA_DATA"), "rotten_tomatoes")
	if _, err := os.Stat(src); os.Getenv("DLA_DATA") == "" || err != nil {
		t.Skip("DLA_DATA is not set or has no rotten_tomatoes")
	}
	ownCache(t)
	if _, errs, code := dla("", false, "data", "import", "rotten_tomatoes", src); code != 0 {
		t.Fatalf("import: exit code %d: %s", code, errs)
	}
	out, errs, code := dla("", false, "data", "verify", "rotten_tomatoes")
	if code != 0 || !strings.Contains(out, "rotten_tomatoes: ready") ||
		!strings.Contains(out,
			"8530 + 1066 + 1066 sentences for training, validation and test; apart from spacing and punctuation 0 repeat a sentence of another split and 2 one of their own split") {
		t.Errorf("verify: exit code %d: %s%s", code, out, errs)
	}
	if out, errs, code := dla("", false, "data", "index", "rotten_tomatoes", "--split", "validation",
		"--json"); code != 0 || !strings.Contains(out, `"published": 4797`) ||
		strings.Count(out, `"file": "rt-polarity.pos"`) != 533 {
		t.Errorf("index: exit code %d: %s", code, errs)
	}
	l := listed(t)["rotten_tomatoes"]
	if l.Status != "ready" || l.Form != "UTF-8" || l.Bytes != 1238901 {
		t.Fatalf("ls: %+v", l)
	}
	pos := filepath.Join(l.Dir, "rt-polarity.pos")
	b, err := os.ReadFile(pos)
	if err == nil {
		err = os.WriteFile(pos, append([]byte("\ufeff"), b...), 0o600) // as an editor on Windows saves it
	}
	if err != nil {
		t.Fatal(err)
	}
	if l := listed(t)["rotten_tomatoes"]; l.Status != "unchecked" {
		t.Errorf("ls of a file with a byte-order mark: %+v", l)
	}
	if out, errs, code := dla("", false, "data", "verify", "rotten_tomatoes"); code != 0 ||
		!strings.Contains(out, "rotten_tomatoes: ready") {
		t.Errorf("verify of a file with a byte-order mark: exit code %d: %s%s", code, out, errs)
	}
	if err := os.WriteFile(pos, []byte("good\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := dla("", false, "data", "verify"); code != exitFailure ||
		!strings.Contains(out, "rotten_tomatoes: damaged") || !strings.Contains(errs,
		"rt-polarity.pos is damaged: 5 bytes, want 626395; nor is its content the published one: ") ||
		!strings.Contains(errs,
			"1 sentences of the class pos, want 5331; fetch it again with `dla data pull rotten_tomatoes`") {
		t.Errorf("verify of a damaged file: exit code %d: %s%s", code, out, errs)
	}
}
