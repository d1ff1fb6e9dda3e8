package run

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultRoot is the default folder of runs.
const DefaultRoot = "runs"

// Command returns the command line `dla args`, quoted for a shell, with --out where root is not the default. root is ""
// for a command without runs.
func Command(root string, args ...string) string {
	if root != "" && filepath.Clean(root) != DefaultRoot {
		args = append(args[:len(args):len(args)], "--out", root)
	}
	return "dla " + Quote(args...)
}

// Command returns the command line that applies verb, such as show, resume or rm, to the run r.
func (r Record) Command(verb string) string { return Command(filepath.Dir(r.Dir), "runs", verb, r.ID) }

// Quote returns the arguments of a command as typed into a shell of this system, with quotes where the shell would
// split or change them.
func Quote(args ...string) string {
	var all []string
	for _, a := range args {
		all = append(all, quoted(a, runtime.GOOS == "windows"))
	}
	return strings.Join(all, " ")
}

func quoted(arg string, windows bool) string {
	plain := "_@%+=:,./-"
	if windows {
		plain = `_@+=:,./-\`
	}
	odd := func(r rune) bool {
		return r < 0x80 && !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' ||
			strings.ContainsRune(plain, r))
	}
	acted := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError }
	switch {
	case !windows && strings.ContainsFunc(arg, acted): // cmd.exe cannot express these
		return ansiQuoted(arg)
	case arg != "" && !strings.ContainsFunc(arg, odd):
		return arg
	case windows:
		if strings.HasSuffix(arg, `\`) { // it would escape the quotation mark
			arg += `\`
		}
		return `"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// ansiQuoted returns arg as $'…', which bash, zsh and ksh know. Every byte but printable ASCII is in octal, so that no
// control character reaches the terminal and a path that is not UTF-8 stays whole.
func ansiQuoted(arg string) string {
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(arg) {
		switch c := arg[i]; {
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}
