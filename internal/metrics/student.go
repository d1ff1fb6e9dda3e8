package metrics

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Student is Student's 95 % interval of the mean of x, such as of several seeds (Student 1908,
// https://doi.org/10.1093/biomet/6.1.1). Of fewer than two values nothing is known of their spread: NaN.
func Student(x []float64) (lower, upper float64) {
	mean, sd := MeanStd(x)
	if len(x) < 2 {
		return math.NaN(), math.NaN()
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(len(x) - 1)}.Quantile(0.975)
	half := t * sd / math.Sqrt(float64(len(x)))
	return mean - half, mean + half
}
