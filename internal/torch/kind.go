package torch

import (
	"encoding/binary"
	"math"

	"dla/internal/weights"
)

// kind is a type of numbers: its name as in safetensors, bytes, and an element as float32.
type kind struct {
	name    string
	size    int
	element func(b []byte) float32
}

func asUint8(b []byte) float32 { return float32(b[0]) }

// kinds returns the types by the names of their storages and of the types themselves: torch.FloatStorage,
// torch.float32.
func kinds(big bool) map[string]kind {
	var o binary.ByteOrder = binary.LittleEndian
	if big {
		o = binary.BigEndian
	}
	all := map[string]kind{}
	for _, k := range []struct {
		storage, dtype string
		kind
	}{
		{"Double", "float64", kind{"F64", 8, func(b []byte) float32 { return float32(math.Float64frombits(o.Uint64(b))) }}},
		{"Float", "float32", kind{"F32", 4, func(b []byte) float32 { return math.Float32frombits(o.Uint32(b)) }}},
		{"Half", "float16", kind{"F16", 2, func(b []byte) float32 { return weights.FromF16(o.Uint16(b)) }}},
		{"BFloat16", "bfloat16", kind{"BF16", 2, func(b []byte) float32 {
			return math.Float32frombits(uint32(o.Uint16(b)) << 16)
		}}},
		{"Long", "int64", kind{"I64", 8, func(b []byte) float32 { return float32(int64(o.Uint64(b))) }}},
		{"Int", "int32", kind{"I32", 4, func(b []byte) float32 { return float32(int32(o.Uint32(b))) }}},
		{"Short", "int16", kind{"I16", 2, func(b []byte) float32 { return float32(int16(o.Uint16(b))) }}},
		{"Char", "int8", kind{"I8", 1, func(b []byte) float32 { return float32(int8(b[0])) }}},
		{"Byte", "uint8", kind{"U8", 1, asUint8}},
		{"Bool", "bool", kind{"BOOL", 1, func(b []byte) float32 { return float32(min(b[0], 1)) }}},
	} {
		all["torch."+k.storage+"Storage"], all["torch."+k.dtype] = k.kind, k.kind
	}
	return all
}
