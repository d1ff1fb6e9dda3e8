package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dla/internal/model"
)

// TestModelsListed: a network that cannot be described is listed with the reason, beside the others.
func TestModelsListed(t *testing.T) {
	zoo := model.Zoo
	defer func() { model.Zoo = zoo }()
	model.Zoo = append(slices.Clone(zoo), model.Network{Name: "odd",
		Build: func(model.Spec, model.Pixels) (model.Model, error) {
			return nil, errors.New("it is not built yet")
		}})
	all := listNetworks(model.Zoo)
	for _, l := range all[:len(zoo)] {
		if l.Broken != "" || l.Params == 0 {
			t.Errorf("%+v", l)
		}
	}
	if last := all[len(all)-1]; last.Name != "odd" || !strings.Contains(last.Broken, "it is not built yet") {
		t.Errorf("%+v", last)
	}
}
