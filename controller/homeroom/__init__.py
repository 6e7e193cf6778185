"""Homeroom: declared school platforms, kept true."""
