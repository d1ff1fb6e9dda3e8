// Package metrics holds the statistics results are reported with.
package metrics

import (
	"math"
	"slices"
)

// Wilson is the 95 % confidence interval of a proportion of correct in n (Wilson 1927), which stays
// inside [0,1] and holds near its ends. With n = 0 nothing is known: [0,1].
func Wilson(correct, n int) (lo, hi float64) {
	return WilsonMean(float64(correct)/float64(n), n)
}

// WilsonMean is Wilson for a proportion p of n that is a mean, as of several seeds' accuracies on the same n
// samples. Such a p·n need not be a whole number, and nothing is rounded to one: the interval is a continuous
// function of p.
func WilsonMean(p float64, n int) (lo, hi float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // 97.5 % quantile of the standard normal
	m := float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	d := 1 + z*z/m
	return max(0, (mid-half)/d), min(1, (mid+half)/d)
}

// Median is the middle value of v, or the mean of the middle two; NaN where there is none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Quantile is the q-quantile of ascending x, of at least one value, linear between neighbours: type 7 of Hyndman and Fan
// 1996, as NumPy and R compute it by default. gonum's stat.Quantile knows types 1 and 4 alone.
func Quantile[F float32 | float64](x []F, q float64) float64 {
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 >= len(x) {
		return float64(x[len(x)-1])
	}
	return float64(x[i]) + (at-float64(i))*(float64(x[i+1])-float64(x[i]))
}

// MeanStd is the mean and the sample standard deviation (n-1) of x; the deviation of fewer than two
// values is NaN, the mean of none too. Both are summed in order: gonum's stat.MeanStdDev adds in the order of the
// processor's vectors, so that the last bits of five values or more are others, and others on another machine.
func MeanStd(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	if len(x) < 2 {
		return mean, math.NaN()
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(x)-1))
}
