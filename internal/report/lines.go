package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/run"
)

// Line is how figures show a run among others.
type Line struct {
	Label    string `json:"label"`    // in readers' words, with the settings in which it differs from others of its name
	Hue      string `json:"hue"`      // lines of the same have one colour: a network with and without skip connections
	Residual bool   `json:"residual"` // with skip connections; lines of networks without are dashed beside it
	Rank     int    `json:"rank"`     // its place in tables, from 0; runs that differ by seed alone share it

	// Measured says what the figures "loss", "val_loss" and "accuracy" show of it.
	Measured map[string]string `json:"measured"`
}

// Lines returns the line of each record of recs, in figures and tables of them all.
func Lines(recs []run.Record) []Line {
	at := map[string]int{}
	for i, r := range recs {
		at[r.Dir] = i
	}
	lines := make([]Line, len(recs))
	for rank, g := range groups(recs) {
		for _, r := range g.runs {
			l := Line{Label: g.label(), Hue: g.hue(), Residual: g.Skips == residual, Rank: rank, Measured: map[string]string{}}
			for _, k := range kinds {
				l.Measured[k.name] = g.measured(k)
				if r.Experiment == "lab4/autoencoder" {
					l.Measured[k.name] = reconstructionLoss
				}
			}
			lines[at[r.Dir]] = l
		}
	}
	return lines
}

// hue returns what lines of one colour share.
func (g *group) hue() string {
	return g.Network + g.Method + g.Recipe + strings.Join(g.differences, "")
}

// SameButSeed returns a key that runs share which differ by their seed alone: those of one experiment, variant, data
// and settings. Settings that an older record lacks have their defaults.
func SameButSeed(r run.Record) string {
	parts := []string{r.Experiment, r.Variant, r.Fingerprint}
	known := settingsOf(r)
	for _, key := range slices.Sorted(maps.Keys(known)) {
		parts = append(parts, key+"="+known[key])
	}
	var all map[string]any
	if err := yaml.Unmarshal(r.Config, &all); err != nil {
		parts = append(parts, string(r.Config)) // like no other
	}
	delete(all, "seed")
	for _, key := range []string{"data", "model", "train", "test"} {
		if known != nil {
			delete(all, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		text, err := json.Marshal(all[key])
		if err != nil { // keys that are no text
			text = fmt.Append(nil, all[key])
		}
		parts = append(parts, key+"="+string(text))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
