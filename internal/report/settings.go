package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/config"
	"dla/internal/run"
)

// settingsOf returns the settings of r's data, network and recipe that are not their defaults, as JSON by their keys,
// such as train.lr. Runs without such settings have none.
func settingsOf(r run.Record) map[string]string {
	c := config.DefaultResnet()
	var given struct {
		Data  *config.Data  `yaml:"data"`
		Model *config.Model `yaml:"model"`
		Train *config.Train `yaml:"train"`
		Test  *config.Test  `yaml:"test"`
	}
	given.Data, given.Model, given.Train, given.Test = &c.Data, &c.Model, &c.Train, &c.Test
	if err := yaml.Unmarshal(r.Config, &given); err != nil { // of another experiment
		return nil
	}
	all := map[string]string{}
	var flatten func(prefix string, v any)
	flatten = func(prefix string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, v := range m {
				flatten(prefix+"."+k, v)
			}
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			text = fmt.Append(nil, v)
		}
		all[strings.TrimPrefix(prefix, ".")] = string(text)
	}
	text, err := json.Marshal(map[string]any{"data": c.Data, "model": c.Model, "train": c.Train, "test": c.Test})
	if err != nil {
		return nil
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil
	}
	flatten("", tree)
	return all
}

// nameSettings says of groups of one variant in which settings they differ: each names its values that are not those of
// most of the variant's groups.
func nameSettings(all []*group) {
	variants := map[string][]*group{}
	for _, g := range all {
		variants[g.variant] = append(variants[g.variant], g)
	}
	for _, gs := range variants {
		if len(gs) == 1 {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(gs[0].settings)) {
			usual, most := "", 0
			count := map[string]int{}
			for _, g := range gs {
				v := g.settings[key]
				if count[v]++; count[v] > most {
					usual, most = v, count[v]
				}
			}
			if 2*most <= len(gs) {
				usual = "" // no value is that of most
			}
			for _, g := range gs {
				if v := g.settings[key]; len(count) > 1 && v != usual {
					g.differences = append(g.differences, keyName(key)+" "+strings.Trim(v, `"`))
				}
			}
		}
	}
}

// keyName returns the name of a setting beside its value: the last part of its key, and the group in which it is only
// understood there, as muon lr, which is not lr, and average for average.kind.
func keyName(key string) string {
	parts := strings.Split(key, ".")
	last, group := parts[len(parts)-1], ""
	if len(parts) > 1 {
		group = parts[len(parts)-2]
	}
	switch group {
	case "muon", "average", "triangle":
		return strings.TrimSuffix(group+" "+last, " kind")
	}
	return last
}
