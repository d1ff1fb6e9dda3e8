package kernel

import "math"

// Distillation is the loss of Hinton et al. 2015 (https://arxiv.org/abs/1503.02531): a student's logits
// against labels and a teacher's logits, both softened by Temperature T,
//
//	(1 - Weight)·cross-entropy(softmax(z), label) + Weight·T²·KL(softmax(t/T) ‖ softmax(z/T))
//
// mean over rows. T² keeps the size of the second term's gradient whatever T is.
type Distillation struct{ Weight, Temperature float64 }

// row computes one row's loss and, where grad is not nil, its gradient by the student's logits.
func (d Distillation) row(z, t []float32, label int32, grad []float32) float64 {
	T := d.Temperature
	zm, tm := float64(rowMax(z)), float64(rowMax(t))
	var hard, soft, teacher float64 // sums of exponentials
	for i := range z {
		hard += math.Exp(float64(z[i]) - zm)
		soft += math.Exp((float64(z[i]) - zm) / T)
		teacher += math.Exp((float64(t[i]) - tm) / T)
	}
	logSoft, logTeacher := math.Log(soft), math.Log(teacher)
	kl := 0.0
	for i := range z {
		zi, ti := (float64(z[i])-zm)/T-logSoft, (float64(t[i])-tm)/T-logTeacher // log-probabilities
		p := math.Exp(ti)
		if p > 0 {
			kl += p * (ti - zi)
		}
		if grad != nil {
			g := (1-d.Weight)*math.Exp(float64(z[i])-zm)/hard + d.Weight*T*(math.Exp(zi)-p)
			if i == int(label) {
				g -= 1 - d.Weight
			}
			grad[i] = float32(g)
		}
	}
	return (1-d.Weight)*(math.Log(hard)+zm-float64(z[label])) + d.Weight*T*T*kl
}

// Loss returns the mean over rows, for logits and teacher [rows, classes] and labels [rows].
func (d Distillation) Loss(logits, teacher []float32, labels []int32, rows, classes int) float32 {
	total := 0.0
	for r := range rows {
		total += d.row(logits[r*classes:(r+1)*classes], teacher[r*classes:(r+1)*classes], labels[r], nil)
	}
	return float32(total / float64(rows))
}

// Grad computes dst [rows, classes] = scale times the gradient of the loss of each row by its logits; scale includes
// the 1/rows of the mean.
func (d Distillation) Grad(dst, logits, teacher []float32, labels []int32, rows, classes int, scale float32) {
	for r := range rows {
		out := dst[r*classes : (r+1)*classes]
		d.row(logits[r*classes:(r+1)*classes], teacher[r*classes:(r+1)*classes], labels[r], out)
		for i := range out {
			out[i] *= scale
		}
	}
}
