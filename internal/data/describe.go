package data

// Description is what is known of a set before it is read.
type Description struct {
	H, W, C     int // pixels and channels of an image
	Classes     int
	Train, Test int // images
	Val         int // images of the validation set that the data have; 0: none
}

// Describe returns what the catalogue knows of the set of images called name. An unknown name is an error.
func Describe(name string) (Description, error) {
	switch name {
	case "mnist", "fashion-mnist", "kmnist":
		return Description{28, 28, 1, 10, 60000, 10000, 0}, nil
	case "emnist-letters":
		return Description{28, 28, 1, 26, 124800, 20800, 0}, nil
	case "emnist-balanced":
		return Description{28, 28, 1, 47, 112800, 18800, 0}, nil
	case "emnist-digits":
		return Description{28, 28, 1, 10, 240000, 40000, 0}, nil
	case SyntheticDigits:
		return Description{28, 28, 1, 10, syntheticTrain, syntheticTest, 0}, nil
	case SyntheticShapes:
		return Description{32, 32, 3, 10, shapesTrain, shapesTest, 0}, nil
	case "cifar10", "cifar10-jpeg":
		return Description{32, 32, 3, 10, 50000, 10000, 0}, nil
	case "cifar100-people":
		return Description{32, 32, 3, 5, 2500, 500, 0}, nil
	case "cifar100":
		return Description{32, 32, 3, 100, 50000, 10000, 0}, nil
	case "cifar100-coarse":
		return Description{32, 32, 3, 20, 50000, 10000, 0}, nil
	case "svhn":
		return Description{32, 32, 3, 10, 73257, 26032, 0}, nil
	case "textures":
		return Description{32, 32, 3, 47, 5640, 5640, 0}, nil
	}
	_, err := lookupImages(name)
	return Description{}, err
}
