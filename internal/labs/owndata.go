package labs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/run"
)

// readingOf returns how dc reads data of the user's own.
func readingOf(dc config.Data) data.Reading {
	return data.Reading{Size: dc.Size, Channels: dc.Channels, Test: dc.Test, Part: dc.Part, SkipDamaged: dc.SkipDamaged}
}

// adopted returns dc as records hold it: data of the user's own by their absolute path, and the number of images that
// are held out for validation of ds.
func adopted(dc config.Data, ds *data.Dataset) config.Data {
	if ds.Own != nil {
		dc.Name = ds.Own.Path
	}
	switch {
	case ds.Val != nil:
		dc.Val = ds.Val.N
	case dc.Val == config.Tenth:
		dc.Val = max(1, ds.Train.N/10)
	}
	return dc
}

// ownInfo returns the description of ds in records; nil for a set of the catalogue.
func ownInfo(ds *data.Dataset) *run.OwnData {
	if ds.Own == nil {
		return nil
	}
	d := descriptionOf(ds)
	return &run.OwnData{Path: ds.Own.Path, Height: d.H, Width: d.W, Channels: d.C, Classes: ds.Train.Classes,
		Train: d.Train, Val: d.Val, Test: d.Test}
}

// descriptionOf describes ds, which has been read.
func descriptionOf(ds *data.Dataset) data.Description {
	s := ds.Train
	d := data.Description{H: s.H, W: s.W, C: s.C, Classes: len(s.Classes), Train: s.N, Test: ds.Test.N}
	if ds.Val != nil {
		d.Val = ds.Val.N
	}
	return d
}

// describeImages describes the data that dc names. Data of the user's own are read, those of the catalogue are not.
func describeImages(dc config.Data, opt Options) (data.Description, error) {
	if !data.IsOwn(dc.Name) {
		return data.Describe(dc.Name)
	}
	ds, err := readImages(context.Background(), dc, opt)
	if err != nil {
		return data.Description{}, err
	}
	return descriptionOf(ds), nil
}

// describeTraining describes the data that a record says a network was trained on.
func describeTraining(info run.DataInfo) (data.Description, error) {
	o := info.Own
	if o == nil {
		return data.Describe(info.Name)
	}
	const most = 8192 // pixels a side
	if o.Height < 1 || o.Height > most || o.Width < 1 || o.Width > most || o.Channels != 1 && o.Channels != 3 ||
		len(o.Classes) < 2 || o.Train < 1 || o.Val < 0 || o.Test < 1 {
		return data.Description{}, fmt.Errorf("its record describes the data %s as %d x %d pixels in %d channels of %d "+
			"classes, %d + %d + %d images", info.Name, o.Width, o.Height, o.Channels, len(o.Classes), o.Train, o.Val, o.Test)
	}
	return data.Description{H: o.Height, W: o.Width, C: o.Channels, Classes: len(o.Classes), Train: o.Train, Val: o.Val,
		Test: o.Test}, nil
}

// TrainingData returns the settings that read the data n was trained on.
func (n *Network) TrainingData() config.Data {
	if n.Data.Own == nil {
		return config.Data{Name: n.Data.Name, Val: n.Config.Data.Val}
	}
	dc := n.Config.Data
	dc.Name, dc.Limit, dc.Augment = n.Data.Own.Path, 0, config.Augment{}
	return dc
}

// moved adds to err, of reading data that a record names, what to do where they are not found.
func moved(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; if the data have been moved, say where they are with --data", err)
	}
	return err
}
