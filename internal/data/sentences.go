package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/charmap"

	"dla/internal/atomicfile"
	"dla/internal/parquet"
	"dla/internal/plainfile"
)

// Sentences is a set of labelled sentences in three splits.
type Sentences struct {
	Name             string
	Text             []string
	Labels           []int32
	Classes          []string   // name of each label
	Train, Val, Test []int32    // indices
	Source           string     // where it was found
	Synthetic        bool       // made up here
	Fingerprint      string     // SHA-256 (hex) of all sentences and labels, in order
	Files            []TextFile // that ReadTexts read
}

// Repeats counts the sentences whose letters and digits equal those of an earlier sentence, in the order training,
// validation, test. Copies often differ in spacing and punctuation alone.
type Repeats struct {
	Within     int `json:"within"`      // in the same split
	Across     int `json:"across"`      // in another split: a model is then tested on what it has seen
	OtherLabel int `json:"other_label"` // of both, those with another label than the earlier one
}

// Repeats counts those of s.
func (s *Sentences) Repeats() Repeats {
	var r Repeats
	type first struct{ part, label int32 }
	seen := map[uint64]first{} // by a hash: of millions of texts the texts again would be too much
	for part, index := range [][]int32{s.Train, s.Val, s.Test} {
		for _, i := range index {
			key := maphash.String(hashSeed, strings.Map(func(c rune) rune {
				if unicode.IsLetter(c) || unicode.IsDigit(c) {
					return unicode.ToLower(c)
				}
				return -1
			}, s.Text[i]))
			before, ok := seen[key]
			switch {
			case !ok:
				seen[key] = first{int32(part), s.Labels[i]}
				continue
			case before.part == int32(part):
				r.Within++
			default:
				r.Across++
			}
			if before.label != s.Labels[i] {
				r.OtherLabel++
			}
		}
	}
	return r
}

// The sentence polarity set v1.0 of Pang and Lee 2005 (https://arxiv.org/abs/cs/0506075): 5,331 sentences
// of each class, from reviews on Rotten Tomatoes. It is published as two files of one sentence a line in
// Windows-1252, the characters from 0x80 to 0x9f being dashes, quotation marks and ellipses. The Hugging
// Face set was made of it by reading those bytes as Latin-1, of which 0x85 is a line break (NEL): the ends
// of sentences were stripped of white space and with it of ellipses, and what stayed of those characters
// are control characters. So here an ellipsis at an end counts as white space and control characters are
// read as Windows-1252 again: all forms give the same sentences.

// polarityClasses are in the order of the labels, which is that of the Hugging Face set.
var polarityClasses = []string{"neg", "pos"}

// The parts of a class, in file order: the split of the Hugging Face set.
const (
	polarityTrain = 4265
	polarityVal   = 533
	polarityTest  = 533
)

// Whatever form a set of sentences is imported from, but its published files, it is kept in this one: the
// sentences of each class as they are here.
var kept = Form{
	Name: "sentences",
	Files: []File{
		{"neg.txt", 607174, "2c97c3a7de6382b5ae71b032aecd29f5da82759763543ab15b84fd4c30fbd866"},
		{"pos.txt", 621076, "261f966fb5e72a5aafa431866bd8b832c2f69755e1f52c1fb0cd0129bd44663a"},
	},
	sentences: linesOf("neg.txt", "pos.txt"),
}

// readPolarity reads the files of the archive, packed or not.
var readPolarity = linesOf("rt-polarity.neg", "rt-polarity.pos")

// sentenceReader reads the sentences of each class from the folder or archive at path.
type sentenceReader func(ctx context.Context, path string) ([][]string, error)

// linesOf reads the lines of a file for each class, wherever in a folder or archive these lie.
func linesOf(names ...string) sentenceReader {
	return func(ctx context.Context, path string) ([][]string, error) {
		classes := make([][]string, len(names))
		seen, err := walkOnce(ctx, path, names, func(int64, int64) {}, func(at int, b []byte) error {
			text, _, err := DecodeText(b)
			if err != nil {
				return err
			}
			if text == "" {
				return errors.New("is empty")
			}
			classes[at] = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			return nil
		})
		if err != nil {
			return nil, err
		}
		if i := slices.Index(seen, false); i >= 0 {
			return nil, fmt.Errorf("%s: holds no %s", path, names[i])
		}
		return classes, nil
	}
}

// tidy is a sentence as all forms give it.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 0x80 && r < 0xa0 {
			return charmap.Windows1252.DecodeByte(byte(r))
		}
		return r
	}, s)
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '…' })
}

// polarity makes the set of the sentences of each class.
func polarity(classes [][]string) (*Sentences, error) {
	s := &Sentences{Classes: polarityClasses}
	h := sha256.New()
	for label, lines := range classes {
		if want := polarityTrain + polarityVal + polarityTest; len(lines) != want {
			return nil, fmt.Errorf("%d sentences of the class %s, want %d", len(lines), polarityClasses[label], want)
		}
		for i, line := range lines {
			at := int32(len(s.Text))
			line = tidy(line)
			fmt.Fprintf(h, "%d\t%s\n", label, line)
			s.Text, s.Labels = append(s.Text, line), append(s.Labels, int32(label))
			switch {
			case i < polarityTrain:
				s.Train = append(s.Train, at)
			case i < polarityTrain+polarityVal:
				s.Val = append(s.Val, at)
			default:
				s.Test = append(s.Test, at)
			}
		}
	}
	s.Fingerprint = hex.EncodeToString(h.Sum(nil))
	return s, nil
}

// LoadSentences finds the set of sentences called name, as Load finds a set of images, and checks it: each file by
// its SHA-256 where that is known, and the sentences by the fingerprint of the set.
func LoadSentences(ctx context.Context, name string, opt Options) (*Sentences, error) {
	if name == SyntheticSentences {
		return syntheticSentences(), nil
	}
	e, err := lookupSentences(name)
	if err != nil {
		return nil, err
	}
	at, err := e.locate(ctx, opt)
	if Nowhere(err) {
		if there := e.Unrecognised(opt); there != "" {
			err = fmt.Errorf("%w; %s", err, there)
		}
		return nil, fmt.Errorf("%w; %s", err, e.Obtain())
	}
	if err != nil {
		return nil, err
	}
	at.sayPassedOver(opt)
	s, err := at.Sentences(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: %w; %s", e.Name, err, e.Remedy(at.Dir, opt))
	}
	return s, err
}

// DescribeSentences says how many sentences the training part of the set called name has, and how many
// classes there are, from the catalogue alone.
func DescribeSentences(name string) (train, classes int, err error) {
	if name == SyntheticSentences {
		return sentencesTrain, len(polarityClasses), nil
	}
	_, err = lookupSentences(name)
	return polarityTrain * len(polarityClasses), len(polarityClasses), err
}

// lookupSentences is Lookup among the sets of sentences.
func lookupSentences(name string) (Entry, error) {
	e, err := Lookup(name)
	if err == nil && !e.IsText() || slices.Contains(Names(), name) {
		err = fmt.Errorf("%s is a set of images, and sentences are wanted: of %s", name, listed(SentenceNames()))
	}
	return e, err
}

// IsText says whether e is a set of sentences.
func (e Entry) IsText() bool {
	return e.Name == SyntheticSentences || len(e.Forms) > 0 && e.Forms[0].sentences != nil
}

// Sentences verifies and reads the form that was found, which is one of a set of sentences.
func (at Found) Sentences(ctx context.Context) (*Sentences, error) {
	wrong := at.form.verify(at.Dir)
	if wrong != nil && !at.Entry.byContent(wrong) {
		return nil, wrong
	}
	s, err := at.Entry.readSentences(ctx, at.form.sentences, at.form.path(at.Dir))
	if err != nil {
		return nil, orElse(ctx, wrong, err)
	}
	s.Source = at.Source + ", " + at.Form
	return s, nil
}

// readSentences reads what is at path and compares it with the published set.
func (e Entry) readSentences(ctx context.Context, read sentenceReader, path string) (*Sentences, error) {
	classes, err := read(ctx, path)
	if err != nil {
		return nil, err
	}
	s, err := polarity(classes)
	if err == nil && s.Fingerprint != e.Fingerprint {
		err = fmt.Errorf("its sentences are not the published ones of %s: their fingerprint is %.12s…, want %.12s…", e.Name,
			s.Fingerprint, e.Fingerprint)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Name = e.Name
	return s, nil
}

// importSentences is Import of a set of sentences: published files are copied; what else has the
// sentences is kept as two files of them.
func (e Entry) importSentences(ctx context.Context, src string, st os.FileInfo, dir string,
	progress func(Progress)) error {
	if copied, err := e.copyPublished(src, st, dir, progress); copied || err != nil {
		return err
	}
	read, path := readPolarity, src // wherever in a folder or archive the two files lie
	for i := range e.Forms {
		f := &e.Forms[i]
		if st.IsDir() && (f.Folder != "" && !absent(filepath.Join(src, f.Folder)) || f.Folder == "" &&
			len(f.missing(src)) == 0) {
			read, path = f.sentences, f.path(src) // not as published, which was tried
		}
	}
	s, err := e.readSentences(ctx, read, path)
	if err != nil {
		return err
	}
	for label, file := range kept.Files {
		_, _, err := atomicfile.WriteAs(filepath.Join(dir, file.Name), atomicfile.Permissions(path), func(w io.Writer) error {
			for i, line := range s.Text {
				if s.Labels[i] == int32(label) {
					if _, err := io.WriteString(w, line+"\n"); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return localError{err}
		}
	}
	return nil
}

// readParquet reads the three files that the Hub has, in the folder at path. A part holds the positive
// sentences first; those of a class are in the order of the archive.
func readParquet(ctx context.Context, path string) ([][]string, error) {
	classes := make([][]string, len(polarityClasses))
	for _, part := range []string{"train", "validation", "test"} {
		name := filepath.Join(path, part+".parquet")
		texts, labels, err := readParquetFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for i, label := range labels {
			if label < 0 || int(label) >= len(classes) {
				return nil, fmt.Errorf("%s: label %d of row %d is neither 0 nor 1", name, label, i)
			}
			classes[label] = append(classes[label], texts[i])
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return classes, nil
}

// readParquetFile reads the columns text and label.
func readParquetFile(name string) (texts []string, labels []int64, err error) {
	f, size, err := plainfile.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	p, err := parquet.Open(f, size)
	if err != nil {
		return nil, nil, err
	}
	for g := range p.Groups() {
		part, err := p.Values(g, "text")
		if err != nil {
			return nil, nil, err
		}
		words, err := p.Values(g, "label")
		if err != nil {
			return nil, nil, err
		}
		for i, w := range words {
			label, err := strconv.ParseInt(w, 10, 64)
			if err != nil || part[i] == "" {
				return nil, nil, fmt.Errorf("row %d has no text or no label", len(texts)+1)
			}
			texts, labels = append(texts, part[i]), append(labels, label)
		}
	}
	return texts, labels, nil
}
