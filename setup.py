"""Build script: metadata is in pyproject.toml; compiled extensions are declared here."""

from setuptools import setup

setup()
