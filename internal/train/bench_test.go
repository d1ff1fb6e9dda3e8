package train_test

import (
	"testing"

	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/optim"
	"dla/internal/train"
)

// BenchmarkStep times whole training steps at batch 128, batch preparation aside.
func BenchmarkStep(b *testing.B) {
	peer := model.CNN{Size: "peer7", Inner: []int{32, 32, 32, 32, 32, 32, 32}, Res: true, Pixels: model.CIFAR10}
	peer2 := peer
	peer2.Inner = peer.Inner[:2]
	for _, m := range []model.Model{
		model.MLP{Depth: 1, Width: 128, Res: true}, model.MLP{Depth: 5, Width: 128, Res: true}, peer2, peer,
		model.ResNet{Blocks: 3, Width: 16, Res: true, Projection: true, Pixels: model.CIFAR10},
		model.ResNet{Blocks: 3, Width: 32, Res: true, Projection: true, Pixels: model.CIFAR10},
	} {
		b.Run(m.Name(), func(b *testing.B) {
			h, c := 32, 3
			if _, mlp := m.(model.MLP); mlp {
				h, c = 28, 1
			}
			prog, err := train.NewClassifier(m, nn.NewParams(1), m.Input(h, h, c), 10, 128, 128, 0)
			if err != nil {
				b.Fatal(err)
			}
			x, _ := prog.TrainBuffers()
			for i := range x {
				x[i] = float32(i%251) / 250
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
			if testing.Verbose() {
				prog.Train().Profile(true)
				for range 5 {
					prog.TrainStep(128)
				}
				for _, c := range prog.Train().Costs() {
					if c.Share < 0.01 {
						break
					}
					b.Logf("%-28s %-20s x%-3d %8.2f ms %5.1f %% %7.1f GFLOP/s", c.Op, c.Shape, c.Steps, c.Seconds*1e3/5, 100*c.Share, c.FLOPs/c.Seconds/1e9)
				}
				prog.Train().Profile(false)
			}
		})
	}
}
