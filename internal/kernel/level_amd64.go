package kernel

import "golang.org/x/sys/cpu"

// available are the levels this processor has, best first.
func available() []kernels {
	var all []kernels
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW {
		all = append(all, avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		all = append(all, avx2)
	}
	return append(all, portable)
}

var avx512 = kernels{
	name: "avx512", floats: 16, rows: [3]int{0, 16, 14},
	brgemm: [2][3][17]func(*byte){
		{
			{},
			{1: brgemmAVX512_1x1, 2: brgemmAVX512_2x1, 3: brgemmAVX512_3x1, 4: brgemmAVX512_4x1, 5: brgemmAVX512_5x1, 6: brgemmAVX512_6x1, 7: brgemmAVX512_7x1, 8: brgemmAVX512_8x1, 9: brgemmAVX512_9x1, 10: brgemmAVX512_10x1, 11: brgemmAVX512_11x1, 12: brgemmAVX512_12x1, 13: brgemmAVX512_13x1, 14: brgemmAVX512_14x1, 15: brgemmAVX512_15x1, 16: brgemmAVX512_16x1},
			{1: brgemmAVX512_1x2, 2: brgemmAVX512_2x2, 3: brgemmAVX512_3x2, 4: brgemmAVX512_4x2, 5: brgemmAVX512_5x2, 6: brgemmAVX512_6x2, 7: brgemmAVX512_7x2, 8: brgemmAVX512_8x2, 9: brgemmAVX512_9x2, 10: brgemmAVX512_10x2, 11: brgemmAVX512_11x2, 12: brgemmAVX512_12x2, 13: brgemmAVX512_13x2, 14: brgemmAVX512_14x2},
		},
		{
			{},
			{1: brgemmTAVX512_1x1, 2: brgemmTAVX512_2x1, 3: brgemmTAVX512_3x1, 4: brgemmTAVX512_4x1, 5: brgemmTAVX512_5x1, 6: brgemmTAVX512_6x1, 7: brgemmTAVX512_7x1, 8: brgemmTAVX512_8x1, 9: brgemmTAVX512_9x1, 10: brgemmTAVX512_10x1, 11: brgemmTAVX512_11x1, 12: brgemmTAVX512_12x1, 13: brgemmTAVX512_13x1, 14: brgemmTAVX512_14x1, 15: brgemmTAVX512_15x1, 16: brgemmTAVX512_16x1},
			{1: brgemmTAVX512_1x2, 2: brgemmTAVX512_2x2, 3: brgemmTAVX512_3x2, 4: brgemmTAVX512_4x2, 5: brgemmTAVX512_5x2, 6: brgemmTAVX512_6x2, 7: brgemmTAVX512_7x2, 8: brgemmTAVX512_8x2, 9: brgemmTAVX512_9x2, 10: brgemmTAVX512_10x2, 11: brgemmTAVX512_11x2, 12: brgemmTAVX512_12x2, 13: brgemmTAVX512_13x2, 14: brgemmTAVX512_14x2},
		},
	},
	transpose:     transposeAVX512,
	winoInput:     winoInputAVX512,
	winoOutput:    winoOutputAVX512,
	winoOutputAdd: winoOutputAddAVX512,
	winoDY:        winoDYAVX512,
	winoWeight:    winoWeightAVX512,
	winoDWeight:   winoDWeightAVX512,
	softmax:       softmaxAVX512,
	softmaxGrad:   softmaxGradAVX512,
	layerNorm:     layerNormAVX512,
	layerNormGrad: layerNormGradAVX512,
	layerNormSums: [3]func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32){1: layerNormSums1AVX512, 2: layerNormSums2AVX512},
	dropout:       func(dst, src *float32, groups int, a *dropoutArgs) { dropoutAVX512(dst, src, groups, &a.keys[0]) },
	gelu:          geluAVX512,
	geluGrad:      geluGradAVX512,
	add:           addAVX512,
	reluGrad:      reluGradAVX512,
	bytesToFloats: bytesToFloatsAVX512,
	sgd:           sgdAVX512,
	adamw:         adamwAVX512,
	probe:         probeAVX512,
	sums:          [3]func(x *float32, px int, stride uintptr, sum, squares *float32){1: sums1AVX512, 2: sums2AVX512},
	normApply:     [3]func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32){1: normApply1AVX512, 2: normApply2AVX512},
	normGradSums:  [3]func(g, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32){1: normGradSums1AVX512, 2: normGradSums2AVX512},
	normGradInput: [3]func(dx, g, x *float32, px int, stride uintptr, mean, a, b, c *float32){1: normGradInput1AVX512, 2: normGradInput2AVX512},
}

var avx2 = kernels{
	name: "avx2", floats: 8, rows: [3]int{0, 12, 6},
	brgemm: [2][3][17]func(*byte){
		{
			{},
			{1: brgemmAVX2_1x1, 2: brgemmAVX2_2x1, 3: brgemmAVX2_3x1, 4: brgemmAVX2_4x1, 5: brgemmAVX2_5x1, 6: brgemmAVX2_6x1, 7: brgemmAVX2_7x1, 8: brgemmAVX2_8x1, 9: brgemmAVX2_9x1, 10: brgemmAVX2_10x1, 11: brgemmAVX2_11x1, 12: brgemmAVX2_12x1},
			{1: brgemmAVX2_1x2, 2: brgemmAVX2_2x2, 3: brgemmAVX2_3x2, 4: brgemmAVX2_4x2, 5: brgemmAVX2_5x2, 6: brgemmAVX2_6x2},
		},
		{
			{},
			{1: brgemmTAVX2_1x1, 2: brgemmTAVX2_2x1, 3: brgemmTAVX2_3x1, 4: brgemmTAVX2_4x1, 5: brgemmTAVX2_5x1, 6: brgemmTAVX2_6x1, 7: brgemmTAVX2_7x1, 8: brgemmTAVX2_8x1, 9: brgemmTAVX2_9x1, 10: brgemmTAVX2_10x1, 11: brgemmTAVX2_11x1, 12: brgemmTAVX2_12x1},
			{1: brgemmTAVX2_1x2, 2: brgemmTAVX2_2x2, 3: brgemmTAVX2_3x2, 4: brgemmTAVX2_4x2, 5: brgemmTAVX2_5x2, 6: brgemmTAVX2_6x2},
		},
	},
	transpose:     transposeAVX2,
	winoInput:     winoInputAVX2,
	winoOutput:    winoOutputAVX2,
	winoOutputAdd: winoOutputAddAVX2,
	winoDY:        winoDYAVX2,
	winoWeight:    winoWeightAVX2,
	winoDWeight:   winoDWeightAVX2,
	softmax:       softmaxAVX2,
	softmaxGrad:   softmaxGradAVX2,
	layerNorm:     layerNormAVX2,
	layerNormGrad: layerNormGradAVX2,
	layerNormSums: [3]func(dy, x, res *float32, rows int, stride uintptr, stats, dgamma, dbeta *float32){1: layerNormSums1AVX2, 2: layerNormSums2AVX2},
	dropout:       func(dst, src *float32, groups int, a *dropoutArgs) { dropoutAVX2(dst, src, groups, &a.keys[0]) },
	gelu:          geluAVX2,
	geluGrad:      geluGradAVX2,
	add:           addAVX2,
	reluGrad:      reluGradAVX2,
	bytesToFloats: bytesToFloatsAVX2,
	sgd:           sgdAVX2,
	adamw:         adamwAVX2,
	probe:         probeAVX2,
	sums:          [3]func(x *float32, px int, stride uintptr, sum, squares *float32){1: sums1AVX2, 2: sums2AVX2},
	normApply:     [3]func(y, x, res *float32, px int, stride uintptr, scale, shift, low *float32){1: normApply1AVX2, 2: normApply2AVX2},
	normGradSums:  [3]func(g, dy, y, x *float32, px int, stride uintptr, mean, sum, sumX *float32){1: normGradSums1AVX2, 2: normGradSums2AVX2},
	normGradInput: [3]func(dx, g, x *float32, px int, stride uintptr, mean, a, b, c *float32){1: normGradInput1AVX2, 2: normGradInput2AVX2},
}
