package data

import (
	archivezip "archive/zip"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// isZip says whether a file that begins with magic is a zip.
func isZip(magic []byte) bool { return string(magic) == "PK\x03\x04" || string(magic) == "PK\x05\x06" }

// walkZip reads a zip of size bytes. Its directory is held in memory, some times the bytes that it takes in the file.
// done hears how many of these bytes have been unpacked.
func walkZip(f io.ReaderAt, size int64, want func(string) bool, over *passedOver, done func(n, total int64),
	visit visitor) error {
	z, err := archivezip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("is no whole zip archive (%w); fetch it or pack it again", err)
	}
	limit := min(maxBytes, size*maxExpansion+1<<20)
	var total, read int64
	for n, e := range z.File {
		name := path.Clean(e.Name)
		if strings.HasSuffix(e.Name, "/") { // a folder
			continue
		}
		if err := checkName(e.Name, want); err != nil {
			return err
		}
		if e.UncompressedSize64 > maxBytes {
			return errTooMuch
		}
		size := int64(e.UncompressedSize64)
		if !want(name) { // it is not unpacked
			size = 0
		}
		if err := checkFile(name, size, n+1); err != nil {
			return err
		}
		if total += size; total > limit {
			return errTooMuch
		}
		if part := hiddenPart(name); part != "" {
			over.addHidden(part)
			continue
		}
		symbolic := e.Mode()&fs.ModeSymlink != 0
		switch wanted := want(name); {
		case wanted && symbolic:
			return fmt.Errorf("%s is a link, and those of an archive are not followed; pack what it leads to (zip without -y)",
				name)
		case symbolic: // perhaps to a folder of wanted files
			over.link = cmp.Or(over.link, fmt.Errorf("%s is a link, and those of an archive are not followed; pack what it "+
				"leads to (zip without -y)", name))
			continue
		case !wanted:
			over.addUnwanted(name)
			continue
		case !e.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file; remove it", name)
		case e.Flags&1 != 0:
			return fmt.Errorf("%s is encrypted; unpack the archive and name the folder", name)
		}
		if err := unzip(e, name, visit); err != nil {
			return err
		}
		read += int64(e.CompressedSize64)
		done(min(read, size), size)
	}
	done(size, size)
	return nil
}

// unzip has visit read the file e. At its end its checksum is compared.
func unzip(e *archivezip.File, name string, visit visitor) error {
	r, err := e.Open()
	if errors.Is(err, archivezip.ErrAlgorithm) {
		return fmt.Errorf("%s is compressed by method %d, which is not read; pack the archive again with the usual one, "+
			"deflate", name, e.Method)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close() // read only: nothing can be lost
	content := &io.LimitedReader{R: r, N: int64(e.UncompressedSize64)}
	if err := visit(name, content.N, content); err != nil || content.N > 0 { // it is not wanted to its end
		return err
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("%s is longer than the archive says", name)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
