package metrics

import "math"

// McNemarTest compares two classifiers on the same samples by those that only one of them gets right
// (McNemar 1947, https://doi.org/10.1007/BF02295996).
type McNemarTest struct {
	OnlyA, OnlyB int     // samples only the one, only the other gets right
	Exact        bool    // by the binomial distribution; else by chi-square with Edwards's continuity correction
	P            float64 // two-sided
}

// fewDiscordant is below which the chi-square distribution is a poor approximation; the exact test is
// taken instead (Fagerland, Lydersen and Laake 2013, https://doi.org/10.1186/1471-2288-13-91).
const fewDiscordant = 25

// McNemar is the test for onlyA samples that only the one classifier gets right and onlyB that only the
// other does. With neither there is nothing to tell them apart: P is 1.
func McNemar(onlyA, onlyB int) McNemarTest {
	t := McNemarTest{OnlyA: onlyA, OnlyB: onlyB, P: 1}
	n := onlyA + onlyB
	if n < fewDiscordant {
		t.Exact = true
		sum, choose := 0.0, 1.0 // n over k
		for k := range min(onlyA, onlyB) + 1 {
			sum += choose
			choose *= float64(n-k) / float64(k+1)
		}
		t.P = min(1, 2*sum*math.Pow(0.5, float64(n)))
		return t
	}
	// Edwards 1948, https://doi.org/10.1007/BF02289261
	d := max(0, math.Abs(float64(onlyA-onlyB))-1)
	t.P = math.Erfc(math.Sqrt(d * d / float64(n) / 2)) // of chi-square with one degree of freedom
	return t
}
