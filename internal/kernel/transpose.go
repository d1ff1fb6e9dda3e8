package kernel

// transposeInto is dst[k·ldd + j] = src[j·lds + k] for j below cols and k below rows of dst.
func transposeInto(dst []float32, ldd int, src []float32, lds, cols, rows int) {
	n := simd.floats
	if cols == 0 || rows == 0 {
		return
	}
	_, _ = dst[(rows-1)*ldd+cols-1], src[(cols-1)*lds+rows-1]
	if cols >= n && rows >= n { // squares, of which the last ones overlap those before
		for j := 0; j < cols; j += n {
			j := min(j, cols-n)
			for k := 0; k < rows; k += n {
				k := min(k, rows-n)
				simd.transpose(&dst[k*ldd+j], &src[j*lds+k], uintptr(4*ldd), uintptr(4*lds))
			}
		}
		return
	}
	for k := range rows {
		for j := range cols {
			dst[k*ldd+j] = src[j*lds+k]
		}
	}
}
