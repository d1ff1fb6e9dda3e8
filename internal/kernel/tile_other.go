//go:build !amd64

package kernel

func shapeOf(l string) (tileShape, bool) { return tileShape{4, 4, 16}, l == portable }

func (t *tileArgs) run() { t.runPortable() }
