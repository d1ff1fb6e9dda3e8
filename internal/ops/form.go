package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
)

// The forms say what the ops of an evaluation graph compute, as far as their inputs do not: for programs that write a
// graph in another format. A comment names the inputs in order; those in brackets may be missing, and are then known by
// the number of inputs unless the form says.
type (
	// LinearForm is x·wᵀ + b, of x, w, [b], then ReLU where wanted.
	LinearForm struct{ ReLU bool }

	// ConvForm is the convolution of x with w plus b, of x, w, [b]. Without Valid the padding is k/2 on every side.
	// CropH and CropW are the rows and columns of the output that remain, 0 for all.
	ConvForm struct {
		Stride       int
		Valid        bool
		CropH, CropW int
	}

	// NormForm is act((x - mean) / sqrt(variance + Eps) · gamma + beta + res), of x, [gamma], beta, mean, variance,
	// [res]. Gamma and Res say which there are.
	NormForm struct {
		Gamma, Res bool
		Eps        float64
		Act        Activation
	}

	// AffineForm is x·Scale + Shift by channel.
	AffineForm struct{ Scale, Shift []float32 }

	// AddForm is a + b.
	AddForm struct{}

	// BiasReLUForm is max(0, x + b), b by channel.
	BiasReLUForm struct{}

	// ActivationForm is act(x).
	ActivationForm struct{ Act Activation }

	// TanhForm is tanh(x).
	TanhForm struct{}

	// GlobalAvgPoolForm is the mean over the pixels.
	GlobalAvgPoolForm struct{}

	// MaxPoolForm is the maximum of Window x Window pixels, Window apart.
	MaxPoolForm struct{ Window int }

	// UpsampleForm doubles the image, nearest neighbour.
	UpsampleForm struct{}

	// PadShortcutForm is every Stride-th pixel, between Front channels of zeros and as many as there are up to Out.
	PadShortcutForm struct{ Stride, Out, Front int }

	// EmbeddingsForm is word[ids] + position[First + positions] + kind[0], of word, position, ids, positions, [kind].
	EmbeddingsForm struct{ First int }

	// LayerNormForm normalises the rows of x + res, of x, gamma, beta, [res].
	LayerNormForm struct{ Eps float64 }

	// AttentionForm is the attention within sentences, of q, k, v, offsets, [table]. Bias is nil without a table.
	AttentionForm struct {
		Heads int
		Bias  *RelativeBias
	}

	// SentencePoolForm is the mean of each sentence's rows, or the first of them, of x, offsets.
	SentencePoolForm struct{ Mean bool }
)

// FormOf returns the form of op, one of the types above. Ops of training graphs have none and are an error.
func FormOf(op G.Op) (any, error) {
	switch o := op.(type) {
	case *linear:
		return LinearForm{ReLU: o.relu}, nil
	case *conv2d:
		f := ConvForm{Stride: o.stride, Valid: o.valid}
		if o.cropped {
			f.CropH, f.CropW = o.cropH, o.cropW
		}
		return f, nil
	case *fixedNorm:
		return NormForm{Gamma: o.gamma, Res: o.res, Eps: o.eps, Act: o.act}, nil
	case *affine:
		return AffineForm{Scale: o.scale, Shift: o.shift}, nil
	case *add:
		return AddForm{}, nil
	case *biasReLU:
		return BiasReLUForm{}, nil
	case *activation:
		return ActivationForm{Act: o.act}, nil
	case *tanh:
		return TanhForm{}, nil
	case *globalAvgPool:
		return GlobalAvgPoolForm{}, nil
	case *maxPool:
		return MaxPoolForm{Window: o.pool.Window}, nil
	case *upsample:
		return UpsampleForm{}, nil
	case *padShortcut:
		return PadShortcutForm{Stride: o.stride, Out: o.out, Front: o.front}, nil
	case *embeddings:
		return EmbeddingsForm{First: o.positions.First}, nil
	case *layerNorm:
		return LayerNormForm{Eps: o.norm.Eps}, nil
	case *attention:
		if o.drop == nil {
			return AttentionForm{Heads: o.heads, Bias: o.bias}, nil
		}
	case *sentencePoolOp:
		return SentencePoolForm{Mean: o.mean}, nil
	}
	return nil, fmt.Errorf("op %v is known here only", op)
}
