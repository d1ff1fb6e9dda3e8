//go:build !amd64

package kernel

func available() []kernels { return []kernels{portable} }
