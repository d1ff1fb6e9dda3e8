package kernel

// transposeInto is dst[k·ldd + j] = src[j·lds + k] for j below cols and k below rows of dst.
func transposeInto(dst []float32, ldd int, src []float32, lds, cols, rows int) {
	n := simd.floats
	if cols == 0 || rows == 0 {
		return
	}
	_, _ = dst[(rows-1)*ldd+cols-1], src[(cols-1)*lds+rows-1]
	for j := 0; j < cols; j += n {
		k := 0
		if j+n <= cols {
			for ; k+n <= rows; k += n {
				simd.transpose(&dst[k*ldd+j], &src[j*lds+k], uintptr(4*ldd), uintptr(4*lds))
			}
		}
		for ; k < rows; k++ {
			for q := j; q < min(j+n, cols); q++ {
				dst[k*ldd+q] = src[q*lds+k]
			}
		}
	}
}
