package cli

import "github.com/spf13/cobra"

func newLab3Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab3",
		Short: "Sentence encoders: frozen features, LoRA, fine-tuning, predictions",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBaselineCmd(s), newFinetuneCmd(s), newPredictCmd(s))
	return cmd
}
