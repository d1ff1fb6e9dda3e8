// Package spelling finds the word somebody may have meant.
package spelling

import "slices"

// Distance is the Levenshtein distance: how many bytes to insert, delete or replace.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Nearest is the known word closest to word, the first of equals. known must not be empty.
func Nearest(word string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return Distance(word, a) - Distance(word, b) })
}
