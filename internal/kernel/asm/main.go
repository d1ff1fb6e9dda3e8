// Command asm generates the vector kernels: go generate in the folder above. It is a module of its
// own so that the product does not depend on avo.
//
// Every kernel is generated twice, for AVX-512 and for AVX2, from one description: a level says how
// wide a vector is and how many registers there are. brgemm.go has the matrix product, colours.go the
// gradient of images of three channels, winograd.go the transforms of Winograd convolution, norm.go batch
// normalisation, pooling.go max pooling, functions.go, layernorm.go and dropout.go what the encoders need,
// elementwise.go the rest. tables.go names all of them in Go, level by level.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// level is an instruction set.
type level struct {
	name  string
	bytes int // of a vector
	regs  []reg.VecPhysical
	rows  [3]int // of the largest tile of one and of two vectors of columns
}

func (l level) floats() int { return l.bytes / 4 }

var levels = []level{
	{"AVX512", 64, []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}, [3]int{0, 16, 14}},
	{"AVX2", 32, []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}, [3]int{0, 12, 6}},
}

func main() {
	tables := flag.String("tables", "", "Go `file` of the tables of kernels")
	ConstraintExpr("amd64")
	for _, l := range levels {
		for vectors := 1; vectors <= 2; vectors++ {
			for rows := 1; rows <= l.rows[vectors]; rows++ {
				brgemm(l, rows, vectors, false)
				brgemm(l, rows, vectors, true)
			}
		}
		transpose(l)
		colours(l)
		winograd(l)
		norm(l)
		pooling(l)
		elementwise(l)
		functions(l)
		layerNorms(l)
		dropout(l)
		probe(l)
	}
	Generate() // parses the flags
	if err := writeTables(*tables); err != nil {
		log.Fatal(err)
	}
}

// param loads an integer or pointer parameter.
func param(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// begin starts a kernel that is called with its parameters by value.
func begin(l level, name, signature, doc string) {
	generated[l.name] = append(generated[l.name], name)
	TEXT(name+l.name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + l.name + " " + doc)
}

func end() {
	VZEROUPPER()
	RET()
}

func zero(v reg.VecPhysical) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// pool hands out the vector registers of a level.
type pool struct{ free []reg.VecPhysical }

func newPool(l level) *pool {
	p := &pool{}
	for i := len(l.regs) - 1; i >= 0; i-- {
		p.free = append(p.free, l.regs[i])
	}
	return p
}

func (p *pool) get() reg.VecPhysical {
	if len(p.free) == 0 {
		panic("asm: out of registers")
	}
	v := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return v
}

func (p *pool) put(vs ...reg.VecPhysical) { p.free = append(p.free, vs...) }

// at is a memory operand.
func at(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }
