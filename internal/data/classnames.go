package data

// ClassNames returns the names of the classes of the set called name, in the order of the labels; nil if the
// catalogue does not know them without reading the set.
func ClassNames(name string) []string {
	switch name {
	case "mnist", SyntheticDigits:
		return digits
	case SyntheticShapes:
		return shapeClasses
	case "cifar10", "cifar10-jpeg":
		return cifarClasses
	case "cifar100-people":
		return peopleClasses
	case "svhn":
		return svhnClasses
	case "rotten_tomatoes", SyntheticSentences:
		return polarityClasses
	}
	return nil
}
