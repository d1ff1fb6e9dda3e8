package ood

import (
	"fmt"
	"slices"
)

// Reconstruction is the name of reconstruction in Methods.
const Reconstruction = "mse"

// reconstruction is the lab's: the mean squared error of an autoencoder that has seen images in distribution only.
func reconstruction(*Network, float64) (Detector, error) {
	return func(f *Features) []float64 {
		if len(f.Errors) != f.N {
			panic(fmt.Sprintf("ood: %d reconstruction errors of %d images", len(f.Errors), f.N)) // a mistake of the caller
		}
		return slices.Clone(f.Errors)
	}, nil
}
