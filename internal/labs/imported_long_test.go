//go:build long

package labs

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"dla/internal/model"
)

// TestPublishedNetworks: Y. Idelbayev's ResNets for CIFAR-10 (akamaster/pytorch_resnet_cifar10) have on the lossless
// test images the accuracy that their author publishes, to the image, computed as his program does.
func TestPublishedNetworks(t *testing.T) {
	if os.Getenv("DLA_MODELS") == "" || os.Getenv("DLA_DATA") == "" {
		t.Skip("DLA_MODELS and DLA_DATA are not set")
	}
	for _, c := range []struct {
		file, as string
		correct  int
		stated   float64
	}{{"resnet20-12fca82f.th", "resnet20", 9173, 0.9178}, {"resnet56-4bfd9763.th", "resnet56", 9339, 0.9362}} {
		file := filepath.Join(os.Getenv("DLA_MODELS"), "pytorch", c.file)
		if _, err := os.Stat(file); err != nil {
			t.Skip(err)
		}
		i := Import{File: file, As: c.as, Res: true, Data: "cifar10", Name: t.TempDir() + "/theirs"}
		_, res, err := ImportNetwork(context.Background(), i, options(t, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		best := res.Imported.Tried[0]
		name, stated, _ := res.Imported.StatedAccuracy()
		expect(t, res, map[string]bool{
			"the published accuracy": res.Test.Correct == c.correct && res.Test.N == 10000,
			"that of the file":       name == "best_prec1" && stated > c.stated-1e-6 && stated < c.stated+1e-6,
			"zeros on both sides":    best.Shortcut == model.ShortcutPadBoth,
			"ImageNet's pixels":      best.Normalization == "mean and deviation of ImageNet",
		})
	}
}
