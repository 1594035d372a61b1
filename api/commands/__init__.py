"""The commands of `qcfuse`, by what they are about."""
