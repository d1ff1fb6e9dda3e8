package kernel

// Level names the instruction set the kernels use.
func Level() string { return "portable" }
