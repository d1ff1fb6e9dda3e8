package labs

import (
	"fmt"

	"dla/internal/data"
)

// ClassNames returns the names of the network's classes, in order. A network whose data set is not at hand, and whose
// record does not name its classes, has class 0, class 1 and so on.
func (n *Network) ClassNames() []string {
	names := data.ClassNames(n.Data.Name)
	if own := n.Data.Own; own != nil {
		names = own.Classes
	}
	if len(names) != n.Images.Classes {
		names = nil
		for i := range n.Images.Classes {
			names = append(names, fmt.Sprintf("class %d", i))
		}
	}
	return names
}
