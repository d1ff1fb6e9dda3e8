// Package config holds the typed settings of each experiment: defaults, then a YAML file, then flags, then --set
// key=value. It is strict: an unknown key or a value of the wrong type is an error that names the key, its line and the
// nearest known key.
package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/plainfile"
	"dla/internal/spelling"
)

// maxFile bounds a configuration file: nobody writes a larger one by hand.
const maxFile = 1 << 20

// File is a parsed YAML file of settings, which may be set in many structs.
type File struct {
	name string
	root *yaml.Node // nil: nothing is set
}

// ReadFile parses the YAML file path.
func ReadFile(path string) (File, error) {
	b, err := plainfile.Read(path, maxFile)
	if err != nil {
		return File{}, fmt.Errorf("configuration: %w", err)
	}
	return Parse(b, path)
}

// Parse parses YAML text. Errors call it name.
func Parse(text []byte, name string) (File, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return File{name: name}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, fmt.Errorf("%s: holds more than one YAML document", name)
	}
	return File{name, doc.Content[0]}, nil
}

// Set sets the settings of f in dst, a pointer to a struct. Settings that f lacks keep their values.
func (f File) Set(dst any) error {
	if f.root == nil {
		return nil
	}
	return setAll(dst, f.root, "", f.name)
}

// LoadFile reads the YAML file path into dst, a pointer to a struct. Settings that the file lacks keep their values.
func LoadFile(dst any, path string) error {
	f, err := ReadFile(path)
	if err != nil {
		return err
	}
	return f.Set(dst)
}

// Load reads YAML text into dst, as LoadFile does. Errors call the text name.
func Load(dst any, text []byte, name string) error {
	f, err := Parse(text, name)
	if err != nil {
		return err
	}
	return f.Set(dst)
}

// setAll sets every leaf under n, whose key path is prefix.
func setAll(dst any, n *yaml.Node, prefix, name string) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && prefix == "" {
		return nil // nothing but comments
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want keys and values", name, n.Line)
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := k.Value
		if prefix != "" {
			key = prefix + "." + key
		}
		if seen[key] {
			return fmt.Errorf("%s:%d: %s is set twice", name, k.Line, key)
		}
		seen[key] = true
		field, err := find(dst, key)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, k.Line, err)
		}
		if field.Kind() == reflect.Struct {
			if err := setAll(dst, v, key, name); err != nil {
				return err
			}
		} else if err := setField(field, key, v); err != nil {
			return fmt.Errorf("%s:%d: %w", name, v.Line, err)
		}
	}
	return nil
}

// Set makes one assignment, such as "train.lr=0.05", in dst.
func Set(dst any, assignment string) error {
	if err := Assign(dst, assignment); err != nil {
		return fmt.Errorf("--set %s: %w", assignment, err)
	}
	return nil
}

// Assign is Set whose errors do not name the flag that gave the assignment.
func Assign(dst any, assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("want key=value, such as train.lr=0.05")
	}
	key = strings.TrimSpace(key)
	field, err := find(dst, key)
	if err != nil {
		return err
	}
	if field.Kind() == reflect.Struct {
		return fmt.Errorf("%s is a group of settings; its keys are %s", key, strings.Join(Keys(dst, key), ", "))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil || len(doc.Content) != 1 {
		return fmt.Errorf("%q is not a value", value)
	}
	if v := doc.Content[0]; v.LineComment != "" {
		return fmt.Errorf("%q would be read as a comment; put the value in quotes: \"…\"", v.LineComment)
	}
	return setField(field, key, doc.Content[0])
}

// setField decodes v into field without conversions, which would hide mistakes.
func setField(field reflect.Value, key string, v *yaml.Node) error {
	wrong := func() error {
		hint := ""
		if field.Kind() == reflect.String && v.Kind == yaml.ScalarNode && v.ShortTag() != "!!null" {
			hint = "; put it in quotes to make it a word"
		}
		return fmt.Errorf("%s wants %s, not %s%s", key, typeName(field.Type()), valueName(v), hint)
	}
	if v.Kind == yaml.AliasNode || v.Anchor != "" {
		return fmt.Errorf("%s: anchors and aliases are not supported", key)
	}
	kind, values := field.Kind(), []*yaml.Node{v}
	if kind == reflect.Slice {
		if v.Kind != yaml.SequenceNode {
			return wrong()
		}
		kind, values = field.Type().Elem().Kind(), v.Content
	}
	for _, e := range values {
		if tag := e.ShortTag(); e.Kind == yaml.ScalarNode && isNumber(kind) && (tag == "!!int" || tag == "!!float") {
			if err := CheckNumber(e.Value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		if !fits(kind, e) {
			return wrong()
		}
	}
	if err := v.Decode(field.Addr().Interface()); err != nil {
		return wrong()
	}
	return nil
}

// CheckNumber returns an error for a number in programmers' notation, which YAML and Go read differently from other
// readers: 010 is 8, 0x10 is 16, 1_000 is 1000. The error gives the value.
func CheckNumber(text string) error {
	if decimal.MatchString(text) {
		return nil
	}
	var v *float64
	number := yaml.Unmarshal([]byte(text), &v) == nil && v != nil
	if !number || *v-*v != 0 { // not a finite number: other checks give the better error
		return nil
	}
	return fmt.Errorf("%q would be read as %g; write the number in decimal digits, without a zero before it, a "+
		"prefix or an underscore", text, *v)
}

// decimal matches a number in plain decimal notation.
var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*|0?\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*)([eE][-+]?[0-9]+)?$`)

func isNumber(k reflect.Kind) bool { return k != reflect.String && k != reflect.Bool }

func fits(k reflect.Kind, v *yaml.Node) bool {
	if v.Kind != yaml.ScalarNode {
		return false
	}
	switch tag := v.ShortTag(); k {
	case reflect.String:
		return tag == "!!str" || tag == "!!binary" // Marshal writes a path that is not UTF-8 as !!binary
	case reflect.Bool:
		return tag == "!!bool"
	case reflect.Float64:
		return tag == "!!float" || tag == "!!int"
	default:
		return tag == "!!int"
	}
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a word"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.String:
			return "a list of words, such as [a, b]"
		case reflect.Float64:
			return "a list of numbers, such as [1, 2]"
		}
		return "a list of whole numbers, such as [1, 2]"
	case reflect.Uint64:
		return "a whole number of at least 0"
	default:
		return "a whole number"
	}
}

func valueName(v *yaml.Node) string {
	switch v.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		var all []string
		for _, e := range v.Content {
			all = append(all, e.Value)
		}
		return fmt.Sprintf("the list %q", all)
	default:
		return fmt.Sprintf("%q", v.Value)
	}
}

// find returns the field of dst that key, such as "train.lr", names.
func find(dst any, key string) (reflect.Value, error) {
	v := reflect.ValueOf(dst).Elem()
next:
	for _, part := range strings.Split(key, ".") {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				if keyOf(v.Type().Field(i)) == part {
					v = v.Field(i)
					continue next
				}
			}
		}
		return v, fmt.Errorf("unknown key %s; did you mean %s?", key, nearest(key, Keys(dst, "")))
	}
	return v, nil
}

// keyOf returns the field's name in YAML.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// Keys returns the keys of dst's settings below prefix, such as "train.lr"; prefix "" gives all.
func Keys(dst any, prefix string) []string {
	var keys []string
	var walk func(t reflect.Type, at string)
	walk = func(t reflect.Type, at string) {
		for i := range t.NumField() {
			f := t.Field(i)
			key := keyOf(f)
			if at != "" {
				key = at + "." + key
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, key)
			} else if prefix == "" || strings.HasPrefix(key, prefix+".") {
				keys = append(keys, key)
			}
		}
	}
	walk(reflect.TypeOf(dst).Elem(), "")
	return keys
}

// nearest returns the known key with the smallest edit distance to key. A missing group costs little.
func nearest(key string, known []string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	return slices.MinFunc(known, func(a, b string) int {
		d := func(k string) int {
			return 4*spelling.Distance(last, k[strings.LastIndexByte(k, '.')+1:]) + spelling.Distance(key, k)
		}
		return d(a) - d(b)
	})
}

// Marshal returns every setting of cfg as YAML, in the order of its fields.
func Marshal(cfg any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(cfg); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return b.Bytes(), e.Close()
}

// Hash returns the SHA-256 (hex) of a marshalled configuration.
func Hash(marshalled []byte) string {
	s := sha256.Sum256(marshalled)
	return hex.EncodeToString(s[:])
}

// Get returns the value of the setting key, such as "train.lr", of c, a struct or a pointer to one.
func Get(c any, key string) (any, error) {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer {
		v = reflect.New(v.Type())
		v.Elem().Set(reflect.ValueOf(c))
	}
	field, err := find(v.Interface(), key)
	if err != nil {
		return nil, err
	}
	return field.Interface(), nil
}

// Differences returns the settings of b, by key, that differ from those of a. Both are structs of the same type.
func Differences(a, b any) map[string]any {
	all := map[string]any{}
	var walk func(x, y reflect.Value, prefix string)
	walk = func(x, y reflect.Value, prefix string) {
		for i := range x.NumField() {
			p, q := x.Field(i), y.Field(i)
			switch p.Kind() {
			case reflect.Struct:
				walk(p, q, prefix+keyOf(x.Type().Field(i))+".")
				continue
			case reflect.Slice:
				if reflect.DeepEqual(p.Interface(), q.Interface()) {
					continue
				}
			default:
				if p.Equal(q) {
					continue
				}
			}
			all[prefix+keyOf(x.Type().Field(i))] = q.Interface()
		}
	}
	walk(reflect.ValueOf(a), reflect.ValueOf(b), "")
	return all
}

// SetValue sets the setting key of the struct that dst points to. A value of another type is an error.
func SetValue(dst any, key string, value any) error {
	field, err := find(dst, key)
	if err != nil {
		return err
	}
	v := reflect.ValueOf(value)
	if !v.IsValid() || v.Kind() != field.Kind() || !v.CanConvert(field.Type()) {
		return fmt.Errorf("%s wants %s, not %v", key, typeName(field.Type()), value)
	}
	field.Set(v.Convert(field.Type()))
	return nil
}
