"""Builders of the resources that Hounsfield itself writes, one module each."""
