package nn

import (
	"strings"
	"testing"

	"dla/internal/engine"
)

// TestInputBeyondMemory: batches that do not fit are an error with the numbers, not the end of the process.
func TestInputBeyondMemory(t *testing.T) {
	defer func(m func() int64) { engine.Memory = m }(engine.Memory)
	engine.Memory = func() int64 { return 1000 }
	g := NewGraph(NewParams(0))
	Linear(g, "head", g.Input("x", 8, 100), 10)
	if err := g.Err(); err == nil || !strings.Contains(err.Error(), "batches of the shape [8 100] take") {
		t.Errorf("error %v", err)
	}
}
