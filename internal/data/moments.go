package data

import "math"

// Moments returns the mean and the standard deviation of each channel, of pixels in [0,1]: what a network
// standardizes with. Where the catalogue has published values it returns these, and published is true. Otherwise it
// computes them over all images of the training set, those held out for validation included, as the published values
// of MNIST and CIFAR-10 are: so they do not depend on the seed. The deviation is that of the population (1/n). Sums
// are exact integers, so that neither the order of the images nor the machine changes a bit. A channel that does not
// vary has the deviation 1.
func (d *Dataset) Moments() (mean, std []float64, published bool) {
	for _, e := range Catalogue {
		if e.Name == d.Name && len(e.Mean) == d.Train.C {
			return e.Mean, e.Std, true
		}
	}
	s := d.Train
	sums, squares := make([]uint64, s.C), make([]uint64, s.C)
	for at := 0; at+s.C <= len(s.Pixels); at += s.C {
		for c, v := range s.Pixels[at : at+s.C] {
			sums[c] += uint64(v)
			squares[c] += uint64(v) * uint64(v)
		}
	}
	n := float64(len(s.Pixels) / s.C)
	for c := range s.C {
		m := float64(sums[c]) / n
		deviation := math.Sqrt(max(0, float64(squares[c])/n-m*m)) / 255
		if !(deviation > 1e-8) {
			deviation = 1
		}
		mean, std = append(mean, m/255), append(std, deviation)
	}
	return mean, std, false
}
