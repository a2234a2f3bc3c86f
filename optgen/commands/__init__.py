"""The commands of the command line, a module each; `command` is what runs."""
