"""Dynamo's Kubernetes manifests to recipes: text in, recipe and notes out. Pure.

Every key of a manifest ends in the recipe or in a note; what the readers don't touch, the ledger's
sweep reports.
"""
