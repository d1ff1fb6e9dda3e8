package kernel

import "golang.org/x/sys/cpu"

// shapeOf is the tile of level l, and whether this processor has l.
func shapeOf(l string) (tileShape, bool) {
	switch l {
	case "avx512":
		return tileShape{8, 32, 16}, cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL
	case "avx2":
		return tileShape{6, 16, 18}, cpu.X86.HasAVX2 && cpu.X86.HasFMA
	}
	return tileShape{4, 4, 16}, l == portable
}

// run computes the tile with the level's microkernel. The calls are spelled out because a call
// through a variable would make the arguments escape to the heap.
func (t *tileArgs) run() {
	if level == portable {
		t.runPortable()
		return
	}
	k, ars, aks, c, ldc := t.k, 4*t.rowStride, 4*t.kStride, &t.c[0], 4*t.ldc
	a, b := c, c // never read where k is 0
	if k > 0 {
		a, b = &t.a[0], &t.b[0]
	}
	var bias *float32
	if t.bias != nil {
		bias = &t.bias[0]
	}
	flags := 0
	if t.accumulate {
		flags |= 1
	}
	if t.relu {
		flags |= 2
	}
	if level == "avx512" {
		switch t.rows {
		case 1:
			tileAVX512_1(k, a, ars, aks, b, c, ldc, bias, flags)
		case 2:
			tileAVX512_2(k, a, ars, aks, b, c, ldc, bias, flags)
		case 3:
			tileAVX512_3(k, a, ars, aks, b, c, ldc, bias, flags)
		case 4:
			tileAVX512_4(k, a, ars, aks, b, c, ldc, bias, flags)
		case 5:
			tileAVX512_5(k, a, ars, aks, b, c, ldc, bias, flags)
		case 6:
			tileAVX512_6(k, a, ars, aks, b, c, ldc, bias, flags)
		case 7:
			tileAVX512_7(k, a, ars, aks, b, c, ldc, bias, flags)
		case 8:
			tileAVX512_8(k, a, ars, aks, b, c, ldc, bias, flags)
		}
		return
	}
	switch t.rows {
	case 1:
		tileAVX2_1(k, a, ars, aks, b, c, ldc, bias, flags)
	case 2:
		tileAVX2_2(k, a, ars, aks, b, c, ldc, bias, flags)
	case 3:
		tileAVX2_3(k, a, ars, aks, b, c, ldc, bias, flags)
	case 4:
		tileAVX2_4(k, a, ars, aks, b, c, ldc, bias, flags)
	case 5:
		tileAVX2_5(k, a, ars, aks, b, c, ldc, bias, flags)
	case 6:
		tileAVX2_6(k, a, ars, aks, b, c, ldc, bias, flags)
	}
}
