package cli

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dlaIn returns a command of this program in the folder dir, with its own cache and no data sets.
func dlaIn(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dla") // testscript tells commands by the name that it was called by
	if err := os.Symlink(exe, path); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "DLA_DATA=", "NO_COLOR=1")
	return cmd
}

// serving starts `dla serve` with args in dir, and returns its process and its address.
func serving(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, address string) {
	t.Helper()
	cmd = dlaIn(t, dir, append([]string{"serve", "--port", "0"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if address = strings.TrimSpace(line); err != nil || !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("%q, %v: %s", line, err, errs.String())
	}
	return cmd, address
}

// fetch returns the status and content of the page at address.
func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestServe: the page is at the printed address and nowhere else, and Ctrl-C ends it well.
func TestServe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process can send Ctrl-C to another there")
	}
	cmd, address := serving(t, t.TempDir())
	if status, body := fetch(t, address); status != 200 || !strings.Contains(body, "<title>dla</title>") {
		t.Errorf("%d %.200s", status, body)
	}
	base := address[:strings.LastIndex(strings.TrimSuffix(address, "/"), "/")+1]
	if status, body := fetch(t, base); status != 403 || !strings.Contains(body, "token") {
		t.Errorf("without the token: %d %s", status, body)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on after Ctrl-C")
	}
}

// TestServeRefuses: each error says what to give instead.
func TestServeRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	file := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--port", port}, exitFailure, "--port"},
		{[]string{"--port", strconv.Itoa(1 << 16)}, exitUsage, "--port is 65536, want 0 to 65535"},
		{[]string{"--port", "http"}, exitUsage, "--port"},
		{[]string{filepath.Join(t.TempDir(), "none")}, exitFailure, "name folders of runs"},
		{[]string{file}, exitFailure, file + " is not a folder"},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"serve"}, c.args...), &Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code != c.code || !strings.Contains(errs.String(), c.want) || strings.Count(errs.String(), "\n") != 1 ||
			out.Len() > 0 {
			t.Errorf("%v: %d, %q %q", c.args, code, errs.String(), out.String())
		}
		if runtime.GOOS != "windows" && c.args[0] == "--port" && c.args[1] == port &&
			!strings.Contains(errs.String(), "port "+port+" is in use") {
			t.Errorf("a port in use: %q", errs.String())
		}
	}
}
