package cli

import "github.com/spf13/cobra"

func newLab4Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab4",
		Short: "Adversarial attacks, adversarial fine-tuning, autoencoders and out-of-distribution detection",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFGSMCmd(s), newAutoencoderCmd(s), newOODCmd(s), newRobustCmd(s))
	return cmd
}
