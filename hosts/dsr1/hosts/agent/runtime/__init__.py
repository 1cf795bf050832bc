"""Asks the installed vLLM and Dynamo what they would take."""
