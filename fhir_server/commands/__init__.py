"""The commands of `hounsfield`, one declaration a file."""
