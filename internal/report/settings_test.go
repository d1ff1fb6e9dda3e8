package report

import (
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// TestOtherSettingsAreNotSeeds: runs of one network with different settings are rows of their own, named by what
// differs; runs with the same settings are seeds of one.
func TestOtherSettingsAreNotSeeds(t *testing.T) {
	root := t.TempDir()
	usual := config.DefaultFor("resnet20")
	slow, noisy := usual, usual
	slow.Train.LR, slow.Train.Groups.BiasLR = 0.05, 64
	noisy.Data.Augment.Flip = false
	reseeded := usual
	reseeded.Seed = 1
	table := tableOf(t, Table, recordOf(t, root, "lab1/resnet", "plain20", 0, usual, "1", nil),
		recordOf(t, root, "lab1/resnet", "plain20", 1, reseeded, "1", nil),
		recordOf(t, root, "lab1/resnet", "plain20", 0, slow, "1", nil),
		recordOf(t, root, "lab1/resnet", "plain20", 0, noisy, "1", nil))
	var rows []string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(line, "|")
		rows = append(rows, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[6]))
	}
	want := "20 layers plain: 2\n20 layers plain, flip false: 1\n20 layers plain, bias_lr 64, lr 0.05: 1"
	if got := strings.Join(rows, "\n"); got != want {
		t.Errorf("rows and seeds\n%s\nwant\n%s", got, want)
	}
	table = tableOf(t, Table, recordOf(t, root, "lab1/resnet", "plain20", 0, usual, "1", nil),
		recordOf(t, root, "lab1/resnet", "plain20", 0, noisy, "1", nil))
	wantText(t, table, "20 layers plain, flip true", "20 layers plain, flip false")
}

// TestSettingsOfGroupsAreNamedWithThem: the rate of muon is not said to be that of the rest.
func TestSettingsOfGroupsAreNamedWithThem(t *testing.T) {
	root := t.TempDir()
	usual := config.DefaultFor("speedrun")
	fast, averaged, peaked := usual, usual, usual
	fast.Train.Muon.LR, averaged.Train.Average.Kind, averaged.Train.Average.Every = 0.5, config.AverageEMA, 7
	peaked.Train.Triangle.Peak, peaked.Train.LR = 0.5, 1
	var recs []run.Record
	for _, c := range []config.Resnet{usual, fast, averaged, peaked} {
		recs = append(recs, recordOf(t, root, "lab1/resnet", "speedrun", 0, c, "1", nil))
	}
	wantText(t, tableOf(t, Table, recs...), "muon lr 0.5", "average every 7, average ema", "lr 1, triangle peak 0.5")
}
