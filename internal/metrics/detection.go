package metrics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Detection is how well a detector's scores tell out-of-distribution samples from those in distribution.
// A larger score says more out of distribution. Equal scores are one threshold: no order among them is
// assumed.
type Detection struct {
	// AUROC is the area under the ROC curve: the probability that a sample out of distribution scores
	// higher than one in distribution, a tie counting half (the Mann-Whitney statistic).
	AUROC float64 `json:"auroc"`
	// AUPRIn and AUPROut are average precision, Σ (Rₙ - Rₙ₋₁)·Pₙ over the thresholds, without interpolation, as in
	// scikit-learn's average_precision_score. AUPRIn has the samples in distribution as positives, AUPROut the
	// outliers. A detector that guesses scores the fraction of positives, see Ranking.BaseRates.
	AUPRIn  float64 `json:"aupr_in"`
	AUPROut float64 `json:"aupr_out"`
	// FPR95 is the false-positive rate at 95 % true-positive rate. Samples in distribution are the positives: the
	// threshold is the lowest that accepts at least 95 % of them, and FPR95 is the fraction of outliers that it
	// accepts, as in Liang et al. 2018 (https://arxiv.org/abs/1706.02690).
	FPR95 float64 `json:"fpr95"`
	// Accuracy is the best balanced accuracy of any threshold, max ½·(TPR + 1 - FPR): one less the
	// detection error of Liang et al. 2018, both kinds of sample being equally likely.
	Accuracy float64 `json:"accuracy"`
	// FPR95Out is FPR95 with the outliers as positives: the threshold is the highest that rejects at least 95 % of
	// them, and FPR95Out is the fraction of samples in distribution that it rejects, as in OpenOOD and on its
	// leaderboards (https://arxiv.org/abs/2306.09301). The two may be far apart.
	FPR95Out Later[float64] `json:"fpr95_outliers_positive,omitzero"`
}

// Later is a measure, or its interval, that records of earlier versions do not have. The zero value is such a
// gap, which a measure of 0 is not: in JSON a gap is a key that is left out.
type Later[T any] struct {
	Value T
	Known bool
}

// MarshalJSON writes the value; a gap that is not left out is null.
func (l Later[T]) MarshalJSON() ([]byte, error) {
	if !l.Known {
		return []byte("null"), nil
	}
	return json.Marshal(l.Value)
}

// UnmarshalJSON reads a value, or null for a gap.
func (l *Later[T]) UnmarshalJSON(b []byte) error {
	var v *T
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*l = Later[T]{}
	if v != nil {
		*l = Later[T]{*v, true}
	}
	return nil
}

// each is the measures in their order, for what is done to all alike.
func (d *Detection) each() [measures]*float64 {
	return [measures]*float64{&d.AUROC, &d.AUPRIn, &d.AUPROut, &d.FPR95, &d.Accuracy, &d.FPR95Out.Value}
}

const measures = 6

// Ranking is a detector's scores of samples in and out of distribution, sorted.
type Ranking struct {
	in, out int
	order   []int32   // samples by ascending score: i below in is the i-th in distribution, in+j the j-th out of it
	ends    []int32   // where in order each stretch of equal scores ends
	scores  []float64 // the scores of the stretches, ascending
}

// Rank sorts the scores that the detector called name gives to samples in and out of distribution. A
// score that is not finite, and a kind of sample that there is none of, are errors.
func Rank(name string, in, out []float64) (*Ranking, error) {
	if len(in) == 0 || len(out) == 0 {
		return nil, fmt.Errorf("detector %s: %d samples in distribution and %d out of it; want both kinds", name, len(in),
			len(out))
	}
	r := &Ranking{in: len(in), out: len(out), order: make([]int32, len(in)+len(out))}
	all := slices.Concat(in, out)
	for i, v := range all {
		if v-v != 0 {
			kind, at := "in", i
			if i >= len(in) {
				kind, at = "out of", i-len(in)
			}
			return nil, fmt.Errorf("detector %s: the score of sample %d %s distribution is %g, not a finite number", name, at,
				kind, v)
		}
		r.order[i] = int32(i)
	}
	slices.SortStableFunc(r.order, func(a, b int32) int { return cmp.Compare(all[a], all[b]) })
	for i, at := range r.order {
		if v := all[at]; i == 0 || v != r.scores[len(r.scores)-1] {
			r.scores = append(r.scores, v)
			r.ends = append(r.ends, int32(i))
		}
		r.ends[len(r.ends)-1] = int32(i + 1)
	}
	return r, nil
}

// BaseRates are the shares of the samples in and out of distribution: what AUPRIn and AUPROut come to
// by chance.
func (r *Ranking) BaseRates() (in, out float64) {
	n := float64(r.in + r.out)
	return float64(r.in) / n, float64(r.out) / n
}

// Detection is the measures of all samples, each once.
func (r *Ranking) Detection() Detection {
	ones := make([]uint16, len(r.order))
	for i := range ones {
		ones[i] = 1
	}
	return r.weighted(ones)
}

// weighted is Detection with sample i, numbered as in order, taken weights[i] times: as many of each kind
// in all as there are.
func (r *Ranking) weighted(weights []uint16) Detection {
	var d Detection
	var in, out int // accepted by the thresholds so far, from the lowest up
	pairs, best, at95, outAt95 := 0, 0, -1, r.in
	from := int32(0)
	for _, end := range r.ends {
		g, h := 0, 0 // in and out, of this score
		for _, at := range r.order[from:end] {
			w := int(weights[at])
			isIn := (int(at) - r.in) >> 63 // all ones, or zero
			g += w & isIn
			h += w &^ isIn
		}
		from = end
		if 20*(r.out-out) >= 19*r.out { // those of this score and above are called out of distribution
			outAt95 = r.in - in
		}
		if h > 0 {
			d.AUPROut += float64(h) * float64(r.out-out) / float64(r.out-out+r.in-in)
		}
		pairs += h * (2*in + g)
		in, out = in+g, out+h
		if g > 0 { // this score and below are accepted
			d.AUPRIn += float64(g) * float64(in) / float64(in+out)
		}
		best = max(best, in*r.out-out*r.in)
		if at95 < 0 && 20*in >= 19*r.in {
			at95 = out
		}
	}
	// Quotients of whole numbers, not products with a reciprocal: those of a perfect detector are 1.
	d.AUROC = float64(pairs) / float64(2*r.in*r.out)
	d.AUPRIn /= float64(r.in)
	d.AUPROut /= float64(r.out)
	d.FPR95 = float64(at95) / float64(r.out)
	d.FPR95Out = Later[float64]{float64(outAt95) / float64(r.in), true}
	d.Accuracy = (1 + float64(best)/float64(r.in*r.out)) / 2
	return d
}

// ROC is the ROC curve: a threshold, from the lowest up, lets in in[i] of the samples in distribution (the
// true positives) and out[i] of those out of it. It begins with none of either and ends with all. Where it
// has more than limit points it is thinned to those that are at least 2/limit of either axis apart; what is
// left lies on the whole curve.
func (r *Ranking) ROC(limit int) (in, out []int) {
	in, out = []int{0}, []int{0}
	a, b, from := 0, 0, int32(0)
	thin := len(r.ends) > limit
	for i, end := range r.ends {
		g, h := r.count(from, end)
		from = end
		a, b = a+g, b+h
		last := len(in) - 1
		if !thin || i == len(r.ends)-1 || limit*(a-in[last]) >= 2*r.in || limit*(b-out[last]) >= 2*r.out {
			in, out = append(in, a), append(out, b)
		}
	}
	return in, out
}

// count is how many samples at the places from … end of order are in and out of distribution.
func (r *Ranking) count(from, end int32) (in, out int) {
	for _, at := range r.order[from:end] {
		if int(at) < r.in {
			in++
		}
	}
	return in, int(end-from) - in
}

// Histogram counts the samples in and out of distribution in so many bins of equal width from lo to hi,
// between which lie all scores but the lowest and the highest of a thousand; these are counted in the first
// and the last bin.
func (r *Ranking) Histogram(bins int) (lo, hi float64, in, out []int) {
	at := func(place int) float64 {
		i, _ := slices.BinarySearch(r.ends, int32(place+1))
		return r.scores[i]
	}
	cut := len(r.order) / 1000
	lo, hi = at(cut), at(len(r.order)-1-cut)
	in, out = make([]int, bins), make([]int, bins)
	from := int32(0)
	for i, end := range r.ends {
		bin := 0
		if hi > lo {
			bin = int(float64(bins) * min(1, max(0, (r.scores[i]-lo)/(hi-lo))))
		}
		g, h := r.count(from, end)
		from = end
		bin = min(bin, bins-1)
		in[bin], out[bin] = in[bin]+g, out[bin]+h
	}
	return lo, hi, in, out
}

// Quantiles are n scores at even steps of rank from the lowest to the highest, of the samples in and out
// of distribution.
func (r *Ranking) Quantiles(n int) (in, out []float64) {
	var ins, outs []float64
	from := int32(0)
	for s, end := range r.ends {
		for _, at := range r.order[from:end] {
			if int(at) < r.in {
				ins = append(ins, r.scores[s])
			} else {
				outs = append(outs, r.scores[s])
			}
		}
		from = end
	}
	pick := func(all []float64) (q []float64) {
		for i := range min(n, len(all)) {
			q = append(q, all[i*(len(all)-1)/max(1, min(n, len(all))-1)])
		}
		return q
	}
	return pick(ins), pick(outs)
}

// CheckSigns computes AUROC as Detection does for a perfect detector, for its negation and for a
// constant, of as many samples: they must be 1, 0 and ½. It is how a run shows that its larger scores
// do mean out of distribution.
func CheckSigns(in, out int) (Signs, error) {
	var s Signs
	for _, c := range []struct {
		what    string
		in, out float64
		want    float64
		got     *float64
	}{{"perfect", 0, 1, 1, &s.Perfect}, {"its negation", 0, -1, 0, &s.Negated}, {"constant", 7, 7, 0.5, &s.Constant}} {
		r, err := Rank(c.what, slices.Repeat([]float64{c.in}, in), slices.Repeat([]float64{c.out}, out))
		if err != nil {
			return s, err
		}
		if *c.got = r.Detection().AUROC; *c.got != c.want {
			return s, fmt.Errorf("sign check: the AUROC of a detector that is %s comes to %g, not %g", c.what, *c.got, c.want)
		}
	}
	return s, nil
}

// Signs are the AUROCs of CheckSigns.
type Signs struct {
	Perfect  float64 `json:"perfect"`
	Negated  float64 `json:"negated"`
	Constant float64 `json:"constant"`
}
