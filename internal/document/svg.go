package document

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
)

// drawnElements are the elements of our figures, and their attributes. Whatever else is in a drawing is no part of one.
var drawnElements = map[string][]string{
	"svg":   {"width", "height", "viewBox", "xmlns", "xlink", "version"},
	"g":     {"transform"},
	"path":  {"d", "style"},
	"text":  {"x", "y", "transform", "style"},
	"image": {"x", "y", "width", "height", "transform", "href"},
}

// checkSVG returns an error unless svg is a drawing of ours: nothing in it acts or leads elsewhere. Names in it come
// from records.
func checkSVG(svg []byte) error {
	d := xml.NewDecoder(bytes.NewReader(svg))
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no SVG: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			attributes, known := drawnElements[t.Name.Local]
			if !known {
				return fmt.Errorf("it has an element %q", t.Name.Local)
			}
			for _, a := range t.Attr {
				name := a.Name.Local
				switch {
				case !slices.Contains(attributes, name):
					return fmt.Errorf("it has an attribute %q of %q", name, t.Name.Local)
				case name == "href" && !strings.HasPrefix(a.Value, "data:image/png;base64,"),
					name == "style" && strings.Contains(strings.ToLower(a.Value), "url"):
					return fmt.Errorf("it leads to %.40q", a.Value)
				}
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.Comment, xml.ProcInst, xml.Directive:
			if depth > 0 {
				return errors.New("it has a comment or an instruction inside")
			}
		}
	}
}

// figureText matches a text of a drawing.
var figureText = regexp.MustCompile(`(?s)<text[^>]*>([^<]*)</text>`)

// titleOf returns the title of a drawing, which is its first text.
func titleOf(svg []byte, name string) string {
	m := figureText.FindSubmatch(svg)
	if m == nil {
		return name
	}
	var text string
	if err := xml.Unmarshal([]byte("<t>"+string(m[1])+"</t>"), &text); err != nil || text == "" {
		return name
	}
	return text
}

// colours are those of figures that follow the reader's choice of a light or dark page.
var colours = strings.NewReplacer("#FFFFFF", "var(--paper)", "#222222", "var(--ink)", "#333333", "var(--ink)",
	"#666666", "var(--grey)", "#E4E4E4", "var(--line)", "#B00020", "var(--red)",
	"#0072B2", "var(--blue)", "#8C6D31", "var(--brown)")

// defaults are styles that the page has for all drawings: they are most of the bytes of a text.
var defaults = strings.NewReplacer("font-family:Liberation Sans;", "", "font-variant:normal;", "",
	"font-weight:normal;",
	"", "font-style:normal;", "")

// svgHead matches the begin of a drawing.
var svgHead = regexp.MustCompile(`(?s)^.*?<svg width="([0-9.]+)pt" height="[0-9.]+pt"`)

// inline returns a drawing that checkSVG has passed, for a page: as wide as there is room. Drawings of pictures and
// maps of colours keep their white ground.
func inline(svg []byte) template.HTML {
	text := defaults.Replace(string(svg))
	class := "plot"
	if strings.Contains(text, "<image") || strings.Contains(text, ">Confusion matrix<") {
		class = "picture"
	} else {
		text = colours.Replace(text)
	}
	text = svgHead.ReplaceAllString(text, `<svg class="`+class+`" style="max-width:${1}pt" role="img"`)
	return template.HTML(strings.TrimSpace(text)) // checked by checkSVG
}
