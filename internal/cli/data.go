package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dla/internal/data"
)

func newDataCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Data sets: what there is, fetch, import, verify, remove, and where each image was published",
		Long: `Data sets are looked for in $DLA_DATA, then in the user's cache folder, then on the network;
what the network gives is kept in the cache. Every file is checked by SHA-256 before it is used.

A set may come in several forms, of which one is enough. cifar10 is read from its published archive
cifar-10-binary.tar.gz, from cifar10-png.tar.gz, or unpacked: cifar-10-batches-bin/, or folders
train/CLASS/ and test/CLASS/ of lossless images. It is decoded once; the result is kept in the cache.
mnist's four files may be packed or not, be called train-images-idx3-ubyte or train-images.idx3-ubyte, and lie
in mnist/, mnist/raw/ or, as torchvision keeps them, MNIST/raw/. An archive that was packed anew counts as well
where its content can be compared with the published one, which it cannot be of cifar100, svhn and textures.
rotten_tomatoes is read from its published archive rt-polaritydata.tar.gz, from rt-polarity.neg and .pos in
UTF-8 or Windows-1252, or from train.parquet, validation.parquet and test.parquet, which the Hugging Face Hub has.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDataLsCmd(s), newDataPullCmd(s), newDataImportCmd(s), newDataVerifyCmd(s), newDataIndexCmd(s),
		newDataRmCmd(s))
	return cmd
}

// location is a set and where it stands.
type location struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Bytes  int64  `json:"bytes"`  // 0: not known
	Status string `json:"status"` // ready, absent, unrecognised (other files in its place), damaged, unchecked (what ls does not read whole) or built in
	Form   string `json:"form,omitempty"`
	Dir    string `json:"dir,omitempty"`
	Detail string `json:"detail,omitempty"`
	remedy string
}

// locations says where the sets of these names stand, all of the catalogue where there are none. With
// deep, unpacked folders are read whole.
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
		l := location{Name: e.Name, About: e.About, Status: "absent"}
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

// sentencesOf says what a set of sentences holds, or what is wrong with it.
func sentencesOf(ctx context.Context, at data.Found) (string, error) {
	s, err := at.Sentences(ctx)
	if err != nil {
		return "", err
	}
	r := s.Repeats()
	return fmt.Sprintf("%d + %d + %d sentences for training, validation and test; but for spacing and punctuation %d repeat one of another part and %d one of their own",
		len(s.Train), len(s.Val), len(s.Test), r.Across, r.Within), nil
}

// catalogued are the names of the sets that have files.
func catalogued() []string {
	var names []string
	for _, e := range data.Catalogue {
		names = append(names, e.Name)
	}
	return names
}

// completeSet completes the first most arguments by the sets' names, later ones by files.
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the data sets and where they are",
		Example: "  dla data ls\n  dla data ls --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := locations(cmd.Context(), nil, false, nil)
			if err != nil {
				return err
			}
			for _, e := range data.BuiltIn {
				all = append(all, location{Name: e.Name, About: e.About, Status: "built in"})
			}
			if asJSON {
				return writeJSON(s.Out, all)
			}
			w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSTATUS\tFORM\tSIZE\tWHERE\tWHAT")
			for _, l := range all {
				size := ""
				if l.Bytes > 0 {
					size = fmt.Sprintf("%.1f MB", float64(l.Bytes)/1e6)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Status, dash(l.Form), dash(size), dash(l.Dir), l.About)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
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

What breaks off is tried again; what is interrupted goes on where it stopped when it is called again. Each file is
checked by its SHA-256 before it takes its place.`,
		Example:           "  dla data pull mnist\n  dla data pull cifar10",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeSet(math.MaxInt),
		RunE: func(cmd *cobra.Command, names []string) error {
			return inCache(cmd, s, names, asJSON, func(ctx context.Context, e data.Entry, dir string, progress func(data.Progress)) (string, error) {
				source, err := e.Pull(ctx, dir, progress)
				if data.Nowhere(err) {
					return "", fmt.Errorf("%w; with its files at hand: `dla data import %s FOLDER_OR_ARCHIVE`", err, e.Name)
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
		Short: "Put a data set that is on this machine into the cache, after checking it",
		Long: `Copies the published files of a data set from a folder into the cache: for mnist the four files, packed or
not, in the folder or in raw/ or MNIST/raw/ below it. All are checked by SHA-256 first; where one is missing or
another file, nothing is copied.

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
			return inCache(cmd, s, args[:1], asJSON, func(ctx context.Context, e data.Entry, dir string, progress func(data.Progress)) (string, error) {
				return "", e.Import(ctx, args[1], dir, progress)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// inCache puts each of the named sets into its folder of the cache by what put does, and says so with
// the words that put adds.
func inCache(cmd *cobra.Command, s *Streams, names []string, asJSON bool, put func(ctx context.Context, e data.Entry, dir string, progress func(data.Progress)) (string, error)) error {
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
	cmd := &cobra.Command{
		Use:   "verify [NAME…]",
		Short: "Check the files of data sets by SHA-256; exit code 1 where one is damaged",
		Long: `Checks the files of data sets by SHA-256, and unpacked folders and files that were packed anew by reading
them whole and comparing the content with the published one. Exit code 1 where something is damaged, or where
other files lie in the place of a set.`,
		Example:           "  dla data verify\n  dla data verify mnist --json",
		ValidArgsFunction: completeSet(math.MaxInt),
		RunE: func(cmd *cobra.Command, names []string) error {
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDataIndexCmd(s *Streams) *cobra.Command {
	var asJSON bool
	part := "test"
	cmd := &cobra.Command{
		Use:   "index NAME",
		Short: "List where each image of a set was published, to lay predictions beside others'",
		Long: `Images are numbered from 0 in an order of their own, the same whatever form a set is read from: ascending
by the SHA-256 of their pixels (height x width x 3 bytes, then by label). test_predictions.bin, splits and
the numbers of images in records and figures count in it. MNIST alone keeps the published order.

This lists as CSV for each image of a part its number here (index), its label, and where it was published:
its place from 0 in the published order (published), where the set was read from its published files; its
file (file), where it was read from images. CIFAR-10's places are those of torchvision: through data_batch_1
to data_batch_5, or in test_batch; and its files are those that the batches list as filenames. A set of
sentences is listed with the file and the line, from 0, of each.`,
		Example:           "  dla data index cifar10 > test_index.csv\n  dla data index cifar10 --part train --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeSet(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, code, stop := interruptible(cmd.Context())
			defer stop()
			progress := newProgress(s)
			places, err := placesOf(ctx, args[0], part, data.Options{Progress: progress.Download})
			progress.Close()
			if c := code(); c != 0 {
				return &ExitError{Code: c}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.Out, places)
			}
			return data.WritePlaces(s.Out, places)
		},
	}
	cmd.Flags().StringVar(&part, "part", part, "train, test, or of a set of sentences validation")
	_ = cmd.RegisterFlagCompletionFunc("part", cobra.FixedCompletions([]string{"train", "validation", "test"},
		cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// placesOf are where a part of the set called name was published.
func placesOf(ctx context.Context, name, part string, opt data.Options) ([]data.Place, error) {
	e, err := data.Lookup(name)
	if err != nil {
		return nil, usageError(err)
	}
	if e.IsText() {
		of, err := data.LoadSentences(ctx, name, opt)
		if err != nil {
			return nil, err
		}
		index, ok := map[string][]int32{"train": of.Train, "validation": of.Val, "test": of.Test}[part]
		if !ok {
			return nil, usageError(fmt.Errorf("--part %s: want train, validation or test", part))
		}
		return of.Places(index), nil
	}
	if part != "train" && part != "test" {
		return nil, usageError(fmt.Errorf("--part %s: want train or test", part))
	}
	ds, err := data.Load(ctx, name, opt)
	if err != nil {
		return nil, err
	}
	set := map[string]*data.Set{"train": ds.Train, "test": ds.Test}[part]
	switch {
	case ds.Synthetic:
		return nil, fmt.Errorf("%s; %s", ds.Source, e.Obtain())
	case !set.Known():
		return nil, fmt.Errorf("where the images of %s come from is not known: an earlier version imported them; `dla data import %s FOLDER_OR_ARCHIVE` again", name, name)
	}
	return data.All(set).Places(), nil
}
