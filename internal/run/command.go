package run

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultRoot is the folder of runs where a command does not say another.
const DefaultRoot = "runs"

// Command is the command line `dla args` as it can be typed into a shell, with the --out that it needs to be about
// the runs under root. An empty root is of a command that has no runs.
func Command(root string, args ...string) string {
	if root != "" && filepath.Clean(root) != DefaultRoot {
		args = append(args[:len(args):len(args)], "--out", root)
	}
	return "dla " + Quote(args...)
}

// Command is the command line that does something, as show, resume or rm, with the run r.
func (r Record) Command(verb string) string { return Command(filepath.Dir(r.Dir), "runs", verb, r.ID) }

// Quote writes the arguments of a command as they are typed into a shell of this system: what it would take apart
// or change is in quotes.
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
	case !windows && strings.ContainsFunc(arg, acted): // cmd.exe has no way to write these
		return ansiQuoted(arg)
	case arg != "" && !strings.ContainsFunc(arg, odd):
		return arg
	case windows:
		if strings.HasSuffix(arg, `\`) { // it would take the quotation mark along
			arg += `\`
		}
		return `"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// ansiQuoted is arg as $'…', which bash, zsh and ksh know: every byte but printable ASCII by its octal digits, so that
// the terminal does not act on a control character and a path that is no UTF-8 is whole.
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
