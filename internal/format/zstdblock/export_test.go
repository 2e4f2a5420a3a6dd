package zstdblock

// EachInput gives the inputs of the tests to those outside the package.
func EachInput(visit func(i int, name string, data []byte)) {
	for i, in := range inputs() {
		visit(i, in.name, in.data)
	}
}
