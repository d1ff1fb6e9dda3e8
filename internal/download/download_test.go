package download

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// get reads all of what a server gives, in the time that there is.
func get(t *testing.T, answer http.HandlerFunc) (int, error) {
	t.Helper()
	s := httptest.NewServer(answer)
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Do(s.Client(), req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return len(b), err
}

// TestDrip: a server that sends a few bytes now and then is given up, one that is slow is not.
func TestDrip(t *testing.T) {
	defer func(d time.Duration) { StallLimit = d }(StallLimit)
	StallLimit = 200 * time.Millisecond
	send := func(size int, pause time.Duration, times int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for range times {
				if _, err := w.Write(make([]byte, size)); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(pause)
			}
		}
	}
	if n, err := get(t, send(1, 10*time.Millisecond, 2000)); err == nil ||
		!strings.Contains(err.Error(), "bytes came in 200ms") {
		t.Errorf("%d bytes one by one: error %v", n, err)
	}
	if n, err := get(t, send(2*worth, 100*time.Millisecond, 4)); err != nil || n != 8*worth {
		t.Errorf("%d bytes in more than the limit: %v", n, err)
	}
}
