package train_test

import (
	"testing"

	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/train"
)

// BenchmarkStep is one training step of the lab's MLP at batch 128, batch preparation aside.
func BenchmarkStep(b *testing.B) {
	for _, depth := range []int{1, 5} {
		m := model.MLP{Depth: depth, Width: 128, Res: true}
		b.Run(m.Name(), func(b *testing.B) {
			prog, err := train.NewClassifier(m, nn.NewParams(1), []int{784}, 10, 128, 500)
			if err != nil {
				b.Fatal(err)
			}
			opt, err := optim.New(optim.Config{Name: "sgd", Momentum: 0.9}, prog.Params())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := prog.TrainStep(128); err != nil {
					b.Fatal(err)
				}
				opt.Step(0.01)
			}
			b.ReportMetric(128*float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
