"""What real programs are made to do: one catalogue for traces and whole programs, inputs made from fixed seeds."""
