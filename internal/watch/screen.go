package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"dla/internal/run"
)

// Screen is the view in a terminal: a table of runs, and curves of the chosen one and of those that are marked. It is a
// model of Bubble Tea: Update takes keys and readings, View draws.
type Screen struct {
	runs  *Runs
	title string              // what is watched
	shown func(string) string // makes a text of a record safe to show

	w, h   int
	all    []Run
	err    error
	read   bool
	at     string          // id of the chosen run; "": the first
	marked map[string]bool // ids
	metric int
	log    bool
	help   bool
}

// NewScreen returns the screen of runs. title says what they are. shown escapes what a terminal would act on; every
// text of a record passes through it.
func NewScreen(runs *Runs, title string, shown func(string) string) *Screen {
	return &Screen{runs: runs, title: title, shown: shown, marked: map[string]bool{}, w: 80, h: 24}
}

// reading is the message of a finished reading.
type reading struct {
	all []Run
	err error
}

// Init begins to read.
func (s *Screen) Init() tea.Cmd { return s.fetch }

func (s *Screen) fetch() tea.Msg {
	all, err := s.runs.Read(time.Now())
	return reading{all, err}
}

// Update handles a key, a new size or a reading. Nothing it does reaches a run.
func (s *Screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.w, s.h = msg.Width, msg.Height
	case reading:
		s.read = true
		if s.err = msg.err; msg.err == nil {
			s.all = msg.all
		}
		return s, tea.Tick(every, func(time.Time) tea.Msg { return s.fetch() })
	case tea.KeyPressMsg:
		return s.key(msg.String())
	}
	return s, nil
}

func (s *Screen) key(key string) (tea.Model, tea.Cmd) {
	switch key {
	case "q", "esc", "ctrl+c":
		return s, tea.Quit
	case "down", "j":
		s.move(1)
	case "up", "k":
		s.move(-1)
	case "pgdown":
		s.move(s.rows())
	case "pgup":
		s.move(-s.rows())
	case "home", "g":
		s.move(-len(s.all))
	case "end", "G":
		s.move(len(s.all))
	case "tab", "m", "right":
		s.metric = s.next(1)
	case "shift+tab", "left":
		s.metric = s.next(-1)
	case "l":
		s.log = !s.log
	case "space":
		if i := s.index(); i < len(s.all) {
			if id := s.all[i].ID; s.marked[id] {
				delete(s.marked, id)
			} else {
				s.marked[id] = true
			}
		}
	case "?", "h":
		s.help = !s.help
	}
	return s, nil
}

// index returns the place of the chosen run in the table.
func (s *Screen) index() int {
	return max(0, slices.IndexFunc(s.all, func(r Run) bool { return r.ID == s.at }))
}

// move chooses the run n rows further down.
func (s *Screen) move(n int) {
	if len(s.all) > 0 {
		s.at = s.all[min(max(s.index()+n, 0), len(s.all)-1)].ID
	}
}

// next returns the metric after, or before, the present one, of those that a shown run has.
func (s *Screen) next(by int) int {
	for i := 1; i <= len(metrics); i++ {
		k := (s.metric + by*i + i*len(metrics)) % len(metrics)
		for _, c := range s.curves(metrics[k]) {
			if slices.ContainsFunc(c.values, func(v float64) bool { return v == v }) {
				return k
			}
		}
	}
	return s.metric
}

// shownRuns returns the runs whose curves are drawn, by their place in the table, and the colour of each.
func (s *Screen) shownRuns() (places []int, colour map[int]int) {
	colour = map[int]int{}
	for i, r := range s.all {
		if i == s.index() || s.marked[r.ID] {
			colour[i] = len(places) % len(colours)
			places = append(places, i)
		}
	}
	return places, colour
}

// curves returns the curves of m, that of the chosen run last, above the others.
func (s *Screen) curves(m metric) []curve {
	places, colour := s.shownRuns()
	chosen := s.index()
	slices.SortStableFunc(places, func(a, b int) int {
		switch {
		case a == chosen:
			return 1
		case b == chosen:
			return -1
		}
		return 0
	})
	var all []curve
	for _, i := range places {
		c := curve{colour: colour[i]}
		for _, e := range s.all[i].Metrics {
			c.values = append(c.values, m.value(e))
		}
		all = append(all, c)
	}
	return all
}

// rows returns how many rows of the table fit.
func (s *Screen) rows() int {
	return max(1, min(len(s.all), max(3, (s.h-6)/3), s.h-4))
}

const (
	keys = "↑↓ run  tab metric  l log axis  space compare  ? help  q quit"
	help = `  ↑ ↓ PgUp PgDn g G   choose a run (also j k)
  tab, shift+tab      next metric, the one before (also m → ←)
  l                   logarithmic axis
  space               draw this run with others
  ?                   close this help
  q esc ctrl+c        quit; no run is touched, and all go on`
)

// View draws the screen.
func (s *Screen) View() tea.View {
	v := tea.NewView(strings.Join(s.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = s.cut(fmt.Sprintf("dla: %s", s.count()), 80)
	return v
}

// cut makes text safe, on one line, and cuts it to w columns.
func (s *Screen) cut(text string, w int) string {
	text = text[:min(len(text), 4*w+256)] // of a text of a megabyte no more is looked at
	return ansi.Truncate(s.shown(strings.Join(strings.Fields(text), " ")), max(0, w), "…")
}

// count counts the runs.
func (s *Screen) count() string {
	training := 0
	for _, r := range s.all {
		if r.Status == run.StatusRunning {
			training++
		}
	}
	return fmt.Sprintf("%d running, %d in all", training, len(s.all))
}

// lines returns the lines of the screen, s.h at most, none wider than s.w.
func (s *Screen) lines() []string {
	count := s.count()
	head := s.cut("dla runs watch: "+s.title, s.w-len(count)-2)
	lines := []string{"\x1b[1m" + head + "\x1b[0m" + strings.Repeat(" ",
		max(2, s.w-ansi.StringWidth(head)-len(count))) + count}
	switch {
	case s.err != nil:
		lines = append(lines, s.cut(s.err.Error(), s.w))
	case len(s.all) == 0 && s.read:
		lines = append(lines, "", "  no runs yet; they appear here when they begin")
	}
	if s.help {
		lines = append(lines, "")
		lines = append(lines, strings.Split(help, "\n")...)
	} else if len(s.all) > 0 {
		lines = append(lines, s.table()...)
		for _, text := range s.state() {
			lines = append(lines, s.cut(text, s.w))
		}
		m := metrics[s.metric]
		axis := ""
		if s.log {
			axis = ", logarithmic"
		}
		if h := s.h - len(lines) - 2; h >= 5 {
			lines = append(lines, "\x1b[1m"+m.name+"\x1b[0m by epoch"+axis)
			lines = append(lines, chart(s.curves(m), m, s.log, s.w, h)...)
		}
	}
	for len(lines) < s.h-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, min(len(lines), s.h-1))], "\x1b[2m"+ansi.Truncate(keys, s.w, "…")+"\x1b[0m")
	for i, l := range lines {
		lines[i] = ansi.Truncate(l, s.w, "")
	}
	return lines
}

// state says more of the chosen run than its row: what is wrong, and how to continue it.
func (s *Screen) state() []string {
	r := s.all[s.index()]
	if r.Status == run.StatusRunning || r.Status == run.StatusFinished {
		return nil
	}
	var lines []string
	if r.Detail != "" {
		lines = append(lines, fmt.Sprintf("%s: %s", r.Status, r.Detail))
	}
	if text := next(r); text != "" {
		lines = append(lines, text)
	}
	return lines
}

// table returns the table of runs around the chosen one. Columns from the right are left out where there is no room.
func (s *Screen) table() []string {
	chosen, n := s.index(), s.rows()
	from := max(0, min(chosen-n/2, len(s.all)-n))
	cells := [][]string{columns}
	for _, r := range s.all[from : from+n] {
		line := row(r)
		for i := range line {
			line[i] = s.cut(line[i], s.w)
		}
		cells = append(cells, line)
	}
	width := make([]int, len(columns))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], ansi.StringWidth(c))
		}
	}
	shown, used := len(columns), 2
	for _, w := range width[1:] {
		used += 2 + w
	}
	for ; shown > 3 && used+min(width[0], 24) > s.w; shown-- {
		used -= 2 + width[shown-1]
	}
	width[0] = max(8, min(width[0], s.w-used))
	_, colour := s.shownRuns()
	var lines []string
	for k, line := range cells {
		text := pad(line[0], width[0])
		for i := 1; i < shown; i++ {
			text += "  " + cell(line[i], width[i], i)
		}
		switch i := from + k - 1; {
		case k == 0:
			text = "\x1b[2m  " + text + "\x1b[0m"
		default:
			mark := " "
			if c, ok := colour[i]; ok {
				mark = fmt.Sprintf("\x1b[%dm●\x1b[0m", colours[c])
			}
			if i == chosen {
				text = "\x1b[7m" + text + "\x1b[0m"
			}
			text = mark + " " + text
		}
		lines = append(lines, text)
	}
	return lines
}

// pad cuts or fills text to w columns. What is cut is the middle: ids differ at their ends.
func pad(text string, w int) string {
	if n := ansi.StringWidth(text); n <= w {
		return text + strings.Repeat(" ", w-n)
	}
	head := ansi.Truncate(text, (w-1)/2, "")
	tail := ansi.TruncateLeft(text, ansi.StringWidth(text)-(w-1-ansi.StringWidth(head)), "")
	text = head + "…" + tail
	return text + strings.Repeat(" ", max(0, w-ansi.StringWidth(text)))
}

// cell fills the cell text of column i: the status on its right, numbers on their left.
func cell(text string, w, i int) string {
	fill := strings.Repeat(" ", max(0, w-ansi.StringWidth(text)))
	if i == 1 {
		return text + fill
	}
	return fill + text
}
