package labs

import (
	"testing"

	"dla/internal/config"
	"dla/internal/report"
	"dla/internal/run"
)

// TestLabels: what an experiment writes of a run is what is read of an older record from the name of its variant.
func TestLabels(t *testing.T) {
	distill := config.DefaultDistill("student", "teacher", config.Cached)
	robust := config.DefaultRobust(false)
	robust.Model = config.Model{Name: "resnet20", Res: true}
	scratch := config.DefaultRobust(true)
	scratch.Model, scratch.Outliers.Sources = config.Model{Name: "resnet20", Width: 32}, []string{"noise", "svhn"}
	networks := map[string]*run.Label{}
	for _, m := range []config.Model{{Name: "mlp", Depth: 3, Width: 8}, {Name: "mlp", Depth: 5, Width: 128, Res: true},
		{Name: "large", Res: true}, {Name: "resnet56"}, {Name: "resnet20", Width: 32, Res: true}} {
		networks[must(ResnetVariant(config.Resnet{Model: m}))(t)] = labelOf(m)
	}
	networks[must(DistillVariant(distill))(t)] = trainedBy(labelOf(distill.Model), "distilled", distillRecipe(distill))
	for _, c := range []config.Robust{robust, scratch} {
		networks[must(RobustVariant(c))(t)] = robustLabel(c)
	}
	for _, c := range []config.Finetune{config.DefaultFinetune(config.MethodLoRA),
		config.DefaultFinetune(config.MethodFull)} {
		networks[FinetuneVariant(c)] = finetuneLabel(c)
	}
	pooled := config.DefaultFinetune(config.MethodLoRA)
	pooled.LoRA.Alpha, pooled.Encoder.From, pooled.Head.Kind = 3, "my/own", config.HeadPooled
	networks[FinetuneVariant(pooled)] = finetuneLabel(pooled)
	for variant, label := range networks {
		if label == nil {
			t.Errorf("%s has no label", variant)
			continue
		}
		if want := report.LabelOf(run.Record{Summary: run.Summary{Variant: variant}}); *label != want {
			t.Errorf("%s is %+v, its name is read as %+v", variant, *label, want)
		}
	}
}
