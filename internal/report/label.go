package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dla/internal/config"
	"dla/internal/run"
)

// LabelOf returns the label of r. Older records have none: it is parsed from the name of the variant.
func LabelOf(r run.Record) run.Label {
	if r.Label != nil {
		return *r.Label
	}
	if l, ok := parseFinetuning(r.Variant); ok {
		return l
	}
	return parseNetwork(r.Variant)
}

// sizes are the lab's networks in order.
var sizes = []string{"small", "medium", "large", "student", "teacher"}

// parseNetwork parses a variant's name: mlp-d5-res, cnn-small-plain, resnet20 or plain20-w32 from internal/model,
// cnn-student-res-kd-t4-w0.9-cached from distillation, resnet20-robust-fgsm8-f0.1-noise-w0.5 from lab4 robust.
// A name of another kind is its own network.
func parseNetwork(variant string) run.Label {
	variant, distillation, _ := strings.Cut(variant, "-kd-")
	variant, attacked, robust := strings.Cut(variant, "-robust")
	l := run.Label{Network: variant}
	if parts := strings.SplitN(distillation, "-", 3); len(parts) == 3 {
		l.Method, l.Recipe = distilled, fmt.Sprintf("T %s, w %s, %s", strings.TrimPrefix(parts[0], "t"),
			strings.TrimPrefix(parts[1], "w"), parts[2])
	}
	if robust {
		l.Method = adversariallyFineTuned
		if strings.HasPrefix(attacked, "-scratch") {
			l.Method = adversariallyTrained
		}
		l.Recipe = strings.ReplaceAll(strings.TrimPrefix(attacked, "-"), "-", ", ")
	}
	name, kind := variant, ""
	if i := strings.LastIndexByte(variant, '-'); i > 0 {
		name, kind = variant[:i], map[string]string{"res": residual, "plain": "plain"}[variant[i+1:]]
	}
	rest, ok := strings.CutPrefix(name, "mlp-d")
	if n, err := strconv.Atoi(rest); ok && err == nil {
		l.Network, l.Order, l.Skips = "d"+rest, n, kind
		return l
	}
	if rest, ok = strings.CutPrefix(name, "cnn-"); ok {
		l.Network, l.Order, l.Skips = rest, slices.Index(sizes, rest), kind
		return l
	}
	for prefix, skips := range map[string]string{"resnet": residual, "plain": "plain"} {
		rest, ok := strings.CutPrefix(variant, prefix)
		if !ok {
			continue
		}
		depth, width, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(depth); err == nil {
			l.Network, l.Order, l.Skips = depth+" layers", n, skips
			if width != "" {
				l.Network += ", " + width
			}
		}
	}
	return l
}

// parseFinetuning parses the name of a variant of lab3 finetune, such as minilm-lora-qv-r8 or minilm-full; ok is false
// for any other name.
func parseFinetuning(variant string) (l run.Label, ok bool) {
	name, order := EncoderName(variant)
	variant, pooled := strings.CutSuffix(variant, "-"+config.HeadPooled)
	parts := strings.Split(variant, "-")
	at := slices.IndexFunc(parts, func(p string) bool { return slices.Contains(config.Methods, p) })
	if at < 1 {
		return l, false
	}
	f := Finetuned{Encoder: name, EncoderOrder: order, Method: parts[at], Pooled: pooled}
	rest := parts[at+1:]
	switch lora := f.Method == config.MethodLoRA; {
	case lora != (len(rest) >= 2) || !lora && len(rest) > 0:
		return l, false
	case lora:
		f.Targets = rest[0]
		var err error
		if f.Rank, err = strconv.Atoi(strings.TrimPrefix(rest[1], "r")); err != nil && rest[1] != "r" || f.Rank < 0 ||
			f.Rank >= maxRank {
			return l, false
		}
		if len(rest) > 2 {
			f.Alpha = strings.TrimPrefix(rest[2], "a")
		}
	}
	return f.Label(), true
}

// Finetuned is what a fine-tuning trains.
type Finetuned struct {
	Encoder      string // display name
	EncoderOrder int    // in tables
	Method       string // of config.Methods
	Targets      string // of LoRA
	Rank         int    // of LoRA
	Alpha        string // of LoRA, where it is not the default
	Pooled       bool   // the head is the pooled one
}

// maxRank is larger than the rank of every adapter.
const maxRank = 1 << 11

// Label returns f in readers' words. Tables are ordered by encoder; adapters by targets and rank, then full, then head.
func (f Finetuned) Label() run.Label {
	l := run.Label{Network: f.Encoder}
	l.Order = (f.EncoderOrder*len(config.Methods) + slices.Index(config.Methods, f.Method)) * len(config.Targets)
	switch f.Method {
	case config.MethodFull:
		l.Method = "all weights"
	case config.MethodHead:
		l.Method = "head only"
	default:
		l.Method = fmt.Sprintf("LoRA %s, rank %d", strings.Join(strings.Split(f.Targets, ""), ","), f.Rank)
		if f.Alpha != "" {
			l.Method += ", alpha " + f.Alpha
		}
		l.Order += slices.Index(config.Targets, f.Targets)
	}
	if f.Pooled {
		l.Method += ", pooled head"
	}
	l.Order = l.Order*maxRank + f.Rank
	return l
}
