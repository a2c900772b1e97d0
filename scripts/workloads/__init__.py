"""What real programs are made to do: one catalogue for `make traces` and `make programs`, inputs made from fixed seeds."""
