package ood

import "fmt"

// ODIN is the name of odin in Methods.
const ODIN = "odin"

// ODINTemperature is the temperature T. Larger values change next to nothing (Liang et al. 2018, appendix).
const ODINTemperature = 1000

// ODINSteps lists the candidate step sizes, in pixel values of [0,1], with 0.0014 of the reference implementation.
var ODINSteps = []float64{0, 0.0007, 0.0014, 0.0028, 0.0056}

// odin is ODIN of Liang et al. 2018 (https://arxiv.org/abs/1706.02690): one minus the largest probability at
// temperature T, after a step of the image by -step·sign(∂/∂x -log max softmax(logits/T)). The step raises that
// probability more for images in distribution.
func odin(n *Network, step float64) (Detector, error) {
	return func(f *Features) []float64 {
		logits := f.Stepped[step]
		if len(logits) != f.N*n.Classes {
			panic(fmt.Sprintf("ood: no logits of the images after a step of %g", step)) // a mistake of the caller
		}
		return perImage(f.N, func(i int) float64 { return unsure(logits[i*n.Classes:][:n.Classes], ODINTemperature) })
	}, nil
}
