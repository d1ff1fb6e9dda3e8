package metrics

import (
	"slices"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// Intervals are 95 % intervals of the measures of a Detection, each from low to high.
type Intervals struct {
	AUROC    [2]float64 `json:"auroc"`
	AUPRIn   [2]float64 `json:"aupr_in"`
	AUPROut  [2]float64 `json:"aupr_out"`
	FPR95    [2]float64 `json:"fpr95"`
	Accuracy [2]float64 `json:"accuracy"`

	FPR95Out Later[[2]float64] `json:"fpr95_outliers_positive,omitzero"`
}

func (v *Intervals) each() [measures]*[2]float64 {
	return [measures]*[2]float64{&v.AUROC, &v.AUPRIn, &v.AUPROut, &v.FPR95, &v.Accuracy, &v.FPR95Out.Value}
}

// Bootstrap gives percentile intervals (Efron 1979, https://doi.org/10.1214/aos/1176344552) of the
// measures of detectors that scored the same samples, over resamples draws with replacement, in and out
// of distribution apart. A draw is how often each sample is taken, so that nothing is sorted again; it
// is the same for all detectors, and depends on seed and its number alone.
func Bootstrap(rs []*Ranking, resamples int, seed uint64) []Intervals {
	b := &bootstrap{rs, resamples, seed, make([]Detection, len(rs)*resamples)}
	kernel.Run(b, (resamples+resamplesAChunk-1)/resamplesAChunk)
	all := make([]Intervals, len(rs))
	x := make([]float64, resamples)
	for i := range rs {
		for m, interval := range all[i].each() {
			for s := range x {
				x[s] = *b.drawn[s*len(rs)+i].each()[m]
			}
			slices.Sort(x)
			*interval = [2]float64{Quantile(x, 0.025), Quantile(x, 0.975)}
		}
		all[i].FPR95Out.Known = true
	}
	return all
}

// bootstrap is Bootstrap as a task, in chunks of resamples.
type bootstrap struct {
	rankings  []*Ranking
	resamples int
	seed      uint64
	drawn     []Detection // [resamples, rankings]
}

const resamplesAChunk = 20

// Chunk computes resamplesAChunk resamples.
func (b *bootstrap) Chunk(i int) {
	in, out := b.rankings[0].in, b.rankings[0].out
	weights := make([]uint16, in+out)
	for s := i * resamplesAChunk; s < min(b.resamples, (i+1)*resamplesAChunk); s++ {
		clear(weights)
		r := rng.New(b.seed, "bootstrap", 0, uint64(s))
		for range in {
			weights[r.IntN(in)]++
		}
		for range out {
			weights[in+r.IntN(out)]++
		}
		for d, ranking := range b.rankings {
			b.drawn[s*len(b.rankings)+d] = ranking.weighted(weights)
		}
	}
}
