package ood

import (
	"math"

	"dla/internal/kernel"
)

// knn is Sun et al. 2022 (https://arxiv.org/abs/2204.06507): the distance of the features, scaled to length
// 1, to their k-th nearest neighbour among the training images'.
//
// Products of blocks of features with those of the whole training set find the neighbours. The distance to the k-th is
// then computed from the features, since in float32 the product of two close vectors says little about it.
func knn(n *Network, k float64) (Detector, error) {
	train := n.unit(n.Train)
	nearest := min(int(k), n.Train.N)
	return func(f *Features) []float64 {
		z := n.unit(f)
		scores := make([]float64, f.N)
		products := make([]float32, min(f.N, knnBlock)*n.Train.N)
		for from := 0; from < f.N; from += knnBlock {
			rows := min(knnBlock, f.N-from)
			g := kernel.Gemm{M: rows, N: n.Train.N, K: n.Width, A: z[from*n.Width:], LDA: n.Width, B: train,
				LDB: n.Width, TransB: true,
				C: products, LDC: n.Train.N}
			g.Do()
			kernel.Run(chunks(func(i int) {
				at := kthLargest(products[i*n.Train.N:][:n.Train.N], nearest)
				scores[from+i] = distance(z[(from+i)*n.Width:][:n.Width], train[at*n.Width:][:n.Width])
			}), rows)
		}
		return scores
	}, nil
}

// knnBlock is the number of images compared at once: 46 MB of products with 45,000 training images.
const knnBlock = 256

// chunks makes a function a task.
type chunks func(i int)

// Chunk calls the function with i.
func (f chunks) Chunk(i int) { f(i) }

// unit returns f's features, each scaled to length 1; features of length 0 do not change.
func (n *Network) unit(f *Features) []float32 {
	z := make([]float32, len(f.Pooled))
	overRows(f.N, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := n.pooled(f, i)
			sum := 0.0
			for _, v := range row {
				sum += float64(v) * float64(v)
			}
			scale := 1 / math.Max(math.Sqrt(sum), 1e-12)
			for j, v := range row {
				z[i*n.Width+j] = float32(float64(v) * scale)
			}
		}
	})
	return z
}

func distance(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// kthLargest returns the index of the k-th largest of x. It keeps a heap of the k largest so far with the smallest on
// top, so one comparison rejects most of x.
func kthLargest(x []float32, k int) int {
	heap := make([]int32, 0, k)
	for i, v := range x {
		if len(heap) == k && v <= x[heap[0]] {
			continue
		}
		if len(heap) < k { // sift up
			at := len(heap)
			heap = append(heap, int32(i))
			for at > 0 && x[heap[(at-1)/2]] > v {
				heap[at] = heap[(at-1)/2]
				at = (at - 1) / 2
			}
			heap[at] = int32(i)
			continue
		}
		at := 0 // in place of the smallest: sift down
		for {
			child := 2*at + 1
			if child+1 < k && x[heap[child+1]] < x[heap[child]] {
				child++
			}
			if child >= k || x[heap[child]] >= v {
				break
			}
			heap[at] = heap[child]
			at = child
		}
		heap[at] = int32(i)
	}
	return int(heap[0])
}
