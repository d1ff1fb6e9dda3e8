package metrics

// Argmax is the place of the largest of x, the first of equals; 0 of none.
func Argmax[F float32 | float64](x []F) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
