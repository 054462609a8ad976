"""Bringing genomes and suites to this machine, and building what is published as coordinates.

The only part of the package that opens a network connection.
"""
