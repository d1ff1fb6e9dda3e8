package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// pages are the repository's pages, relative to its root.
func pages(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"README.md", "results/README.md", "results/*/README.md", "internal/README.md",
		"internal/*/README.md"} {
		names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			t.Errorf("there is no page %s", pattern)
		}
		all = append(all, names...)
	}
	return all
}

var (
	pageLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	code     = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

// anchors are the headings of a page as links name them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, h[1])] = true
	}
	return all
}

// TestPagesLinkToWhatIsThere: every link within the repository leads to a file, and to a heading where it names one.
func TestPagesLinkToWhatIsThere(t *testing.T) {
	for _, page := range pages(t, filepath.Join("..", "..")) {
		text := code.ReplaceAllString(readFile(t, page), "")
		for _, m := range pageLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(strings.ReplaceAll(m[1], "%20", " "), "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}
			if anchor != "" && !anchors(readFile(t, target))[anchor] {
				t.Errorf("%s: the link %s names no heading", page, m[1])
			}
		}
	}
}

// TestPagesAreWrapped: prose has at most 120 columns. Tables, images and generated parts cannot be wrapped.
func TestPagesAreWrapped(t *testing.T) {
	generated := regexp.MustCompile(`(?s)<!-- table: .*?<!-- end -->`)
	for _, page := range pages(t, filepath.Join("..", "..")) {
		for line := range strings.Lines(generated.ReplaceAllString(readFile(t, page), "")) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "|") || strings.HasPrefix(line, "![") {
				continue
			}
			if n := utf8.RuneCountInString(line); n > 120 {
				t.Errorf("%s: a line of %d columns: %s", page, n, line)
			}
		}
	}
}
