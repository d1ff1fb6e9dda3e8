package ood

import (
	"fmt"
	"slices"
)

// Reconstruction is the name of the reconstruction error in Methods.
const Reconstruction = "mse"

// reconstruction is the mean squared error of an autoencoder that was trained on images in distribution only.
func reconstruction(*Network, float64) (Detector, error) {
	return func(f *Features) []float64 {
		if len(f.Errors) != f.N {
			// a mistake of the caller
			panic(fmt.Sprintf("ood: %d reconstruction errors of %d images", len(f.Errors), f.N))
		}
		return slices.Clone(f.Errors)
	}, nil
}
