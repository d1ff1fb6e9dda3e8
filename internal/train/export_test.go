package train

// Prepare makes of the batch that was laid what a step computes: some images attacked, outliers after them.
func (r *Robust) Prepare(epoch, step, samples int) error { return r.prepare(epoch, step, samples) }
