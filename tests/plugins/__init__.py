"""Model files as their authors write them, for tests of commands: see tests.commands."""
