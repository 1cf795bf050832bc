"""Flags and variables of vLLM and Dynamo as parts of a recipe."""
