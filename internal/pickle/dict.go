package pickle

import (
	"errors"
	"fmt"
	"unsafe"
)

// Dict is a dictionary in the order of its first insertions.
type Dict struct {
	Keys, Values []any

	at map[any]int // of the keys that are texts, bytes or numbers
}

// bytesKey is a key of bytes.
type bytesKey string

// hashable is the form in which a key is looked up. A tuple is not: to compare tuples that share their parts can take
// exponential time.
func hashable(key any) (any, bool) {
	switch key := key.(type) {
	case []byte:
		return bytesKey(key), true
	case nil, bool, int64, float64, string:
		return key, true
	}
	return nil, false
}

// put sets the value of key. A later value of an equal key takes the place of the earlier one.
func (d *Dict) put(key, value any) {
	k, ok := hashable(key)
	if ok {
		if i, there := d.at[k]; there {
			d.Values[i] = value
			return
		}
		if d.at == nil {
			d.at = map[any]int{}
		}
		d.at[k] = len(d.Keys)
	}
	d.Keys, d.Values = append(d.Keys, key), append(d.Values, value)
}

// Len is the number of keys.
func (d *Dict) Len() int { return len(d.Keys) }

// Get returns the value of the text key, which may be a str of Python 2 or 3, or bytes.
func (d *Dict) Get(key string) (value any, ok bool) {
	i, ok := d.at[key]
	if !ok {
		i, ok = d.at[bytesKey(key)]
	}
	if !ok {
		return nil, false
	}
	return d.Values[i], true
}

// Text returns v as a text: a str of Python 2 or 3, or bytes.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// Bytes returns v as bytes, which are not to be changed: bytes, or the str of Python 2. Nothing is copied, since a file
// may use one value many times.
func Bytes(v any) ([]byte, bool) {
	switch v := v.(type) {
	case []byte:
		return v, true
	case string:
		return unsafe.Slice(unsafe.StringData(v), len(v)), true
	}
	return nil, false
}

// Ints returns the whole numbers of a list or tuple.
func Ints(v any) ([]int, bool) {
	var items []any
	switch v := v.(type) {
	case *List:
		items = v.Items
	case Tuple:
		items = v
	default:
		return nil, false
	}
	all := make([]int, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok || int64(int(n)) != n {
			return nil, false
		}
		all[i] = int(n)
	}
	return all, true
}

// check is an error for a value that contains itself or is nested too deep, so that readers may go through it.
// Parts that are shared are looked at once.
func check(v any) error {
	depth := map[any]int{} // of the containers: 0 while one is being looked at
	var below func(v any, level int) (int, error)
	below = func(v any, level int) (int, error) {
		var id any
		var parts [][]any
		switch v := v.(type) {
		case Tuple:
			if len(v) == 0 {
				return 1, nil
			}
			id, parts = &v[0], [][]any{v}
		case *List:
			id, parts = v, [][]any{v.Items}
		case *Dict:
			id, parts = v, [][]any{v.Keys, v.Values}
		default:
			return 0, nil
		}
		if n, seen := depth[id]; seen && n == 0 {
			return 0, errors.New("a value contains itself")
		} else if seen && n+level <= maxDepth {
			return n, nil
		} else if seen || level >= maxDepth {
			return 0, fmt.Errorf("it is nested deeper than %d levels", maxDepth)
		}
		depth[id] = 0
		deepest := 0
		for _, part := range parts {
			for _, p := range part {
				n, err := below(p, level+1)
				if err != nil {
					return 0, err
				}
				deepest = max(deepest, n)
			}
		}
		depth[id] = deepest + 1
		return deepest + 1, nil
	}
	_, err := below(v, 0)
	return err
}
