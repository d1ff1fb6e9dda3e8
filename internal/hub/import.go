package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/download"
)

// importedDir is where imported encoders are kept: models under the user's cache folder.
func importedDir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep models in: %w; set DLA_MODELS to one", err)
	}
	return filepath.Join(d, "dla", "models"), nil
}

// Import copies the files that an encoder needs from the Hugging Face folder dir, so that Find knows it by name (the
// name of dir, if name is empty) even after dir is gone. The files are checked first; an encoder imported earlier
// under that name stays as it is until the new one is whole.
func Import(ctx context.Context, dir, name string, progress func(download.Progress)) (Encoder, error) {
	if st, err := os.Stat(dir); err != nil {
		return Encoder{}, err
	} else if !st.IsDir() {
		return Encoder{}, fmt.Errorf("%s is not a folder; want one with config.json, tokenizer.json and model.safetensors or pytorch_model.bin",
			dir)
	}
	if e := check(dir); e.Broken != "" {
		return e, errors.New(e.Broken)
	}
	if name == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Encoder{}, err
		}
		name = filepath.Base(abs)
	}
	if !bareForm.MatchString(name) {
		return Encoder{}, fmt.Errorf("an encoder cannot be called %q: letters, digits, dots, hyphens and underscores make a name; choose one with --name", name)
	}
	own, err := importedDir()
	if err != nil {
		return Encoder{}, err
	}
	e, err := importInto(ctx, own, dir, name, progress)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s cannot be imported: %w; fix that, or put it into a folder DIR/%s and set DLA_MODELS=DIR", dir,
			err, name)
	}
	return e, err
}

// importInto is Import of what has been checked, into the folder own.
func importInto(ctx context.Context, own, dir, name string, progress func(download.Progress)) (Encoder, error) {
	at := filepath.Join(own, name)
	err := atomicfile.ReplaceFolder(at, atomicfile.Permissions(dir), func(tmp string) error {
		files, err := filesOf(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			file = filepath.FromSlash(file)
			if err := copyFile(ctx, filepath.Join(dir, file), filepath.Join(tmp, file), progress); err != nil {
				return err
			}
		}
		if e := check(tmp); e.Broken != "" { // dir has changed meanwhile
			return errors.New(e.Broken)
		}
		return nil
	})
	if err != nil {
		return Encoder{}, err
	}
	e := check(at)
	e.Name, e.Source = name, imported
	return e, nil
}

// copyFile copies src, where it is there.
func copyFile(ctx context.Context, src, dst string, progress func(download.Progress)) error {
	r, size, err := open(src)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return err
	}
	var n int64
	report := func() {
		if progress != nil {
			progress(download.Progress{Verb: "copying", File: filepath.Base(src), Done: n, Total: size})
		}
	}
	_, _, err = atomicfile.WriteAs(dst, atomicfile.Permissions(src), func(w io.Writer) error {
		for {
			report()
			m, err := io.CopyN(w, r, 1<<20)
			if n += m; errors.Is(err, io.EOF) {
				return ctx.Err()
			}
			if err := cmp.Or(err, ctx.Err()); err != nil {
				return err
			}
		}
	})
	return err
}
