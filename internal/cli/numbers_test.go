package cli

import "testing"

// TestDecimalFlags: --seed 010 is not 8, and neither is any other flag's number.
func TestDecimalFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"lab1", "resnet", "--seed", "010"}, `"010" would be read as 8`},
		{[]string{"lab1", "resnet", "--epochs=0x10"}, `"0x10" would be read as 16`},
		{[]string{"lab1", "resnet", "--depth", "1,02"}, `"02" would be read as 2`},
		{[]string{"lab3", "finetune", "--alpha", "1_0"}, `"1_0" would be read as 10`},
		{[]string{"lab4", "fgsm", "--eps", "0,010/255"}, `"010" would be read as 8`},
		{[]string{"lab4", "fgsm", "--eps", "0,8/256"}, `"8/256" is not a radius; want a number such as 8 or 8/255`},
		{[]string{"lab4", "fgsm", "--eps", ""}, `"" is not a radius`},
		{[]string{"lab4", "robust", "--eps", "4,8"}, "want a single radius"},
	} {
		want(t, exitUsage, c.args, c.want)
	}
}

// TestRadii: 8/255 is what 8 is, and in L2, where a plain number is in pixel values, it is not.
func TestRadii(t *testing.T) {
	var r radii
	if err := r.Set("0,1/255,8"); err != nil {
		t.Fatal(err)
	}
	if got := r.String(); got != "0,1/255,8" {
		t.Errorf("they read %s", got)
	}
	if s := r.steps(); len(s) != 3 || s[0] != 0 || s[1] != 1 || s[2] != 8 {
		t.Errorf("in steps they are %v", s)
	}
	if a, b := r.all[1].pixels(), r.all[2].pixels(); a != 1./255 || b != 8 {
		t.Errorf("in pixel values they are %g and %g", a, b)
	}
	if err := r.Set("16/255"); err != nil || len(r.all) != 4 {
		t.Errorf("once more: %v, %v", r.String(), err)
	}
}
