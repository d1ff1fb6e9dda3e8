package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/table"
)

func newDataCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "List, fetch, import, verify, describe, remove and index data sets",
		Long: `Data sets are searched in $DLA_DATA, then in the user's cache folder, then fetched from the network
into the cache. Every file is checked by SHA-256 before use.

A set may have several forms; one is enough. cifar10 is read from its published archive
cifar-10-binary.tar.gz, from cifar10-png.tar.gz, or unpacked: cifar-10-batches-bin/, or folders
train/CLASS/ and test/CLASS/ of lossless images. It is decoded once; the cache keeps the result. The four
files of mnist may be compressed or not, be called train-images-idx3-ubyte or train-images.idx3-ubyte, and lie
in mnist/, mnist/raw/ or, as in torchvision, MNIST/raw/. A repacked archive is accepted if its content equals
the published one; for cifar100, svhn and textures this cannot be checked.
rotten_tomatoes is read from its published archive rt-polaritydata.tar.gz, from rt-polarity.neg and .pos in
UTF-8 or Windows-1252, or from train.parquet, validation.parquet and test.parquet of the Hugging Face Hub.` + ownData + `

Your own images are decoded once, until a file's size or time changes. data ls lists the decoded copies, and
data rm NAME or PATH deletes them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDataLsCmd(s), newDataPullCmd(s), newDataImportCmd(s), newDataVerifyCmd(s), newDataDescribeCmd(s),
		newDataIndexCmd(s), newDataRmCmd(s))
	return cmd
}

// location is the state of a data set on this machine.
type location struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// where it is known
	Licence string `json:"licence,omitempty"`
	Bytes   int64  `json:"bytes"` // 0: not known
	// ready, absent, unrecognised (other files in its place), damaged, unchecked (what ls does not read whole) or built
	// in
	Status string `json:"status"`
	Form   string `json:"form,omitempty"`
	Dir    string `json:"dir,omitempty"`
	Detail string `json:"detail,omitempty"`
	remedy string
}

// locations returns the states of the named sets, of the whole catalogue for no names. With deep, unpacked folders are
// read whole.
func locations(ctx context.Context, names []string, deep bool, progress func(data.Progress)) ([]location, error) {
	if len(names) == 0 {
		names = catalogued()
	}
	var all []location
	for _, n := range names {
		e, err := data.Lookup(n)
		if err != nil {
			return nil, usageError(err)
		}
		l := location{Name: e.Name, About: e.About, Licence: e.Licence, Status: "absent"}
		for _, f := range e.Forms[0].Files {
			l.Bytes += f.Size
		}
		at, found, err := e.Find(data.Options{})
		if err != nil {
			return nil, err
		}
		if found {
			l.Status, l.Form, l.Dir, l.Bytes = "ready", at.Form, at.Dir, at.Bytes()
			var wrong error
			switch {
			case deep && e.IsText():
				l.Detail, wrong = sentencesOf(ctx, at)
			case deep:
				wrong = at.Verify(ctx, progress)
			case at.Unpacked():
				l.Status = "unchecked"
			default:
				wrong = at.Check()
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if !deep && at.Unchecked(wrong) {
				l.Status, l.Detail = "unchecked", wrong.Error()
			} else if wrong != nil {
				l.Status, l.Detail, l.remedy = "damaged", wrong.Error(), e.Remedy(at.Dir, data.Options{})
			}
		} else if there := e.Unrecognised(data.Options{}); there != "" {
			l.Status, l.Detail, l.remedy = "unrecognised", there, e.Obtain()
		}
		all = append(all, l)
	}
	return all, nil
}

// sentencesOf describes a set of sentences, or returns its error.
func sentencesOf(ctx context.Context, at data.Found) (string, error) {
	s, err := at.Sentences(ctx)
	if err != nil {
		return "", err
	}
	r := s.Repeats()
	return fmt.Sprintf("%d + %d + %d sentences for training, validation and test; apart from spacing and "+
		"punctuation %d repeat a sentence of another split and %d one of their own split",
		len(s.Train), len(s.Val), len(s.Test), r.Across, r.Within), nil
}

// catalogued returns the names of the sets that have files.
func catalogued() []string {
	var names []string
	for _, e := range data.Catalogue {
		names = append(names, e.Name)
	}
	return names
}

// completeSet completes the first most arguments with the sets' names, later ones with files.
func completeSet(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		var names []cobra.Completion
		for _, e := range data.Catalogue {
			if !slices.Contains(args, e.Name) {
				names = append(names, cobra.CompletionWithDesc(e.Name, e.About))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func newDataLsCmd(s *Streams) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the data sets and where they are",
		Example: "  dla data ls\n  dla data ls --format csv",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := locations(cmd.Context(), nil, false, nil)
			if err != nil {
				return err
			}
			own, err := ownCopies()
			if err != nil {
				return err
			}
			all = append(all, own...)
			for _, e := range data.BuiltIn {
				all = append(all, location{Name: e.Name, About: e.About, Status: "built in"})
			}
			if o.asJSON() {
				return writeJSON(s.Out, all)
			}
			t := table.New("", "NAME", "STATUS", "FORM", "SIZE", "WHERE", "WHAT")
			for _, l := range all {
				size := table.Cell{Text: "-"}
				if l.Bytes > 0 {
					size = shownAs(inMB(l.Bytes), float64(l.Bytes))
				}
				t.Row(l.Name, l.Status, dash(l.Form), size, dash(l.Dir), l.About)
			}
			return o.write(s.Out, table.Of(t))
		},
	}
	o.add(cmd)
	return cmd
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newDataPullCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pull NAME…",
		Short: "Fetch data sets into the cache, replacing damaged files",
		Long: `Fetch data sets into the cache, replacing damaged files.

A broken connection is retried; an interrupted download continues when the command is repeated. Each file is
checked by its SHA-256 before it is used.`,
		Example:           "  dla data pull mnist\n  dla data pull cifar10",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeSet(math.MaxInt),
		RunE: func(cmd *cobra.Command, names []string) error {
			return inCache(cmd, s, names, asJSON, func(ctx context.Context, e data.Entry, dir string,
				progress func(data.Progress)) (string, error) {
				source, err := e.Pull(ctx, dir, progress)
				if data.Nowhere(err) {
					return "", fmt.Errorf("%w; if you have its files: `dla data import %s FOLDER_OR_ARCHIVE`", err,
						e.Name)
				}
				if source == "" {
					return " already", err
				}
				return ", from " + source, err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDataImportCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import NAME FOLDER_OR_ARCHIVE",
		Short: "Check a data set on this machine and copy it into the cache",
		Long: `Copy the published files of a data set from a folder into the cache: for mnist the four files,
compressed or not, in the folder or in raw/ or MNIST/raw/ below it. All are checked by SHA-256 first; if one is
missing or differs, nothing is copied.

cifar10 may also be any folder, tar or tar.gz with the published images, in its binary form
(data_batch_1.bin, …) or as train/CLASS/NAME.png and test/CLASS/NAME.png: they are decoded, compared
with the published ones and kept decoded.

rotten_tomatoes may also be any folder, tar or tar.gz with rt-polarity.neg and rt-polarity.pos, in
Windows-1252 as published or in UTF-8, or a folder with the Hub's parquet files: the sentences are compared
with the published ones and kept in UTF-8.`,
		Example: `  dla data import mnist ~/Downloads/mnist
  dla data import cifar10 ~/Downloads/cifar-10-binary.tar.gz
  dla data import cifar10 ~/cifar10-images`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeSet(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inCache(cmd, s, args[:1], asJSON, func(ctx context.Context, e data.Entry, dir string,
				progress func(data.Progress)) (string, error) {
				return "", e.Import(ctx, args[1], dir, progress)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// inCache puts each of the named sets into its cache folder by put, and prints the result with the text that put
// returns.
func inCache(cmd *cobra.Command, s *Streams, names []string, asJSON bool,
	put func(ctx context.Context, e data.Entry, dir string, progress func(data.Progress)) (string, error)) error {
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	for _, n := range names {
		e, err := data.Lookup(n)
		if err != nil {
			return usageError(err)
		}
		cache, err := data.CacheDir()
		if err != nil {
			return err
		}
		progress := newProgress(s)
		dir := filepath.Join(cache, e.Folder)
		how, err := put(ctx, e, dir, progress.Download)
		progress.Close()
		if c := code(); c != 0 {
			return &ExitError{Code: c}
		}
		if err != nil {
			return err
		}
		if !asJSON {
			fmt.Fprintf(s.Out, "%s is in %s%s\n", n, dir, how)
		}
	}
	if !asJSON {
		return nil
	}
	all, err := locations(ctx, names, false, nil)
	if err != nil {
		return err
	}
	return writeJSON(s.Out, all)
}

func newDataVerifyCmd(s *Streams) *cobra.Command {
	var asJSON bool
	var as reading
	cmd := &cobra.Command{
		Use:   "verify [NAME…|PATH]",
		Short: "Check the files of data sets by SHA-256; exit code 1 if one is damaged",
		Long: `Check the files of data sets by SHA-256. Unpacked folders and repacked archives are read whole and their
content compared with the published one. The exit code is 1 if something is damaged or other files are in the
place of a set.

Your own images, and tables and folders of labelled texts, named by their path, are read whole, and what cannot be read
is said.`,
		Example: "  dla data verify\n  dla data verify mnist --json\n  dla data verify photos.zip\n" +
			"  dla data verify reviews.csv",
		ValidArgsFunction: completeSet(math.MaxInt),
		RunE: func(cmd *cobra.Command, names []string) error {
			how, err := as.resolve()
			if err != nil {
				return err
			}
			if len(names) == 1 && data.HoldsTexts(names[0]) {
				return describeTexts(cmd, s, names[0], data.TextOptions{}, &tableFlags{format: table.Text, json: asJSON})
			}
			if len(names) == 1 && data.IsOwn(names[0]) {
				return verifyOwn(cmd, s, names[0], how, asJSON)
			}
			ctx, code, stop := interruptible(cmd.Context())
			defer stop()
			progress := newProgress(s)
			all, err := locations(ctx, names, true, progress.Download)
			progress.Close()
			if c := code(); c != 0 {
				return &ExitError{Code: c}
			}
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(s.Out, all); err != nil {
					return err
				}
			}
			for _, l := range all {
				if !asJSON {
					fmt.Fprintf(s.Out, "%s: %s %s\n", l.Name, l.Status, l.Dir)
				}
				if !asJSON && l.Status == "ready" && l.Detail != "" {
					fmt.Fprintf(s.Out, "  %s\n", l.Detail)
				}
				if (l.Status == "damaged" || l.Status == "unrecognised") && err == nil {
					err = fmt.Errorf("%s: %s; %s", l.Name, l.Detail, l.remedy)
				}
				if l.Status == "absent" && len(names) > 0 && err == nil {
					e, _ := data.Lookup(l.Name) // it was found above
					err = fmt.Errorf("%s is not on this machine; %s", l.Name, e.Obtain())
				}
			}
			return err
		},
	}
	as.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDataIndexCmd(s *Streams) *cobra.Command {
	var asJSON bool
	split := "test"
	var as reading
	cmd := &cobra.Command{
		Use:   "index NAME|PATH",
		Short: "List the published position of each image, to compare predictions with other programs",
		Long: `dla numbers images from 0 in its own order, the same for every form of a set: ascending by the SHA-256 of
their pixels (height x width x 3 bytes), then by label. test_predictions.bin, splits and the indices of images
in records and figures use it. MNIST alone keeps the published order.

The command lists as CSV for each image of a split its index (index), its label and its published position:
the index in the published order, from 0 (published), if the set was read from its published files; its file
(file), if it was read from images. For CIFAR-10 positions count as in torchvision, through data_batch_1 to
data_batch_5, or in test_batch, and files are the filenames that the batches list. For a set of sentences the
command lists file and line, from 0, of each sentence.`,
		Example:           "  dla data index cifar10 > test_index.csv\n  dla data index cifar10 --split train --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeSetOrPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			how, err := as.resolve()
			if err != nil {
				return err
			}
			var places []data.Place
			err = withProgress(cmd, s, func(ctx context.Context, progress func(data.Progress)) (err error) {
				places, err = placesOf(ctx, args[0], how, split, data.Options{Progress: progress})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.Out, places)
			}
			return data.WritePlaces(s.Out, places)
		},
	}
	as.flag(cmd)
	cmd.Flags().StringVar(&split, "split", split, "train, test or, where the set has one, validation")
	_ = cmd.RegisterFlagCompletionFunc("split", cobra.FixedCompletions([]string{"train", "validation", "test"},
		cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// placesOf returns the published positions of a split of the set called name.
func placesOf(ctx context.Context, name string, how data.Reading, split string, opt data.Options) ([]data.Place,
	error) {
	if data.IsOwn(name) {
		ds, err := data.Read(ctx, name, how, opt)
		if err != nil {
			return nil, err
		}
		part, ok := map[string]*data.Set{"train": ds.Train, "validation": ds.Val, "test": ds.Test}[split]
		if !ok {
			return nil, usageError(fmt.Errorf("--split %s: want train, validation or test", split))
		}
		if part == nil {
			return nil, fmt.Errorf("%s has no validation set of its own: it is drawn from the training set by the seed", name)
		}
		return data.All(part).Places(), nil
	}
	e, err := data.Lookup(name)
	if err != nil {
		return nil, usageError(err)
	}
	if e.IsText() {
		of, err := data.LoadSentences(ctx, name, opt)
		if err != nil {
			return nil, err
		}
		index, ok := map[string][]int32{"train": of.Train, "validation": of.Val, "test": of.Test}[split]
		if !ok {
			return nil, usageError(fmt.Errorf("--split %s: want train, validation or test", split))
		}
		return of.Places(index), nil
	}
	if split != "train" && split != "test" {
		return nil, usageError(fmt.Errorf("--split %s: want train or test", split))
	}
	ds, err := data.Load(ctx, name, opt)
	if err != nil {
		return nil, err
	}
	set := map[string]*data.Set{"train": ds.Train, "test": ds.Test}[split]
	switch {
	case ds.Synthetic:
		return nil, fmt.Errorf("%s; %s", ds.Source, e.Obtain())
	case !set.Known():
		return nil, fmt.Errorf("the published positions of the images of %s are unknown, since an earlier version "+
			"imported them; import them again with `dla data import %s FOLDER_OR_ARCHIVE`", name, name)
	}
	return data.All(set).Places(), nil
}
