package torch

import (
	"archive/zip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"dla/internal/pickle"
)

// readZip reads the format of PyTorch 1.6 and later: a zip archive of NAME/data.pkl, the storages NAME/data/KEY, and
// NAME/byteorder. Nothing in it is compressed.
func readZip(f io.ReaderAt, size int64) (any, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	entries := make(map[string]*zip.File, len(z.File))
	name := ""
	for _, e := range z.File {
		if _, twice := entries[e.Name]; twice {
			return nil, fmt.Errorf("it has two entries called %.100q", e.Name)
		}
		entries[e.Name] = e
		if before, ok := strings.CutSuffix(e.Name, "/data.pkl"); ok && !strings.Contains(before, "/") {
			if name != "" {
				return nil, errors.New("it has two data.pkl")
			}
			name = before
		}
	}
	if name == "" {
		return nil, errors.New("a zip archive without data.pkl")
	}
	if _, ok := entries[name+"/constants.pkl"]; ok {
		return nil, errors.New("a TorchScript program, of which only a state dict is read")
	}
	big := false
	if e, ok := entries[name+"/byteorder"]; ok {
		s, err := stored(f, size, e)
		if err != nil {
			return nil, err
		}
		order := make([]byte, min(s.size, 8))
		if _, err := f.ReadAt(order, s.begin); err != nil {
			return nil, short(err)
		}
		if big = string(order) == "big"; !big && string(order) != "little" {
			return nil, fmt.Errorf("its byte order is %q", order)
		}
	}
	data, err := stored(f, size, entries[name+"/data.pkl"])
	if err != nil {
		return nil, err
	}
	if err := data.check(); err != nil {
		return nil, err
	}
	sources, all := map[string]*source{}, kinds(big)
	storages, last := map[string]*storage{}, &lastRead{}
	value, _, err := pickle.Load(io.NewSectionReader(f, data.begin, data.size), data.size,
		options(big, func(id any) (any, error) {
			want, err := storageOf(id, all)
			if err != nil {
				return nil, err
			}
			same := fmt.Sprintf("%s %s %d", want.kind.name, want.key, want.elements)
			if s, ok := storages[same]; ok {
				return s, nil
			}
			at := name + "/data/" + want.key
			from, ok := sources[at]
			if !ok {
				e, ok := entries[at]
				if !ok {
					return nil, fmt.Errorf("it has no entry %.100q", at)
				}
				if from, err = stored(f, size, e); err != nil {
					return nil, err
				}
				from.last = last
				sources[at] = from
			}
			if want.elements > from.size/int64(want.kind.size) {
				return nil, fmt.Errorf("storage %.100q has %d bytes, too few for %d elements", want.key, from.size,
					want.elements)
			}
			storages[same] = &storage{source: from, elements: want.elements, kind: want.kind, all: all}
			return storages[same], nil
		}))
	return value, err
}

// stored is where the bytes of an entry lie. One that is compressed is an error: PyTorch compresses none.
func stored(f io.ReaderAt, size int64, e *zip.File) (*source, error) {
	begin, err := e.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("entry %.100q: %w", e.Name, err)
	}
	if e.Method != zip.Store || e.CompressedSize64 != e.UncompressedSize64 {
		return nil, fmt.Errorf("entry %.100q is compressed", e.Name)
	}
	if begin < 0 || begin > size || e.UncompressedSize64 > uint64(size-begin) {
		return nil, fmt.Errorf("entry %.100q is longer than the file", e.Name)
	}
	s := &source{at: f, begin: begin, size: int64(e.UncompressedSize64)}
	if e.CRC32 != 0 { // some writers leave it out
		s.sound = func() error {
			h := crc32.NewIEEE()
			if _, err := io.Copy(h, io.NewSectionReader(f, s.begin, s.size)); err != nil {
				return err
			}
			if h.Sum32() != e.CRC32 {
				return fmt.Errorf("entry %.100q is damaged: its checksum is another", e.Name)
			}
			return nil
		}
	}
	return s, nil
}
