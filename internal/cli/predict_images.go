package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/table"
)

// imageOptions are the flags of `dla predict`.
type imageOptions struct {
	predictFlags
	top    int
	views  string
	attack string
	eps    radii
	target string
	save   string
}

func newPredictImagesCmd(s *Streams) *cobra.Command {
	o := imageOptions{eps: radii{one: true}}
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT FILE|FOLDER…",
		Short: "Classify image files with a trained network, and attack them",
		Long: `Classify images (PNG, JPEG, WebP, BMP, GIF): each FILE, those below each FOLDER in sorted order, or for - the
one on standard input. For each the command prints the label, its probability and the file. Every file has a
row; one that cannot be read has no label (null in JSON) but its error, and the exit code is then 1.

Images of any size and kind are converted as data sets are: turned as their EXIF data say, to RGB or for a
network of grey images to grey as Pillow's convert does, and to the network's size as torchvision's Resize and
CenterCrop. A network knows images that are like those it was trained on: MNIST's digits, for example, are
white on black.

Where files lie in sub-folders of a FOLDER that are named as the network's classes, their accuracy is printed.

CHECKPOINT is a name under checkpoints/ (` + "`dla models ls`" + `), the folder of a checkpoint or of a finished run, or
a run's id.

--attack changes each image within --eps: towards --target, or away from the class that its folder names, or
else from the predicted one. A row then has the labels before and after. Attacks run with the settings of
` + "`dla lab4 fgsm`" + `. --save writes each attacked image (PNG, at the network's size), the perturbation (magnified:
grey is no change, the largest change is black or white) and a contact sheet. Predictions after an attack are
those of the saved image, which is rounded to 8 bits.`,
		Example: `  dla predict resnet20 cat.jpg dog.png
  dla predict resnet20 photos/ --top 3 --views shift
  dla predict RUN_ID photos/ --json
  dla predict resnet20 photos/ --format csv > classes.csv
  curl -s https://example.org/cat.jpg | dla predict resnet20 -
  dla predict resnet20 cat.jpg --attack fgsm --eps 8/255 --save attacked
  dla predict resnet20 photos/ --attack pgd --eps 4 --target ship --save attacked`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return fmt.Errorf("name a network and images to classify")
			case len(args) == 1:
				return fmt.Errorf("name image files or folders after the network, or - for standard input")
			}
			return nil
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			ids, _ := completeRuns(&o.runs)(c, args, prefix)
			for _, dir := range labs.CheckpointDirs() {
				list, _ := os.ReadDir(dir) // none where it is not there
				for _, e := range list {
					ids = append(ids, e.Name())
				}
			}
			return ids, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runPredictImages(cmd, s, o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.top, "top", 1, "classes to print for each image, the most probable first")
	f.StringVar(&o.views, "views", string(config.NoViews), "average the logits over views of each image: none, "+
		"mirror, or shift (mirrored and shifted by a pixel)")
	f.StringVar(&o.attack, "attack", "", "attack each image: "+strings.Join(pictureAttacks(), ", "))
	f.Var(&o.eps, "eps", "radius of the attack in units of 1/255: 8 means 8/255; default: 8 (pgd-l2: 0.5, in pixel "+
		"values of [0,1])")
	f.StringVar(&o.target, "target", "", "class that the attack leads to; default: away from the right or the "+
		"predicted one")
	f.StringVar(&o.save, "save", "", "write attacked images, perturbations and a contact sheet to this new folder")
	o.add(cmd)
	completeWords(cmd, "views", config.AllViews)
	completeWords(cmd, "attack", pictureAttacks())
	return cmd
}

// pictureAttacks returns the attacks that --attack accepts. --target makes them targeted.
func pictureAttacks() []string {
	return slices.DeleteFunc(labs.AttackNames(), func(name string) bool { return strings.HasSuffix(name, "-targeted") })
}

// pictures returns the options of the classification.
func (o imageOptions) pictures() (labs.PictureOptions, error) {
	p := labs.PictureOptions{Views: config.Views(o.views), Top: o.top, Save: o.save}
	eps := 8.0
	switch l2 := strings.HasSuffix(o.attack, "-l2"); {
	case len(o.eps.all) == 1 && l2:
		eps = o.eps.all[0].pixels()
	case len(o.eps.all) == 1:
		eps = o.eps.all[0].steps()
	case l2:
		eps = 0.5
	}
	switch {
	case o.top < 1:
		return p, fmt.Errorf("--top %d: want 1 or more", o.top)
	case !slices.Contains(config.AllViews, o.views):
		return p, fmt.Errorf("--views is %q, want one of %s", o.views, strings.Join(config.AllViews, ", "))
	case o.attack == "" && (o.save != "" || o.target != "" || o.eps.changed):
		return p, fmt.Errorf("--eps, --target and --save need --attack")
	case o.attack == "":
		return p, nil
	case !slices.Contains(pictureAttacks(), o.attack):
		return p, fmt.Errorf("--attack is %q, want one of %s", o.attack, strings.Join(pictureAttacks(), ", "))
	case !(eps >= 0 && eps <= 255):
		return p, fmt.Errorf("--eps is %s, want a radius of 0 to 255", o.eps.String())
	}
	p.Attack = &labs.PictureAttack{Name: o.attack, Eps: eps, Target: o.target}
	return p, nil
}

func runPredictImages(cmd *cobra.Command, s *Streams, o imageOptions, from string, names []string) error {
	p, err := o.pictures()
	if err != nil {
		return usageError(err)
	}
	if err := o.setThreads(); err != nil {
		return err
	}
	piped := 0
	for _, name := range names {
		if name == labs.StandardInput {
			piped++
		}
	}
	if piped > 1 || piped == 1 && s.InTTY {
		return usageError(fmt.Errorf("- is one image on standard input, from a file or a pipe"))
	}
	n, err := labs.FindNetwork(o.runs, from)
	if err != nil {
		return err
	}
	progress := newProgress(s)
	defer progress.Close()
	opt := labOptions(s, o.runs, progress)
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	got, err := classified(ctx, s, n, names, p, opt)
	progress.Close()
	if c := code(); c != 0 {
		return &ExitError{Code: c}
	}
	if err != nil {
		return err
	}
	o.say(s, n, p, got)
	switch {
	case o.asJSON():
		err = writeImagesJSON(s, n, p, got)
	case !o.asText():
		err = o.write(s.Out, table.Of(imageTable(p, got)))
	default:
		err = writeImages(s, p, got)
	}
	if failed := len(got.All) - got.Classified; err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d images cannot be read; their rows say why", failed, len(got.All))
	}
	return err
}

// classified lists the pictures that names name and classifies them.
func classified(ctx context.Context, s *Streams, n *labs.Network, names []string, p labs.PictureOptions,
	opt labs.Options) (labs.PicturePredictions, error) {
	all, err := labs.Pictures(ctx, names, s.In, opt.Say)
	if err != nil {
		return labs.PicturePredictions{}, err
	}
	return n.Classify(ctx, all, p, opt)
}

// say prints what was converted, passed over and written.
func (o imageOptions) say(s *Streams, n *labs.Network, p labs.PictureOptions, got labs.PicturePredictions) {
	if got.Converted != "" {
		kind := "RGB"
		if n.Images.C == 1 {
			kind = "grey"
		}
		fmt.Fprintf(s.Err, "converted to %dx%d %s: %s\n", n.Images.W, n.Images.H, kind, got.Converted)
	}
	if len(got.OtherFolders) > 0 {
		fmt.Fprintf(s.Err, "not in the accuracy, since the network has no such class: %s\n",
			firstNames(got.OtherFolders))
	}
	if a := p.Attack; a != nil && a.Eps < 1 && !strings.HasSuffix(a.Name, "-l2") {
		fmt.Fprintf(s.Err, "an epsilon below 1/255 changes no value of an image of 8 bits\n")
	}
	if got.Sheet != nil {
		fmt.Fprintf(s.Err, "%d attacked images in %s; contact sheet: %s\n", got.Classified, p.Save,
			strings.Join(got.Sheet, ", "))
	}
	fmt.Fprintf(s.Err, "%s, %d parameters: %d images, %.0f images/s\n", n.Name, n.Params.Count(), got.Classified,
		float64(got.Classified)/got.Seconds)
}

// firstNames returns the first names, and how many more there are.
func firstNames(names []string) string {
	const shown = 8
	text := strings.Join(names[:min(shown, len(names))], ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// imageTable returns a row for each picture: its classes with their probabilities, those after an attack, and its file.
func imageTable(p labs.PictureOptions, got labs.PicturePredictions) *table.Table {
	columns := 1
	for _, one := range got.All {
		columns = max(columns, len(one.Top))
	}
	classes := func(which string) (heads []string) {
		for i := range columns {
			head := "class" + which
			if i > 0 {
				head += fmt.Sprintf(" %d", i+1)
			}
			heads = append(heads, head, strings.Replace(head, "class", "probability", 1))
		}
		return heads
	}
	heads := classes("")
	if p.Attack != nil {
		heads = append(append(heads, "attack"), classes(" after")...)
	}
	t := table.New("", append(heads, "file")...)
	t.NoHead = true
	for _, one := range got.All {
		file := oneLineOf(one.File)
		if one.Label == nil {
			file += " (" + oneLineOf(one.Error) + ")"
		}
		row := cells(one.Label, one.Probability, one.Top, columns)
		if p.Attack != nil {
			after, p, top := (*string)(nil), (*float64)(nil), []labs.ClassScore(nil)
			if a := one.Attacked; a != nil {
				after, p, top = &a.Label, &a.Probability, a.Top
			}
			row = append(append(row, "->"), cells(after, p, top, columns)...)
		}
		t.Row(append(row, file)...)
	}
	return t
}

// writeImages prints imageTable, then the accuracy and the success of the attack.
func writeImages(s *Streams, p labs.PictureOptions, got labs.PicturePredictions) error {
	if err := table.Write(s.Out, table.Text, table.Of(imageTable(p, got))); err != nil {
		return err
	}
	share := func(what string, f *labs.Share, of string) {
		if f != nil {
			fmt.Fprintf(s.Out, "%s %.2f %% of %d images%s (95 %% interval %.2f-%.2f)\n", what, 100*f.Value, f.N, of,
				100*f.CI95[0], 100*f.CI95[1])
		}
	}
	share("accuracy", got.Accuracy, " whose folders name a class")
	share("accuracy after the attack", got.AttackedAccuracy, " whose folders name a class")
	if p.Attack != nil {
		of := ""
		switch {
		case p.Attack.Target != "":
			of = " that are not " + oneLineOf(p.Attack.Target) + " before"
		case got.Accuracy != nil:
			of = " that are not wrong before"
		}
		share("success of the attack", got.Success, of)
	}
	return nil
}

// cells returns the cells of a row: so many classes with their probabilities, the first of which is label.
func cells(label *string, p *float64, top []labs.ClassScore, columns int) []any {
	all := make([]any, 2*columns)
	if label == nil {
		all[0], all[1] = "-", "-"
		return all
	}
	if len(top) == 0 {
		top = []labs.ClassScore{{Label: *label, Probability: *p}}
	}
	for i, c := range top {
		all[2*i], all[2*i+1] = oneLineOf(c.Label), table.Number("%.4f", c.Probability)
	}
	return all
}

// writeImagesJSON prints the predictions as JSON.
func writeImagesJSON(s *Streams, n *labs.Network, p labs.PictureOptions, got labs.PicturePredictions) error {
	type attacked struct {
		*labs.PictureAttack
		Norm     attack.Norm `json:"norm"`
		Success  *labs.Share `json:"success"`
		Accuracy *labs.Share `json:"accuracy,omitempty"`
		Sheet    []string    `json:"sheet,omitempty"`
	}
	out := struct {
		Model    string                   `json:"model"`
		Source   string                   `json:"source"`
		Params   int                      `json:"params"`
		Views    string                   `json:"views"`
		Images   []labs.PicturePrediction `json:"images"` // one for each file, in order
		Accuracy *labs.Share              `json:"accuracy,omitempty"`
		Attack   *attacked                `json:"attack,omitempty"`
		Seconds  float64                  `json:"seconds"`
		Rate     float64                  `json:"images_per_second"`
	}{Model: n.Name, Source: n.Source, Params: n.Params.Count(), Views: string(p.Views), Images: got.All,
		Accuracy: got.Accuracy, Seconds: got.Seconds, Rate: float64(got.Classified) / got.Seconds}
	if p.Attack != nil {
		out.Attack = &attacked{p.Attack, attack.Linf, got.Success, got.AttackedAccuracy, got.Sheet}
		if strings.HasSuffix(p.Attack.Name, "-l2") {
			out.Attack.Norm = attack.L2
		}
	}
	return writeJSON(s.Out, out)
}
